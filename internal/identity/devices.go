package identity

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"rsc.io/qr"

	"borealis/internal/cloud"
)

const (
	seedSize   = 40 // bytes of a device's seed
	maxDevices = 8  // of one user
)

// A device is a virtual MFA device: an app that computes codes from a seed, which
// is the item's secret. It is stored, so its fields change only with a migration.
type device struct {
	Name    string
	Path    string
	Created time.Time
	Enabled time.Time // for the item's owner; zero if it has none
	Drift   int64     // steps that its clock is ahead
	Used    int64     // the last step whose code was used; a code is good once
	Tags    []Tag
}

func deviceARN(a cloud.AccountID, path, name string) string {
	return cloud.NewARN("iam", "", a, "mfa"+path+name).String()
}

func noDevice(serial string) error {
	return noSuchEntity("MFA Device with serial number %s does not exist.", serial)
}

func wrongCode() error {
	return &types.InvalidAuthenticationCodeException{Message: new("Authentication code for device is not valid.")}
}

// CreateVirtualMFADevice makes a device and shows its seed, once, as text and as
// the picture that apps read.
func (v *View) CreateVirtualMFADevice(ctx context.Context, in *iam.CreateVirtualMFADeviceInput) (*iam.CreateVirtualMFADeviceOutput, error) {
	tags, err := newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	seed := random(seedSize)
	shown := base32.StdEncoding.EncodeToString(seed)
	out := &iam.CreateVirtualMFADeviceOutput{}
	return out, v.change(ctx, func(r *request) error {
		d := device{Name: *in.VirtualMFADeviceName, Path: orRoot(in.Path), Created: r.Now().UTC()}
		serial := deviceARN(r.caller.Account, d.Path, d.Name)
		if err := r.authorize("iam:CreateVirtualMFADevice", resource{arn: serial, context: asked(nil, tags)}); err != nil {
			return err
		}
		if d.Tags, err = merge(nil, tags); err != nil {
			return err
		}
		a, err := r.Account(r.caller.Account)
		if err != nil {
			return err
		}
		i := Item{Account: a.ID, Kind: DeviceItem, ID: serial}
		if i.Sealed, err = r.Sealer.Seal(seed, itemContext(i)); err != nil {
			return fmt.Errorf("seal seed of %s: %w", serial, err)
		}
		err = addItem(r, i, d)
		if errors.Is(err, cloud.ErrExists) {
			return alreadyExists("MFA device already exists.")
		}
		if err != nil {
			return err
		}
		picture, err := qr.Encode(otpauth(a, d, shown), qr.M)
		if err != nil {
			return fmt.Errorf("draw seed of %s: %w", serial, err)
		}
		out.VirtualMFADevice = &types.VirtualMFADevice{SerialNumber: &serial, Base32StringSeed: []byte(shown), QRCodePNG: picture.PNG(), Tags: awsTags(d.Tags)}
		return nil
	})
}

// otpauth is the URI that apps take a seed from.
func otpauth(a Account, d device, seed string) string {
	of := a.Alias
	if of == "" {
		of = string(a.ID)
	}
	return "otpauth://totp/" + url.PathEscape("Borealis:"+d.Name+"@"+of) + "?secret=" + seed + "&issuer=Borealis"
}

// DeleteVirtualMFADevice removes a device that is nobody's.
func (v *View) DeleteVirtualMFADevice(ctx context.Context, in *iam.DeleteVirtualMFADeviceInput) (*iam.DeleteVirtualMFADeviceOutput, error) {
	return &iam.DeleteVirtualMFADeviceOutput{}, v.change(ctx, func(r *request) error {
		_, i, err := r.device("iam:DeleteVirtualMFADevice", *in.SerialNumber, nil)
		if err != nil {
			return err
		}
		if i.Owner != "" {
			return deleteConflict("MFA VirtualDevice in use. Must deactivate first.")
		}
		return r.DeleteItem(i.Account, i.Kind, i.ID)
	})
}

// device is the device with a serial number if the caller may do action to it.
func (r *request) device(action, serial string, add more) (device, Item, error) {
	i, err := r.item(action, DeviceItem, serial, serial, noDevice(serial), add)
	if err != nil {
		return device{}, i, err
	}
	d, err := body[device](i)
	return d, i, err
}

// deviceOwner is the user called name, or the caller without a name, if the caller
// may do action to it. A root user, which has no name, is called by its account's id.
func (r *request) deviceOwner(action string, name *string) (owner, error) {
	if r.caller.Kind == cloud.Root && name != nil && *name == string(r.caller.Account) {
		name = nil
	}
	return r.keyOwner(action, name)
}

// deviceOf is a user's device if the caller may do action to the user.
func (r *request) deviceOf(action string, user *string, serial string) (owner, device, Item, error) {
	o, err := r.deviceOwner(action, user)
	if err != nil {
		return o, device{}, Item{}, err
	}
	d, i, err := findItem[device](r, r.caller.Account, DeviceItem, serial)
	if err == nil && i.Owner != o.id {
		err = cloud.ErrNotFound
	}
	if errors.Is(err, cloud.ErrNotFound) {
		err = noDevice(serial)
	}
	return o, d, i, err
}

// seed opens the seed of a device.
func (s *Service) seed(i Item) ([]byte, error) {
	seed, err := s.Sealer.Open(i.Sealed, itemContext(i))
	if err != nil {
		return nil, fmt.Errorf("open seed of %s: %w", i.ID, err)
	}
	return seed, nil
}

// sync sets d's clock by two codes in a row, neither of which was used before.
func (r *request) sync(d device, i Item, first, second *string) error {
	seed, err := r.seed(i)
	if err != nil {
		return err
	}
	step, ok := synchronize(seed, r.Now(), *first, *second)
	if !ok || step-1 <= d.Used {
		return wrongCode()
	}
	d.Drift, d.Used = step-stepAt(r.Now()), step
	return putItem(r, i, d)
}

// EnableMFADevice makes a device a user's, who shows two codes in a row.
func (v *View) EnableMFADevice(ctx context.Context, in *iam.EnableMFADeviceInput) (*iam.EnableMFADeviceOutput, error) {
	return &iam.EnableMFADeviceOutput{}, v.change(ctx, func(r *request) error {
		o, err := r.deviceOwner("iam:EnableMFADevice", in.UserName)
		if err != nil {
			return err
		}
		d, i, err := findItem[device](r, r.caller.Account, DeviceItem, *in.SerialNumber)
		if err != nil {
			return orNoSuch(err, "MFA Device with serial number %s does not exist.", *in.SerialNumber)
		}
		if i.Owner != "" {
			return alreadyExists("MFA Device is already in use.")
		}
		has, err := r.ItemsOf(o.id, DeviceItem)
		if err != nil {
			return err
		}
		if len(has) >= maxDevices {
			return limitExceeded("Cannot exceed quota for MFADevicesPerUser: %d", maxDevices)
		}
		i.Owner, d.Enabled = o.id, r.Now().UTC()
		return r.sync(d, i, in.AuthenticationCode1, in.AuthenticationCode2)
	})
}

// ResyncMFADevice sets the clock of a user's device by two codes in a row.
func (v *View) ResyncMFADevice(ctx context.Context, in *iam.ResyncMFADeviceInput) (*iam.ResyncMFADeviceOutput, error) {
	return &iam.ResyncMFADeviceOutput{}, v.change(ctx, func(r *request) error {
		_, d, i, err := r.deviceOf("iam:ResyncMFADevice", in.UserName, *in.SerialNumber)
		if err != nil {
			return err
		}
		return r.sync(d, i, in.AuthenticationCode1, in.AuthenticationCode2)
	})
}

// DeactivateMFADevice takes a device away from a user. The device stays, as
// nobody's.
func (v *View) DeactivateMFADevice(ctx context.Context, in *iam.DeactivateMFADeviceInput) (*iam.DeactivateMFADeviceOutput, error) {
	return &iam.DeactivateMFADeviceOutput{}, v.change(ctx, func(r *request) error {
		_, d, i, err := r.deviceOf("iam:DeactivateMFADevice", in.UserName, *in.SerialNumber)
		if err != nil {
			return err
		}
		i.Owner, d.Enabled = "", time.Time{}
		return putItem(r, i, d)
	})
}

// GetMFADevice describes a user's device; without a name, the caller's.
func (v *View) GetMFADevice(ctx context.Context, in *iam.GetMFADeviceInput) (*iam.GetMFADeviceOutput, error) {
	out := &iam.GetMFADeviceOutput{}
	return out, v.read(ctx, func(r *request) error {
		o, d, i, err := r.deviceOf("iam:GetMFADevice", in.UserName, *in.SerialNumber)
		if err != nil {
			return err
		}
		out.SerialNumber, out.UserName, out.EnableDate = &i.ID, &o.name, &d.Enabled
		return nil
	})
}

// ListMFADevices lists the devices of a user; without a name, the caller's.
func (v *View) ListMFADevices(ctx context.Context, in *iam.ListMFADevicesInput) (*iam.ListMFADevicesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListMFADevicesOutput{MFADevices: []types.MFADevice{}}
	return out, v.read(ctx, func(r *request) error {
		o, err := r.deviceOwner("iam:ListMFADevices", in.UserName)
		if err != nil {
			return err
		}
		all, err := r.ItemsOf(o.id, DeviceItem)
		if err != nil {
			return err
		}
		some, next := cut(p, all, itemID)
		for _, i := range some {
			d, err := body[device](i)
			if err != nil {
				return err
			}
			out.MFADevices = append(out.MFADevices, types.MFADevice{SerialNumber: &i.ID, UserName: &o.name, EnableDate: &d.Enabled})
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

func itemID(i Item) string { return i.ID }

// ListVirtualMFADevices lists the devices of the account by serial number.
func (v *View) ListVirtualMFADevices(ctx context.Context, in *iam.ListVirtualMFADevicesInput) (*iam.ListVirtualMFADevicesOutput, error) {
	p, err := newPage(in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListVirtualMFADevicesOutput{VirtualMFADevices: []types.VirtualMFADevice{}}
	return out, v.read(ctx, func(r *request) error {
		if err := r.authorize("iam:ListVirtualMFADevices", resource{arn: deviceARN(r.caller.Account, "/", "")}); err != nil {
			return err
		}
		all, err := r.Items(r.caller.Account, DeviceItem)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(i Item) bool {
			return in.AssignmentStatus == types.AssignmentStatusTypeAssigned && i.Owner == "" ||
				in.AssignmentStatus == types.AssignmentStatusTypeUnassigned && i.Owner != ""
		})
		some, next := cut(p, all, itemID)
		for _, i := range some {
			said, err := r.virtualDevice(i)
			if err != nil {
				return err
			}
			out.VirtualMFADevices = append(out.VirtualMFADevices, said)
		}
		out.Marker, out.IsTruncated = next, next != nil
		return nil
	})
}

// virtualDevice is a device in IAM's words, without its seed.
func (r *request) virtualDevice(i Item) (types.VirtualMFADevice, error) {
	out := types.VirtualMFADevice{SerialNumber: &i.ID}
	if i.Owner == "" {
		return out, nil
	}
	d, err := body[device](i)
	if err != nil {
		return out, err
	}
	out.EnableDate = &d.Enabled
	if i.Owner == string(i.Account) {
		out.User, err = r.rootAsUser(i.Account)
		return out, err
	}
	e, err := r.EntityByID(i.Owner)
	out.User = e.user()
	return out, err
}

// SecondFactor says whether code is what the device of the user with a unique id
// shows now. serial may be empty, for any of the user's devices. A code is good
// once: what is asked again is refused.
func (s *Service) SecondFactor(ctx context.Context, user, serial, code string) (bool, error) {
	good := false
	// Nothing that is remembered depends on it: the caches stay.
	err := s.Store.Update(ctx, func(tx Tx) error {
		good = false
		all, err := tx.ItemsOf(user, DeviceItem)
		for _, i := range all {
			if serial != "" && i.ID != serial || good || err != nil {
				continue
			}
			good, err = s.shows(tx, i, code)
		}
		return err
	})
	if err != nil {
		return false, fmt.Errorf("check code of MFA device: %w", err)
	}
	return good, nil
}

// shows says whether a device shows code, and if so that it has been used.
func (s *Service) shows(tx Tx, i Item, code string) (bool, error) {
	d, err := body[device](i)
	if err != nil {
		return false, err
	}
	seed, err := s.seed(i)
	if err != nil {
		return false, err
	}
	at := stepAt(s.Now()) + d.Drift
	for step := at - codeDrift; step <= at+codeDrift; step++ {
		if step > d.Used && isCode(seed, step, code) {
			d.Used = step
			return true, putItem(tx, i, d)
		}
	}
	return false, nil
}

// hasDevice says whether the user with a unique id has a second factor.
func hasDevice(tx Tx, user string) (bool, error) {
	all, err := tx.ItemsOf(user, DeviceItem)
	return len(all) > 0, err
}
