package sessions

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"borealis/internal/cloud"
)

// ErrExpired says that a session has ended.
var ErrExpired = errors.New("the session token has expired")

const (
	sessionPrefix = "ASIA"
	// tokenVersion is the first byte of a token. A token of a version that the
	// server does not know is no token. It changes when a session's fields do.
	tokenVersion = 2
	// oldVersion is that of tokens without what identity providers say and without
	// federated users. They are still known.
	oldVersion = 1
	// nothing allows nothing: it stands for a session policy that is gone.
	nothing = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"none:None","Resource":"*"}]}`
)

// A session is what a token holds. Its form is that of tokenVersion.
type session struct {
	AccessKeyID string
	Secret      string
	Principal   string // unique id of the user or role, or the account's id for root
	Name        string `json:",omitempty"` // a role session's
	Issued      int64  // seconds since 1970
	Expires     int64  // likewise
	MFA         bool   `json:",omitempty"` // made with a second factor

	Policy         string            `json:",omitempty"` // session policy
	PolicyARNs     []string          `json:",omitempty"` // managed session policies
	Tags           map[string]string `json:",omitempty"`
	Transitive     []string          `json:",omitempty"` // keys of Tags
	SourceIdentity string            `json:",omitempty"`

	Federated bool                `json:",omitempty"` // a federated user's, called Name, made by Principal
	MadeBy    string              `json:",omitempty"` // the access key that a user has made it with
	Provider  string              `json:",omitempty"` // ARN of the identity provider
	Keys      map[string][]string `json:",omitempty"` // condition keys from there
}

// tokenContext binds a token to its purpose, its version and its access key.
func tokenContext(version byte, accessKeyID string) []byte {
	return fmt.Appendf(nil, "borealis session token v%d\x00%s", version, accessKeyID)
}

// issue gives s, a session of someone in account a, its credentials.
func (v *View) issue(a cloud.AccountID, s session, duration time.Duration) (*types.Credentials, error) {
	now := v.Now()
	expires := now.Add(duration).UTC().Truncate(time.Second)
	s.Issued, s.Expires = now.Unix(), expires.Unix()
	var id [10]byte
	rand.Read(id[:]) // does not fail
	secret := make([]byte, 30)
	rand.Read(secret)
	s.AccessKeyID, s.Secret = cloud.AccessKeyID(sessionPrefix, a, id), base64.StdEncoding.EncodeToString(secret)

	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write session token: %w", err)
	}
	sealed, err := v.Sealer.Seal(text, tokenContext(tokenVersion, s.AccessKeyID))
	if err != nil {
		return nil, fmt.Errorf("seal session token: %w", err)
	}
	token := base64.StdEncoding.EncodeToString(append([]byte{tokenVersion}, sealed...))
	return &types.Credentials{AccessKeyId: &s.AccessKeyID, SecretAccessKey: &s.Secret, SessionToken: &token, Expiration: &expires}, nil
}

// open reads a token, which must be accessKeyID's.
func (s *Service) open(accessKeyID, token string) (session, error) {
	bad := fmt.Errorf("session token of access key %s: %w", accessKeyID, cloud.ErrNotFound)
	sealed, err := base64.StdEncoding.Strict().DecodeString(token)
	if err != nil || len(sealed) == 0 || sealed[0] != tokenVersion && sealed[0] != oldVersion {
		return session{}, bad
	}
	text, err := s.Sealer.Open(sealed[1:], tokenContext(sealed[0], accessKeyID))
	if err != nil {
		return session{}, bad
	}
	var open session
	if err := json.Unmarshal(text, &open); err != nil {
		return session{}, fmt.Errorf("read session token: %w", err)
	}
	return open, nil
}

// Credential returns the secret of a session's access key and who signs with it.
// It is ErrExpired once the session has ended, and cloud.ErrNotFound if token is
// not one of accessKeyID's that this server made, if the user, role or account
// behind it is gone, or if the access key that a user made it with is not active.
func (s *Service) Credential(ctx context.Context, accessKeyID, token string) (string, cloud.Caller, error) {
	open, err := s.open(accessKeyID, token)
	if err != nil {
		return "", cloud.Caller{}, err
	}
	if s.Now().Unix() >= open.Expires {
		return "", cloud.Caller{}, fmt.Errorf("access key %s: %w", accessKeyID, ErrExpired)
	}
	c, err := s.Principals.Caller(ctx, open.Principal)
	if err != nil {
		return "", cloud.Caller{}, fmt.Errorf("principal of access key %s: %w", accessKeyID, err)
	}
	if open.MadeBy != "" {
		if err := s.Principals.KeyActive(ctx, open.MadeBy); err != nil {
			return "", cloud.Caller{}, fmt.Errorf("access key %s: made with: %w", accessKeyID, err)
		}
	}
	if c.SessionPolicies, err = s.sessionPolicies(ctx, c.Account, open); err != nil {
		return "", cloud.Caller{}, err
	}
	c.AccessKeyID, c.TokenIssued = accessKeyID, time.Unix(open.Issued, 0).UTC()
	c.MFA = open.MFA
	c.SourceIdentity, c.TransitiveTags = open.SourceIdentity, open.Transitive
	c.Tags = override(c.Tags, open.Tags)
	c.Provider, c.Session = open.Provider, open.Keys
	switch {
	case open.Federated:
		c = federated(c, open.Name)
	case c.Kind == cloud.AssumedRole:
		c.ARN += "/" + open.Name
		c.UserID += ":" + open.Name
	}
	return open.Secret, c, nil
}

// federated is the federated user called name whose session maker has made. Without
// a session policy it may do nothing that no resource's policy lets it do.
func federated(maker cloud.Caller, name string) cloud.Caller {
	c := maker
	c.Maker, c.MakerARN = maker.UserID, maker.Principal
	c.Kind, c.UserName, c.UserID = cloud.FederatedUser, "", string(c.Account)+":"+name
	c.ARN = federatedARN(c.Account, name)
	c.Principal = c.ARN
	if c.SessionPolicies == nil {
		c.SessionPolicies = []string{}
	}
	return c
}

func federatedARN(a cloud.AccountID, name string) string {
	return cloud.NewARN("sts", "", a, "federated-user/"+name).String()
}

// sessionPolicies are the texts that limit a session; nil if none was named when
// it was made. A managed policy counts as it is now, and one that was deleted
// since allows nothing: a limit must not go away with it.
func (s *Service) sessionPolicies(ctx context.Context, a cloud.AccountID, open session) ([]string, error) {
	var all []string
	if open.Policy != "" {
		all = append(all, open.Policy)
	}
	for _, arn := range open.PolicyARNs {
		text, err := s.Principals.PolicyDocument(ctx, a, arn)
		if errors.Is(err, cloud.ErrNotFound) {
			text, err = nothing, nil
		}
		if err != nil {
			return nil, fmt.Errorf("session policy %s: %w", arn, err)
		}
		all = append(all, text)
	}
	return all, nil
}

// override is tags with those of a session in addition or in place of them. The
// case of keys does not tell them apart.
func override(tags, session map[string]string) map[string]string {
	if len(session) == 0 {
		return tags
	}
	all := maps.Clone(session)
	for k, v := range tags {
		if !containsFold(slices.Collect(maps.Keys(session)), k) {
			all[k] = v
		}
	}
	return all
}
