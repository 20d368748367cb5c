package e2e

import (
	"context"
	"io"
	"os/exec"
	"testing"

	"borealis/e2e/local"
	"borealis/e2e/story"
)

// narrator tells the story to a test's log.
type narrator struct{ t *testing.T }

func (n narrator) Chapter(title string) { n.t.Logf("-- %s", title) }
func (n narrator) Did(who, what string) { n.t.Logf("%s %s", who, what) }
func (n narrator) Runs(command string) io.Writer {
	n.t.Logf("$ %s", command)
	return n.t.Output()
}
func (n narrator) Refused(who, what, code, message string) {
	n.t.Logf("%s cannot %s: %s: %s", who, what, code, message)
}

// TestStorySDK is the main job, end to end, with the AWS SDK for Go.
func TestStorySDK(t *testing.T) {
	s := newServer(t)
	tell(t, s, func(_, id, secret string) (story.Driver, error) {
		cfg, err := s.Config(t.Context(), id, secret, "")
		return story.NewSDK(cfg), err
	})
}

// TestStoryCLI is the same with the AWS CLI.
func TestStoryCLI(t *testing.T) {
	if _, err := exec.LookPath("aws"); err != nil {
		t.Skip("SKIPPED: the aws command is not on PATH, so the story is not told with the AWS CLI")
	}
	s := newServer(t)
	tell(t, s, func(_, id, secret string) (story.Driver, error) {
		return &story.CLI{Endpoint: s.Endpoint, Env: append(s.Env(),
			"AWS_ACCESS_KEY_ID="+id, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION="+local.Region, "AWS_MAX_ATTEMPTS=1")}, nil
	})
}

func tell(t *testing.T, s *local.Server, as func(profile, id, secret string) (story.Driver, error)) {
	st := &story.Story{
		Narrator: narrator{t},
		Borealis: func(ctx context.Context, show io.Writer, args ...string) error {
			_, err := s.Run(ctx, show, args...)
			return err
		},
		As: func(profile, id, secret string) (story.Driver, error) {
			if err := s.AddProfile(profile, id, secret); err != nil {
				return nil, err
			}
			return as(profile, id, secret)
		},
		Source:   account(t, s, "111122223333", "production", as),
		Target:   account(t, s, "444455556666", "backup", as),
		Stranger: account(t, s, "777788889999", "stranger", as),
	}
	if err := st.Tell(t.Context()); err != nil {
		t.Fatal(err)
	}
}
