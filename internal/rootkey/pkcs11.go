//go:build pkcs11

package rootkey

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/miekg/pkcs11"

	"borealis/internal/seal"
)

const gcmNonce, gcmTagBits = 12, 128

// tokenWrap encrypts text with AES-GCM on the token: nonce, ciphertext and tag.
// The associated data is the root key's id.
func tokenWrap(uri string, text seal.Plaintext, id string) (wrapped []byte, err error) {
	nonce := make([]byte, gcmNonce)
	rand.Read(nonce)
	err = onToken(uri, func(p *pkcs11.Ctx, s pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		params := pkcs11.NewGCMParams(nonce, []byte(id), gcmTagBits)
		defer params.Free()
		if err := p.EncryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return err
		}
		body, err := p.Encrypt(s, text)
		if iv := params.IV(); len(iv) == gcmNonce {
			nonce = iv // some tokens choose their own
		}
		wrapped = append(nonce, body...)
		return err
	})
	return wrapped, err
}

func tokenUnwrap(uri string, wrapped []byte, id string) (text seal.Plaintext, err error) {
	if len(wrapped) < gcmNonce {
		return nil, errors.New("damaged")
	}
	err = onToken(uri, func(p *pkcs11.Ctx, s pkcs11.SessionHandle, key pkcs11.ObjectHandle) error {
		params := pkcs11.NewGCMParams(wrapped[:gcmNonce], []byte(id), gcmTagBits)
		defer params.Free()
		if err := p.DecryptInit(s, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_GCM, params)}, key); err != nil {
			return err
		}
		text, err = p.Decrypt(s, wrapped[gcmNonce:])
		return err
	})
	return text, err
}

// onToken runs fn in a session with the token and its key that uri names.
func onToken(uri string, fn func(*pkcs11.Ctx, pkcs11.SessionHandle, pkcs11.ObjectHandle) error) error {
	u, err := parseURI(uri)
	if err != nil {
		return err
	}
	p := pkcs11.New(u.module)
	if p == nil {
		return fmt.Errorf("the PKCS#11 module %s cannot be loaded; is it installed?", u.module)
	}
	defer p.Destroy()
	if err := p.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return fmt.Errorf("start the PKCS#11 module %s: %w", u.module, err)
	} else if err == nil {
		defer func() { _ = p.Finalize() }()
	}
	s, err := u.session(p)
	if err != nil {
		return err
	}
	defer func() { _ = p.CloseSession(s) }()
	key, err := u.find(p, s)
	if err != nil {
		return err
	}
	if err := fn(p, s, key); err != nil {
		return fmt.Errorf("use the key %q of the PKCS#11 token %q: %w", u.object, u.token, err)
	}
	return nil
}

// pinEnv names the file of the PIN where the URI does not.
const pinEnv = "BOREALIS_PKCS11_PIN_FILE"

// pin reads the token's PIN.
func (u tokenURI) pin() (string, error) {
	path := u.pinSource
	if path == "" {
		path = os.Getenv(pinEnv)
	}
	if path == "" {
		return "", errors.New("no file of the token's PIN is named; give the URI a pin-source, or set " + pinEnv)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the token's PIN: %w", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// session opens a session with the token and logs in.
func (u tokenURI) session(p *pkcs11.Ctx) (pkcs11.SessionHandle, error) {
	slots, err := p.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("list PKCS#11 tokens: %w", err)
	}
	pin, err := u.pin()
	if err != nil {
		return 0, err
	}
	for _, slot := range slots {
		info, err := p.GetTokenInfo(slot)
		if err != nil || info.Label != u.token {
			continue
		}
		s, err := p.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION)
		if err != nil {
			return 0, fmt.Errorf("open the PKCS#11 token %q: %w", u.token, err)
		}
		err = p.Login(s, pkcs11.CKU_USER, pin)
		if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
			return 0, errors.Join(fmt.Errorf("log in to the PKCS#11 token %q: %w", u.token, err), p.CloseSession(s))
		}
		return s, nil
	}
	return 0, fmt.Errorf("there is no PKCS#11 token %q; is it plugged in?", u.token)
}

// find finds the token's AES key.
func (u tokenURI) find(p *pkcs11.Ctx, s pkcs11.SessionHandle) (pkcs11.ObjectHandle, error) {
	err := p.FindObjectsInit(s, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, u.object),
	})
	if err != nil {
		return 0, fmt.Errorf("look for the key %q: %w", u.object, err)
	}
	found, _, err := p.FindObjects(s, 2)
	if err := errors.Join(err, p.FindObjectsFinal(s)); err != nil {
		return 0, fmt.Errorf("look for the key %q: %w", u.object, err)
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("the PKCS#11 token %q has %d AES keys called %q, and must have one", u.token, len(found), u.object)
	}
	return found[0], nil
}
