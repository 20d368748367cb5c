package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"
)

var (
	// ErrNoContentRoot says that a snapshot does not tell what it holds, as none
	// on AWS does: whether two are equal cannot be known without restoring them.
	ErrNoContentRoot = errors.New("has no content root")
	// ErrDiffers says that two snapshots do not hold the same, or that a statement
	// is not what was signed.
	ErrDiffers = errors.New("is not the same")
)

// contentRootTag is the tag that borealis serve puts on snapshots. Its prefix is
// reserved on AWS as well, so nobody can have set it.
const contentRootTag = "rds:borealis-content-root"

var contentRoot = regexp.MustCompile(`^[0-9a-f]{64}$`)

// A Statement says that two snapshots held, byte for byte, the same.
type Statement struct {
	Schema      int       `json:"schema"`
	ContentRoot string    `json:"content_root"` // 64 hexadecimal digits
	Source      string    `json:"source_snapshot_arn"`
	Target      string    `json:"target_snapshot_arn"`
	Made        time.Time `json:"made"`
}

// An Attestation is a Statement that a KMS key vouches for.
type Attestation struct {
	Schema    int    `json:"schema"`
	Statement []byte `json:"statement"` // the JSON of a Statement; what was signed, behind attestationLabel
	KeyARN    string `json:"key_arn"`
	Algorithm string `json:"algorithm"` // KMS's name of a MAC or signing algorithm
	Signature []byte `json:"signature"`
}

// attestationLabel comes before the statement in what is signed, so that no other
// use of the key makes an attestation.
const attestationLabel = "borealis snapshot attestation v1\x00"

// A Signer is what attesting asks of KMS; *kms.Client has it.
type Signer interface {
	DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
	GenerateMac(context.Context, *kms.GenerateMacInput, ...func(*kms.Options)) (*kms.GenerateMacOutput, error)
	VerifyMac(context.Context, *kms.VerifyMacInput, ...func(*kms.Options)) (*kms.VerifyMacOutput, error)
	Sign(context.Context, *kms.SignInput, ...func(*kms.Options)) (*kms.SignOutput, error)
	Verify(context.Context, *kms.VerifyInput, ...func(*kms.Options)) (*kms.VerifyOutput, error)
}

// Verify compares a snapshot of the source account with one of the target
// account, each given by identifier or ARN, by their content roots. It changes
// nothing. Errors: ErrNoContentRoot where one does not tell, ErrDiffers where they
// differ, ErrUsage where one is not there.
func (w *Workflow) Verify(ctx context.Context, source, target string) (*Statement, error) {
	s := &Statement{Schema: Schema, Made: time.Now().UTC().Truncate(time.Second)}
	var other string
	var err error
	if s.Source, s.ContentRoot, err = w.contentOf(ctx, w.Source, source); err != nil {
		return nil, w.explain(err)
	}
	if s.Target, other, err = w.contentOf(ctx, w.Target, target); err != nil {
		return nil, w.explain(err)
	}
	if s.ContentRoot != other {
		return nil, fmt.Errorf("%s holds %s, and %s holds %s: what they hold %w", s.Source, s.ContentRoot, s.Target, other, ErrDiffers)
	}
	return s, nil
}

// contentOf is the ARN and the content root of a snapshot of side's account.
func (w *Workflow) contentOf(ctx context.Context, side Side, id string) (arn, root string, err error) {
	s, err := describeSnapshot(ctx, side, id)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("look up snapshot %s in account %s: %w", id, side.Account, err)
	case s == nil:
		return "", "", usagef("account %s has no cluster snapshot %s in %s", side.Account, id, side.Region)
	}
	arn = aws.ToString(s.DBClusterSnapshotArn)
	if root = rootIn(s.TagList); root == "" {
		return "", "", fmt.Errorf("snapshot %s %w (tag %s): AWS makes none, borealis serve does for every snapshot of its own that is available", arn, ErrNoContentRoot, contentRootTag)
	}
	return arn, root, nil
}

func rootIn(tags []rdstypes.Tag) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == contentRootTag && contentRoot.MatchString(aws.ToString(t.Value)) {
			return *t.Value
		}
	}
	return ""
}

// Attest has a key sign s: an HMAC key or an asymmetric signing key, of which the
// first algorithm is taken.
func Attest(ctx context.Context, k Signer, key string, s *Statement) (*Attestation, error) {
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	out, err := k.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	if err != nil {
		return nil, fmt.Errorf("describe key %s: %w", key, err)
	}
	m, message := out.KeyMetadata, append([]byte(attestationLabel), text...)
	a := &Attestation{Schema: Schema, Statement: text, KeyARN: aws.ToString(m.Arn)}
	switch {
	case m.KeyUsage == kmstypes.KeyUsageTypeGenerateVerifyMac && len(m.MacAlgorithms) > 0:
		a.Algorithm = string(m.MacAlgorithms[0])
		out, err := k.GenerateMac(ctx, &kms.GenerateMacInput{KeyId: m.Arn, MacAlgorithm: m.MacAlgorithms[0], Message: message})
		if err != nil {
			return nil, fmt.Errorf("sign with key %s: %w", key, err)
		}
		a.Signature = out.Mac
	case m.KeyUsage == kmstypes.KeyUsageTypeSignVerify && len(m.SigningAlgorithms) > 0:
		a.Algorithm = string(m.SigningAlgorithms[0])
		out, err := k.Sign(ctx, &kms.SignInput{KeyId: m.Arn, SigningAlgorithm: m.SigningAlgorithms[0], MessageType: kmstypes.MessageTypeRaw, Message: message})
		if err != nil {
			return nil, fmt.Errorf("sign with key %s: %w", key, err)
		}
		a.Signature = out.Signature
	default:
		return nil, usagef("key %s is for %s; name an HMAC key or one for signing", key, m.KeyUsage)
	}
	return a, nil
}

// Check asks KMS whether a's key has signed it, and returns what it says. Whether
// that key is one to believe is for the caller to know. A signature that is not
// right is ErrDiffers.
func (a *Attestation) Check(ctx context.Context, k Signer) (*Statement, error) {
	var s Statement
	if a.Schema != Schema {
		return nil, usagef("the attestation has schema %d, this program knows %d", a.Schema, Schema)
	}
	if err := json.Unmarshal(a.Statement, &s); err != nil || s.Schema != Schema || !contentRoot.MatchString(s.ContentRoot) {
		return nil, usagef("the attestation's statement is not one about snapshots")
	}
	message := append([]byte(attestationLabel), a.Statement...)
	var err error
	if mac := kmstypes.MacAlgorithmSpec(a.Algorithm); isMac(mac) {
		_, err = k.VerifyMac(ctx, &kms.VerifyMacInput{KeyId: &a.KeyARN, MacAlgorithm: mac, Message: message, Mac: a.Signature})
	} else {
		_, err = k.Verify(ctx, &kms.VerifyInput{KeyId: &a.KeyARN, SigningAlgorithm: kmstypes.SigningAlgorithmSpec(a.Algorithm), MessageType: kmstypes.MessageTypeRaw, Message: message, Signature: a.Signature})
	}
	if hasCode(err, "KMSInvalidMacException", "KMSInvalidSignatureException") {
		return nil, fmt.Errorf("the statement %w as what %s signed: %w", ErrDiffers, a.KeyARN, err)
	}
	if err != nil {
		return nil, fmt.Errorf("verify with key %s: %w", a.KeyARN, err)
	}
	return &s, nil
}

func isMac(a kmstypes.MacAlgorithmSpec) bool {
	for _, known := range a.Values() {
		if a == known {
			return true
		}
	}
	return false
}
