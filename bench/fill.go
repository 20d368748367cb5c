package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"golang.org/x/sync/errgroup"

	"borealis/e2e/local"
	"borealis/internal/clusters"
	"borealis/internal/store"
)

// fill makes a data directory with n keys, all made through the API, and n
// snapshots: one real, and copies of its rows and of its volume's manifest under
// other names. It returns a request about the last key that was made.
func (b *bench) fill(ctx context.Context, name string, n int) (func(url string) (*http.Request, error), error) {
	s, root, err := b.server(ctx, name)
	if err != nil {
		return nil, err
	}
	keyID, err := fillRunning(ctx, s, root, n)
	if err := errors.Join(err, s.Stop()); err != nil {
		return nil, err
	}
	if err := multiplySnapshot(ctx, s.Data(), n); err != nil {
		return nil, fmt.Errorf("multiply snapshot: %w", err)
	}
	return func(url string) (*http.Request, error) {
		return kmsRequest(ctx, root, url, "DescribeKey", map[string]string{"KeyId": keyID})
	}, nil
}

func fillRunning(ctx context.Context, s *local.Server, root local.AccessKey, n int) (keyID string, err error) {
	cfg, err := s.Config(ctx, root.AccessKeyID, root.SecretAccessKey, "")
	if err != nil {
		return "", err
	}
	db := newDatabases(cfg)
	if _, err := db.create(ctx, "seed", ""); err != nil {
		return "", err
	}
	if _, err := db.snapshot(ctx, "seed", "seed"); err != nil {
		return "", err
	}
	if err := db.delete(ctx, "seed"); err != nil {
		return "", err
	}
	return createKeys(ctx, cfg, n)
}

// createKeys makes n keys with tags, and an alias for every other; it returns
// the id of one.
func createKeys(ctx context.Context, cfg aws.Config, n int) (string, error) {
	c := kms.NewFromConfig(cfg)
	ids := make([]string, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range n {
		g.Go(func() error {
			out, err := c.CreateKey(ctx, &kms.CreateKeyInput{
				Description: new(fmt.Sprintf("key %d of many", i)),
				Tags:        []types.Tag{{TagKey: new("number"), TagValue: new(fmt.Sprint(i))}, {TagKey: new("team"), TagValue: new("databases")}},
			})
			if err != nil {
				return err
			}
			ids[i] = *out.KeyMetadata.KeyId
			if i%2 == 1 {
				return nil
			}
			_, err = c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: new(fmt.Sprintf("alias/number-%d", i)), TargetKeyId: &ids[i]})
			return err
		})
	}
	err := g.Wait()
	return ids[n-1], err
}

// multiplySnapshot copies the one snapshot of a data directory until there are n.
func multiplySnapshot(ctx context.Context, data string, n int) error {
	db, err := store.Open(ctx, filepath.Join(data, "borealis.db"))
	if err != nil {
		return err
	}
	manifests, err := filepath.Glob(filepath.Join(data, "volumes", "volumes", "*"))
	if err == nil && len(manifests) != 1 {
		err = fmt.Errorf("%d manifests in %s, want one", len(manifests), data)
	}
	if err != nil {
		return errors.Join(err, db.Close())
	}
	manifest, err := os.ReadFile(manifests[0])
	if err != nil {
		return errors.Join(err, db.Close())
	}
	err = db.Clusters().Update(ctx, func(tx clusters.Tx) error {
		all, err := tx.Snapshots().All()
		if err != nil {
			return err
		}
		for i := 1; i < n; i++ {
			s := all[0]
			s.Ident = clusters.Ident{ID: fmt.Sprintf("snapshot-%04d", i), Account: s.Account, Region: s.Region, Name: fmt.Sprintf("seed-%04d", i)}
			volume := fmt.Sprintf("vol-%04d", i)
			file := strings.Replace(manifests[0], s.VolumeID, volume, 1)
			s.VolumeID = volume
			s.Shared = []string{fmt.Sprintf("%012d", 222200000000+i%20)}
			if err := errors.Join(os.WriteFile(file, manifest, 0o600), tx.Snapshots().Put(s)); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, db.Close())
}
