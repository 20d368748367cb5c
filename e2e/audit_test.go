package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	cttypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"borealis/e2e/local"
)

func (p *person) cloudtrail() *cloudtrail.Client { return cloudtrail.NewFromConfig(p.config()) }

// look finds p's events that have an attribute; "" for all.
func (p *person) look(key cttypes.LookupAttributeKey, value string) []cttypes.Event {
	p.t.Helper()
	in := &cloudtrail.LookupEventsInput{}
	if key != "" {
		in.LookupAttributes = []cttypes.LookupAttribute{{AttributeKey: key, AttributeValue: &value}}
	}
	out, err := p.cloudtrail().LookupEvents(p.t.Context(), in)
	p.must("look up events", err)
	return out.Events
}

// one is p's newest event of an operation.
func (p *person) one(name string) (cttypes.Event, map[string]any) {
	p.t.Helper()
	found := p.look(cttypes.LookupAttributeKeyEventName, name)
	if len(found) == 0 {
		p.t.Fatalf("account %s has no event %s", p.account, name)
	}
	var record map[string]any
	p.must("read the event", json.Unmarshal([]byte(*found[0].CloudTrailEvent), &record))
	return found[0], record
}

// at is a member of a record: at(r, "userIdentity", "type").
func at(r any, path ...string) any {
	for _, name := range path {
		m, ok := r.(map[string]any)
		if !ok {
			return nil
		}
		r = m[name]
	}
	return r
}

const bobMay = `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + accountB + `:root"},"Action":["kms:Encrypt","kms:Decrypt","kms:ReEncrypt*","kms:DescribeKey"],"Resource":"*"}`

// A cross-account use is an event of both accounts, each in its own terms.
func TestEventsOfTwoAccounts(t *testing.T) {
	s := newServer(t)
	ann, bobRoot, carl := root(t, s, accountA), root(t, s, accountB), root(t, s, accountC)
	bob := bobRoot.user("bob", allow("kms:*", "cloudtrail:LookupEvents"))
	ctx := t.Context()
	key := ann.newKey(bobMay)
	sealed, err := bob.kms().Encrypt(ctx, &kms.EncryptInput{KeyId: &key, Plaintext: []byte("secret"), EncryptionContext: map[string]string{"tenant": "42"}})
	bob.must("encrypt", err)

	t.Run("both find it", func(t *testing.T) {
		mine, theirs := event(bob.one("Encrypt")), event(ann.one("Encrypt"))
		if mine["sharedEventID"] == nil || mine["sharedEventID"] != theirs["sharedEventID"] || mine["eventID"] == theirs["eventID"] {
			t.Errorf("shared %v and %v, ids %v and %v", mine["sharedEventID"], theirs["sharedEventID"], mine["eventID"], theirs["eventID"])
		}
		for name, tt := range map[string]struct {
			r                             map[string]any
			recipient, kind, arn, account any
		}{
			"the caller": {mine, accountB, "IAMUser", "arn:aws:iam::" + accountB + ":user/bob", accountB},
			"the owner":  {theirs, accountA, "AWSAccount", nil, accountB},
		} {
			if tt.r["recipientAccountId"] != tt.recipient || at(tt.r, "userIdentity", "type") != tt.kind || at(tt.r, "userIdentity", "arn") != tt.arn || at(tt.r, "userIdentity", "accountId") != tt.account {
				t.Errorf("%s: %v", name, tt.r)
			}
			if at(tt.r, "requestParameters", "encryptionContext", "tenant") != "42" || at(tt.r, "requestParameters", "encryptionAlgorithm") != "SYMMETRIC_DEFAULT" || tt.r["readOnly"] != true || tt.r["eventType"] != "AwsApiCall" || tt.r["responseElements"] != nil {
				t.Errorf("%s: %v", name, tt.r)
			}
			if resources, _ := tt.r["resources"].([]any); len(resources) != 1 || at(resources[0], "ARN") != key || at(resources[0], "type") != "AWS::KMS::Key" || at(resources[0], "accountId") != accountA {
				t.Errorf("%s: resources %v", name, tt.r["resources"])
			}
			if tt.r["additionalEventData"] != nil {
				t.Errorf("%s sees the other's policies: %v", name, tt.r["additionalEventData"])
			}
		}
	})
	t.Run("nobody else does", func(t *testing.T) {
		for _, e := range carl.look("", "") {
			if strings.Contains(*e.CloudTrailEvent, accountA) || strings.Contains(*e.CloudTrailEvent, accountB) {
				t.Errorf("carl sees %s", *e.CloudTrailEvent)
			}
		}
		if found := ann.in("eu-west-1").look("", ""); len(found) > 1 { // but for the looking itself
			t.Errorf("another Region has %d events", len(found))
		}
		_, err := bobRoot.user("bert", allow("kms:*")).cloudtrail().LookupEvents(ctx, &cloudtrail.LookupEventsInput{})
		refused(t, "look without permission", err, "AccessDeniedException", "cloudtrail:LookupEvents", "user/bert")
	})
	t.Run("who is refused learns nothing from the event", func(t *testing.T) {
		hidden := ann.newKey()
		_, err := ann.kms().CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new("alias/hidden"), TargetKeyId: &hidden})
		ann.must("create alias", err)
		_, err = bob.kms().DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: new("arn:aws:kms:" + local.Region + ":" + accountA + ":alias/hidden")})
		refused(t, "describe", err, "AccessDeniedException")
		e, mine := bob.one("DescribeKey")
		if mine["errorCode"] != "AccessDenied" || strings.Contains(*e.CloudTrailEvent, hidden) {
			t.Errorf("bob sees %s", *e.CloudTrailEvent)
		}
		if theirs := event(ann.one("DescribeKey")); theirs["errorCode"] != "AccessDenied" || theirs["sharedEventID"] != mine["sharedEventID"] {
			t.Errorf("ann sees %v", theirs)
		}
	})
	t.Run("one call is one event", func(t *testing.T) {
		own := bob.newKey()
		_, err := bob.kms().ReEncrypt(ctx, &kms.ReEncryptInput{CiphertextBlob: sealed.CiphertextBlob, SourceEncryptionContext: map[string]string{"tenant": "42"}, DestinationKeyId: &own})
		bob.must("reencrypt", err)
		found := bob.look(cttypes.LookupAttributeKeyEventName, "ReEncrypt")
		if len(found) != 1 || len(found[0].Resources) != 2 {
			t.Fatalf("%d events, %+v", len(found), found)
		}
		if theirs := event(ann.one("ReEncrypt")); theirs["recipientAccountId"] != accountA {
			t.Errorf("ann sees %v", theirs)
		}
	})
	t.Run("a key's last usage", func(t *testing.T) {
		out, err := ann.kms().GetKeyLastUsage(ctx, &kms.GetKeyLastUsageInput{KeyId: &key})
		ann.must("last usage", err)
		id := *out.KeyLastUsage.CloudTrailEventId
		if found := ann.look(cttypes.LookupAttributeKeyEventId, id); len(found) != 1 || *found[0].EventName != "ReEncrypt" || *found[0].EventId != id {
			t.Errorf("event %s: %+v", id, found)
		}
	})
	t.Run("what is made", func(t *testing.T) {
		r := event(ann.one("CreateKey"))
		arn, _ := at(r, "responseElements", "keyMetadata", "arn").(string)
		if r["readOnly"] != false || arn == "" || len(r["resources"].([]any)) != 1 || at(r["resources"].([]any)[0], "ARN") != arn || r["additionalEventData"] == nil {
			t.Errorf("%v", r)
		}
	})
	t.Run("a key that is out of use", func(t *testing.T) {
		_, err := ann.kms().DisableKey(ctx, &kms.DisableKeyInput{KeyId: &key})
		ann.must("disable", err)
		_, err = bob.kms().Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: sealed.CiphertextBlob, EncryptionContext: map[string]string{"tenant": "42"}})
		refused(t, "decrypt", err, "DisabledException")
		for _, p := range []*person{ann, bob} {
			if r := event(p.one("Decrypt")); r["errorCode"] != "DisabledException" || r["errorMessage"] != key+" is disabled." {
				t.Errorf("account %s sees %v", p.account, r)
			}
		}
	})
	t.Run("a role's session", func(t *testing.T) {
		_, err := ann.iam().CreateRole(ctx, &iam.CreateRoleInput{RoleName: new("auditor"), Path: new("/team/"), AssumeRolePolicyDocument: new(document(`{"Effect":"Allow","Principal":{"AWS":"` + accountA + `"},"Action":"sts:AssumeRole"}`))})
		ann.must("create role", err)
		_, err = ann.iam().PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: new("auditor"), PolicyName: new("p"), PolicyDocument: new(document(allow("cloudtrail:*", "kms:ListKeys")))})
		ann.must("permit", err)
		user := ann.user("ute", allow("sts:AssumeRole"))
		out, err := user.sts().AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: new("arn:aws:iam::" + accountA + ":role/team/auditor"), RoleSessionName: new("friday")})
		ann.must("assume", err)
		auditor := *user
		auditor.key.AccessKeyID, auditor.key.SecretAccessKey, auditor.token = *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken
		_, err = auditor.kms().ListKeys(ctx, &kms.ListKeysInput{})
		ann.must("list keys", err)
		e, r := auditor.one("ListKeys")
		issuer := at(r, "userIdentity", "sessionContext", "sessionIssuer")
		if *e.Username != "friday" || *e.AccessKeyId != auditor.key.AccessKeyID || at(issuer, "arn") != "arn:aws:iam::"+accountA+":role/team/auditor" || at(issuer, "userName") != "auditor" || at(issuer, "type") != "Role" {
			t.Errorf("%s", *e.CloudTrailEvent)
		}
		if found := ann.look(cttypes.LookupAttributeKeyUsername, "friday"); len(found) == 0 {
			t.Error("not found by the session's name")
		}
	})
	t.Run("what else can be looked up", func(t *testing.T) {
		e, _ := ann.one("DisableKey")
		for k, v := range map[cttypes.LookupAttributeKey]string{
			"EventId": *e.EventId, "EventName": "DisableKey", "ReadOnly": "false", "Username": "root", "ResourceType": "AWS::KMS::Key",
			"ResourceName": key, "EventSource": "kms.amazonaws.com", "AccessKeyId": ann.key.AccessKeyID,
		} {
			if !slices.ContainsFunc(ann.look(k, v), func(f cttypes.Event) bool { return *f.EventId == *e.EventId }) {
				t.Errorf("not found by %s %s", k, v)
			}
			for _, f := range ann.look(k, v+"x") {
				t.Errorf("found by %s %sx: %s", k, v, *f.CloudTrailEvent)
			}
		}
		theirs, _ := ann.one("Encrypt")
		if found := bob.look("EventId", *theirs.EventId); len(found) != 0 {
			t.Errorf("bob finds ann's event: %s", *found[0].CloudTrailEvent)
		}
	})
	t.Run("page by page", func(t *testing.T) {
		end := time.Now().Add(time.Second)
		var all, paged []string
		out, err := ann.cloudtrail().LookupEvents(ctx, &cloudtrail.LookupEventsInput{EndTime: &end, LookupAttributes: []cttypes.LookupAttribute{{AttributeKey: "EventSource", AttributeValue: new("kms.amazonaws.com")}}})
		ann.must("look up", err)
		for i, e := range out.Events {
			all = append(all, *e.EventId)
			if i > 0 && e.EventTime.After(*out.Events[i-1].EventTime) {
				t.Errorf("event %d is newer than the one before it", i)
			}
		}
		pages := cloudtrail.NewLookupEventsPaginator(ann.cloudtrail(), &cloudtrail.LookupEventsInput{EndTime: &end, MaxResults: new(int32(2)), LookupAttributes: []cttypes.LookupAttribute{{AttributeKey: "EventSource", AttributeValue: new("kms.amazonaws.com")}}})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			ann.must("next page", err)
			if len(page.Events) > 2 {
				t.Errorf("%d events in a page of 2", len(page.Events))
			}
			for _, e := range page.Events {
				paged = append(paged, *e.EventId)
			}
		}
		if len(all) < 5 || !slices.Equal(all, paged) {
			t.Errorf("%d events at once, %d in pages:\n%v\n%v", len(all), len(paged), all, paged)
		}
	})
	t.Run("bad requests", func(t *testing.T) {
		early, late := time.Now().Add(-time.Hour), time.Now()
		two := []cttypes.LookupAttribute{{AttributeKey: "EventName", AttributeValue: new("a")}, {AttributeKey: "Username", AttributeValue: new("b")}}
		for code, in := range map[string]*cloudtrail.LookupEventsInput{
			"InvalidLookupAttributesException": {LookupAttributes: two},
			"InvalidTimeRangeException":        {StartTime: &late, EndTime: &early},
			"InvalidNextTokenException":        {NextToken: new("AAAA")},
			"ValidationException":              {MaxResults: new(int32(51))},
		} {
			_, err := ann.cloudtrail().LookupEvents(ctx, in)
			refused(t, fmt.Sprintf("%+v", in), err, code)
		}
		_, err := ann.cloudtrail().DescribeTrails(ctx, &cloudtrail.DescribeTrailsInput{})
		refused(t, "what is not served", err, "NotImplemented")
	})
	t.Run("the AWS CLI", func(t *testing.T) {
		if _, err := exec.LookPath("aws"); err != nil {
			t.Skip("SKIPPED: the aws command is not on PATH, so LookupEvents is not tried with the AWS CLI")
		}
		cmd := exec.CommandContext(ctx, "aws", "--endpoint-url", s.Endpoint, "--profile", "root-"+accountA, "cloudtrail", "lookup-events",
			"--lookup-attributes", "AttributeKey=EventName,AttributeValue=Encrypt", "--max-items", "1", "--output", "json")
		cmd.Env = s.Env()
		text, err := cmd.CombinedOutput()
		var out struct {
			Events []struct{ EventName string }
		}
		if err != nil || json.Unmarshal(text, &out) != nil || len(out.Events) != 1 || out.Events[0].EventName != "Encrypt" {
			t.Errorf("%v: %s", err, text)
		}
	})
	t.Run("borealis audit", func(t *testing.T) { auditCommand(t, s, bob) })
}

func event(_ cttypes.Event, r map[string]any) map[string]any { return r }

// auditCommand reads the same with the operator's command.
func auditCommand(t *testing.T, s *local.Server, bob *person) {
	run := func(args ...string) string {
		t.Helper()
		out, err := s.Run(t.Context(), nil, append([]string{"audit", "--data", s.Data()}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	text := run("--operation", "kms:Encrypt", "--principal", "bob")
	for _, want := range []string{"kms:Encrypt ", "allowed\n", "  by       arn:aws:iam::" + accountB + ":user/bob", "  why      allowed by statement"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	for line := range strings.Lines(run("--limit", "0")) {
		if len(line) > 81 && !strings.Contains(line, "arn:") {
			t.Errorf("a line of %d columns: %s", len(line)-1, line)
		}
	}
	var e struct {
		Version            int
		EventID, EventName string
		Decisions          []struct{ Decision string }
	}
	for line := range strings.Lines(run("--decision", "denied", "--since", "1h", "--account", accountB, "--output", "json", "--limit", "3")) {
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Version != 1 || e.Decisions[0].Decision != "denied" {
			t.Errorf("%v: %s", err, line)
		}
	}
	if whole := run("--event-id", e.EventID, "--output", "json"); strings.Count(whole, "\n") != 1 {
		t.Errorf("by its id: %s", whole)
	}
	mine, _ := bob.one("Encrypt")
	if whole, err := s.Run(t.Context(), nil, "audit", "show", *mine.EventId, "--data", s.Data()); err != nil || !strings.Contains(whole, "in account "+accountB+" as "+*mine.EventId) || !strings.Contains(whole, `"tenant": "42"`) {
		t.Errorf("%v: %s", err, whole)
	}
	if _, err := s.Run(t.Context(), nil, "audit", "show", "none", "--data", s.Data()); err == nil {
		t.Error("an event that is not there was shown")
	}
	follow(t, s, bob)
}

// follow sees what is done after the command has begun.
func follow(t *testing.T, s *local.Server, bob *person) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.Binary, "audit", "--data", s.Data(), "--follow", "--operation", "GenerateRandom", "--output", "json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	_, err = bob.kms().GenerateRandom(ctx, &kms.GenerateRandomInput{NumberOfBytes: new(int32(8))})
	bob.must("generate", err)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, `"eventName":"GenerateRandom"`) {
		t.Errorf("%v: %s", err, line)
	}
	cancel()
	_ = cmd.Wait() // it was interrupted
}

// blobs are the contents of all []byte below v.
func blobs(v reflect.Value) [][]byte {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return blobs(v.Elem())
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Len() > 0 {
			return [][]byte{v.Bytes()}
		}
	case reflect.Struct:
		var out [][]byte
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				out = append(out, blobs(v.Field(i))...)
			}
		}
		return out
	}
	return nil
}

// TestNothingSecretIsOnRecord drives KMS's cryptography and what else has
// secrets, and looks for all of them in the log's raw bytes.
func TestNothingSecretIsOnRecord(t *testing.T) {
	s := newServer(t)
	ann := root(t, s, accountA)
	ctx, k := t.Context(), ann.kms()
	var secrets [][]byte
	calls := 0
	// saw notes the blobs of a call that must have been answered.
	saw := func(what string, in, out any, err error) {
		t.Helper()
		ann.must(what, err)
		calls++
		secrets = append(append(secrets, blobs(reflect.ValueOf(in))...), blobs(reflect.ValueOf(out))...)
	}
	make := func(spec kmstypes.KeySpec, usage kmstypes.KeyUsageType) *string {
		t.Helper()
		out, err := k.CreateKey(ctx, &kms.CreateKeyInput{KeySpec: spec, KeyUsage: usage})
		ann.must("create a key", err)
		return out.KeyMetadata.Arn
	}
	key := make("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
	message := []byte("the message that nobody may read in a log")
	{
		in := &kms.EncryptInput{KeyId: key, Plaintext: message}
		out, err := k.Encrypt(ctx, in)
		saw("Encrypt", in, out, err)
		in2 := &kms.DecryptInput{CiphertextBlob: out.CiphertextBlob}
		out2, err := k.Decrypt(ctx, in2)
		saw("Decrypt", in2, out2, err)
		in3 := &kms.ReEncryptInput{CiphertextBlob: out.CiphertextBlob, DestinationKeyId: key}
		out3, err := k.ReEncrypt(ctx, in3)
		saw("ReEncrypt", in3, out3, err)
		broken := slices.Clone(out.CiphertextBlob)
		broken[len(broken)-1] ^= 1
		secrets = append(secrets, broken)
		_, err = k.Decrypt(ctx, &kms.DecryptInput{CiphertextBlob: broken})
		refused(t, "decrypt what is broken", err, "InvalidCiphertextException")
	}
	{
		in := &kms.GenerateDataKeyInput{KeyId: key, NumberOfBytes: new(int32(32))}
		out, err := k.GenerateDataKey(ctx, in)
		saw("GenerateDataKey", in, out, err)
		in2 := &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: key, NumberOfBytes: new(int32(32))}
		out2, err := k.GenerateDataKeyWithoutPlaintext(ctx, in2)
		saw("GenerateDataKeyWithoutPlaintext", in2, out2, err)
		in3 := &kms.GenerateDataKeyPairInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256"}
		out3, err := k.GenerateDataKeyPair(ctx, in3)
		saw("GenerateDataKeyPair", in3, out3, err)
		in4 := &kms.GenerateDataKeyPairWithoutPlaintextInput{KeyId: key, KeyPairSpec: "ECC_NIST_P256"}
		out4, err := k.GenerateDataKeyPairWithoutPlaintext(ctx, in4)
		saw("GenerateDataKeyPairWithoutPlaintext", in4, out4, err)
		in5 := &kms.GenerateRandomInput{NumberOfBytes: new(int32(32))}
		out5, err := k.GenerateRandom(ctx, in5)
		saw("GenerateRandom", in5, out5, err)
	}
	{
		signer := make("ECC_NIST_P256", "SIGN_VERIFY")
		in := &kms.SignInput{KeyId: signer, Message: message, SigningAlgorithm: "ECDSA_SHA_256"}
		out, err := k.Sign(ctx, in)
		saw("Sign", in, out, err)
		in2 := &kms.VerifyInput{KeyId: signer, Message: message, Signature: out.Signature, SigningAlgorithm: "ECDSA_SHA_256"}
		out2, err := k.Verify(ctx, in2)
		saw("Verify", in2, out2, err)
		mac := make("HMAC_256", "GENERATE_VERIFY_MAC")
		in3 := &kms.GenerateMacInput{KeyId: mac, Message: message, MacAlgorithm: "HMAC_SHA_256"}
		out3, err := k.GenerateMac(ctx, in3)
		saw("GenerateMac", in3, out3, err)
		in4 := &kms.VerifyMacInput{KeyId: mac, Message: message, Mac: out3.Mac, MacAlgorithm: "HMAC_SHA_256"}
		out4, err := k.VerifyMac(ctx, in4)
		saw("VerifyMac", in4, out4, err)
	}
	{
		a, b := make("ECC_NIST_P256", "KEY_AGREEMENT"), make("ECC_NIST_P256", "KEY_AGREEMENT")
		public, err := k.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: b})
		saw("GetPublicKey", nil, public, err)
		in := &kms.DeriveSharedSecretInput{KeyId: a, PublicKey: public.PublicKey, KeyAgreementAlgorithm: "ECDH"}
		out, err := k.DeriveSharedSecret(ctx, in)
		saw("DeriveSharedSecret", in, out, err)
	}
	{
		out, err := k.CreateKey(ctx, &kms.CreateKeyInput{Origin: kmstypes.OriginTypeExternal})
		ann.must("create a key without material", err)
		params, err := k.GetParametersForImport(ctx, &kms.GetParametersForImportInput{KeyId: out.KeyMetadata.KeyId, WrappingAlgorithm: "RSAES_OAEP_SHA_256", WrappingKeySpec: "RSA_2048"})
		saw("GetParametersForImport", nil, params, err)
		in := &kms.ImportKeyMaterialInput{KeyId: out.KeyMetadata.KeyId, ImportToken: params.ImportToken, EncryptedKeyMaterial: bytes.Repeat([]byte("wrapped!"), 32), ExpirationModel: "KEY_MATERIAL_DOES_NOT_EXPIRE"}
		secrets = append(secrets, blobs(reflect.ValueOf(in))...)
		if _, err := k.ImportKeyMaterial(ctx, in); err == nil {
			t.Error("garbage was imported")
		}
	}
	grant, err := k.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key, GranteePrincipal: new("arn:aws:iam::" + accountA + ":root"), Operations: []kmstypes.GrantOperation{"Decrypt"}})
	saw("CreateGrant", nil, grant, err)
	secrets = append(secrets, []byte(*grant.GrantToken))
	_, err = k.RetireGrant(ctx, &kms.RetireGrantInput{GrantToken: grant.GrantToken})
	ann.must("retire", err)
	u := ann.user("ute", allow("sts:*"))
	secrets = append(secrets, []byte(u.key.SecretAccessKey))
	session, err := u.sts().GetSessionToken(ctx, &sts.GetSessionTokenInput{})
	ann.must("session", err)
	secrets = append(secrets, []byte(*session.Credentials.SecretAccessKey), []byte(*session.Credentials.SessionToken))
	for _, password := range []string{"a-password-that-will-do", "bad/password@here\"", "tiny#1"} {
		// Whether there is an engine does not matter: the call is on record.
		_, _ = ann.rds().CreateDBCluster(ctx, &rds.CreateDBClusterInput{DBClusterIdentifier: new("secretive"), Engine: new(postgresql), MasterUsername: new("keeper"), MasterUserPassword: &password, StorageEncrypted: new(true)})
		secrets = append(secrets, []byte(password))
	}

	if _, err := s.Run(ctx, nil, "audit", "--data", s.Data()); err != nil { // makes the server write what it holds
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(s.Data(), "audit", "*"))
	if err != nil || len(files) == 0 || calls < 15 || len(secrets) < 30 {
		t.Fatalf("%v, %v, %d calls, %d secrets", files, err, calls, len(secrets))
	}
	for _, f := range files {
		log, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(log, []byte("\n")); n < calls {
			t.Fatalf("%d lines on record of %d calls", n, calls)
		}
		for _, secret := range secrets {
			for form, text := range map[string]string{
				"raw": string(secret), "base64": base64.RawStdEncoding.EncodeToString(secret), "base64url": base64.RawURLEncoding.EncodeToString(secret),
				"hex": hex.EncodeToString(secret), "HEX": strings.ToUpper(hex.EncodeToString(secret)),
			} {
				if bytes.Contains(log, []byte(text)) {
					t.Errorf("%s is on record: %.60q in %s", form, text, f)
				}
			}
		}
	}
}

// What was answered a tenth of a second before a server is killed is on record
// afterwards, and the log of the next server is whole but for one line.
func TestKilledServersLog(t *testing.T) {
	s := newServer(t, "--audit-size", "1", "--audit-keep", "3")
	ann := root(t, s, accountA)
	key := ann.newKey()
	answered := 0
	for round := range 3 {
		for range 40 {
			_, err := ann.kms().Encrypt(t.Context(), &kms.EncryptInput{KeyId: &key, Plaintext: []byte("x")})
			ann.must("encrypt", err)
			answered++
		}
		time.Sleep(250 * time.Millisecond) // 100 ms, on a machine that is busy
		s.Kill()
		out, err := s.Run(t.Context(), nil, "audit", "--data", s.Data(), "--operation", "Encrypt", "--limit", "0", "--output", "json")
		if n := strings.Count(out, "\n"); err != nil || n != answered {
			t.Fatalf("round %d: %d of %d calls are on record, %v", round, n, answered, err)
		}
		start(t, s, "--audit-size", "1", "--audit-keep", "3")
	}
}
