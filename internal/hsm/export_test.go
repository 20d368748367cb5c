//go:build pkcs11

package hsm

// Remembered is how many tokens m has state of.
func (m *Module) Remembered() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tokens)
}
