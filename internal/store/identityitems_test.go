package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"borealis/internal/cloud"
	"borealis/internal/identity"
)

func TestIdentityItems(t *testing.T) {
	s := openIdentity(t)
	item := func(id, owner string, sealed []byte) identity.Item {
		return identity.Item{Account: account, Kind: identity.DeviceItem, ID: id, Owner: owner, Body: []byte(`{"Name":"` + id + `"}`), Sealed: sealed}
	}
	update(t, s, func(tx identity.Tx) error {
		for _, i := range []identity.Item{item("b", "U1", []byte("secret")), item("a", "U1", nil), item("c", "", nil)} {
			if err := tx.AddItem(i); err != nil {
				return err
			}
		}
		wants(t, "AddItem again", tx.AddItem(item("a", "U2", nil)), cloud.ErrExists)
		wants(t, "PutItem of nothing", tx.PutItem(item("none", "", nil)), cloud.ErrNotFound)
		_, err := tx.Item(account, identity.LoginItem, "a")
		wants(t, "Item of another kind", err, cloud.ErrNotFound)
		_, err = tx.Item("444455556666", identity.DeviceItem, "a")
		wants(t, "Item of another account", err, cloud.ErrNotFound)
		return tx.PutItem(item("c", "U2", []byte("later")))
	})
	update(t, s, func(tx identity.Tx) error {
		of, err := tx.ItemsOf("U1", identity.DeviceItem)
		if d := cmp.Diff([]identity.Item{item("a", "U1", nil), item("b", "U1", []byte("secret"))}, of); d != "" || err != nil {
			t.Errorf("ItemsOf (-want +got):\n%s%v", d, err)
		}
		if err := tx.DeleteItem(account, identity.DeviceItem, "a"); err != nil {
			return err
		}
		all, err := tx.Items(account, identity.DeviceItem)
		if d := cmp.Diff([]identity.Item{item("b", "U1", []byte("secret")), item("c", "U2", []byte("later"))}, all); d != "" || err != nil {
			t.Errorf("Items (-want +got):\n%s%v", d, err)
		}
		return tx.DeleteItem(account, identity.DeviceItem, "a")
	})
}

func TestIdentityUsage(t *testing.T) {
	s := openIdentity(t)
	use := func(action string, ms int64, region cloud.Region) identity.Usage {
		return identity.Usage{Subject: "U1", Service: "kms", Action: action, Time: time.UnixMilli(ms).UTC(), Region: region}
	}
	update(t, s, func(tx identity.Tx) error {
		for _, u := range []identity.Usage{use("Encrypt", 5, "eu-west-1"), use("Decrypt", 7, "eu-west-1"), use("Encrypt", 4, "us-east-1"), use("Decrypt", 8, "us-east-1")} {
			if err := tx.PutUsage(u); err != nil {
				return err
			}
		}
		return tx.AddEntity(user("U1", "ann", "/"))
	})
	update(t, s, func(tx identity.Tx) error {
		all, err := tx.Usages("U1")
		if d := cmp.Diff([]identity.Usage{use("Decrypt", 8, "us-east-1"), use("Encrypt", 5, "eu-west-1")}, all); d != "" || err != nil {
			t.Errorf("Usages (-want +got):\n%s%v", d, err)
		}
		return tx.DeleteEntity("U1")
	})
	update(t, s, func(tx identity.Tx) error {
		if all, err := tx.Usages("U1"); len(all) > 0 || err != nil {
			t.Errorf("Usages of who was deleted: %v, %v", all, err)
		}
		return nil
	})
}
