package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"
	_ "modernc.org/sqlite" // to look into the server's database

	"borealis/e2e/local"
)

// killPasses is how many times the main job is done with a kill at every step
// of it. BOREALIS_KILL_PASSES sets another number.
const killPasses = 2

// A step is a part of the main job: a call, and what it promises.
type step struct {
	name string
	do   func(context.Context) error
	// repeatable says that do may be called again, without regard to there.
	repeatable bool
	// there is the status of what the call is about, "" if there is no such thing;
	// and want the one that it ends with.
	there func() string
	want  string
	// after is what the main job does next, beside the API.
	after func()
}

// TestKilled kills the server with signal 9 at every step of the main job, in
// each pass at another moment: as soon as it has answered, before that, and in
// the middle of the job. The next server finishes what was promised, or began
// never, and leaves nothing behind.
func TestKilled(t *testing.T) {
	s := newServer(t)
	k := &killer{t: t, s: s, ann: root(t, s, accountA), bob: root(t, s, accountB), took: map[string]time.Duration{}}
	passes := killPasses
	if n, err := strconv.Atoi(os.Getenv("BOREALIS_KILL_PASSES")); err == nil {
		passes = n
	}
	seed := uint64(time.Now().UnixNano())
	k.random = rand.New(rand.NewPCG(seed, seed))
	t.Logf("seed %d", seed)
	k.pass(0, func(step) time.Duration { return -1 }) // to learn how long things take
	for n := 1; n <= passes; n++ {
		k.pass(n, func(st step) time.Duration {
			if n == 1 {
				return 0 // as soon as it is answered
			}
			return 1 + time.Duration(k.random.Float64()*float64(k.took[st.name]))
		})
	}
	t.Logf("%d kills", k.kills)
	k.nothingLeft()
}

// A killer does the main job on a server and kills that.
type killer struct {
	t        *testing.T
	s        *local.Server
	ann, bob *person
	random   *rand.Rand
	kills    int
	took     map[string]time.Duration // each step, with its job, undisturbed

	sum string // of the data
	key string // ARN of the customer managed key
}

const (
	firstPassword  = "first-password"
	secondPassword = "second-password"
)

// steps is the main job, in names of their own for each pass.
func (k *killer) steps(n int) []step {
	name := func(s string) string { return fmt.Sprintf("%s-%d", s, n) }
	orders, nightly, shared, copied, restored, last := name("orders"), name("nightly"), name("shared"), name("copied"), name("restored"), name("last")
	status := func(p *person, kind, name string) func() string {
		return func() string { return p.statusOf(kind, name) }
	}
	arn := "arn:aws:rds:" + local.Region + ":" + accountA + ":cluster-snapshot:" + shared
	ann, bob := k.ann, k.bob
	return []step{
		{name: "create cluster", want: "available", there: status(ann, "cluster", orders),
			do: func(ctx context.Context) error { return ann.createCluster(ctx, orders, firstPassword) }},
		{name: "create instance", want: "available", there: status(ann, "instance", orders+"-1"),
			do:    func(ctx context.Context) error { return ann.createInstance(ctx, orders) },
			after: func() { k.sum = ann.fill(orders, firstPassword, 20_000) }},
		{name: "take snapshot", want: "available", there: status(ann, "snapshot", nightly),
			do: func(ctx context.Context) error { return ann.take(ctx, nightly, orders) }},
		{name: "create key", repeatable: true, do: func(ctx context.Context) error { return k.createKey(ctx, name("alias/shared")) }},
		{name: "copy", want: "available", there: status(ann, "snapshot", shared),
			do: func(ctx context.Context) error { return ann.copy(ctx, nightly, shared, name("alias/shared")) }},
		{name: "share", repeatable: true, do: func(ctx context.Context) error { return ann.share(ctx, shared, accountB) }},
		{name: "copy in the other account", want: "available", there: status(bob, "snapshot", copied),
			do: func(ctx context.Context) error { return bob.copy(ctx, arn, copied, "alias/aws/rds") }},
		{name: "restore", want: "available", there: status(bob, "cluster", restored),
			do: func(ctx context.Context) error { return bob.restore(ctx, copied, restored, "") }},
		{name: "create the final instance", want: "available", there: status(bob, "instance", restored+"-1"),
			do:    func(ctx context.Context) error { return bob.createInstance(ctx, restored) },
			after: func() { k.same(bob, restored, firstPassword) }},
		{name: "set password", repeatable: true, want: "available", there: status(bob, "cluster", restored),
			do: func(ctx context.Context) error { return bob.setPassword(ctx, restored, secondPassword) },
			after: func() {
				k.same(bob, restored, secondPassword)
				if _, err := bob.sql(restored, firstPassword, "SELECT 'x'"); err == nil {
					k.t.Errorf("the old password still works")
				}
			}},
		{name: "delete instance", there: status(bob, "instance", restored+"-1"),
			do: func(ctx context.Context) error { return bob.deleteInstance(ctx, restored) }},
		{name: "delete cluster", there: status(bob, "cluster", restored),
			do:    func(ctx context.Context) error { return bob.deleteCluster(ctx, restored, last) },
			after: func() { bob.available("snapshot", last) }},
		{name: "delete snapshot", there: status(bob, "snapshot", copied),
			do: func(ctx context.Context) error { return bob.deleteSnapshot(ctx, copied) }},
	}
}

// createKey makes the customer managed key and lets account B use it. What an
// earlier try has made stays.
func (k *killer) createKey(ctx context.Context, alias string) error {
	c := k.ann.kms()
	if d, err := c.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &alias}); err == nil {
		k.key = *d.KeyMetadata.Arn
		return nil
	}
	out, err := c.CreateKey(ctx, &kms.CreateKeyInput{Policy: new(document(
		`{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::` + accountA + `:root","arn:aws:iam::` + accountB + `:root"]},"Action":"kms:*","Resource":"*"}`))})
	if err != nil {
		return err
	}
	k.key = *out.KeyMetadata.Arn
	_, err = c.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: &alias, TargetKeyId: out.KeyMetadata.KeyId})
	return err
}

// same wants the data to be the same as ever.
func (k *killer) same(p *person, cluster, password string) {
	k.t.Helper()
	if sum := p.sum(cluster, password); sum != k.sum {
		k.t.Errorf("%s has %s, not %s", cluster, sum, k.sum)
	}
}

// pass does the main job once. when says how long after a step's beginning the
// server is killed; 0 is when it has answered, and a negative one never.
func (k *killer) pass(n int, when func(step) time.Duration) {
	for _, st := range k.steps(n) {
		began := time.Now()
		after := when(st)
		promised := k.attempt(st, after)
		if after >= 0 {
			k.restart(n)
			k.settle()
			if !promised && (st.repeatable || (st.there() == "") != (st.want == "")) {
				k.attempt(st, -1) // it never began, or nobody can tell
			}
		}
		k.settle()
		if st.there != nil {
			if got := st.there(); got != st.want {
				k.t.Errorf("pass %d: %s: ended as %q, not %q", n, st.name, got, st.want)
			}
		}
		if after < 0 {
			k.took[st.name] = time.Since(began)
		}
		if st.after != nil {
			st.after()
		}
		k.clean(fmt.Sprintf("pass %d: %s, killed after %s", n, st.name, after))
		if k.t.Failed() {
			k.t.FailNow()
		}
	}
	k.cleanUp(n)
}

// attempt does a step, kills the server as when says, and reports whether the
// step was answered.
func (k *killer) attempt(st step, when time.Duration) bool {
	k.t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- st.do(k.t.Context()) }()
	if when > 0 {
		pause(k.t.Context(), when)
		k.s.Kill()
	}
	err := <-answer
	if when == 0 {
		k.s.Kill()
	}
	if _, refusal := errors.AsType[smithy.APIError](err); refusal || err != nil && when <= 0 {
		k.t.Fatalf("%s: %v", st.name, err)
	}
	return err == nil
}

// restart starts the server again; every other time it is killed once more, at
// some moment while it is starting or finishing what the one before left.
func (k *killer) restart(n int) {
	k.t.Helper()
	k.kills++
	if n > 1 && k.random.IntN(2) == 0 {
		k.kills++
		start(k.t, k.s)
		pause(k.t.Context(), time.Duration(k.random.Int64N(int64(300*time.Millisecond))))
		k.s.Kill()
	}
	start(k.t, k.s)
}

// settle waits until nothing is on the way anywhere, in rows or on disk.
func (k *killer) settle() {
	k.t.Helper()
	k.ann.settled()
	k.bob.settled()
	until(k.t, "operations to end", func() string { return query(k.t, k.s, "SELECT body FROM operations") })
}

// cleanUp deletes what a pass has made.
func (k *killer) cleanUp(n int) {
	name := func(s string) string { return fmt.Sprintf("%s-%d", s, n) }
	ctx := k.t.Context()
	k.ann.must("delete instance", k.ann.deleteInstance(ctx, name("orders")))
	k.ann.gone("instance", name("orders")+"-1")
	k.ann.must("delete cluster", k.ann.deleteCluster(ctx, name("orders"), ""))
	k.ann.must("delete snapshot", k.ann.deleteSnapshot(ctx, name("nightly")))
	k.ann.must("delete snapshot", k.ann.deleteSnapshot(ctx, name("shared")))
	k.bob.must("delete snapshot", k.bob.deleteSnapshot(ctx, name("last")))
	k.ann.gone("cluster", name("orders"))
	k.settle()
}

// nothingLeft wants the server to have nothing when everything is deleted.
func (k *killer) nothingLeft() {
	k.t.Helper()
	for _, table := range []string{"clusters", "instances", "snapshots", "snapshot_shares", "operations", "data_keys", "kms_grants"} {
		if n := query(k.t, k.s, "SELECT count(*) FROM "+table); n != "0" {
			k.t.Errorf("%s rows are left in %s", n, table)
		}
	}
	if left := names(k.t, filepath.Join(k.s.Data(), "volumes")); len(left) > 0 {
		k.t.Errorf("left of volumes: %s", left)
	}
	k.clean("at the end")
}

// clean wants that whatever exists on disk, in memory and at KMS belongs to a
// cluster or a snapshot.
func (k *killer) clean(when string) {
	k.t.Helper()
	for what, found := range map[string]func() string{"processes": k.strayProcesses, "files": k.strayFiles, "grants": k.strayGrants} {
		// The last of it may go a moment after its row.
		end := time.Now().Add(5 * time.Second)
		stray := found()
		for stray != "" && time.Now().Before(end) {
			pause(k.t.Context(), 50*time.Millisecond)
			stray = found()
		}
		if stray != "" {
			k.t.Errorf("%s: stray %s: %s", when, what, stray)
		}
	}
}

// strayFiles are engines without a cluster, volumes without a snapshot, and
// temporary files.
func (k *killer) strayFiles() string {
	var stray []string
	data := k.s.Data()
	clusters := strings.Fields(query(k.t, k.s, "SELECT id FROM clusters"))
	for _, id := range entries(k.t, filepath.Join(data, "engines", "engines")) {
		if !slices.Contains(clusters, id) {
			stray = append(stray, "engine "+id)
		}
	}
	snapshots := query(k.t, k.s, "SELECT body FROM snapshots")
	vaults := map[string]bool{}
	for _, name := range entries(k.t, filepath.Join(data, "volumes", "volumes")) {
		id, vault, _ := strings.Cut(name, ".")
		vaults[vault] = true
		if !strings.Contains(snapshots, `"`+id+`"`) {
			stray = append(stray, "volume "+name)
		}
	}
	stray = append(stray, entries(k.t, filepath.Join(data, "volumes", "progress"))...)
	for _, name := range names(k.t, filepath.Join(data, "volumes", "packs")) {
		if vault := filepath.Base(filepath.Dir(name)); !vaults[vault] {
			stray = append(stray, name)
		}
	}
	for _, name := range names(k.t, data) {
		if base := filepath.Base(name); strings.HasPrefix(base, ".tmp-") || strings.HasPrefix(base, ".new-") || strings.HasPrefix(base, ".gone-") {
			stray = append(stray, name)
		}
	}
	return strings.Join(stray, ", ")
}

// names are the paths of all files below dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went away while we looked
		}
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// entries are the names in dir, which may be missing.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var found []string
	for _, e := range list {
		found = append(found, e.Name())
	}
	return found
}

// strayGrants are the grants that no cluster lives on. Nothing else lasts.
func (k *killer) strayGrants() string {
	var stray []string
	clusters := query(k.t, k.s, "SELECT body FROM clusters")
	for _, id := range strings.Fields(query(k.t, k.s, "SELECT id FROM kms_grants")) {
		if !strings.Contains(clusters, id) {
			stray = append(stray, id)
		}
	}
	return strings.Join(stray, ", ")
}

var dataDirectory = regexp.MustCompile(`engines/(cluster-[^/]+)/data`)

// strayProcesses are those of engines that are not to run, and second ones of
// those that are.
func (k *killer) strayProcesses() string {
	running := map[string]int{}
	for _, p := range processes(k.s.Data()) {
		if m := dataDirectory.FindStringSubmatch(p); m != nil {
			running[m[1]]++
		}
	}
	instances := query(k.t, k.s, "SELECT body FROM instances")
	var stray []string
	for id, n := range running {
		if n > 1 || !strings.Contains(instances, id) {
			stray = append(stray, fmt.Sprintf("%d of %s", n, id))
		}
	}
	return strings.Join(stray, ", ")
}

// query asks the server's database and returns the rows, one a line.
func query(t *testing.T, s *local.Server, text string) string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Data(), "borealis.db")+"?mode=ro&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
