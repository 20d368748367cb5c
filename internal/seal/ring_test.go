package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"borealis/internal/seal"
)

func mustSeal(t *testing.T, s *seal.Sealer, text, context string) []byte {
	t.Helper()
	sealed, err := s.Seal([]byte(text), []byte(context))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func opens(t *testing.T, s *seal.Sealer, sealed []byte, want, context string) {
	t.Helper()
	if got, err := s.Open(sealed, []byte(context)); err != nil || string(got) != want {
		t.Errorf("Open: %q, %v; want %q", got, err, want)
	}
}

// What is sealed under the old root opens while the ring has it, and after it was
// sealed again; nothing else does.
func TestReplaceRoot(t *testing.T) {
	old, next := seal.NewRoot(), seal.NewRoot()
	ring := seal.NewRing(old)
	s := ring.Derive("a").Derive("b")
	before := mustSeal(t, s, "before", "here")
	if same, err := s.Reseal(before); err != nil || &same[0] != &before[0] {
		t.Errorf("Reseal under the only root: %v, and changed: %v", err, &same[0] != &before[0])
	}
	ring.Add(next)
	after := mustSeal(t, s, "after", "here")
	again, err := s.Reseal(before)
	if err != nil || len(again) != len(before) {
		t.Fatalf("Reseal: %d bytes of %d, %v", len(again), len(before), err)
	}
	for _, sealed := range [][]byte{after, again} {
		if got := seal.RootOf(sealed); !strings.HasPrefix(next.ID(), got) || len(got) != 16 {
			t.Errorf("sealed under %s, not %s", got, next.ID())
		}
	}
	ring.Drop(next, seal.NewRoot()) // neither is an older one
	opens(t, s, before, "before", "here")
	ring.Drop(ring.Older()...)
	opens(t, s, after, "after", "here")
	opens(t, s, again, "before", "here")
	opens(t, seal.NewRing(next).Derive("a").Derive("b"), again, "before", "here")
	for name, c := range map[string]struct {
		s       *seal.Sealer
		sealed  []byte
		context string
	}{
		"under the dropped root":         {s, before, "here"},
		"sealed again, elsewhere":        {s, again, "there"},
		"sealed again, other purpose":    {ring.Derive("a"), again, "here"},
		"sealed again, for the old root": {old.Derive("a").Derive("b"), again, "here"},
	} {
		if got, err := c.s.Open(c.sealed, []byte(c.context)); !errors.Is(err, seal.ErrOpen) || got != nil {
			t.Errorf("%s: %q, %v; want ErrOpen", name, got, err)
		}
	}
	if _, err := s.Reseal(before); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("Reseal without the old root: %v", err)
	}
	if _, err := ring.Derive("c").Reseal(mustSeal(t, old.Derive("c"), "x", "")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("Reseal of another root's: %v", err)
	}
}

// A damaged message is not sealed again, or does not open afterwards.
func TestResealDamaged(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ring := seal.NewRing(seal.NewRoot())
		s := ring.Derive("a")
		sealed := mustSeal(t, s, "text", "here")
		ring.Add(seal.NewRoot())
		sealed[rapid.IntRange(0, len(sealed)-1).Draw(rt, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		again, err := s.Reseal(sealed)
		if err == nil {
			_, err = s.Open(again, []byte("here"))
		}
		if !errors.Is(err, seal.ErrOpen) {
			rt.Fatalf("%v, want ErrOpen", err)
		}
	})
}

// version1 seals as the first version of the format says, with nothing of ours.
func version1(t *testing.T, root *seal.Root, purpose, plain, context string) []byte {
	t.Helper()
	text := string(root.Text())
	key, err := base64.StdEncoding.DecodeString(strings.Split(text[strings.LastIndex(text, "borealis-root-key-v1"):], ":")[1])
	if err != nil {
		t.Fatal(err)
	}
	derive := func(key, salt []byte, info string) []byte {
		out, err := hkdf.Key(sha256.New, key, salt, info, 32)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	salt := bytes.Repeat([]byte{7}, 32)
	block, err := aes.NewCipher(derive(derive(key, nil, "borealis seal v1 purpose\x00"+purpose), salt, "borealis seal v1 message"))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(append([]byte{1}, salt...), make([]byte, 12), []byte(plain), append([]byte{1}, context...))
}

func TestVersion1(t *testing.T) {
	ring := seal.NewRing(seal.NewRoot())
	s := ring.Derive("a")
	sealed := version1(t, ring.Newest(), "a", "secret", "here")
	if got := seal.RootOf(sealed); got != "" {
		t.Errorf("version 1 names root %s", got)
	}
	opens(t, s, sealed, "secret", "here")
	ring.Add(seal.NewRoot())
	opens(t, s, sealed, "secret", "here")
	again, err := s.Reseal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	ring.Drop(ring.Older()...)
	opens(t, s, again, "secret", "here")
	if _, err := s.Open(again, []byte("there")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("elsewhere: %v", err)
	}
	if _, err := s.Open(sealed, []byte("here")); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("without its root: %v", err)
	}
}

func TestRingConcurrently(t *testing.T) {
	ring := seal.NewRing(seal.NewRoot())
	s := ring.Derive("a")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 200 {
				opens(t, s, mustSeal(t, s, "x", "y"), "x", "y")
			}
		})
	}
	for range 20 {
		ring.Add(seal.NewRoot())
	}
	all.Wait()
	ring.Drop(ring.Older()...)
	opens(t, s, mustSeal(t, s, "x", "y"), "x", "y")
}
