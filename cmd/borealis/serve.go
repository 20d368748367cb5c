package main

import (
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"borealis/internal/server"
	"borealis/internal/xks"
)

const serveHelp = `Serve a self-hosted cloud: IAM, STS, KMS and RDS for Aurora PostgreSQL, for any number
of accounts and in every Region, at one address.

Once it answers it prints its address on standard output; its log goes to standard
error. SIGTERM or SIGINT stop it and the PostgreSQL servers that it runs; after that,
or after a crash, the next start goes on where it was.

The root key seals every secret in the data directory. Keep a copy of it apart from
copies of the data: whoever has both can read everything, and without it nobody can
read anything. "borealis seal" shows how it is kept, and replaces it.

Snapshots are kept in the data directory, or in a bucket of any S3 server:

  --volumes "s3://BUCKET/PREFIX?endpoint=URL&region=REGION&path-style=true&profile=NAME"

Everything after the prefix may be left out; credentials and settings are then found like
those of the AWS CLI. The place is remembered, belongs to this data directory for ever, and
is used by one server at a time.

Accounts are made with "borealis account create", or, with access keys chosen
beforehand, from a bootstrap file:

  {"accounts": [{"id": "111122223333", "name": "prod",
    "access_key_id": "AKIA and 16 capitals or digits", "secret_access_key": "40 characters"}]}`

// Bounds of what is kept of the audit log and of snapshots beside S3, and of
// settings in MiB.
const (
	maxVolumesCache = 64 << 20 // MiB
	maxAuditSize    = 64 << 10 // MiB
	maxAuditKeep    = 10_000
	// maxReadRate is more than any disk gives.
	maxReadRate = 1 << 20 // MiB a second
)

func newServe() *cobra.Command {
	var cfg server.Config
	var verbose bool
	var auditSize, readRate, volumesCache, scrubRate int64
	var passphraseFile string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve a self-hosted cloud with AWS's APIs",
		Long:  serveHelp,
		Example: `  borealis serve --init --data /var/lib/borealis --root-key /etc/borealis/root.key
  borealis account create --name prod --profile prod
  aws --profile prod rds describe-db-clusters`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if auditSize < 1 || auditSize > maxAuditSize || cfg.AuditKeep < 1 || cfg.AuditKeep > maxAuditKeep {
				return usageErrorf("--audit-size is 1 to %d, and --audit-keep 1 to %d", maxAuditSize, maxAuditKeep)
			}
			cfg.AuditSize = auditSize << 20
			if readRate < 0 || readRate > maxReadRate {
				return usageErrorf("--snapshot-read-rate is 0 for no bound, or 1 to %d", maxReadRate)
			}
			cfg.SnapshotReadRate = readRate << 20
			if volumesCache < 0 || volumesCache > maxVolumesCache {
				return usageErrorf("--volumes-cache is 0 to %d", maxVolumesCache)
			}
			cfg.VolumesCache = volumesCache << 20
			if scrubRate < 0 || scrubRate > maxReadRate || cfg.ScrubEvery < 0 {
				return usageErrorf("--scrub-rate is 0 to %d, and --scrub-every is not negative", maxReadRate)
			}
			cfg.ScrubRate = scrubRate << 20
			if !(cfg.KMSRequestRate >= 0) || math.IsInf(cfg.KMSRequestRate, 0) {
				return fmt.Errorf("--kms-request-rate %v: give a number that is not negative, such as 1 for AWS's own quotas", cfg.KMSRequestRate)
			}
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			cfg.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			cfg.Passphrase = passphrase(c, passphraseFile, passphraseFlag)
			return server.Serve(c.Context(), cfg, func(url string) { fmt.Fprintf(c.OutOrStdout(), "serving %s\n", url) })
		},
	}
	fl := c.Flags()
	fl.SortFlags = false // they come in the order in which one needs them
	fl.BoolVar(&cfg.Init, "init", false, "make the data directory and the root key if they do not exist")
	fl.StringVar(&cfg.Listen, "listen", server.DefaultListen, "`ADDRESS` to serve on; port 0 for any free one")
	fl.StringVar(&cfg.Data, "data", defaultData(), "`DIR` of all data; the root key is kept elsewhere")
	fl.StringVar(&cfg.RootKey, "root-key", defaultRootKey(), "`FILE` of the root key, kept outside the data directory")
	fl.StringVar(&cfg.RootKeyWrap, "root-key-wrap", "none", "how a root key that --init makes is kept: none, passphrase, or by the `KEY` of an upstream KMS (its ARN) or of a PKCS#11 token (its URI); see borealis seal rotate --help")
	fl.StringVar(&cfg.RootKeyEndpoint, "root-key-endpoint", "", "`URL` of that KMS (default: AWS's)")
	fl.StringVar(&passphraseFile, strings.TrimPrefix(passphraseFlag, "--"), "", "`FILE` of the root key's passphrase, if it has one (default: $"+passphraseEnv+", or ask at the terminal)")
	fl.StringVar(&cfg.Volumes, "volumes", "", "`URL` of the place in S3 where snapshots are kept (see above; default: in the data directory, or where they were put before)")
	fl.Int64Var(&volumesCache, "volumes-cache", server.DefaultVolumesCache>>20, "`MIB` of snapshots in S3 to keep in the data directory, too")
	fl.DurationVar(&cfg.ScrubEvery, "scrub-every", 7*24*time.Hour, "`TIME` after which all snapshots are looked at again for what disks have lost; 0 never does")
	fl.Int64Var(&scrubRate, "scrub-rate", 16, "`MIB` a second to read for that at most; 0 for no limit")
	fl.StringVar(&cfg.Metrics, "metrics", "", "`ADDRESS` to serve metrics for Prometheus on, beside the operator's socket (default: none)")
	fl.StringVar(&cfg.Bootstrap, "bootstrap", "", "JSON `FILE` of accounts to make if they do not exist (see above)")
	fl.StringVar(&cfg.EngineHost, "engine-host", "127.0.0.1", "`ADDRESS` that PostgreSQL servers listen on and endpoints name")
	fl.StringVar(&cfg.EngineUser, "engine-user", "", "`USER` that PostgreSQL servers run as when borealis is root (default postgres, else nobody)")
	fl.StringVar(&cfg.PostgresBin, "postgres-bin", "", "`DIR` of the PostgreSQL programs to use (default: all versions that the system has)")
	fl.BoolVar(&cfg.LateShareRefusal, "late-share-refusal", false, "let a snapshot under aws/rds be shared and refuse only its copy, as AWS was seen to do in 2019")
	fl.Int64Var(&auditSize, "audit-size", server.DefaultAuditSize>>20, "`MIB` of the audit log in a file")
	fl.IntVar(&cfg.AuditKeep, "audit-keep", server.DefaultAuditKeep, "`NUMBER` of older files of the audit log to keep")
	fl.StringVar(&cfg.AttestationRoot, "attestation-root", "", "PEM `FILE` of the certificates that vouch for attestation documents of Nitro enclaves (default: none is trusted)")
	fl.StringToStringVar(&cfg.XksProxies, "xks-proxy", nil, "`HOST=ADDRESS:PORT` of an external key store proxy that is not at port 443 of a public address")
	fl.Lookup("xks-proxy").DefValue = "" // help says nothing of it
	fl.StringVar(&cfg.XksCA, "xks-ca", "", "`FILE` of the certificates that vouch for external key store proxies (default: the system's)")
	fl.StringToStringVar(&cfg.OIDCIssuers, "oidc-issuer", nil, "`HOST=ADDRESS:PORT` of an OpenID Connect provider that is not at port 443 of a public address")
	fl.Lookup("oidc-issuer").DefValue = "" // help says nothing of it
	fl.StringVar(&cfg.OIDCCA, "oidc-ca", "", "`FILE` of the certificates that vouch for OpenID Connect providers (default: the system's)")
	fl.BoolVar(&cfg.EncodedDenials, "encoded-denials", false, "put a message into denials that DecodeAuthorizationMessage decodes")
	fl.DurationVar(&cfg.XksTimeout, "xks-timeout", xks.Timeout, "`TIME` that an external key store proxy has for one answer")
	fl.StringVar(&cfg.HSMModule, "hsm-module", "", "PKCS#11 module, a shared library `FILE`, of CloudHSM key stores (needs a build with -tags pkcs11)")
	fl.Float64Var(&cfg.KMSRequestRate, "kms-request-rate", 0, "throttle requests to KMS at `FACTOR` times AWS's quotas; 0 does not, 1 does as AWS")
	fl.Int64Var(&readRate, "snapshot-read-rate", 0, "`MIB` that a snapshot reads of a running cluster in a second at most; 0 for no bound")
	fl.BoolVarP(&verbose, "verbose", "v", false, "log every request")
	return c
}

// defaultData is /var/lib/borealis for root, whose home the PostgreSQL user could
// not enter, and a directory of the user's own for others.
func defaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/borealis"
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "borealis")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "borealis-data"
	}
	return filepath.Join(home, ".local", "share", "borealis")
}

func defaultRootKey() string {
	if os.Geteuid() == 0 {
		return "/etc/borealis/root.key"
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "borealis-root.key"
	}
	return filepath.Join(dir, "borealis", "root.key")
}
