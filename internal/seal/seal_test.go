package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"borealis/internal/seal"
)

func TestSealOpens(t *testing.T) {
	root := seal.NewRoot()
	rapid.Check(t, func(t *rapid.T) {
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		context := rapid.SliceOf(rapid.Byte()).Draw(t, "context")
		s := root.Derive(rapid.String().Draw(t, "purpose"))
		sealed, err := s.Seal(plain, context)
		if err != nil || len(sealed) != len(plain)+seal.Overhead {
			t.Fatalf("Seal: %d bytes of %d, %v", len(sealed), len(plain), err)
		}
		got, err := s.Open(sealed, context)
		if err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open: %x, %v; want %x", got, err, plain)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "flip")
		sealed[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := s.Open(sealed, context); !errors.Is(err, seal.ErrOpen) {
			t.Fatalf("Open with byte %d flipped: %v, want ErrOpen", i, err)
		}
	})
}

func TestBoundToKeyPurposeAndContext(t *testing.T) {
	root := seal.NewRoot()
	s := root.Derive("a")
	context := seal.Context("thing v1", "one")
	sealed, err := s.Seal([]byte("secret"), context)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Seal([]byte("secret"), context)
	if err != nil || bytes.Equal(sealed, again) {
		t.Errorf("sealing twice gave the same bytes (%v)", err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"other context": func() ([]byte, error) { return s.Open(sealed, seal.Context("thing v1", "two")) },
		"no context":    func() ([]byte, error) { return s.Open(sealed, nil) },
		"other purpose": func() ([]byte, error) { return root.Derive("b").Open(sealed, context) },
		"inner purpose": func() ([]byte, error) { return s.Derive("a").Open(sealed, context) },
		"other root":    func() ([]byte, error) { return seal.NewRoot().Derive("a").Open(sealed, context) },
		"truncated":     func() ([]byte, error) { return s.Open(sealed[:len(sealed)-1], context) },
		"nothing":       func() ([]byte, error) { return s.Open(nil, context) },
	} {
		if got, err := open(); !errors.Is(err, seal.ErrOpen) || got != nil {
			t.Errorf("%s: %q, %v; want ErrOpen", name, got, err)
		}
	}
}

func TestContextIsUnambiguous(t *testing.T) {
	for _, c := range [][2][]string{
		{{"a", "bc"}, {"ab", "c"}},
		{{"a", ""}, {"a"}},
		{{"", "a"}, {"a", ""}},
		{{}, {""}},
	} {
		if bytes.Equal(seal.Context(c[0]...), seal.Context(c[1]...)) {
			t.Errorf("Context%q = Context%q", c[0], c[1])
		}
	}
}

func TestRootText(t *testing.T) {
	root := seal.NewRoot()
	text := []byte(root.Text())
	again, err := seal.ParseRoot(text)
	if err != nil || again.ID() != root.ID() {
		t.Fatalf("ParseRoot of Text: %v", err)
	}
	sealed, _ := root.Derive("a").Seal([]byte("x"), nil)
	if got, err := again.Derive("a").Open(sealed, nil); err != nil || string(got) != "x" {
		t.Errorf("the key read opens %q, %v", got, err)
	}
	if seal.NewRoot().ID() == root.ID() {
		t.Error("two root keys have the same id")
	}
	line := strings.LastIndex(string(text), "borealis-root-key-v1")
	key := line + len("borealis-root-key-v1:")
	swapped := bytes.Clone(text)
	swapped[key] ^= 3 // another letter of base64, or something else
	for name, bad := range map[string][]byte{
		"empty":    nil,
		"comments": text[:line],
		"two":      append(bytes.Clone(text), text...),
		"damaged":  swapped,
		"cut":      text[:len(text)-3],
		"version":  bytes.Replace(text, []byte("-v1"), []byte("-v2"), 1),
	} {
		if _, err := seal.ParseRoot(bad); err == nil {
			t.Errorf("ParseRoot of a key file that is %s: no error", name)
		} else if strings.Contains(err.Error(), string(text[key:key+20])) {
			t.Errorf("ParseRoot of a key file that is %s quotes the key", name)
		}
	}
}

func TestPlaintextIsNotPrinted(t *testing.T) {
	p := seal.Plaintext("hunter2")
	v := struct {
		P seal.Plaintext
		S *seal.Sealer
		R *seal.Root
	}{p, seal.NewRoot().Derive("x"), seal.NewRoot()}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", p)
	for _, s := range []string{fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s", p, v, v, p), fmt.Sprintf("%#v %v %d %d %x", v.R, v.R, p, v.S, *v.R), log.String()} {
		if strings.Contains(s, "hunter2") || strings.ContainsAny(s, "[]") || !strings.Contains(s, "REDACTED") {
			t.Errorf("printed as %s", s)
		}
	}
	if b, err := json.Marshal(map[string]any{"p": p}); err == nil {
		t.Errorf("marshalled as %s", b)
	}
	seal.Wipe(p)
	if !bytes.Equal(p, make([]byte, 7)) {
		t.Error("Wipe left something")
	}
}

func FuzzOpen(f *testing.F) {
	s := seal.NewRoot().Derive("fuzz")
	good, err := s.Seal([]byte("secret"), []byte("here"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte("here"))
	f.Add(good[:seal.Overhead], []byte("here"))
	f.Add([]byte{1}, []byte{})
	f.Add(append([]byte{1}, good...), []byte("here"))
	f.Fuzz(func(t *testing.T, sealed, context []byte) {
		got, err := s.Open(sealed, context)
		genuine := bytes.Equal(sealed, good) && string(context) == "here"
		if (err == nil) != genuine {
			t.Errorf("Open(%x, %q) = %q, %v", sealed, context, got, err)
		}
	})
}

func FuzzParseRoot(f *testing.F) {
	f.Add([]byte(seal.NewRoot().Text()))
	f.Add([]byte("borealis-root-key-v1::"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := seal.ParseRoot(text)
		if err != nil {
			return // refusing is fine; panicking is not
		}
		if again, err := seal.ParseRoot(r.Text()); err != nil || again.ID() != r.ID() {
			t.Errorf("ParseRoot of its own text: %v", err)
		}
	})
}
