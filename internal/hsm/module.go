//go:build pkcs11

package hsm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/pkcs11"
)

// Missing is "": this program can use hardware security modules.
const Missing = ""

const (
	// Timeout is how long a token has for one operation.
	Timeout = 5 * time.Second
	// perToken bounds the operations that a token does at once, and so the calls
	// that one which hangs can hold.
	perToken = 16

	nonceSize = 12
	tagSize   = 16
)

// A Module is a PKCS#11 module and the tokens in it. It may be used by many
// goroutines at once. It logs in to a token when it is first asked for something
// there, and again when the token was gone in between.
type Module struct {
	path        string
	ctx         *pkcs11.Ctx
	initialized bool // by this Module

	calls sync.WaitGroup // those under way, also when nobody waits for them any more

	mu     sync.Mutex
	closed bool
	tokens map[string]*token // by label; those that were used
	others token             // for questions about any other label, of which there is no end
}

// A token is what the Module remembers of one.
type token struct {
	busy chan struct{} // holds an element for each operation under way

	mu       sync.Mutex
	open     bool
	slot     uint
	anchor   pkcs11.SessionHandle // stays open: the login ends with the last session
	password [sha256.Size]byte    // that the login was made with
	refused  [sha256.Size]byte    // the password that was refused last
	idle     []pkcs11.SessionHandle
}

// Open loads the PKCS#11 module, a shared library, and initializes it. Its error
// says what to do.
func Open(path string) (*Module, error) {
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, fmt.Errorf("PKCS#11 module %s: not a PKCS#11 library that can be loaded", path)
	}
	m := &Module{path: path, ctx: ctx, tokens: make(map[string]*token), others: token{busy: make(chan struct{}, perToken)}}
	switch err := ctx.Initialize(); {
	case err == nil:
		m.initialized = true
	case !is(err, pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED):
		ctx.Destroy()
		return nil, fmt.Errorf("initialize PKCS#11 module %s: %w", path, err)
	}
	return m, nil
}

// Close logs out of all tokens and ends the use of the module: whoever asks for
// something afterwards is told that it is closed. It waits for what is under way,
// also where the caller no longer does, but not longer than Timeout for a token
// that hangs: then the module stays loaded until the token has answered.
func (m *Module) Close() error {
	m.mu.Lock()
	closed := m.closed
	m.closed = true
	m.mu.Unlock()
	if closed {
		return nil
	}
	done := make(chan error, 1)
	go func() {
		m.calls.Wait()
		done <- m.unload()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(Timeout):
		return nil
	}
}

// unload ends the use of the module. Nothing may be under way.
func (m *Module) unload() error {
	for _, t := range m.tokens {
		m.shut(t)
	}
	if m.initialized {
		if err := m.ctx.Finalize(); err != nil {
			return fmt.Errorf("finalize PKCS#11 module %s: %w", m.path, err)
		}
	}
	m.ctx.Destroy()
	return nil
}

// begin notes that a call into the module begins, which m.calls.Done ends.
func (m *Module) begin() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return &Error{NotActive, "the module " + m.path + " is closed"}
	}
	m.calls.Add(1)
	return nil
}

// asked is the token of this name, if it was ever used, or what stands for others.
func (m *Module) asked(label string) *token {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.tokens[label]; t != nil {
		return t
	}
	return &m.others
}

func (m *Module) token(label string) *token {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tokens[label]
	if t == nil {
		t = &token{busy: make(chan struct{}, perToken)}
		m.tokens[label] = t
	}
	return t
}

// Check says whether there is a token of this name that can hold keys. If the
// token shows certificates, anchor, in DER, must be one of them.
func (m *Module) Check(ctx context.Context, label string, anchor []byte) error {
	_, err := within(ctx, m, m.asked(label), func() (struct{}, error) {
		slot, err := m.find(label)
		if err != nil {
			return struct{}{}, err
		}
		if err := m.fit(slot); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, m.vouched(slot, anchor)
	})
	return err
}

// find is the slot of the token of this name.
func (m *Module) find(label string) (uint, error) {
	slots, err := m.ctx.GetSlotList(true)
	if err != nil {
		return 0, translate("list slots", err)
	}
	for _, s := range slots {
		info, err := m.ctx.GetTokenInfo(s)
		if err != nil || strings.TrimRight(info.Label, " \x00") != label {
			continue
		}
		switch {
		case info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0:
			return 0, &Error{NotActive, "the token is not initialized"}
		case info.Flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
			return 0, &Error{NoUser, "the token has no user PIN"}
		case info.Flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
			return 0, &Error{LockedOut, "the token's user PIN is locked"}
		}
		return s, nil
	}
	return 0, &Error{NotFound, "the module " + m.path + " has no token labelled " + label}
}

// fit says whether the token in a slot has the mechanisms that are needed.
func (m *Module) fit(slot uint) error {
	list, err := m.ctx.GetMechanismList(slot)
	if err != nil {
		return translate("list mechanisms", err)
	}
	for _, need := range []uint{pkcs11.CKM_AES_KEY_GEN, pkcs11.CKM_AES_GCM} {
		if !slices.ContainsFunc(list, func(have *pkcs11.Mechanism) bool { return have.Mechanism == need }) {
			return &Error{Unfit, fmt.Sprintf("the token lacks mechanism %#x", need)}
		}
	}
	return nil
}

// vouched says whether the token in a slot shows no certificates, or this one.
func (m *Module) vouched(slot uint, anchor []byte) error {
	s, err := m.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
	if err != nil {
		return translate("open session", err)
	}
	defer m.ctx.CloseSession(s) //nolint:errcheck // nothing was changed
	certificates, err := m.objects(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE)}, 100)
	if err != nil {
		return err
	}
	for _, c := range certificates {
		got, err := m.ctx.GetAttributeValue(s, c, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
		if err == nil && len(got) == 1 && bytes.Equal(got[0].Value, anchor) {
			return nil
		}
	}
	if len(certificates) > 0 {
		return &Error{WrongAnchor, "the certificate is none of the token's"}
	}
	return nil
}

// Login logs in to the token anew, so that a nil error says that the password is
// the token's now.
func (m *Module) Login(ctx context.Context, at Token) error {
	t := m.token(at.Label)
	_, err := within(ctx, m, t, func() (struct{}, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		m.shut(t)
		return struct{}{}, m.login(t, at)
	})
	return err
}

// Logout ends the use of a token until somebody asks for something there.
func (m *Module) Logout(label string) error {
	t := m.token(label)
	_, err := within(context.Background(), m, t, func() (struct{}, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		m.shut(t)
		return struct{}{}, nil
	})
	return err
}

// shut forgets all of a token's sessions. Hold t.mu.
func (m *Module) shut(t *token) {
	if !t.open {
		return
	}
	// The token may be gone, and all this with it.
	_ = m.ctx.Logout(t.anchor)
	for _, s := range append(t.idle, t.anchor) {
		_ = m.ctx.CloseSession(s)
	}
	t.open, t.idle = false, nil
}

// login opens the token. Hold t.mu; the token is shut.
func (m *Module) login(t *token, at Token) error {
	slot, err := m.find(at.Label)
	if err != nil {
		return err
	}
	s, err := m.ctx.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return translate("open session", err)
	}
	if err := m.ctx.Login(s, pkcs11.CKU_USER, at.Password); err != nil {
		_ = m.ctx.CloseSession(s)
		err := translate("log in", err)
		if err.Kind == WrongPassword {
			t.refused = sha256.Sum256([]byte(at.Password))
		}
		return err
	}
	t.open, t.slot, t.anchor, t.password, t.refused = true, slot, s, sha256.Sum256([]byte(at.Password)), [sha256.Size]byte{}
	return nil
}

// session is a session that is logged in, and nobody else's.
func (m *Module) session(t *token, at Token) (pkcs11.SessionHandle, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := sha256.Sum256([]byte(at.Password))
	if t.open && t.password != sum {
		m.shut(t)
	}
	if !t.open {
		if t.refused == sum { // trying again would lock the token
			return 0, &Error{WrongPassword, "the password was refused before"}
		}
		if err := m.login(t, at); err != nil {
			return 0, err
		}
	}
	if n := len(t.idle); n > 0 {
		s := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return s, nil
	}
	s, err := m.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return 0, err
	}
	return s, nil
}

// release takes back a session after use. One that failed may be in the middle of
// something, and is closed.
func (m *Module) release(t *token, s pkcs11.SessionHandle, failed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if failed || !t.open {
		_ = m.ctx.CloseSession(s)
		return
	}
	t.idle = append(t.idle, s)
}

// do runs fn in a session of a token. If the token turns out to have been away,
// it logs in again and runs fn once more.
func do[T any](ctx context.Context, m *Module, at Token, what string, fn func(pkcs11.SessionHandle) (T, error)) (T, error) {
	t := m.token(at.Label)
	return within(ctx, m, t, func() (T, error) {
		v, err := once(m, t, at, fn)
		if wasAway(err) {
			t.mu.Lock()
			m.shut(t)
			t.mu.Unlock()
			v, err = once(m, t, at, fn)
		}
		if err != nil {
			return v, translate(what, err)
		}
		return v, nil
	})
}

func once[T any](m *Module, t *token, at Token, fn func(pkcs11.SessionHandle) (T, error)) (v T, err error) {
	s, err := m.session(t, at)
	if err != nil {
		return v, err
	}
	v, err = fn(s)
	m.release(t, s, err != nil)
	return v, err
}

// within runs fn when the token has room for it, and waits for it no longer than
// Timeout. What is not waited for any more goes on, and keeps its room.
func within[T any](ctx context.Context, m *Module, t *token, fn func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	var zero T
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	done := make(chan result, 1)
	select {
	case t.busy <- struct{}{}:
		if err := m.begin(); err != nil {
			<-t.busy
			return zero, err
		}
		go func() {
			defer m.calls.Done()
			defer func() { <-t.busy }()
			v, err := fn()
			done <- result{v, err}
		}()
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		return zero, &Error{TimedOut, fmt.Sprintf("no answer within %v", Timeout)}
	}
}

// objects finds up to most objects that have these attributes.
func (m *Module) objects(s pkcs11.SessionHandle, like []*pkcs11.Attribute, most int) ([]pkcs11.ObjectHandle, error) {
	if err := m.ctx.FindObjectsInit(s, like); err != nil {
		return nil, err
	}
	found, _, err := m.ctx.FindObjects(s, most)
	if end := m.ctx.FindObjectsFinal(s); err == nil {
		err = end
	}
	return found, err
}

// key finds the key of this name.
func (m *Module) key(s pkcs11.SessionHandle, name string) (pkcs11.ObjectHandle, error) {
	found, err := m.objects(s, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, name),
	}, 2)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, &Error{KeyNotFound, "the token has no key labelled " + name}
	case len(found) > 1:
		return 0, &Error{Broken, "the token has several keys labelled " + name}
	}
	return found[0], nil
}

// Generate makes an AES-256 key in the token. It can be used there to encrypt and
// decrypt, and can be taken out in no form.
func (m *Module) Generate(ctx context.Context, at Token, name string) error {
	_, err := do(ctx, m, at, "generate key", func(s pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
		return m.ctx.GenerateKey(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
			pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, 32),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, name),
			pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(name)),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
			pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
			pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, true),
			pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, true),
			pkcs11.NewAttribute(pkcs11.CKA_WRAP, false),
			pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, false),
		})
	})
	return err
}

// Destroy deletes a key from the token. One that is not there is no error.
func (m *Module) Destroy(ctx context.Context, at Token, name string) error {
	_, err := do(ctx, m, at, "destroy key", func(s pkcs11.SessionHandle) (struct{}, error) {
		k, err := m.key(s, name)
		if e, ok := errors.AsType[*Error](err); ok && e.Kind == KeyNotFound {
			return struct{}{}, nil
		}
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, m.ctx.DestroyObject(s, k)
	})
	return err
}

// Encrypt encrypts with AES-256-GCM under a key in the token, and returns nonce,
// ciphertext and tag. Nonces are random, so one key is good for 2^32 messages.
func (m *Module) Encrypt(ctx context.Context, at Token, name string, plaintext, associated []byte) ([]byte, error) {
	return do(ctx, m, at, "encrypt", func(s pkcs11.SessionHandle) ([]byte, error) {
		k, err := m.key(s, name)
		if err != nil {
			return nil, err
		}
		return m.encrypt(s, k, plaintext, associated)
	})
}

func (m *Module) encrypt(s pkcs11.SessionHandle, k pkcs11.ObjectHandle, plaintext, associated []byte) ([]byte, error) {
	nonce := make([]byte, nonceSize)
	rand.Read(nonce)
	params := pkcs11.NewGCMParams(nonce, associated, 8*tagSize)
	defer params.Free()
	if err := m.ctx.EncryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, k); err != nil {
		return nil, err
	}
	sealed, err := m.ctx.Encrypt(s, plaintext)
	if err != nil {
		return nil, err
	}
	used := params.IV() // some tokens choose their own
	if len(used) != nonceSize || len(sealed) != len(plaintext)+tagSize {
		return nil, &Error{Broken, "the token encrypts with another nonce or tag than it was told"}
	}
	return append(slices.Clone(used), sealed...), nil
}

// Decrypt opens what Encrypt made, with the same associated data.
func (m *Module) Decrypt(ctx context.Context, at Token, name string, sealed, associated []byte) ([]byte, error) {
	if len(sealed) < nonceSize+tagSize {
		return nil, &Error{BadCiphertext, "too short"}
	}
	return do(ctx, m, at, "decrypt", func(s pkcs11.SessionHandle) ([]byte, error) {
		k, err := m.key(s, name)
		if err != nil {
			return nil, err
		}
		plaintext, err := m.decrypt(s, k, sealed, associated)
		if err != nil && !wasAway(err) {
			return nil, m.blame(s, k, err)
		}
		return plaintext, err
	})
}

func (m *Module) decrypt(s pkcs11.SessionHandle, k pkcs11.ObjectHandle, sealed, associated []byte) ([]byte, error) {
	params := pkcs11.NewGCMParams(sealed[:nonceSize], associated, 8*tagSize)
	defer params.Free()
	if err := m.ctx.DecryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, k); err != nil {
		return nil, err
	}
	return m.ctx.Decrypt(s, sealed[nonceSize:])
}

// blame says whether err, of a decryption, is the ciphertext's fault. Modules have
// no common word for that, so it is the ciphertext's if the key opens what it
// has just made.
func (m *Module) blame(s pkcs11.SessionHandle, k pkcs11.ObjectHandle, err error) error {
	probe := []byte("probe")
	sealed, e := m.encrypt(s, k, probe, nil)
	if e != nil {
		return err
	}
	if opened, e := m.decrypt(s, k, sealed, nil); e != nil || !bytes.Equal(opened, probe) {
		return err
	}
	return &Error{BadCiphertext, err.Error()}
}

// Random returns n random bytes of the token's making.
func (m *Module) Random(ctx context.Context, at Token, n int) ([]byte, error) {
	return do(ctx, m, at, "generate random", func(s pkcs11.SessionHandle) ([]byte, error) {
		return m.ctx.GenerateRandom(s, n)
	})
}

func is(err error, code pkcs11.Error) bool {
	e, ok := errors.AsType[pkcs11.Error](err)
	return ok && e == code
}

// away are the codes of a token that was gone, and may be back.
var away = []pkcs11.Error{
	pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_SESSION_HANDLE_INVALID,
	pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_USER_NOT_LOGGED_IN,
}

func wasAway(err error) bool {
	e, ok := errors.AsType[pkcs11.Error](err)
	return ok && slices.Contains(away, e)
}

// kinds are the codes that mean something particular.
var kinds = map[pkcs11.Error]Kind{
	pkcs11.CKR_DEVICE_REMOVED:           NotFound,
	pkcs11.CKR_TOKEN_NOT_PRESENT:        NotFound,
	pkcs11.CKR_SLOT_ID_INVALID:          NotFound,
	pkcs11.CKR_TOKEN_NOT_RECOGNIZED:     NotActive,
	pkcs11.CKR_PIN_INCORRECT:            WrongPassword,
	pkcs11.CKR_PIN_INVALID:              WrongPassword,
	pkcs11.CKR_PIN_LEN_RANGE:            WrongPassword,
	pkcs11.CKR_PIN_EXPIRED:              WrongPassword,
	pkcs11.CKR_PIN_LOCKED:               LockedOut,
	pkcs11.CKR_USER_PIN_NOT_INITIALIZED: NoUser,
	pkcs11.CKR_USER_ALREADY_LOGGED_IN:   LoggedIn,
	pkcs11.CKR_MECHANISM_INVALID:        Unfit,
}

// translate says err in this package's words.
func translate(what string, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	kind := Broken
	if e, ok := errors.AsType[pkcs11.Error](err); ok && kinds[e] != "" {
		kind = kinds[e]
	}
	return &Error{kind, what + ": " + err.Error()}
}
