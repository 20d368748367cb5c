package sessions_test

import "testing"

// What every request with a session's credentials costs before it is decided.
func BenchmarkCredential(b *testing.B) {
	w := newWorld(b)
	ann := w.user(accountA, "ann", "sts:AssumeRole")
	c := must(w.assume(ann, w.role(accountA, "reader", string(accountA), `{}`), nil))(b).Credentials
	for b.Loop() {
		_, caller, err := w.Credential(b.Context(), *c.AccessKeyId, *c.SessionToken)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.iam.IdentityOf(b.Context(), caller); err != nil {
			b.Fatal(err)
		}
	}
}

// The same for a long-term key.
func BenchmarkLongTermCredential(b *testing.B) {
	w := newWorld(b)
	key := must(w.iam.CreateRootKey(b.Context(), accountA))(b)
	for b.Loop() {
		_, caller, err := w.iam.Credential(b.Context(), key.AccessKeyID)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.iam.IdentityOf(b.Context(), caller); err != nil {
			b.Fatal(err)
		}
	}
}
