package identity

// ReadUploads reads text as everything that can be uploaded.
func ReadUploads(text string) []error {
	_, key := parseSSHKey(text)
	_, certs := parseCertificates(text)
	_, private := parsePrivateKey(text)
	return []error{key, certs, private}
}
