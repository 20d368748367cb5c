package keys

import (
	"slices"
	"strings"
)

// grants are the grants on one key in memory. A key may have tens of thousands:
// what lists and decisions ask for is found without looking at the others. It is
// guarded by cache.mu.
type grants struct {
	all       []*Grant            // by id
	byGrantee map[string][]*Grant // by the grantee's unique id, each by id
}

// newGrants are the grants of list, which is sorted by id.
func newGrants(list []Grant) *grants {
	gs := new(grants) // most keys have none
	for _, g := range list {
		gs.all = append(gs.all, &g)
		if gs.byGrantee == nil {
			gs.byGrantee = make(map[string][]*Grant)
		}
		gs.byGrantee[g.Grantee.ID] = append(gs.byGrantee[g.Grantee.ID], &g)
	}
	return gs
}

func compareID(g *Grant, id string) int { return strings.Compare(g.ID, id) }

// get returns the grant that has this id, or nil.
func (gs *grants) get(id string) *Grant {
	if i, ok := slices.BinarySearchFunc(gs.all, id, compareID); ok {
		return gs.all[i]
	}
	return nil
}

// add puts g among the others, in the place of one with its id.
func (gs *grants) add(g *Grant) {
	gs.remove(g.ID)
	gs.all = insert(gs.all, g)
	if gs.byGrantee == nil {
		gs.byGrantee = make(map[string][]*Grant)
	}
	gs.byGrantee[g.Grantee.ID] = insert(gs.byGrantee[g.Grantee.ID], g)
}

func insert(sorted []*Grant, g *Grant) []*Grant {
	i, _ := slices.BinarySearchFunc(sorted, g.ID, compareID)
	return slices.Insert(sorted, i, g)
}

// remove takes the grant with this id away, if there is one.
func (gs *grants) remove(id string) {
	g := gs.get(id)
	if g == nil {
		return
	}
	gs.all = without(gs.all, id)
	rest := without(gs.byGrantee[g.Grantee.ID], id)
	if len(rest) == 0 {
		delete(gs.byGrantee, g.Grantee.ID)
		return
	}
	gs.byGrantee[g.Grantee.ID] = rest
}

func without(sorted []*Grant, id string) []*Grant {
	i, ok := slices.BinarySearchFunc(sorted, id, compareID)
	if !ok {
		return sorted
	}
	return slices.Delete(sorted, i, i+1)
}

// A grantFilter says which grants a list is to have.
type grantFilter struct {
	id      string // the one that has this id; "" for all
	grantee string // those to whom has this id; "" for all
	after   string // those whose ids come after it
}

// some lists the first n grants that f lets through, by id.
func (gs *grants) some(f grantFilter, n int) []*Grant {
	list := gs.all
	if f.grantee != "" {
		list = gs.byGrantee[f.grantee]
	}
	if f.id != "" {
		i, ok := slices.BinarySearchFunc(list, f.id, compareID)
		if !ok || f.id <= f.after {
			return nil
		}
		return []*Grant{list[i]}
	}
	i, found := slices.BinarySearchFunc(list, f.after, compareID)
	if found {
		i++
	}
	return slices.Clone(list[i:min(i+n, len(list))])
}
