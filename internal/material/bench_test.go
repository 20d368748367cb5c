package material_test

import (
	"fmt"
	"slices"
	"testing"

	"borealis/internal/material"
)

// BenchmarkKeys is everything that keys do: go test -bench Keys/RSA_4096.
func BenchmarkKeys(b *testing.B) {
	for _, s := range specs {
		run := func(what string, f func() error) {
			b.Run(fmt.Sprintf("%s/%s", s, what), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		k := key(b, s)
		encoded := encoding(b, k)
		run("generate", func() error { _, err := material.Generate(b.Context(), s); return err })
		run("load", func() error { _, err := material.Load(s, encoded); return err })
		for _, a := range s.Algorithms("SIGN_VERIFY") {
			for _, mt := range s.MessageTypes() {
				sig, err := k.Sign(a, mt, message(a, mt))
				if err != nil {
					continue
				}
				run(fmt.Sprintf("sign/%s/%s", a, mt), func() error { _, err := k.Sign(a, mt, message(a, mt)); return err })
				run(fmt.Sprintf("verify/%s/%s", a, mt), func() error { return k.Verify(a, mt, message(a, mt), sig) })
			}
		}
		for _, a := range s.Algorithms("ENCRYPT_DECRYPT") {
			if c, err := k.Encrypt(a, []byte("m")); err == nil {
				run("encrypt/"+string(a), func() error { _, err := k.Encrypt(a, []byte("m")); return err })
				run("decrypt/"+string(a), func() error { _, err := k.Decrypt(a, c); return err })
			}
		}
		for _, a := range s.Algorithms("GENERATE_VERIFY_MAC") {
			run("MAC", func() error { _, err := k.MAC(a, []byte("m")); return err })
		}
		if slices.Contains(agreeing, s) {
			der := public(b, k)
			run("agree", func() error { _, err := k.Agree(der); return err })
		}
		if c, _, err := k.Encapsulate(); err == nil {
			run("encapsulate", func() error { _, _, err := k.Encapsulate(); return err })
			run("decapsulate", func() error { _, err := k.Decapsulate(c); return err })
		}
	}
}
