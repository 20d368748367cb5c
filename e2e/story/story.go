// Package story is what Borealis exists for, told once and used twice: as the
// demo and as the end-to-end test. Everything in it goes through the public API,
// the borealis command and real PostgreSQL clients.
package story

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// A Narrator is told what happens.
type Narrator interface {
	Chapter(title string)
	// Did says that who did something, and what came of it.
	Did(who, what string)
	// Refused says that who tried something, and the answer.
	Refused(who, what, code, message string)
	// Runs shows a command line. What it prints goes to the Writer.
	Runs(command string) io.Writer
}

// A Story happens on one server, between three accounts.
type Story struct {
	Narrator
	// Borealis runs the borealis command with args, and shows what it prints.
	Borealis func(ctx context.Context, show io.Writer, args ...string) error
	// As makes a Driver for an access key. profile is a name for it that the
	// borealis command and the aws command know from then on.
	As func(profile, accessKeyID, secret string) (Driver, error)
	// Source, Target and Stranger are the accounts.
	Source, Target, Stranger Account

	ann, bob, eve Person // administrators of their accounts
	audrey, ben   Person // may only look, in the source and in the target account
	password      string
	orders        database
	copied        database // what account B has in the end
	checksum      string
	sharedKey     string // ARN of the key that borealis share makes
	byHand        handMade
}

// An Account is an account with its root user's driver.
type Account struct {
	ID   string
	Root Driver
}

// A Person is an IAM user of one of the accounts.
type Person struct {
	Name    string
	Profile string
	Driver
}

// A database is where a cluster can be reached.
type database struct {
	host string
	port int32
}

func (d database) String() string {
	return fmt.Sprintf("host=%s port=%d user=shopkeeper dbname=shop sslmode=require", d.host, d.port)
}

const (
	region = "us-east-1"
	rows   = 100_000
)

// Tell tells the whole story. It fails at the first thing that does not go as it
// should, be it a success that should have been a refusal.
func (s *Story) Tell(ctx context.Context) error {
	s.password = rand.Text()
	for _, chapter := range []struct {
		title string
		tell  func(context.Context) error
	}{
		{"Two accounts, and a stranger's", s.people},
		{"Account A has an encrypted database", s.database},
		{"Its snapshot cannot be shared: it is under the account's default key", s.snapshot},
		{"By hand it goes wrong in many ways", s.byHandChapter},
		{"borealis share does it in one command", s.share},
		{"Account B has the same rows", s.compare},
		{"Account B depends on account A for nothing", s.independence},
	} {
		s.Chapter(chapter.title)
		if err := chapter.tell(ctx); err != nil {
			return fmt.Errorf("%s: %w", chapter.title, err)
		}
	}
	return nil
}

// people makes an administrator in each account, and in A and B someone who may
// only look.
func (s *Story) people(ctx context.Context) (err error) {
	const admin = "arn:aws:iam::aws:policy/AdministratorAccess"
	administers := right{"administers", func(user string) any { return &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: new(admin)} }}
	looks := right{"may only look at the databases of", func(user string) any {
		return &iam.PutUserPolicyInput{UserName: &user, PolicyName: new("look"), PolicyDocument: new(`{"Version":"2012-10-17",
			"Statement":{"Effect":"Allow","Action":["rds:Describe*","rds:ListTagsForResource"],"Resource":"*"}}`)}
	}}
	for _, p := range []struct {
		into           *Person
		name, profile  string
		may            right
		letter, number string
		root           Driver
	}{
		{&s.ann, "ann", "prod", administers, "A", s.Source.ID, s.Source.Root},
		{&s.audrey, "audrey", "prod-auditor", looks, "A", s.Source.ID, s.Source.Root},
		{&s.bob, "bob", "backup", administers, "B", s.Target.ID, s.Target.Root},
		{&s.ben, "ben", "backup-auditor", looks, "B", s.Target.ID, s.Target.Root},
		{&s.eve, "eve", "stranger", administers, "C", s.Stranger.ID, s.Stranger.Root},
	} {
		if *p.into, err = s.person(ctx, p.root, p.name, p.profile, p.may.give); err != nil {
			return err
		}
		s.Did(p.into.Name, fmt.Sprintf("%s account %s, %s (profile %s)", p.may.verb, p.letter, p.number, p.profile))
	}
	return nil
}

// A right is what a user may do, and the input that lets the user do it.
type right struct {
	verb string
	give func(user string) any
}

// person makes an IAM user with an access key and what permit gives it.
func (s *Story) person(ctx context.Context, root Driver, name, profile string, permit func(user string) any) (Person, error) {
	if _, err := call[iam.CreateUserOutput](ctx, root, &iam.CreateUserInput{UserName: &name}); err != nil {
		return Person{}, err
	}
	if err := root.Call(ctx, permit(name), outputFor(permit(name))); err != nil {
		return Person{}, err
	}
	key, err := call[iam.CreateAccessKeyOutput](ctx, root, &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		return Person{}, err
	}
	d, err := s.As(profile, *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey)
	if err != nil {
		return Person{}, err
	}
	return Person{Name: strings.ToUpper(name[:1]) + name[1:], Profile: profile, Driver: d}, nil
}

// outputFor makes the output struct of the operations that permit may use.
func outputFor(in any) any {
	if _, ok := in.(*iam.PutUserPolicyInput); ok {
		return new(iam.PutUserPolicyOutput)
	}
	return new(iam.AttachUserPolicyOutput)
}

// refused is for what must not work: it wants err to carry code, and to contain
// every one of words.
func (s *Story) refused(who Person, what string, err error, code string, words ...string) error {
	if err == nil {
		return fmt.Errorf("%s could %s, which should have been refused with %s", who.Name, what, code)
	}
	got, message := refusal(err)
	if got != code {
		return fmt.Errorf("%s, trying to %s: want %s, got %w", who.Name, what, code, err)
	}
	for _, w := range words {
		if !strings.Contains(message, w) {
			return fmt.Errorf("%s, trying to %s: %s does not say %q: %w", who.Name, what, code, w, err)
		}
	}
	s.Refused(who.Name, what, got, message)
	return nil
}

// until calls look, ever more seldom, until it says that it is done.
func until(ctx context.Context, look func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, fmt.Errorf("it takes too long"))
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(wait*2, time.Second) {
		if done, err := look(); done || err != nil {
			return err
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		case <-t.C:
		}
	}
}

// snapshotAvailable waits for a snapshot.
func snapshotAvailable(ctx context.Context, who Person, id string) error {
	return until(ctx, func() (bool, error) {
		out, err := call[rds.DescribeDBClusterSnapshotsOutput](ctx, who, &rds.DescribeDBClusterSnapshotsInput{DBClusterSnapshotIdentifier: &id})
		if err != nil {
			return false, err
		}
		return available("snapshot "+id, *out.DBClusterSnapshots[0].Status)
	})
}

// available says whether a status is the one that is waited for; some are never
// followed by it.
func available(what, status string) (bool, error) {
	switch status {
	case "available":
		return true, nil
	case "failed", "inaccessible-encryption-credentials-recoverable", "incompatible-restore":
		return false, fmt.Errorf("%s is %s; the server's log says why", what, status)
	}
	return false, nil
}
