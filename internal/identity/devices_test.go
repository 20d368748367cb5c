package identity_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what RFC 6238 wants
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"image/png"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"borealis/internal/identity"
)

// An app is an authenticator app.
type app struct {
	t            *testing.T
	serial, seed string
}

// code is what the app shows at a time.
func (a app) code(at time.Time) *string {
	a.t.Helper()
	mac := hmac.New(sha1.New, must(base32.StdEncoding.DecodeString(a.seed))(a.t))
	if err := binary.Write(mac, binary.BigEndian, at.Unix()/30); err != nil {
		a.t.Fatal(err)
	}
	sum := mac.Sum(nil)
	offset := sum[19] & 15
	n := binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff
	return new(fmt.Sprintf("%06d", n%1000000))
}

// device makes a device of account A.
func (w *world) device(name string) app {
	w.t.Helper()
	d := must(w.root(accountA).CreateVirtualMFADevice(w.t.Context(), &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &name}))(w.t).VirtualMFADevice
	return app{w.t, *d.SerialNumber, string(d.Base32StringSeed)}
}

// enable makes a device a user's at a time.
func (w *world) enable(a app, user string, at time.Time) error {
	_, err := w.root(accountA).EnableMFADevice(w.t.Context(), &iam.EnableMFADeviceInput{
		UserName: &user, SerialNumber: &a.serial, AuthenticationCode1: a.code(at.Add(-30 * time.Second)), AuthenticationCode2: a.code(at),
	})
	return err
}

func TestDeviceLives(t *testing.T) {
	w := newWorld(t)
	now := noon
	w.Now = func() time.Time { return now }
	ctx, root := t.Context(), w.root(accountA)
	ann := w.user(accountA, "ann", "")
	made := must(root.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("phone"), Path: new("/p/"), Tags: tags("a", "1")}))(t).VirtualMFADevice
	phone := app{t, *made.SerialNumber, string(made.Base32StringSeed)}
	if phone.serial != "arn:aws:iam::111122223333:mfa/p/phone" || len(phone.seed) != 64 {
		t.Errorf("CreateVirtualMFADevice: %s, a seed of %d", phone.serial, len(phone.seed))
	}
	if _, err := png.Decode(bytes.NewReader(made.QRCodePNG)); err != nil {
		t.Errorf("the picture: %v", err)
	}
	if n, where, err := w.db.Holding(ctx, []byte(phone.seed)); n > 0 || err != nil {
		t.Errorf("%s holds the seed; %v", where, err)
	}
	if err := w.enable(phone, "ann", now.Add(time.Hour)); code(err) != "InvalidAuthenticationCode: Authentication code for device is not valid." {
		t.Errorf("EnableMFADevice with codes of an hour later: %v", err)
	}
	same := &iam.EnableMFADeviceInput{UserName: new("ann"), SerialNumber: &phone.serial, AuthenticationCode1: phone.code(now), AuthenticationCode2: phone.code(now)}
	if _, err := root.EnableMFADevice(ctx, same); !strings.HasPrefix(code(err), "InvalidAuthenticationCode") {
		t.Errorf("EnableMFADevice with one code twice: %v", err)
	}
	if err := w.enable(phone, "ann", now); err != nil {
		t.Fatal(err)
	}
	if good := must(w.SecondFactor(ctx, ann.UserID, phone.serial, *phone.code(now)))(t); good {
		t.Error("a code of EnableMFADevice is good again")
	}
	if err := w.enable(phone, "ann", now); code(err) != "EntityAlreadyExists: MFA Device is already in use." {
		t.Errorf("EnableMFADevice again: %v", err)
	}
	got := must(root.GetMFADevice(ctx, &iam.GetMFADeviceInput{SerialNumber: &phone.serial, UserName: new("ann")}))(t)
	if *got.UserName != "ann" || !got.EnableDate.Equal(now) {
		t.Errorf("GetMFADevice: %+v", got)
	}

	w.open() // all of it survives
	w.Now = func() time.Time { return now }
	root = w.root(accountA)
	now = now.Add(time.Minute)
	for i, want := range []bool{true, false} {
		if good := must(w.SecondFactor(ctx, ann.UserID, phone.serial, *phone.code(now)))(t); good != want {
			t.Errorf("use %d of a code: %t", i, good)
		}
	}
	if good := must(w.SecondFactor(ctx, ann.UserID, phone.serial, *phone.code(now.Add(10 * time.Minute))))(t); good {
		t.Error("a code of ten minutes later is good")
	}
	resync := &iam.ResyncMFADeviceInput{UserName: new("ann"), SerialNumber: &phone.serial, AuthenticationCode1: phone.code(now.Add(9*time.Minute + 30*time.Second)), AuthenticationCode2: phone.code(now.Add(10 * time.Minute))}
	must(root.ResyncMFADevice(ctx, resync))(t)
	now = now.Add(time.Minute)
	if good := must(w.SecondFactor(ctx, ann.UserID, phone.serial, *phone.code(now.Add(10 * time.Minute))))(t); !good {
		t.Error("after ResyncMFADevice the device's clock is not known")
	}
	bob := w.user(accountA, "bob", "")
	if good := must(w.SecondFactor(ctx, bob.UserID, phone.serial, *phone.code(now.Add(11 * time.Minute))))(t); good {
		t.Error("ann's device is bob's second factor")
	}

	for status, want := range map[types.AssignmentStatusType]int{types.AssignmentStatusTypeAssigned: 1, types.AssignmentStatusTypeUnassigned: 0, types.AssignmentStatusTypeAny: 1, "": 1} {
		list := must(root.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: status}))(t).VirtualMFADevices
		if len(list) != want || want > 0 && (*list[0].User.UserName != "ann" || list[0].Base32StringSeed != nil) {
			t.Errorf("ListVirtualMFADevices of %q: %+v", status, list)
		}
	}
	if _, err := root.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &phone.serial}); code(err) != "DeleteConflict: MFA VirtualDevice in use. Must deactivate first." {
		t.Errorf("DeleteVirtualMFADevice of one in use: %v", err)
	}
	must(root.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: new("ann"), SerialNumber: &phone.serial}))(t)
	if list := must(root.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: new("ann")}))(t).MFADevices; len(list) != 0 {
		t.Errorf("ListMFADevices after DeactivateMFADevice: %+v", list)
	}
	must(root.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &phone.serial}))(t)
	if _, err := root.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &phone.serial}); code(err) != "NoSuchEntity: MFA Device with serial number "+phone.serial+" does not exist." {
		t.Errorf("DeleteVirtualMFADevice again: %v", err)
	}
}

func TestDevicePagesAndTags(t *testing.T) {
	w := newWorld(t)
	ctx, root := t.Context(), w.root(accountA)
	w.user(accountA, "ann", "")
	for i := range 5 {
		if err := w.enable(w.device(fmt.Sprint("d", i)), "ann", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := root.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("d0")}); code(err) != "EntityAlreadyExists: MFA device already exists." {
		t.Errorf("CreateVirtualMFADevice again: %v", err)
	}
	all := walk(t, "ListVirtualMFADevices", func(marker *string, items *int32) (names []string, more *string, truncated bool) {
		out := must(root.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{Marker: marker, MaxItems: items}))(t)
		for _, d := range out.VirtualMFADevices {
			names = append(names, *d.SerialNumber)
		}
		return names, out.Marker, out.IsTruncated
	})
	anns := walk(t, "ListMFADevices", func(marker *string, items *int32) (names []string, more *string, truncated bool) {
		out := must(root.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: new("ann"), Marker: marker, MaxItems: items}))(t)
		for _, d := range out.MFADevices {
			names = append(names, *d.SerialNumber)
		}
		return names, out.Marker, out.IsTruncated
	})
	if len(all) != 5 || !slices.Equal(all, anns) {
		t.Errorf("devices: %v, %v", all, anns)
	}
	must(root.TagMFADevice(ctx, &iam.TagMFADeviceInput{SerialNumber: &all[0], Tags: tags("b", "2", "a", "1")}))(t)
	must(root.UntagMFADevice(ctx, &iam.UntagMFADeviceInput{SerialNumber: &all[0], TagKeys: []string{"B"}}))(t)
	has := must(root.ListMFADeviceTags(ctx, &iam.ListMFADeviceTagsInput{SerialNumber: &all[0]}))(t).Tags
	if d := cmpDiff(tags("a", "1"), has); d != "" {
		t.Errorf("ListMFADeviceTags (-want +got):\n%s", d)
	}
	if got := must(root.GetMFADevice(ctx, &iam.GetMFADeviceInput{SerialNumber: &all[0], UserName: new("ann")}))(t); got.EnableDate.IsZero() {
		t.Error("tags took a device away")
	}
	if _, err := root.DeleteUser(ctx, &iam.DeleteUserInput{UserName: new("ann")}); !strings.HasPrefix(code(err), "DeleteConflict") {
		t.Errorf("DeleteUser with devices: %v", err)
	}
}

func TestSignInWithDevice(t *testing.T) {
	w := newWorld(t)
	now := noon
	w.Now = func() time.Time { return now }
	ctx, root := t.Context(), w.root(accountA)
	must(root.CreateUser(ctx, &iam.CreateUserInput{UserName: new("ann")}))(t)
	must(root.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("ann"), Password: new(goodPassword)}))(t)
	first, second := w.device("first"), w.device("second")
	for _, a := range []app{first, second} {
		if err := w.enable(a, "ann", now); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Minute)
	in := identity.SignIn{Account: string(accountA), User: "ann", Password: goodPassword}
	if _, err := w.SignIn(ctx, in); !errors.Is(err, identity.ErrCodeNeeded) {
		t.Errorf("SignIn without a code: %v", err)
	}
	in.Password, in.Code = "wrong", *second.code(now)
	if _, err := w.SignIn(ctx, in); !errors.Is(err, identity.ErrSignIn) {
		t.Errorf("SignIn with a wrong password: %v", err)
	}
	in.Password = goodPassword
	if got, err := w.SignIn(ctx, in); err != nil || !got.Caller.MFA || !w.journal.last().Caller.MFA {
		t.Errorf("SignIn: %+v, %v", got, err)
	}
	if _, err := w.SignIn(ctx, in); !errors.Is(err, identity.ErrSignIn) {
		t.Errorf("SignIn with the same code: %v", err)
	}
}
