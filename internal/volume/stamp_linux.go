package volume

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// settled is how long a file must have rested for its times to tell whether it
// is changed later: longer than the steps in which file systems count.
const settled = 2 * time.Second

// bootID is of this start of the machine, empty if it cannot be told. After a
// power cut a file can have older bytes than its times say.
var bootID = sync.OnceValue(func() []byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil
	}
	return id
})

// stampOf says which state st shows the file in, or nothing if the file could
// still be written without its times changing.
func stampOf(st fs.FileInfo) (s stamp) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || len(bootID()) == 0 {
		return s
	}
	changed := time.Unix(sys.Ctim.Unix())
	if time.Since(changed) < settled {
		return s
	}
	b := append([]byte("borealis volume v2 stamp\x00"), bootID()...)
	for _, v := range []uint64{sys.Dev, sys.Ino, uint64(sys.Size), uint64(changed.UnixNano()), uint64(st.ModTime().UnixNano())} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	sum := sha256.Sum256(b)
	copy(s[:], sum[:])
	return s
}
