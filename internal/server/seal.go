package server

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"borealis/internal/cloud"
	"borealis/internal/keys"
	"borealis/internal/rootkey"
	"borealis/internal/seal"
	"borealis/internal/store"
)

// ErrReplacing says that the root key is being replaced by somebody else.
var ErrReplacing = errors.New("the root key is being replaced already")

// A NewRootKey says how to replace the root key.
type NewRootKey struct {
	// Wrap and Endpoint say how the new one is kept, as Config.RootKeyWrap and
	// RootKeyEndpoint do. It is kept like the old one if both are empty.
	Wrap     string `json:"wrap,omitempty"`
	Endpoint string `json:"endpoint,omitempty"`
	// Passphrase is the new one's. The old one's, if it is empty.
	Passphrase string `json:"passphrase,omitempty"`
	// EndSessions also replaces the key of session tokens and grant tokens, so that
	// none of those that were given out is good any more.
	EndSessions bool `json:"end_sessions,omitempty"`
}

// A Seal is how the secrets of a data directory are sealed.
type Seal struct {
	RootKey string      `json:"root_key"` // id, 32 hex digits
	File    string      `json:"file"`
	How     rootkey.How `json:"how"`
	Since   time.Time   `json:"since"`
	// Next is the root key that is replacing this one, if any.
	Next string `json:"next_root_key,omitempty"`
	// Sealed counts secrets by the root key that they are sealed under.
	Sealed []Sealed `json:"sealed"`
}

// Sealed is how many secrets are sealed under a root key.
type Sealed struct {
	// RootKey is the root key's id; only its first 16 digits if it is not known,
	// and empty if the secrets do not say.
	RootKey string `json:"root_key"`
	Secrets int    `json:"secrets"`
}

// unseal opens the root keys and what follows from them, and ends a replacement
// of the root key that was cut short.
func (s *Server) unseal(ctx context.Context) (err error) {
	if s.roots, err = s.rootKey.unlock(ctx, s.db); err != nil {
		return err
	}
	s.db.UseReseal(s.reseal())
	if s.tokens, err = s.tokenKey(ctx); err != nil {
		return err
	}
	next, err := meta(ctx, s.db, metaNext)
	if err != nil || next == "" {
		return err
	}
	s.cfg.Log.InfoContext(ctx, "going on with a replacement of the root key", "next", next)
	if err := s.finishReplacement(ctx); err != nil && ctx.Err() == nil {
		// Both root keys are there, so everything can be read.
		s.cfg.Log.ErrorContext(ctx, "the root key is not replaced yet; borealis seal rotate or the next start goes on", "err", err)
	}
	return ctx.Err()
}

// reseal is what every secret passes through on its way into the database.
func (s *Server) reseal() store.Reseal {
	sealers := map[string]*seal.Sealer{}
	for _, p := range []string{store.PurposeKeys, store.PurposeIdentity, store.PurposeServer} {
		sealers[p] = s.roots.Derive(p)
	}
	return func(purpose string, sealed []byte) ([]byte, error) { return sealers[purpose].Reseal(sealed) }
}

// tokenKeyName is the name of the secret that seals what clients keep: session
// tokens and grant tokens. It is a root key of its own, so that these stay good
// when the root key is replaced.
const tokenKeyName = "token key"

var tokenKeyContext = seal.Context("borealis token key v1")

// tokenKey is the ring of the token key, which is made if there is none.
func (s *Server) tokenKey(ctx context.Context) (*seal.Ring, error) {
	sealed, err := s.db.Secret(ctx, tokenKeyName)
	if errors.Is(err, cloud.ErrNotFound) {
		root, err := s.newTokenKey(ctx)
		if err != nil {
			return nil, err
		}
		return seal.NewRing(root), nil
	}
	if err != nil {
		return nil, err
	}
	text, err := s.roots.Derive(store.PurposeServer).Open(sealed, tokenKeyContext)
	if err != nil {
		return nil, fmt.Errorf("open the key of session tokens: %w", err)
	}
	defer seal.Wipe(text)
	root, err := seal.ParseRoot(text)
	if err != nil {
		return nil, fmt.Errorf("open the key of session tokens: %w", err)
	}
	return seal.NewRing(root), nil
}

// newTokenKey makes a token key and keeps it in place of the one there is.
func (s *Server) newTokenKey(ctx context.Context) (*seal.Root, error) {
	root := seal.NewRoot()
	text := root.Text()
	defer seal.Wipe(text)
	sealed, err := s.roots.Derive(store.PurposeServer).Seal(text, tokenKeyContext)
	if err != nil {
		return nil, err
	}
	return root, s.db.PutSecret(ctx, tokenKeyName, sealed)
}

// Seal says how the secrets are sealed.
func (s *Server) Seal(ctx context.Context) (out Seal, err error) {
	if out.RootKey, err = meta(ctx, s.db, metaRoot); err != nil {
		return out, err
	}
	since, err := meta(ctx, s.db, metaSince)
	if err != nil {
		return out, err
	}
	if since != "" {
		if out.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return out, fmt.Errorf("read when the root key was made: %w", err)
		}
	}
	if out.Next, err = meta(ctx, s.db, metaNext); err != nil {
		return out, err
	}
	out.File = s.rootKey.path
	out.How = s.rootKey.how()
	out.Sealed, err = s.count(ctx, out.RootKey, out.Next)
	return out, err
}

// count counts the secrets in the database by root key. known are ids that may
// be told in full.
func (s *Server) count(ctx context.Context, known ...string) ([]Sealed, error) {
	counts := map[string]int{}
	err := s.db.EachSealed(ctx, func(r store.SealedRow) { counts[seal.RootOf(r.Sealed)]++ })
	all := []Sealed{}
	for id, n := range counts {
		for _, k := range known {
			if id != "" && strings.HasPrefix(k, id) {
				id = k
			}
		}
		all = append(all, Sealed{id, n})
	}
	slices.SortFunc(all, func(a, b Sealed) int { return strings.Compare(a.RootKey, b.RootKey) })
	return all, err
}

// The steps of a replacement of the root key, after each of which the process
// may end. They are told to Server.fault.
const (
	stepWritten   = "written"   // the next root key is in its file, and nothing knows of it
	stepBegun     = "begun"     // the database names it
	stepBatch     = "batch"     // some secrets more are under it
	stepResealed  = "resealed"  // all are
	stepSwitched  = "switched"  // it is the root key
	stepScrubbed  = "scrubbed"  // the database has nothing that the old one opens
	stepDestroyed = "destroyed" // the old one's file is gone
)

func (s *Server) after(step string) error {
	if s.fault != nil {
		return s.fault(step)
	}
	return nil
}

// ReplaceRootKey makes another root key, seals every secret under it and
// destroys the old one, while requests are answered. The order of its steps is
// such that after a crash the next Open ends it, or finds that it had not begun.
// An error leaves it to the next call, or the next Open, to end. It is
// ErrReplacing if another call is under way.
func (s *Server) ReplaceRootKey(ctx context.Context, n NewRootKey) (Seal, error) {
	if !s.replacing.TryLock() {
		return Seal{}, ErrReplacing
	}
	defer s.replacing.Unlock()
	// Whoever asked may go away; only the server's end ends it.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	if err := s.replace(ctx, n); err != nil {
		return Seal{}, err
	}
	return s.Seal(ctx)
}

func (s *Server) replace(ctx context.Context, n NewRootKey) error {
	next, err := meta(ctx, s.db, metaNext)
	if err != nil {
		return err
	}
	if next == "" && s.rootKey.pending() {
		// The last replacement got as far as its files. The next one needs their names.
		if err := s.rootKey.succeed(func() error { return nil }); err != nil {
			return err
		}
	}
	if next != "" && next != s.roots.Newest().ID() {
		return errors.New("an earlier replacement of the root key may have begun or not; start the server again to find out")
	}
	if next != "" && (n.Wrap != "" || n.Endpoint != "" || n.Passphrase != "") {
		return errors.New("an earlier replacement of the root key has not ended; end it first, with borealis seal rotate alone")
	}
	if next == "" {
		if err := s.beginReplacement(ctx, n); err != nil {
			return err
		}
	}
	if err := s.finishReplacement(ctx); err != nil {
		return fmt.Errorf("the root key is not replaced yet, and borealis seal rotate or the next start goes on: %w", err)
	}
	if !n.EndSessions {
		return nil
	}
	root, err := s.newTokenKey(ctx)
	if err != nil {
		return fmt.Errorf("the root key is replaced, but sessions have not ended: %w", err)
	}
	s.tokens.Add(root)
	s.tokens.Drop(s.tokens.Older()...)
	return s.scrub(ctx)
}

// beginReplacement makes the next root key and has the database name it.
func (s *Server) beginReplacement(ctx context.Context, n NewRootKey) error {
	k := s.rootKey
	how, secrets := k.how(), k.secrets
	if n.Wrap != "" || n.Endpoint != "" {
		var err error
		if how, err = rootkey.ParseHow(n.Wrap, n.Endpoint); err != nil {
			return err
		}
	}
	if n.Passphrase != "" {
		if how.Provider != rootkey.Passphrase {
			return errors.New("a passphrase is given, but the new root key is " + how.String())
		}
		secrets.Passphrase = remember(func(context.Context, bool) (seal.Plaintext, error) { return seal.Plaintext(n.Passphrase), nil })
	}
	if err := s.refuseOwn(ctx, how); err != nil {
		return err
	}
	root, old := seal.NewRoot(), s.roots.Newest()
	file, text, err := wrap(ctx, how, root, secrets)
	if err != nil {
		return fmt.Errorf("the new root key, %s: %w", how, err)
	}
	defer clear(text)
	file.Path = k.path + nextSuffix
	if err := rootkey.Write(file.Path, text); err != nil {
		return fmt.Errorf("the new root key cannot be kept beside the old one, whose directory must be writable: %w", err)
	}
	if err := s.after(stepWritten); err != nil {
		return err
	}
	replaced, err := sealReplaced(old, root)
	if err != nil {
		return err
	}
	if err := s.db.SetMetas(ctx, map[string]string{metaNext: root.ID(), metaReplaced: replaced}); err != nil {
		return err
	}
	k.replaceBy(file, root, secrets)
	s.roots.Add(root)
	return s.after(stepBegun)
}

// refuseOwn refuses a KMS key that only this server could unwrap with.
func (s *Server) refuseOwn(ctx context.Context, how rootkey.How) error {
	f := strings.Split(how.Key, ":")
	if how.Provider != rootkey.KMS || len(f) != 6 {
		return nil
	}
	ref := keys.Ref{Place: keys.Place{Account: cloud.AccountID(f[4]), Region: cloud.Region(f[3])}, ID: strings.TrimPrefix(f[5], "key/")}
	err := s.db.Keys().View(ctx, func(tx keys.Tx) error {
		_, err := tx.Key(ref)
		return err
	})
	if errors.Is(err, cloud.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("the KMS key %s is this server's own, which cannot be asked for the root key before the root key is known; name a key of another KMS", how.Key)
	}
	return err
}

// finishReplacement does what is left to do once the database names the next
// root key, which the ring has. All of it may be repeated.
func (s *Server) finishReplacement(ctx context.Context) error {
	next := s.roots.Newest()
	unreadable := 0
	err := s.db.ResealAll(ctx, func(r store.SealedRow, err error) {
		unreadable++
		s.cfg.Log.ErrorContext(ctx, "a secret does not open, and did not before; it stays as it is", "row", r.Name, "err", err)
	}, func() error { return s.after(stepBatch) })
	if err == nil {
		err = s.after(stepResealed)
	}
	if err == nil {
		err = s.noneUnder(ctx, s.roots.Older(), unreadable)
	}
	if err != nil {
		return err
	}
	if err := s.db.SetMetas(ctx, map[string]string{metaRoot: next.ID(), metaSince: now(), metaNext: "", metaReplaced: ""}); err != nil {
		return err
	}
	if err := s.after(stepSwitched); err != nil {
		return err
	}
	if err := s.scrub(ctx); err != nil {
		// What is still in the log opens with a key that is about to be destroyed.
		s.cfg.Log.WarnContext(ctx, "secrets under the old root key are still in the database's log; they will be gone in a minute", "err", err)
	}
	if err := s.after(stepScrubbed); err != nil {
		return err
	}
	if err := s.rootKey.succeed(func() error { return s.after(stepDestroyed) }); err != nil {
		return err
	}
	// The ring keeps the old one as long as this process lives: what services have
	// in memory may be sealed under it.
	s.cfg.Log.InfoContext(ctx, "the root key is replaced", "root key", next.ID(), "unreadable", unreadable)
	return nil
}

// noneUnder makes sure that no secret but for so many unreadable ones would be
// lost with the old root keys: none in a place that the database does not know to
// have secrets.
func (s *Server) noneUnder(ctx context.Context, old []*seal.Root, unreadable int) error {
	var marks [][]byte
	for _, r := range old {
		mark := r.Mark()
		marks = append(marks, mark, []byte(base64.StdEncoding.EncodeToString(mark)))
	}
	n, first, err := s.db.Holding(ctx, marks...)
	if err == nil && n > unreadable {
		err = fmt.Errorf("%s, and maybe others, has secrets under the old root key that this version does not seal again; the old root key is kept for them", first)
	}
	return err
}
