package keys_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/keys"
)

// stored is a key as the database has it.
func (w *world) stored(key *string) (k keys.Key) {
	w.t.Helper()
	arn := must(cloud.ParseARN(*key))(w.t)
	err := w.db.Keys().View(w.t.Context(), func(tx keys.Tx) (err error) {
		k, err = tx.Key(keys.Ref{Place: keys.Place{Account: arn.Account, Region: arn.Region}, ID: strings.TrimPrefix(arn.Resource, "key/")})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	return must(hex.DecodeString(s))(t)
}

func (p *person) lastUsage(key *string) *types.KeyLastUsageData {
	p.w.t.Helper()
	out := must(p.GetKeyLastUsage(p.w.t.Context(), &kms.GetKeyLastUsageInput{KeyId: key}))(p.w.t)
	if *out.KeyId != *key || !out.KeyCreationDate.Equal(*out.TrackingStartDate) {
		p.w.t.Errorf("%+v", out)
	}
	return out.KeyLastUsage
}

// The last use of a key is known at once, is that of the last operation that
// succeeded, and names its record in the audit log.
func TestLastUsage(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*")).with(func(c *cloud.Caller) { c.RequestID = "r-1" })
	for _, name := range types.KeyLastUsageTrackingOperation("").Values() {
		w.wait(time.Second)
		key := ann.keyFor(string(name))
		if u := ann.lastUsage(key); u.Operation != "" || u.Timestamp != nil || u.CloudTrailEventId != nil || u.KmsRequestId != nil {
			t.Errorf("%s: used before it was used: %+v", name, u)
		}
		in := w.inputs(ann, key)[string(name)]
		ann.dropAliases()
		w.wait(time.Second)
		_, err := keys.Ops[string(name)].Run(t.Context(), ann.View, in)
		ann.may(string(name), err)
		at, event := w.clock(), w.log.last()
		w.wait(time.Second)
		ann.may("describe", ann.describe(key)) // is no use
		if u := ann.lastUsage(key); u.Operation != name || !u.Timestamp.Equal(at) || *u.CloudTrailEventId != event.ID || *u.KmsRequestId != "r-1" {
			t.Errorf("%s: %s at %s, event %s", name, u.Operation, u.Timestamp, *u.CloudTrailEventId)
		}
	}
}

// What failed, or was dry, is no use.
func TestFailuresAreNoUse(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.sortOf(signer)
	_, err := ann.Sign(t.Context(), &kms.SignInput{KeyId: key, Message: []byte("m"), SigningAlgorithm: "ECDSA_SHA_256", DryRun: new(true)})
	ann.mayNot("sign, dry", "DryRunOperationException", err)
	_, err = ann.Verify(t.Context(), &kms.VerifyInput{KeyId: key, Message: []byte("m"), SigningAlgorithm: "ECDSA_SHA_256", Signature: []byte("x")})
	ann.mayNot("verify nonsense", "KMSInvalidSignatureException", err)
	if u := ann.lastUsage(key); u.Operation != "" {
		t.Errorf("%+v", u)
	}
}

// Uses are written down now and then: what was written survives a crash, what
// was not is forgotten, and dead keys are left alone.
func TestLastUsageIsWrittenDown(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	ctx, key, dead := t.Context(), ann.key(), ann.key()
	ann.may("use", ann.dataKey(key))
	ann.may("use", ann.dataKey(dead))
	must(ann.ScheduleKeyDeletion(ctx, &kms.ScheduleKeyDeletionInput{KeyId: dead, PendingWindowInDays: new(int32(7))}))(t)
	w.wait(8 * 24 * time.Hour)
	must(w.Sweep(ctx, w.clock()))(t)
	before := ann.lastUsage(key)
	if n := must(w.WriteUsage(ctx))(t); n != 2 {
		t.Errorf("%d written", n)
	}
	if n := must(w.WriteUsage(ctx))(t); n != 0 {
		t.Errorf("%d written again", n)
	}
	same := func(when string) {
		t.Helper()
		if u := ann.lastUsage(key); u.Operation != "GenerateDataKey" || !u.Timestamp.Equal(*before.Timestamp) || *u.CloudTrailEventId != *before.CloudTrailEventId {
			t.Errorf("%s: %+v, was %+v", when, u, before)
		}
	}
	same("written")
	w.reopen()
	ann = ann.again()
	same("after a restart")
	must(ann.encrypt(key, nil))(t)
	if u := ann.lastUsage(key); u.Operation != "Encrypt" {
		t.Errorf("%+v", u)
	}
	w.reopen() // a crash
	ann = ann.again()
	same("after a crash")
}
