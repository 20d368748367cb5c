package xks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A request is the body of any of the four operations; what an operation does not
// have is left out.
type request struct {
	Metadata           Call   `json:"requestMetadata"`
	Associated         []byte `json:"additionalAuthenticatedData,omitempty"`
	Plaintext          []byte `json:"plaintext,omitempty"`
	Ciphertext         []byte `json:"ciphertext,omitempty"`
	CiphertextMetadata []byte `json:"ciphertextMetadata,omitempty"`
	IV                 []byte `json:"initializationVector,omitempty"`
	Tag                []byte `json:"authenticationTag,omitempty"`
	Algorithm          string `json:"encryptionAlgorithm,omitempty"`
	Integrity          string `json:"ciphertextDataIntegrityValueAlgorithm,omitempty"`
}

func badAnswer(format string, args ...any) error {
	return &Error{Kind: BadAnswer, Detail: fmt.Sprintf(format, args...)}
}

// decode reads one JSON object, and nothing after it. What the API does not know
// is passed over: proxies may be newer.
func decode(body []byte, v any) error {
	if !bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) {
		return badAnswer("not a JSON object")
	}
	if json.Unmarshal(body, v) != nil { // its error may quote the answer
		return badAnswer("not the JSON that the API has")
	}
	return nil
}

// parseHealth reads the answer of GetHealthStatus.
func parseHealth(body []byte) error {
	var a struct {
		FleetSize int    `json:"xksProxyFleetSize"`
		Vendor    string `json:"xksProxyVendor"`
		Model     string `json:"xksProxyModel"`
		Manager   string `json:"ekmVendor"`
		Fleet     []struct {
			ID     string `json:"id"`
			Model  string `json:"model"`
			Status string `json:"healthStatus"`
		} `json:"ekmFleetDetails"`
	}
	if err := decode(body, &a); err != nil {
		return err
	}
	if a.FleetSize < 1 || a.Vendor == "" || a.Model == "" || a.Manager == "" {
		return badAnswer("a member of the health status is missing")
	}
	if n := len(a.Fleet); n < 1 || n > maxManagers {
		return badAnswer("%d external key managers", n)
	}
	works := false
	for _, m := range a.Fleet {
		switch m.Status {
		case "ACTIVE", "DEGRADED":
			works = true
		case "UNAVAILABLE":
		default:
			return badAnswer("an external key manager without a health status")
		}
	}
	if !works {
		return &Error{Kind: Unavailable, Detail: "all external key managers are unavailable"}
	}
	return nil
}

// parseKey reads the answer of GetKeyMetadata.
func parseKey(body []byte) (Key, error) {
	var a struct {
		Spec   string   `json:"keySpec"`
		Usage  []string `json:"keyUsage"`
		Status string   `json:"keyStatus"`
	}
	if err := decode(body, &a); err != nil {
		return Key{}, err
	}
	if !isWord(a.Spec) || len(a.Usage) > maxUsages || !slices.Contains([]string{"ENABLED", "DISABLED"}, a.Status) {
		return Key{}, badAnswer("a member of the key's metadata is missing or wrong")
	}
	for _, u := range a.Usage {
		if !isWord(u) {
			return Key{}, badAnswer("a key usage that is no word")
		}
	}
	return Key(a), nil
}

// isWord says that s is a name of the API's sort: it will be quoted to callers.
func isWord(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '-'
	}) < 0
}

// parseMessage reads the answer of Encrypt to size bytes of plaintext.
func parseMessage(body []byte, size int, associated []byte) (Message, error) {
	var a struct {
		Ciphertext []byte `json:"ciphertext"`
		Metadata   []byte `json:"ciphertextMetadata"`
		IV         []byte `json:"initializationVector"`
		Tag        []byte `json:"authenticationTag"`
		Integrity  []byte `json:"ciphertextDataIntegrityValue"`
	}
	if err := decode(body, &a); err != nil {
		return Message{}, err
	}
	m := Message{Ciphertext: a.Ciphertext, IV: a.IV, Tag: a.Tag, Metadata: a.Metadata}
	switch {
	case len(m.Ciphertext) != size:
		return Message{}, badAnswer("%d bytes of ciphertext for %d of plaintext", len(m.Ciphertext), size)
	case len(m.IV) != 12 && len(m.IV) != 16:
		return Message{}, badAnswer("an initialization vector of %d bytes", len(m.IV))
	case len(m.Tag) != tagSize:
		return Message{}, badAnswer("an authentication tag of %d bytes", len(m.Tag))
	case len(m.Metadata) > maxMetadata:
		return Message{}, badAnswer("%d bytes of ciphertext metadata", len(m.Metadata))
	case !m.vouchedFor(a.Integrity, associated):
		return Message{}, badAnswer("the ciphertext data integrity value is missing or wrong")
	}
	return m, nil
}

// parsePlaintext reads the answer of Decrypt to size bytes of ciphertext.
func parsePlaintext(body []byte, size int) ([]byte, error) {
	var a struct {
		Plaintext []byte `json:"plaintext"`
	}
	if err := decode(body, &a); err != nil {
		return nil, err
	}
	if len(a.Plaintext) != size {
		return nil, badAnswer("%d bytes of plaintext for %d of ciphertext", len(a.Plaintext), size)
	}
	return a.Plaintext, nil
}

// parseFailure reads an answer whose status is not 200. It is always an error.
func parseFailure(status int, body []byte) error {
	var a struct {
		Name    Kind   `json:"errorName"`
		Message string `json:"errorMessage"`
	}
	if status >= 300 && status < 400 || decode(body, &a) != nil || !reported[a.Name] {
		return badAnswer("status %d without an error of the API", status)
	}
	return &Error{Kind: a.Name, Detail: printable(a.Message)}
}

// printable is what may be logged of a proxy's message: up to 512 characters of
// printable ASCII, as the API demands.
func printable(s string) string {
	if len(s) > 512 {
		s = s[:512]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}
