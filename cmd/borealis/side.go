package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/spf13/cobra"

	"borealis/share"
)

// sideFlags say how to reach one of the two accounts. A saved plan has them too:
// they hold no secrets.
type sideFlags struct {
	Profile    string `json:"profile,omitempty"`
	Role       string `json:"role_arn,omitempty"`
	ExternalID string `json:"external_id,omitempty"`
	Endpoint   string `json:"endpoint_url,omitempty"`
}

// pairFlags are the two accounts.
type pairFlags struct {
	source, target sideFlags
	region         string
}

// define adds the flags to a command.
func (f *pairFlags) define(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.source.Profile, "source-profile", "", "AWS profile `NAME` for the account that owns the snapshot (default: the environment's credentials)")
	fl.StringVar(&f.target.Profile, "target-profile", "", "AWS profile `NAME` for the account it is shared with (default: the environment's credentials)")
	fl.StringVar(&f.region, "region", "", "`REGION` of both sides (default: each profile's)")
	for _, flag := range []string{"source-profile", "target-profile"} {
		must(c.RegisterFlagCompletionFunc(flag, completeProfiles))
	}
}

// defineMore adds the flags that few need.
func (f *pairFlags) defineMore(c *cobra.Command) {
	fl := c.Flags()
	for _, s := range []struct {
		name string
		*sideFlags
	}{{"source", &f.source}, {"target", &f.target}} {
		fl.StringVar(&s.Role, s.name+"-role-arn", "", "`ARN` of a role to assume in the "+s.name+" account, with the profile's credentials")
		fl.StringVar(&s.ExternalID, s.name+"-external-id", "", "`ID` that the role wants to be told")
		fl.StringVar(&s.Endpoint, s.name+"-endpoint-url", "", "`URL` of the "+s.name+" account's services (default: the profile's, or AWS's)")
	}
}

// check refuses flags that cannot mean two accounts.
func (f *pairFlags) check() error {
	if f.source == f.target {
		return usageErrorf("name the two accounts with --source-profile and --target-profile")
	}
	for name, s := range map[string]sideFlags{"source": f.source, "target": f.target} {
		if s.ExternalID != "" && s.Role == "" {
			return usageErrorf("--%s-external-id needs --%[1]s-role-arn", name)
		}
	}
	return nil
}

// workflow asks who we are on both sides.
func (f *pairFlags) workflow(ctx context.Context, in io.Reader, errOut io.Writer) (*share.Workflow, error) {
	source, err := f.source.side(ctx, "source", f.region, in, errOut)
	if err != nil {
		return nil, err
	}
	target, err := f.target.side(ctx, "target", f.region, in, errOut)
	if err != nil {
		return nil, err
	}
	return &share.Workflow{Source: source, Target: target}, nil
}

// side makes one of the two sides from its flags, and asks who we are there.
func (s sideFlags) side(ctx context.Context, name, region string, in io.Reader, errOut io.Writer) (share.Side, error) {
	cfg, err := config.LoadDefaultConfig(ctx, s.options(ctx, name, region, in, errOut)...)
	if err != nil {
		return share.Side{}, fmt.Errorf("%s account: %w", name, errors.Join(err, errCredentials))
	}
	if cfg.Region == "" {
		return share.Side{}, usageErrorf("%s account: no Region: use --region, or set one in the profile", name)
	}
	if s.Role != "" {
		cfg.Credentials = stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), s.Role, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = "borealis"
			if s.ExternalID != "" {
				o.ExternalID = &s.ExternalID
			}
		})
	}
	cfg.Credentials = aws.NewCredentialsCache(markedCredentials{cfg.Credentials})
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return share.Side{}, fmt.Errorf("%s account: %w", name, err)
	}
	side, err := share.NewSide(ctx, cfg)
	if err != nil {
		return share.Side{}, fmt.Errorf("%s account: %w", name, err)
	}
	return side, nil
}

func (s sideFlags) options(ctx context.Context, name, region string, in io.Reader, errOut io.Writer) []func(*config.LoadOptions) error {
	opts := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return retry.NewAdaptiveMode() }),
	}
	if s.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(s.Profile))
	}
	if region != "" {
		opts = append(opts, config.WithRegion(region))
	}
	if s.Endpoint != "" {
		opts = append(opts, config.WithBaseEndpoint(s.Endpoint))
	}
	if isTerminal(in) {
		opts = append(opts, config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) {
			o.TokenProvider = func() (string, error) {
				fmt.Fprintf(errOut, "MFA code for the %s account: ", name)
				return readLine(ctx, in)
			}
		}))
	}
	return opts
}

// markedCredentials marks the failures of a provider, so that a session that
// ends in the middle of a long run is known for what it is.
type markedCredentials struct{ aws.CredentialsProvider }

func (m markedCredentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := m.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		err = fmt.Errorf("%w: %w", errCredentials, err)
	}
	return c, err
}

// readLine reads a line, and no more than that. Cancelling ctx ends the waiting,
// though not the reading: the process is about to end then.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		var line []byte
		b := make([]byte, 1)
		for {
			n, err := in.Read(b)
			if n == 1 && b[0] != '\n' {
				line = append(line, b[0])
			}
			if n == 1 && b[0] == '\n' || errors.Is(err, io.EOF) {
				read <- answer{line: strings.TrimSpace(string(line))}
				return
			}
			if err != nil {
				read <- answer{err: err}
				return
			}
		}
	}()
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case a := <-read:
		return a.line, a.err
	}
}

// completeProfiles offers the profiles of the AWS configuration files.
func completeProfiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	files := awsFiles()
	for _, path := range []string{files.config, files.credentials} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // there is nothing to offer, and nowhere to complain
		}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") && !strings.HasPrefix(line, "[sso-session ") && !strings.HasPrefix(line, "[services ") {
				names = append(names, strings.TrimSpace(strings.TrimPrefix(strings.Trim(line, "[]"), "profile ")))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), cobra.ShellCompDirectiveNoFileComp
}
