package keys_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/google/go-cmp/cmp"

	"borealis/internal/audit"
	"borealis/internal/keys"
)

// The operations on the versions of a key that stories tell of.

func (p *person) enableRotation(key *string, days ...int32) error {
	in := &kms.EnableKeyRotationInput{KeyId: key}
	if len(days) > 0 {
		in.RotationPeriodInDays = &days[0]
	}
	_, err := p.EnableKeyRotation(p.w.t.Context(), in)
	return err
}

func (p *person) disableRotation(key *string) error {
	_, err := p.DisableKeyRotation(p.w.t.Context(), &kms.DisableKeyRotationInput{KeyId: key})
	return err
}

func (p *person) enable(key *string) error {
	_, err := p.EnableKey(p.w.t.Context(), &kms.EnableKeyInput{KeyId: key})
	return err
}

func (p *person) schedule(key *string) error {
	_, err := p.ScheduleKeyDeletion(p.w.t.Context(), &kms.ScheduleKeyDeletionInput{KeyId: key, PendingWindowInDays: new(int32(7))})
	return err
}

func (p *person) cancel(key *string) error {
	_, err := p.CancelKeyDeletion(p.w.t.Context(), &kms.CancelKeyDeletionInput{KeyId: key})
	return err
}

func (p *person) rotate(key *string) error {
	_, err := p.RotateKeyOnDemand(p.w.t.Context(), &kms.RotateKeyOnDemandInput{KeyId: key})
	return err
}

// schedule says a key's rotation: "90 days, next 2027-02-21 10:00:00", or "none".
func (p *person) rotation(key *string) string {
	p.w.t.Helper()
	out := must(p.GetKeyRotationStatus(p.w.t.Context(), &kms.GetKeyRotationStatusInput{KeyId: key}))(p.w.t)
	if !out.KeyRotationEnabled {
		if out.NextRotationDate != nil || out.RotationPeriodInDays != nil {
			p.w.t.Errorf("a schedule that is off: %+v", out)
		}
		return "none"
	}
	return fmt.Sprintf("%d days, next %s", *out.RotationPeriodInDays, out.NextRotationDate.Format(time.DateTime))
}

// history says a key's materials, one a line, without their ids.
func (p *person) history(key *string) string {
	p.w.t.Helper()
	out := must(p.ListKeyRotations(p.w.t.Context(), &kms.ListKeyRotationsInput{KeyId: key, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial}))(p.w.t)
	var all []string
	for _, e := range out.Rotations {
		line := string(e.KeyMaterialState)
		for _, s := range []string{string(e.ImportState), string(e.ExpirationModel), string(e.RotationType)} {
			if s != "" {
				line += " " + s
			}
		}
		for _, at := range []*time.Time{e.ValidTo, e.RotationDate} {
			if at != nil {
				line += " " + at.Format(time.DateTime)
			}
		}
		if e.KeyMaterialDescription != nil {
			line += fmt.Sprintf(" %q", *e.KeyMaterialDescription)
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

func (p *person) metadata(key *string) *types.KeyMetadata {
	p.w.t.Helper()
	return must(p.DescribeKey(p.w.t.Context(), &kms.DescribeKeyInput{KeyId: key}))(p.w.t).KeyMetadata
}

func (w *world) sweep() int {
	w.t.Helper()
	return must(w.Sweep(w.t.Context(), w.clock()))(w.t)
}

// unasked are the records of what KMS did by itself.
func (l *eventLog) unasked() (all []audit.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.Unasked {
			all = append(all, e)
		}
	}
	return all
}

// The answers of AWS: radkawar/stackd, testdata/aws/kms/rotation.json, recorded
// 2026-09-12; the clock is ours.
func TestRotationSchedule(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	const next90, next2560, next365 = "90 days, next 2027-02-21 10:00:00", "2560 days, next 2033-11-26 10:00:01", "365 days, next 2027-11-23 10:00:01"
	status := func(when, want string) {
		t.Helper()
		if got := ann.rotation(key); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	status("at first", "none")
	ann.may("disable what is not enabled", ann.disableRotation(key))
	for days, want := range map[int32]string{
		89:   "Value '89' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value greater than or equal to 90",
		2561: "Value '2561' at 'rotationPeriodInDays' failed to satisfy constraint: Member must have value less than or equal to 2560",
	} {
		ann.mayNot("have other periods", "ValidationException: 1 validation error detected: "+want, ann.enableRotation(key, days))
	}
	ann.may("enable", ann.enableRotation(key, 90))
	status("enabled", next90)
	w.wait(time.Second)
	ann.may("say it again", ann.enableRotation(key))
	status("repeated", next90)
	ann.may("say it again with the same period", ann.enableRotation(key, 90))
	status("repeated with its period", next90)
	ann.may("change it", ann.enableRotation(key, 2560))
	status("changed", next2560)
	ann.may("disable the key", ann.disable(key))
	status("of a disabled key", next2560)
	for what, err := range map[string]error{"enable": ann.enableRotation(key), "disable": ann.disableRotation(key), "rotate": ann.rotate(key)} {
		ann.mayNot(what+" while disabled", "DisabledException: "+*key+" is disabled.", err)
	}
	ann.may("schedule the key's deletion", ann.schedule(key))
	status("pending deletion", "none")
	for what, err := range map[string]error{"enable": ann.enableRotation(key), "disable": ann.disableRotation(key), "rotate": ann.rotate(key)} {
		ann.mayNot(what+" while pending deletion", "KMSInvalidStateException: "+*key+" is pending deletion.", err)
	}
	ann.may("cancel", ann.cancel(key))
	status("cancelled", next2560)
	ann.may("enable the key", ann.enable(key))
	ann.may("disable rotation", ann.disableRotation(key))
	ann.may("enable it without a period", ann.enableRotation(key))
	status("enabled again", next365)
	ann.may("make an alias", ann.alias("alias/x", key))
	alias := new("alias/x")
	_, status1 := ann.GetKeyRotationStatus(t.Context(), &kms.GetKeyRotationStatusInput{KeyId: alias})
	_, list := ann.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: alias})
	for what, err := range map[string]error{"enable": ann.enableRotation(alias), "disable": ann.disableRotation(alias), "rotate": ann.rotate(alias), "ask": status1, "list": list} {
		ann.mayNot(what+" by alias", "InvalidArnException: Key Aliases are not supported for this operation.", err)
	}
}

// The same source's answers about keys that are not symmetric.
func TestRotationOfHMACKey(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := must(ann.CreateKey(t.Context(), &kms.CreateKeyInput{KeySpec: "HMAC_256", KeyUsage: "GENERATE_VERIFY_MAC"}))(t).KeyMetadata.Arn
	if got := ann.rotation(key); got != "none" {
		t.Error(got)
	}
	if out := must(ann.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key}))(t); len(out.Rotations) != 0 {
		t.Errorf("%+v", out)
	}
	_, err := ann.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key, IncludeKeyMaterial: types.IncludeKeyMaterialAllKeyMaterial})
	ann.mayNot("list its material", "ValidationException: Input parameter includeKeyMaterial can only be used with symmetric keys.", err)
	ann.mayNot("enable", "UnsupportedOperationException", ann.enableRotation(key))
	ann.mayNot("rotate", "UnsupportedOperationException", ann.rotate(key))
	ann.may("disable", ann.disableRotation(key))
}

func TestRotationPeriodCondition(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"),
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"kms:EnableKeyRotation","Resource":"*","Condition":{"NumericGreaterThan":{"kms:RotationPeriodInDays":"90"}}}}`)
	key := ann.key()
	ann.may("rotate often", ann.enableRotation(key, 90))
	ann.mayNot("rotate seldom", "AccessDeniedException", ann.enableRotation(key, 180))
	ann.mayNot("leave the period out, which is to say 365", "AccessDeniedException", ann.enableRotation(key))
}

// What was ever encrypted decrypts, and says which material it was.
func TestRotateOnDemand(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	type made struct {
		blob     []byte
		material string
	}
	var all []made
	check := func() {
		t.Helper()
		for i, m := range all {
			out := must(ann.Decrypt(t.Context(), &kms.DecryptInput{CiphertextBlob: m.blob}))(t)
			if *out.KeyMaterialId != m.material {
				t.Errorf("ciphertext %d decrypts with %s, want %s", i, *out.KeyMaterialId, m.material)
			}
		}
	}
	seen := map[string]bool{}
	for range 26 {
		current := *ann.metadata(key).CurrentKeyMaterialId
		if seen[current] {
			t.Fatal("a rotation changed nothing")
		}
		seen[current] = true
		all = append(all, made{must(ann.encrypt(key, nil))(t), current})
		data := must(ann.GenerateDataKey(t.Context(), &kms.GenerateDataKeyInput{KeyId: key, KeySpec: "AES_256"}))(t)
		again := must(ann.ReEncrypt(t.Context(), &kms.ReEncryptInput{CiphertextBlob: all[0].blob, DestinationKeyId: key}))(t)
		if *data.KeyMaterialId != current || *again.DestinationKeyMaterialId != current || *again.SourceKeyMaterialId != all[0].material {
			t.Errorf("data key of %s, re-encrypted from %s to %s; current is %s", *data.KeyMaterialId, *again.SourceKeyMaterialId, *again.DestinationKeyMaterialId, current)
		}
		all = append(all, made{data.CiphertextBlob, current}, made{again.CiphertextBlob, current})
		if len(all) == 3*26 {
			break
		}
		w.wait(time.Second)
		ann.may("rotate", ann.rotate(key))
	}
	check()
	ann.mayNot("rotate once more", "LimitExceededException: The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: "+*key, ann.rotate(key))
	w.reopen()
	ann = ann.again()
	check()

	e := w.log.unasked()
	if len(e) != 25 || e[24].Action != "kms:RotateKey" || e[24].Resource != *key || e[24].Detail["rotationType"] != "ON_DEMAND" ||
		e[24].Detail["previousKeyMaterialId"] != all[72].material || e[24].Detail["currentKeyMaterialId"] != all[75].material {
		t.Errorf("%d records: %+v", len(e), e[len(e)-1])
	}
}

// The answers of the same source, but that a rotation is over at once.
func TestListKeyRotations(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	list := func(in kms.ListKeyRotationsInput) *kms.ListKeyRotationsOutput {
		t.Helper()
		in.KeyId = key
		return must(ann.ListKeyRotations(t.Context(), &in))(t)
	}
	if got := list(kms.ListKeyRotationsInput{}); len(got.Rotations) != 0 || got.Rotations == nil || got.Truncated {
		t.Errorf("at first: %+v", got)
	}
	if got := ann.history(key); got != "CURRENT" {
		t.Errorf("at first: %s", got)
	}
	w.wait(time.Hour)
	ann.may("rotate", ann.rotate(key))
	w.wait(time.Hour)
	ann.may("rotate again", ann.rotate(key))
	want := "NON_CURRENT\nNON_CURRENT ON_DEMAND 2026-11-23 11:00:00\nCURRENT ON_DEMAND 2026-11-23 12:00:00"
	if got := ann.history(key); got != want {
		t.Errorf("history:\n%s\nwant:\n%s", got, want)
	}
	if got := list(kms.ListKeyRotationsInput{}); len(got.Rotations) != 2 || got.Truncated || *got.Rotations[0].KeyId != *key {
		t.Errorf("rotations: %+v", got)
	}
	all := list(kms.ListKeyRotationsInput{IncludeKeyMaterial: "ALL_KEY_MATERIAL"}).Rotations
	var paged []types.RotationsListEntry
	for marker, n := (*string)(nil), 0; ; n++ {
		out := list(kms.ListKeyRotationsInput{IncludeKeyMaterial: "ALL_KEY_MATERIAL", Limit: new(int32(1)), Marker: marker})
		paged = append(paged, out.Rotations...)
		if marker = out.NextMarker; !out.Truncated {
			break
		}
		if n > 3 {
			t.Fatal("the pages do not end")
		}
	}
	if d := cmp.Diff(all, paged, cmp.Comparer(func(a, b types.RotationsListEntry) bool { return *a.KeyMaterialId == *b.KeyMaterialId })); d != "" {
		t.Error(d)
	}
	for _, marker := range []string{"x", *list(kms.ListKeyRotationsInput{Limit: new(int32(1))}).NextMarker + "AAAA"} {
		_, err := ann.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key, Marker: &marker})
		ann.mayNot("make a marker up", "InvalidMarkerException", err)
	}
}

// A year of a key that is rotated every 90 days, with a server that is not always there.
func TestAutomaticRotation(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	old := must(ann.encrypt(key, nil))(t)
	ann.may("enable", ann.enableRotation(key, 90))
	expect := func(when string, swept int, next, history string) {
		t.Helper()
		if n := w.sweep(); n != swept {
			t.Errorf("%s: swept %d keys, want %d", when, n, swept)
		}
		if got := ann.rotation(key); got != "90 days, next "+next {
			t.Errorf("%s: %s, want next %s", when, got, next)
		}
		if got := ann.history(key); got != history {
			t.Errorf("%s:\n%s\nwant\n%s", when, got, history)
		}
		if ann.metadata(key).Enabled {
			ann.may("decrypt what is old, "+when, ann.decrypt(old, nil))
		}
	}
	w.wait(90*day - time.Second)
	expect("too early", 0, "2027-02-21 10:00:00", "CURRENT")
	w.wait(time.Minute)
	first := "NON_CURRENT\nCURRENT AUTOMATIC 2027-02-21 10:00:59"
	expect("when it is due", 1, "2027-05-22 10:00:00", first)
	expect("again", 0, "2027-05-22 10:00:00", first)
	w.wait(365 * day) // nobody at home
	second := "NON_CURRENT\nNON_CURRENT AUTOMATIC 2027-02-21 10:00:59\nCURRENT AUTOMATIC 2028-02-21 10:00:59"
	expect("after a long time, once", 1, "2028-05-21 10:00:59", second)
	w.wait(time.Hour)
	ann.may("rotate on demand", ann.rotate(key))
	third := strings.Replace(second, "CURRENT AUTOMATIC 2028", "NON_CURRENT AUTOMATIC 2028", 1) + "\nCURRENT ON_DEMAND 2028-02-21 11:00:59"
	expect("on demand, which leaves the schedule", 0, "2028-05-21 10:00:59", third)
	ann.may("disable the key", ann.disable(key))
	w.wait(100 * day)
	expect("while disabled", 0, "2028-05-21 10:00:59", third)
	ann.may("schedule deletion and cancel it", cmpOr(ann.schedule(key), ann.cancel(key)))
	expect("still disabled", 0, "2028-05-21 10:00:59", third)
	ann.may("enable the key", ann.enable(key))
	expect("enabled: at once", 1, "2028-08-29 11:00:59", strings.Replace(third, "CURRENT ON_DEMAND", "NON_CURRENT ON_DEMAND", 1)+"\nCURRENT AUTOMATIC 2028-05-31 11:00:59")
	ann.may("disable rotation", ann.disableRotation(key))
	w.wait(1000 * day)
	if n := w.sweep(); n != 0 || ann.rotation(key) != "none" {
		t.Errorf("rotated %d keys that are not to be", n)
	}
	e := w.log.unasked()
	if len(e) != 4 || e[0].Detail["rotationType"] != "AUTOMATIC" || e[0].Caller.ARN != "kms.amazonaws.com" || e[0].Owner != home {
		t.Errorf("records: %+v", e)
	}
}

func cmpOr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// AWS managed keys rotate every year, and do not say so.
func TestManagedKeysRotate(t *testing.T) {
	w := newWorld(t)
	root := w.person(home, "root")
	ann := w.person(home, "user/ann", allow("rds:*")).through("rds.amazonaws.com")
	key := must(ann.DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/aws/rds")}))(t).KeyMetadata.Arn
	blob := must(ann.encrypt(key, nil))(t)
	if got := root.rotation(key); got != "none" {
		t.Error(got)
	}
	root.mayNot("rotate it", "AccessDeniedException", root.rotate(key))
	root.mayNot("change its schedule", "AccessDeniedException", root.enableRotation(key))
	w.wait(365*day - time.Second)
	if n := w.sweep(); n != 0 {
		t.Errorf("too early: %d", n)
	}
	w.wait(time.Second)
	if n := w.sweep(); n != 1 || root.history(key) != "NON_CURRENT\nCURRENT AUTOMATIC 2027-11-23 10:00:00" {
		t.Errorf("a year later: %d\n%s", n, root.history(key))
	}
	ann.may("decrypt", ann.decrypt(blob, nil))
}

// One that was made before keys rotated is due at once, since the migration, and
// has missed its day.
func TestManagedKeyOfBefore(t *testing.T) {
	w := newWorld(t)
	root := w.person(home, "root")
	m := must(root.through("rds.amazonaws.com").DescribeKey(t.Context(), &kms.DescribeKeyInput{KeyId: new("alias/aws/rds")}))(t).KeyMetadata
	err := w.Store.Update(t.Context(), func(tx keys.Tx) error {
		k, err := tx.Key(keys.Ref{Place: keys.Place{Account: home, Region: region}, ID: *m.KeyId})
		k.Rotation = keys.Rotation{}
		return cmpOr(err, tx.PutKey(k))
	})
	if err != nil {
		t.Fatal(err)
	}
	raw := must(sql.Open("sqlite", w.path))(t)
	defer raw.Close()
	must(raw.Exec(`UPDATE kms_keys SET due = 0`))(t)
	w.reopen()
	root = root.again()
	w.wait(day)
	if n := w.sweep(); n != 1 || root.history(m.Arn) != "CURRENT" {
		t.Errorf("the first time: %d\n%s", n, root.history(m.Arn))
	}
	w.wait(364 * day)
	if n := w.sweep(); n != 1 || root.history(m.Arn) != "NON_CURRENT\nCURRENT AUTOMATIC 2027-11-23 10:00:00" {
		t.Errorf("a year after it was made: %d\n%s", n, root.history(m.Arn))
	}
}

// A family rotates as one, and only its primary has a say.
func TestFamilyRotates(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.family("us-east-1", "us-west-2")
	east := ann.at("us-east-1")
	there := new(strings.Replace(*key, "eu-west-1", "us-east-1", 1))
	for op, err := range map[string]error{"EnableKeyRotation": east.enableRotation(there), "DisableKeyRotation": east.disableRotation(there), "RotateKeyOnDemand": east.rotate(there)} {
		east.mayNot("do it to a replica", "UnsupportedOperationException: "+*there+" is a multi-region replica key which is not valid for "+op+".", err)
	}
	old := must(ann.encrypt(key, nil))(t)
	ann.may("enable", ann.enableRotation(key, 90))
	if got := east.rotation(there); got != ann.rotation(key) || got == "none" {
		t.Errorf("the replica says %s, the primary %s", got, ann.rotation(key))
	}
	ann.may("rotate", ann.rotate(key))
	w.wait(90 * day)
	if n := w.sweep(); n != 1 {
		t.Errorf("%d keys rotated by themselves, want the primary alone", n)
	}
	if got := east.history(there); got != ann.history(key) || strings.Count(got, "\n") != 2 {
		t.Errorf("the replica's history:\n%s\nthe primary's:\n%s", got, ann.history(key))
	}
	blob := must(ann.encrypt(key, nil))(t)
	for _, b := range [][]byte{old, blob} {
		east.may("decrypt in the other Region", east.decrypt(b, nil))
	}
	if got := east.rotation(there); got != ann.rotation(key) {
		t.Errorf("the replica says %s, the primary %s", got, ann.rotation(key))
	}
}
