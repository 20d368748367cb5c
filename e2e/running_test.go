package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"testing"
)

// invariant is what holds in a pgbench database at any moment: balances and
// history agree, and so do what is read from tables and from their indexes.
const invariant = `SELECT concat_ws(' ', (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
	(SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
	(SELECT sum(bbalance) FROM pgbench_branches) = (SELECT coalesce(sum(delta), 0) FROM pgbench_history),
	(SELECT count(*) FROM pgbench_accounts) = (SELECT count(*) FROM generate_series(1, 200000) i WHERE EXISTS (SELECT FROM pgbench_accounts a WHERE a.aid = i)))`

// Snapshots are taken one upon the other of a server that works without a pause,
// the one in the middle by a server that was killed while it was at it. Each is a
// moment of the database, and a later one than that before it.
func TestSnapshotsOfARunningServer(t *testing.T) {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		t.Skip("SKIPPED: pgbench is not installed, so snapshots of a server at work are not tried")
	}
	s := newServer(t, "--snapshot-read-rate", "64")
	p := root(t, s, "111122223333")
	p.database("busy", "correct-horse")
	pgbench := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program, append(args, p.url("busy", "correct-horse", "sslmode=require"))...)
	}
	if out, err := pgbench("-i", "-q", "-s", "2").CombinedOutput(); err != nil {
		t.Fatalf("pgbench -i: %v\n%s", err, out)
	}
	work := func() (end func()) {
		cmd, said := pgbench("-n", "-c", "2", "-T", "300"), &bytes.Buffer{}
		cmd.Stdout, cmd.Stderr = said, said
		p.must("pgbench", cmd.Start())
		return func() {
			_ = cmd.Process.Kill() // it may have ended, with its server
			_ = cmd.Wait()         // it was killed
		}
	}
	end := work()
	defer func() { end() }()
	const rounds = 5
	for n := range rounds {
		name := fmt.Sprint("round-", n)
		p.must("take "+name, p.take(t.Context(), name, "busy"))
		if n == rounds/2 {
			end()
			s.Kill()
			start(t, s, "--snapshot-read-rate", "64")
			end = work()
		}
		p.available("snapshot", name)
		p.available("cluster", "busy")
	}
	end()
	before := -1
	for n := range rounds {
		name := fmt.Sprint("round-", n)
		p.must("restore "+name, p.restore(t.Context(), name, name, ""))
		p.must("create instance", p.createInstance(t.Context(), name))
		p.available("instance", name+"-1")
		got, err := p.sql(name, "correct-horse", invariant)
		p.must("read "+name, err)
		if got != "t t t t" {
			t.Errorf("%s: balances and indexes agree: %s", name, got)
		}
		var done int
		text, err := p.sql(name, "correct-horse", "SELECT count(*)::text FROM pgbench_history")
		p.must("count in "+name, err)
		if _, err := fmt.Sscan(text, &done); err != nil || done < before {
			t.Errorf("%s has %q transactions, fewer than the one before: %d", name, text, before)
		}
		before = done
	}
	if before < rounds {
		t.Errorf("%d transactions: nothing ran beside the snapshots", before)
	}
}
