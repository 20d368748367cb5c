package rootkey

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A tokenURI names a key on a PKCS#11 token, as RFC 7512 writes it:
//
//	pkcs11:token=LABEL;object=LABEL?module-path=FILE&pin-source=FILE
type tokenURI struct {
	token, object, module, pinSource string
}

func parseURI(text string) (u tokenURI, err error) {
	rest, ok := strings.CutPrefix(text, "pkcs11:")
	if !ok {
		return u, fmt.Errorf("%q is not a PKCS#11 URI", text)
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
