package sessions_test

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what RFC 6238 wants
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"borealis/internal/policy"
)

// device gives a user a device, and returns its serial number and what it shows.
func (w *world) device(user string) (serial *string, shows func() *string) {
	w.t.Helper()
	ctx, root := w.t.Context(), w.admin(accountA)
	d := must(root.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &user}))(w.t).VirtualMFADevice
	seed := must(base32.StdEncoding.DecodeString(string(d.Base32StringSeed)))(w.t)
	at := func(step int64) *string {
		mac := hmac.New(sha1.New, seed)
		_ = binary.Write(mac, binary.BigEndian, step) // a hash takes all there is
		sum := mac.Sum(nil)
		return new(fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1000000))
	}
	step := w.now.Unix() / 30
	must(root.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{UserName: &user, SerialNumber: d.SerialNumber, AuthenticationCode1: at(step - 1), AuthenticationCode2: at(step)}))(w.t)
	return d.SerialNumber, func() *string { return at(w.now.Unix() / 30) }
}

func TestSecondFactor(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	serial, shows := w.device("ann")
	role := w.role(accountA, "careful", "111122223333", `{"Bool":{"aws:MultiFactorAuthPresent":"true"},"NumericLessThan":{"aws:MultiFactorAuthAge":"600"}}`)
	w.now = w.now.Add(time.Minute)

	if _, err := w.assume(ann, role, nil); !strings.HasPrefix(code(err), "AccessDenied: User: ") {
		t.Errorf("AssumeRole without a second factor: %v", err)
	}
	for what, change := range map[string]func(*sts.AssumeRoleInput){
		"a wrong code":         func(in *sts.AssumeRoleInput) { in.SerialNumber, in.TokenCode = serial, new("000000") },
		"another device":       func(in *sts.AssumeRoleInput) { in.SerialNumber, in.TokenCode = new(*serial+"x"), shows() },
		"no serial number":     func(in *sts.AssumeRoleInput) { in.TokenCode = shows() },
		"a serial number only": func(in *sts.AssumeRoleInput) { in.SerialNumber = serial },
	} {
		if _, err := w.assume(ann, role, change); !strings.HasPrefix(code(err), "AccessDenied: MultiFactorAuthentication failed") {
			t.Errorf("AssumeRole with %s: %v", what, err)
		}
	}
	with := func(in *sts.AssumeRoleInput) { in.SerialNumber, in.TokenCode = serial, shows() }
	out := must(w.assume(ann, role, with))(t)
	if w.signer(out.Credentials).MFA {
		t.Error("the role's session says that it has a second factor")
	}
	if _, err := w.assume(ann, role, with); !strings.HasPrefix(code(err), "AccessDenied: MultiFactorAuthentication failed") {
		t.Errorf("AssumeRole with the same code again: %v", err)
	}

	w.now = w.now.Add(time.Minute)
	token := must(w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{SerialNumber: serial, TokenCode: shows()}))(t)
	session := w.signer(token.Credentials)
	if !session.MFA {
		t.Fatal("GetSessionToken's session does not say that it has a second factor")
	}
	must(w.assume(session, role, nil))(t)
	w.now = w.now.Add(10 * time.Minute)
	if _, err := w.assume(session, role, nil); !strings.HasPrefix(code(err), "AccessDenied: User: ") {
		t.Errorf("AssumeRole with a second factor of ten minutes before: %v", err)
	}
	if w.signer(must(w.As(ann).GetSessionToken(ctx, &sts.GetSessionTokenInput{}))(t).Credentials).MFA {
		t.Error("a session without a second factor says that it has one")
	}
	p := must(policy.Parse("p", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}}`))(t)
	q := policy.Question{Caller: session, Identity: policy.Identity{Policies: []*policy.Policy{p}}, Action: "kms:ListKeys", Resource: "*", Owner: accountA, Now: w.now}
	if d := q.Decide(); !d.Allowed {
		t.Errorf("a policy that wants a second factor: %v", d)
	}
}
