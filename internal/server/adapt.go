package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"borealis/internal/audit"
	"borealis/internal/cloud"
	"borealis/internal/clusters"
	"borealis/internal/identity"
	"borealis/internal/organizations"
	"borealis/internal/postgres"
	"borealis/internal/sessions"
	"borealis/internal/sigv4"
	"borealis/internal/store"
	"borealis/internal/volume"
)

// credentials are those of IAM and of STS: a request with a session token is
// STS's.
type credentials struct {
	iam *identity.Service
	sts *sessions.Service
}

func (c credentials) Credential(ctx context.Context, id, token string) (sigv4.Credential, error) {
	find := c.iam.Credential
	if token != "" || strings.HasPrefix(id, "ASIA") {
		find = func(ctx context.Context, id string) (string, cloud.Caller, error) {
			return c.sts.Credential(ctx, id, token)
		}
	}
	secret, caller, err := find(ctx, id)
	if errors.Is(err, sessions.ErrExpired) {
		err = fmt.Errorf("%w: %w", sigv4.ErrExpired, err)
	}
	return sigv4.Credential{Secret: secret, Caller: caller}, err
}

// principals are IAM's users and roles as STS wants them.
type principals struct{ *identity.Service }

func (p principals) Role(ctx context.Context, arn string) (sessions.Role, error) {
	r, err := p.Service.Role(ctx, arn)
	return sessions.Role(r), err
}

// KeyActive is nil while an access key may sign.
func (p principals) KeyActive(ctx context.Context, id string) error {
	_, _, err := p.Credential(ctx, id)
	return err
}

// OIDC is an identity provider of IAM's.
func (p principals) OIDC(ctx context.Context, arn string) (sessions.OIDCProvider, error) {
	o, err := p.OIDCProvider(ctx, arn)
	return sessions.OIDCProvider{URL: o.URL, Clients: o.Clients, Thumbprints: o.Thumbprints}, err
}

// SAML is an identity provider of IAM's.
func (p principals) SAML(ctx context.Context, arn string) (sessions.SAMLProvider, error) {
	s, err := p.SAMLProvider(ctx, arn)
	return sessions.SAMLProvider{Name: s.Name, Metadata: s.Metadata, ValidUntil: s.ValidUntil, OnlyEncrypted: s.Encryption == "Required"}, err
}

// uses is the audit log for the gateway: it tells IAM of every call who made it.
type uses struct {
	*audit.Log
	iam *identity.Service
}

func (u uses) Finish(c *audit.Call, o audit.Outcome) error {
	u.iam.Used(c.Caller, c.Service, c.Operation, c.Time)
	return u.Log.Finish(c, o)
}

// members are IAM's accounts as organizations want them.
type members struct{ *identity.Service }

func (m members) Member(ctx context.Context, id cloud.AccountID) (organizations.Member, error) {
	a, err := m.AccountByID(ctx, id)
	return organizations.Member{Name: a.Name, Email: a.Email, Closed: !a.Closed.IsZero()}, err
}

func (m members) MakeMember(ctx context.Context, n organizations.NewMember, join func(organizations.Tx) error) error {
	in := identity.NewMember{ID: n.ID, Name: n.Name, Email: n.Email, Role: n.Role, Trusts: n.Trusts, Request: n.Request}
	return m.CreateMember(ctx, in, func(tx identity.Tx) error { return join(store.OrganizationsIn(tx)) })
}

func (m members) CloseMember(ctx context.Context, id cloud.AccountID, at time.Time, how func(organizations.Tx) error) error {
	return m.Service.CloseMember(ctx, id, at, func(tx identity.Tx) error { return how(store.OrganizationsIn(tx)) })
}

// engines are PostgreSQL servers as clusters wants them.
type engines struct{ *postgres.Engines }

func (e engines) Versions(context.Context) ([]string, error) {
	var full []string
	for _, v := range e.Engines.Versions() {
		full = append(full, v.Full)
	}
	if full == nil {
		return nil, fmt.Errorf("%w: %w", clusters.ErrNoEngine, e.NotInstalled(""))
	}
	return full, nil
}

func (e engines) Start(ctx context.Context, id string, spec clusters.EngineSpec) (clusters.Endpoint, error) {
	// A cluster at another port than it was asked to have is better than none.
	at, err := e.Engines.Start(ctx, id, postgres.StartSpec{Port: int(spec.Port), Elsewhere: true})
	return clusters.Endpoint{Host: at.Host, Port: int32(at.Port)}, err
}

func (e engines) Verifier(password string) (string, error) { return postgres.ScramVerifier(password) }

func (e engines) SetMaster(ctx context.Context, id string, m clusters.Master) error {
	return e.Engines.SetMaster(ctx, id, postgres.Master{User: m.User, Verifier: m.Verifier, Database: m.Database})
}

func (e engines) List(context.Context) ([]string, error) { return e.IDs() }

// volumeKeeper joins volumes and engines: it takes the one from the other and
// back.
type volumeKeeper struct {
	volumes  *volume.Engine
	engines  *postgres.Engines
	readRate int64 // bytes in a second that a snapshot reads at most; 0 for no bound
}

// notWrapped stands in the header of a volume of a cluster without StorageEncrypted,
// whose data key no KMS key protects.
var notWrapped = []byte("data key not wrapped")

// whose is the identity of a volume. One that no KMS key protects has a word in
// the key's place, for an identity has to be whole.
func whose(account cloud.AccountID, lineage, keyARN string) volume.Identity {
	if keyARN == "" {
		keyARN = "none"
	}
	return volume.Identity{Account: account, Lineage: lineage, KeyARN: keyARN}
}

func spec(v clusters.VolumeSpec) volume.Spec {
	if v.KeyARN == "" {
		v.Wrapped = notWrapped
	}
	return volume.Spec{
		ID: v.ID, Identity: whose(v.Account, v.Lineage, v.KeyARN),
		DataKey: volume.DataKey(v.DataKey), Wrapped: v.Wrapped,
	}
}

func ref(v clusters.VolumeRef) (volume.Ref, error) {
	d, err := volume.ParseDigest(v.Digest)
	return volume.Ref{
		ID: v.ID, Identity: whose(v.Account, v.Lineage, v.KeyARN),
		DataKey: volume.DataKey(v.DataKey), Digest: d,
	}, err
}

func info(i volume.Info, err error) (clusters.VolumeInfo, error) {
	if err != nil {
		return clusters.VolumeInfo{}, err
	}
	return clusters.VolumeInfo{Digest: i.Digest.String(), Content: i.Content.String(), Bytes: i.Bytes}, nil
}

// Take stores a backup of a running engine as a volume.
func (k volumeKeeper) Take(ctx context.Context, engine string, to clusters.VolumeSpec, p clusters.Progress) (clusters.VolumeInfo, error) {
	w, err := k.volumes.Create(ctx, spec(to), volume.CreateOptions{ReadRate: k.readRate, Progress: volume.Progress(p)})
	if err != nil {
		return clusters.VolumeInfo{}, err
	}
	defer w.Abort()
	facts, err := k.engines.Backup(ctx, engine, func(ctx context.Context, files []postgres.File) error {
		add := make([]volume.File, len(files))
		for i, f := range files {
			add[i] = volume.File{Name: f.Name, Path: f.Path, Data: f.Data, Size: f.Size, Mode: f.Mode}
		}
		return w.Add(ctx, add)
	})
	if err != nil {
		return clusters.VolumeInfo{}, err
	}
	text, err := json.Marshal(facts)
	if err != nil {
		return clusters.VolumeInfo{}, err
	}
	if err := w.SetFacts(text); err != nil {
		return clusters.VolumeInfo{}, err
	}
	return info(w.Commit(ctx))
}

// Copy copies a volume under another key, or under the same.
func (k volumeKeeper) Copy(ctx context.Context, from clusters.VolumeRef, to clusters.VolumeSpec, p clusters.Progress) (clusters.VolumeInfo, error) {
	src, err := ref(from)
	if err != nil {
		return clusters.VolumeInfo{}, err
	}
	ctx, end := suspending(ctx)
	defer end()
	return info(k.volumes.Copy(ctx, src, spec(to), volume.CopyOptions{Progress: volume.Progress(p)}))
}

// suspending is a context that ends with ctx: for the reason that ctx was given,
// such as a key that is lost, or else, when the server stops, in the way that
// lets a copy go on where it was.
func suspending(ctx context.Context) (context.Context, func()) {
	own, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, context.Canceled) {
			cause = volume.ErrSuspend
		}
		end(cause)
	})
	return own, func() {
		stop()
		end(nil)
	}
}

// Restore makes an engine of a volume, after checking that this machine can run it.
func (k volumeKeeper) Restore(ctx context.Context, from clusters.VolumeRef, engine string, p clusters.Progress) error {
	src, err := ref(from)
	if err != nil {
		return err
	}
	text, err := k.volumes.Facts(ctx, src)
	if err != nil {
		return err
	}
	var facts postgres.Facts
	if err := json.Unmarshal(text, &facts); err != nil {
		return fmt.Errorf("facts of volume %s: %w", from.ID, err)
	}
	if _, err := k.engines.Compatible(ctx, facts); err != nil {
		return err
	}
	dir, err := k.engines.RestoreDir(ctx, engine)
	if errors.Is(err, cloud.ErrExists) { // an earlier attempt got as far as that
		return nil
	}
	if err != nil {
		return err
	}
	if err := k.volumes.Restore(ctx, src, dir, volume.RestoreOptions{Progress: volume.Progress(p)}); err != nil {
		return err
	}
	return k.engines.Adopt(ctx, engine, facts)
}

// Delete removes a volume.
func (k volumeKeeper) Delete(ctx context.Context, v clusters.VolumeRef) error {
	return k.volumes.Delete(ctx, v.ID)
}

// List names the volumes, whole and half made.
func (k volumeKeeper) List(ctx context.Context) ([]clusters.VolumeRef, error) {
	ids, err := k.volumes.IDs(ctx)
	var list []clusters.VolumeRef
	for _, id := range ids {
		list = append(list, clusters.VolumeRef{ID: id})
	}
	return list, err
}
