package keys_test

import (
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// Many who rotate, import, encrypt and sweep at once get in nobody's way: there are
// as many rotations as were answered, never one too many, and everything decrypts.
func TestVersionsAtOnce(t *testing.T) {
	w := newWorld(t)
	ann := w.person(home, "user/ann", allow("kms:*"))
	key := ann.key()
	brought := ann.external(kms.CreateKeyInput{})
	p := ann.parcel(brought)
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		count = make(map[string]int)
		blobs [][]byte
	)
	note := func(what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		count[what+" "+code(err)]++
	}
	for i := range 30 {
		wg.Go(func() { note("rotate", ann.rotate(key)) })
		wg.Go(func() {
			_, err := ann.bring(p, secretOf(byte(i)), anew)
			note("import", err)
		})
		wg.Go(func() {
			blob, err := ann.encrypt(key, nil)
			note("encrypt", err)
			mu.Lock()
			defer mu.Unlock()
			blobs = append(blobs, blob)
		})
		wg.Go(func() {
			_, err := w.Sweep(t.Context(), w.clock())
			note("sweep", err)
		})
	}
	wg.Wait()
	for what, want := range map[string]int{
		"rotate ": 25, "rotate LimitExceededException": 5, "import ": 2, "import KMSInvalidStateException": 28, "encrypt ": 30, "sweep ": 30,
	} {
		if count[what] != want {
			t.Errorf("%q %d times, want %d: %v", what, count[what], want, count)
		}
	}
	for _, blob := range blobs {
		ann.may("decrypt", ann.decrypt(blob, nil))
	}
	out := must(ann.ListKeyRotations(t.Context(), &kms.ListKeyRotationsInput{KeyId: key}))(t)
	if len(out.Rotations) != 25 {
		t.Errorf("%d rotations", len(out.Rotations))
	}
	if got := ann.history(brought); got != "CURRENT IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE\nPENDING_ROTATION IMPORTED KEY_MATERIAL_DOES_NOT_EXPIRE" {
		t.Error(got)
	}
}
