package inquiry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// Files is a Source of files that AWS's commands wrote:
//
//	*.json                      aws iam get-account-authorization-details, of one or several accounts
//	keys/KEY.json               aws kms get-key-policy, or the policy alone; KEY is the key's id, or
//	                            its ARN with _ for each colon and slash
//	scp/ACCOUNT/LEVEL/*.json    aws organizations describe-policy, or the policy alone, of the service
//	rcp/ACCOUNT/LEVEL/*.json    control (resource control) policies that are attached to each level
//	                            above the account, and to it
//
// An account without a directory in scp and rcp is limited by no organization.
type Files struct {
	dir      fs.FS
	users    map[string]user // by ARN
	roles    map[string]role // by ARN
	groups   map[string]group
	policies map[string]string // documents of managed policies by ARN
}

// What get-account-authorization-details says.
type (
	details struct {
		UserDetailList  []user
		RoleDetailList  []role
		GroupDetailList []group
		Policies        []managed
	}
	// entity is what the three kinds have in common.
	entity struct {
		Arn                     string
		AttachedManagedPolicies []struct{ PolicyName, PolicyArn string }
		PermissionsBoundary     struct{ PermissionsBoundaryArn string }
		Tags                    []struct{ Key, Value string }
	}
	user struct {
		entity
		UserName, UserID string
		GroupList        []string
		UserPolicyList   []inline
	}
	role struct {
		entity
		RoleName, RoleID         string
		RolePolicyList           []inline
		AssumeRolePolicyDocument document
	}
	group struct {
		entity
		GroupName       string
		GroupPolicyList []inline
	}
	inline struct {
		PolicyName     string
		PolicyDocument document
	}
	managed struct {
		Arn               string
		PolicyVersionList []struct {
			Document         document
			IsDefaultVersion bool
		}
	}
)

// A document is a policy's text: an object as the CLI writes it, or a string as
// the API does, which may be URL-encoded.
type document string

func (d *document) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '"' {
		*d = document(b)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	if strings.HasPrefix(text, "%7B") || strings.HasPrefix(text, "%7b") {
		plain, err := url.QueryUnescape(text)
		if err != nil {
			return fmt.Errorf("a policy document: %w", err)
		}
		text = plain
	}
	*d = document(text)
	return nil
}

// maxFile is how large a file may be: an account's details are some megabytes.
const maxFile = 64 << 20

// OpenFiles reads the accounts' details of a directory; its other files are read
// when a question needs them.
func OpenFiles(dir fs.FS) (*Files, error) {
	f := &Files{dir: dir, users: map[string]user{}, roles: map[string]role{}, groups: map[string]group{}, policies: map[string]string{}}
	names, err := fs.Glob(dir, "*.json")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, wrong("there is no *.json of aws iam get-account-authorization-details in the directory")
	}
	for _, name := range names {
		var d details
		if err := f.read(name, &d); err != nil {
			return nil, err
		}
		f.add(d)
	}
	if len(f.users)+len(f.roles) == 0 {
		return nil, wrong("there is no user and no role in %s", strings.Join(names, ", "))
	}
	return f, nil
}

func (f *Files) read(name string, to any) error {
	info, err := fs.Stat(f.dir, name)
	if err != nil {
		return err
	}
	if info.Size() > maxFile {
		return fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	text, err := fs.ReadFile(f.dir, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (f *Files) add(d details) {
	for _, u := range d.UserDetailList {
		f.users[u.Arn] = u
	}
	for _, r := range d.RoleDetailList {
		f.roles[r.Arn] = r
	}
	for _, g := range d.GroupDetailList {
		f.groups[account(g.Arn)+"/"+g.GroupName] = g
	}
	for _, p := range d.Policies {
		for _, v := range p.PolicyVersionList {
			if v.IsDefaultVersion {
				f.policies[p.Arn] = string(v.Document)
			}
		}
	}
}

func account(arn string) string {
	a, _ := cloud.ParseARN(arn) // the zero ARN's account is ""
	return string(a.Account)
}

// Caller implements Source.
func (f *Files) Caller(_ context.Context, arn, name string) (cloud.Caller, error) {
	a, err := cloud.ParseARN(arn)
	if err != nil {
		return cloud.Caller{}, err
	}
	c := cloud.Caller{Account: a.Account, ARN: arn, Principal: arn}
	if a.Resource == "root" {
		c.Kind, c.UserID = cloud.Root, string(a.Account)
		return c, nil
	}
	if u, ok := f.users[arn]; ok {
		c.Kind, c.UserID, c.UserName, c.Tags = cloud.User, u.UserID, u.UserName, u.tags()
		return c, nil
	}
	r, ok := f.roles[arn]
	if short, session, is := sessionOf(a); is {
		r, ok = f.roleNamed(a.Account, short)
		name = session
	}
	if !ok {
		return c, fmt.Errorf("is not in the accounts' details: %w", cloud.ErrNotFound)
	}
	c.Kind, c.Principal, c.UserID, c.Tags = cloud.AssumedRole, r.Arn, r.RoleID+":"+name, r.tags()
	c.ARN = cloud.NewARN("sts", "", a.Account, "assumed-role/"+r.RoleName+"/"+name).String()
	return c, nil
}

// sessionOf are the role and the name of a session, of whose ARN a is.
func sessionOf(a cloud.ARN) (role, name string, ok bool) {
	rest, is := strings.CutPrefix(a.Resource, "assumed-role/")
	role, name, cut := strings.Cut(rest, "/")
	return role, name, is && cut && a.Service == "sts"
}

func (f *Files) roleNamed(a cloud.AccountID, name string) (role, bool) {
	for arn, r := range f.roles {
		if r.RoleName == name && account(arn) == string(a) {
			return r, true
		}
	}
	return role{}, false
}

func (e *entity) tags() map[string]string {
	all := map[string]string{}
	for _, t := range e.Tags {
		all[t.Key] = t.Value
	}
	return all
}

// Complete implements Source.
func (f *Files) Complete(_ context.Context, q *policy.Question) (err error) {
	if q.Identity, err = f.identityOf(q.Caller); err != nil {
		return err
	}
	if q.ServiceControl.Levels, err = f.levels("scp", q.Caller.Account); err != nil {
		return err
	}
	q.ResourceControl.Levels, err = f.levels("rcp", q.ResourceAccount())
	return err
}

// identityOf is what speaks for and limits c.
func (f *Files) identityOf(c cloud.Caller) (id policy.Identity, err error) {
	switch c.Kind {
	case cloud.Root:
		p, err := policy.Parse("account root", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
		return policy.Identity{Policies: []*policy.Policy{p}}, err
	case cloud.User:
		u := f.users[c.Principal]
		id, err = f.identity(u.entity, u.UserPolicyList, "user/"+u.UserName)
		for _, name := range u.GroupList {
			if err != nil {
				break
			}
			g, ok := f.groups[string(c.Account)+"/"+name]
			if !ok {
				return id, fmt.Errorf("group %s is not in the account's details: %w", name, cloud.ErrNotFound)
			}
			var more policy.Identity
			more, err = f.identity(g.entity, g.GroupPolicyList, "group/"+name)
			id.Policies = append(id.Policies, more.Policies...)
		}
		return id, err
	case cloud.AssumedRole:
		r := f.roles[c.Principal]
		return f.identity(r.entity, r.RolePolicyList, "role/"+r.RoleName)
	}
	return id, nil
}

func (f *Files) identity(e entity, own []inline, whose string) (id policy.Identity, err error) {
	for _, in := range own {
		p, err := policy.Parse("inline policy "+in.PolicyName+" of "+whose, string(in.PolicyDocument))
		if err != nil {
			return id, fmt.Errorf("inline policy %s of %s: %w", in.PolicyName, whose, err)
		}
		id.Policies = append(id.Policies, p)
	}
	for _, a := range e.AttachedManagedPolicies {
		p, err := f.managed(a.PolicyArn)
		if err != nil {
			return id, err
		}
		id.Policies = append(id.Policies, p)
	}
	if arn := e.PermissionsBoundary.PermissionsBoundaryArn; arn != "" {
		id.Boundary, err = f.managed(arn)
	}
	return id, err
}

func (f *Files) managed(arn string) (*policy.Policy, error) {
	text, ok := f.policies[arn]
	if !ok {
		return nil, fmt.Errorf("managed policy %s, or its default version, is not in the accounts' details (ask for them without --filter): %w", arn, cloud.ErrNotFound)
	}
	p, err := policy.Parse(arn, text)
	if err != nil {
		return nil, fmt.Errorf("managed policy %s: %w", arn, err)
	}
	return p, nil
}

// Trust implements Source.
func (f *Files) Trust(_ context.Context, arn string) (*policy.Policy, error) {
	r, ok := f.roles[arn]
	if !ok {
		return nil, fmt.Errorf("is not in the accounts' details: %w", cloud.ErrNotFound)
	}
	return policy.Parse("trust policy of "+arn, string(r.AssumeRolePolicyDocument))
}

// Key implements Source.
func (f *Files) Key(_ context.Context, q *policy.Question) (err error) {
	_, id, _ := strings.Cut(q.Resource, "key/")
	names := []string{
		path.Join("keys", strings.NewReplacer(":", "_", "/", "_").Replace(q.Resource)+".json"),
		path.Join("keys", id+".json"),
	}
	for _, name := range names {
		if q.ResourcePolicy, err = f.policy("key policy of "+q.Resource, name); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("its policy is neither in %s: %w", strings.Join(names, " nor in "), cloud.ErrNotFound)
	}
	if err == nil {
		q.Fixed = strings.HasPrefix(q.ResourcePolicy.ID, "auto-") // as AWS calls those that it manages
	}
	return err
}

// policy reads a file that holds a policy, or AWS's answer with one in it.
func (f *Files) policy(name, file string) (*policy.Policy, error) {
	if !fs.ValidPath(file) {
		return nil, fs.ErrNotExist
	}
	var raw json.RawMessage
	if err := f.read(file, &raw); err != nil {
		return nil, err
	}
	text := document(raw)
	var answer struct{ Policy json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err == nil && answer.Policy != nil {
		var described struct{ Content document }
		if err := json.Unmarshal(answer.Policy, &described); err == nil && described.Content != "" {
			text = described.Content
		} else if err := json.Unmarshal(answer.Policy, &text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	p, err := policy.Parse(name, string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

func (f *Files) levels(kind string, a cloud.AccountID) (all []policy.Level, err error) {
	dir := path.Join(kind, string(a))
	places, err := f.list(dir)
	if a == "" || err != nil {
		return nil, err
	}
	for _, place := range places {
		if !place.IsDir() {
			continue
		}
		l := policy.Level{Name: place.Name()}
		files, err := f.list(path.Join(dir, place.Name()))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			name, ok := strings.CutSuffix(file.Name(), ".json")
			if !ok {
				continue
			}
			p, err := f.policy(name, path.Join(dir, l.Name, file.Name()))
			if err != nil {
				return nil, err
			}
			l.Policies = append(l.Policies, p)
		}
		all = append(all, l)
	}
	return all, nil
}

// list is a directory, sorted by name; one that is not there is empty.
func (f *Files) list(dir string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(f.dir, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return slices.Clip(all), err
}

// Unknown implements Source.
func (f *Files) Unknown() []string {
	return []string{"grants on keys, and tags of keys and other resources: no file has them (--context aws:ResourceTag/KEY=VALUE gives a tag)"}
}
