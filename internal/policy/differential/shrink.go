package main

import "encoding/json"

// shrink takes away from c whatever can go while still holds, and gives the rest.
func shrink(c testCase, still func(*testCase) bool) testCase {
	for n := 0; ; n++ {
		next, ok := c.without(n)
		if !ok {
			return c
		}
		if next != nil && still(next) {
			c, n = *next, -1
		}
	}
}

// without is c less its nth part: a policy, statement, element, value, or a condition
// key of the request. It is nil if what is left is no case, and not ok if c has fewer
// parts.
func (c *testCase) without(n int) (smaller *testCase, ok bool) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, false
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, false
	}
	k := knife{left: n}
	for _, name := range []string{"identity", "boundary", "session", "resourcePolicy", "serviceControl", "resourceControl"} {
		k.member(tree, name)
	}
	context, _ := tree["context"].(map[string]any)
	for _, s := range subjects {
		if s.requests != nil {
			if _, has := context[s.key]; has && k.cut() {
				delete(context, s.key)
			}
		}
	}
	if !k.done {
		return nil, false
	}
	if text, err = json.Marshal(tree); err == nil {
		err = json.Unmarshal(text, &smaller)
	}
	if err != nil {
		return nil, true
	}
	return smaller, true
}

// A knife counts the parts of a tree that could go, and takes one.
type knife struct {
	left int
	done bool
}

func (k *knife) cut() bool {
	if !k.done {
		k.left--
		k.done = k.left < 0
		return k.done
	}
	return false
}

func (k *knife) member(tree map[string]any, name string) {
	value, ok := tree[name]
	if !ok {
		return
	}
	if k.cut() {
		delete(tree, name)
		return
	}
	tree[name] = k.inside(value)
}

// inside is value, which may have lost a part.
func (k *knife) inside(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range sortedKeys(v) {
			k.member(v, name)
		}
	case []any:
		for i := range v {
			if k.cut() {
				return append(v[:i:i], v[i+1:]...)
			}
			v[i] = k.inside(v[i])
		}
	}
	return value
}
