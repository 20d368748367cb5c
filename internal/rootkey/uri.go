package rootkey

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
)

// A tokenURI names a key on a PKCS#11 token, as RFC 7512 writes it:
//
//	pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
type tokenURI struct {
	token, object, module, pinSource string
}

// pinEnv names the file of the PIN where the URI does not.
const pinEnv = "BOREALIS_PKCS11_PIN_FILE"

func parseURI(text string) (u tokenURI, err error) {
	rest, ok := strings.CutPrefix(text, "pkcs11:")
	if !ok {
		return u, errors.New("a PKCS#11 URI begins with pkcs11:")
	}
	path, query, _ := strings.Cut(rest, "?")
	names := map[string]*string{"token": &u.token, "object": &u.object, "module-path": &u.module, "pin-source": &u.pinSource}
	for _, part := range append(strings.Split(path, ";"), strings.Split(query, "&")...) {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		to := names[name]
		if to == nil {
			return u, fmt.Errorf("a PKCS#11 URI of a root key has token, object, module-path and pin-source, not %q", name)
		}
		if *to, err = url.PathUnescape(value); err != nil {
			return u, fmt.Errorf("%s in the PKCS#11 URI: %w", name, err)
		}
	}
	if u.token == "" || u.object == "" || u.module == "" {
		return u, errors.New("the PKCS#11 URI must name token, object and module-path: pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE")
	}
	u.pinSource = strings.TrimPrefix(u.pinSource, "file:")
	return u, nil
}

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
