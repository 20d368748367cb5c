package main

import (
	"context"
	"errors"
	"time"
)

// benchShare times the borealis command from the snapshot of one account to the
// database of another.
func benchShare(ctx context.Context, b *bench) (err error) {
	s, root, err := b.server(ctx, "share")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if _, err := s.CreateAccount(ctx, "444455556666", "target", "target"); err != nil {
		return err
	}
	cfg, err := s.Config(ctx, root.AccessKeyID, root.SecretAccessKey, "")
	if err != nil {
		return err
	}
	db := newDatabases(cfg)
	if _, err := db.create(ctx, "orders", ""); err != nil {
		return err
	}
	if _, err := db.snapshot(ctx, "orders", "nightly"); err != nil {
		return err
	}
	began := time.Now()
	_, err = s.Run(ctx, nil, "share", "nightly", "--yes", "--source-profile", "source", "--target-profile", "target",
		"--target-key", "alias/aws/rds", "--restore-cluster", "copy")
	if err != nil {
		return err
	}
	b.say("borealis share of an empty database, with restored cluster and instance", milliseconds(time.Since(began)), "ms")
	return nil
}
