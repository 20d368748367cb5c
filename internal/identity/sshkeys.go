package identity

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/crypto/ssh"
)

var sshKeys = kept{SSHKeyItem, 5, "SSHPublicKeysPerUser", "The Public Key with id %s cannot be found."}

// minRSA is how many bits an SSH public key must have at least.
const minRSA = 2048

// An sshKey is a user's public key for SSH. It is stored, so its fields change only
// with a migration.
type sshKey struct {
	Body     string // as it was uploaded: a line of ssh-rsa, or PEM
	Wire     []byte // as SSH sends it
	Active   bool
	Uploaded time.Time
}

func invalidPublicKey() error {
	return &types.InvalidPublicKeyException{Message: new("The public key is malformed or otherwise invalid.")}
}

// parseSSHKey reads an RSA key that is a line of ssh-rsa or PEM.
func parseSSHKey(text string) (ssh.PublicKey, error) {
	var key ssh.PublicKey
	if block, rest := pem.Decode([]byte(text)); block != nil {
		if len(bytes.TrimSpace(rest)) > 0 {
			return nil, invalidPublicKey()
		}
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			parsed, err = x509.ParsePKCS1PublicKey(block.Bytes)
		}
		if err == nil {
			key, err = ssh.NewPublicKey(parsed)
		}
		if err != nil {
			return nil, invalidPublicKey()
		}
	} else {
		var err error
		var options []string
		var rest []byte
		key, _, options, rest, err = ssh.ParseAuthorizedKey([]byte(text))
		if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
			return nil, &types.UnrecognizedPublicKeyEncodingException{Message: new("The public key encoding format is unsupported or unrecognized.")}
		}
	}
	if n, ok := rsaKey(key); !ok || n.N.BitLen() < minRSA {
		return nil, invalidPublicKey()
	}
	return key, nil
}

func rsaKey(k ssh.PublicKey) (*rsa.PublicKey, bool) {
	c, ok := k.(ssh.CryptoPublicKey)
	if !ok {
		return nil, false
	}
	n, ok := c.CryptoPublicKey().(*rsa.PublicKey)
	return n, ok
}

// in is the key in an encoding that IAM's clients ask for.
func (k sshKey) in(encoding types.EncodingType) (string, error) {
	key, err := ssh.ParsePublicKey(k.Wire)
	if err != nil {
		return "", err
	}
	if encoding != types.EncodingTypePem {
		return strings.TrimSuffix(string(ssh.MarshalAuthorizedKey(key)), "\n"), nil
	}
	n, _ := rsaKey(key) // parseSSHKey takes no others
	der, err := x509.MarshalPKIXPublicKey(n)
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), err
}

// public is k in IAM's words, with a body.
func (k sshKey) public(o owner, id, text string) (*types.SSHPublicKey, error) {
	key, err := ssh.ParsePublicKey(k.Wire)
	if err != nil {
		return nil, err
	}
	return &types.SSHPublicKey{
		UserName: &o.name, SSHPublicKeyId: &id, SSHPublicKeyBody: &text, Fingerprint: new(ssh.FingerprintLegacyMD5(key)),
		Status: status(k.Active), UploadDate: &k.Uploaded,
	}, nil
}

// UploadSSHPublicKey gives a user one more public key for SSH.
func (v *View) UploadSSHPublicKey(ctx context.Context, in *iam.UploadSSHPublicKeyInput) (*iam.UploadSSHPublicKeyOutput, error) {
	out := &iam.UploadSSHPublicKeyOutput{}
	return out, v.change(ctx, func(r *request) error {
		o, err := r.keyOwner("iam:UploadSSHPublicKey", in.UserName)
		if err != nil {
			return err
		}
		key, err := parseSSHKey(*in.SSHPublicKeyBody)
		if err != nil {
			return err
		}
		k := sshKey{Body: *in.SSHPublicKeyBody, Wire: key.Marshal(), Active: true, Uploaded: r.Now().UTC()}
		twice, err := sameOwn(r, sshKeys, o.id, func(has sshKey) bool { return bytes.Equal(has.Wire, k.Wire) })
		if err != nil {
			return err
		}
		if twice {
			return &types.DuplicateSSHPublicKeyException{Message: new("The SSH public key is already associated with the specified IAM user.")}
		}
		i := r.newOwn(sshKeys, o, newID(sshKeyPrefix))
		if err := r.addOwn(sshKeys, i, k); err != nil {
			return err
		}
		out.SSHPublicKey, err = k.public(o, i.ID, k.Body)
		return err
	})
}

// GetSSHPublicKey shows a user's public key.
func (v *View) GetSSHPublicKey(ctx context.Context, in *iam.GetSSHPublicKeyInput) (*iam.GetSSHPublicKeyOutput, error) {
	out := &iam.GetSSHPublicKeyOutput{}
	return out, v.read(ctx, func(r *request) error {
		o, i, err := r.ownItem("iam:GetSSHPublicKey", sshKeys, in.UserName, *in.SSHPublicKeyId)
		if err != nil {
			return err
		}
		k, err := body[sshKey](i)
		if err != nil {
			return err
		}
		text, err := k.in(in.Encoding)
		if err != nil {
			return err
		}
		out.SSHPublicKey, err = k.public(o, i.ID, text)
		return err
	})
}

// ListSSHPublicKeys lists a user's public keys; without a name, the caller's.
func (v *View) ListSSHPublicKeys(ctx context.Context, in *iam.ListSSHPublicKeysInput) (*iam.ListSSHPublicKeysOutput, error) {
	out := &iam.ListSSHPublicKeysOutput{SSHPublicKeys: []types.SSHPublicKeyMetadata{}}
	next, err := listOwn(ctx, v, "iam:ListSSHPublicKeys", sshKeys, in.UserName, in.Marker, in.MaxItems, func(o owner, id string, k sshKey) {
		out.SSHPublicKeys = append(out.SSHPublicKeys, types.SSHPublicKeyMetadata{UserName: &o.name, SSHPublicKeyId: &id, Status: status(k.Active), UploadDate: &k.Uploaded})
	})
	out.Marker, out.IsTruncated = next, next != nil
	return out, err
}

// UpdateSSHPublicKey puts a public key out of use, or into use again.
func (v *View) UpdateSSHPublicKey(ctx context.Context, in *iam.UpdateSSHPublicKeyInput) (*iam.UpdateSSHPublicKeyOutput, error) {
	return &iam.UpdateSSHPublicKeyOutput{}, v.setStatus(ctx, "iam:UpdateSSHPublicKey", sshKeys, in.UserName, *in.SSHPublicKeyId, in.Status)
}

// DeleteSSHPublicKey removes a public key.
func (v *View) DeleteSSHPublicKey(ctx context.Context, in *iam.DeleteSSHPublicKeyInput) (*iam.DeleteSSHPublicKeyOutput, error) {
	return &iam.DeleteSSHPublicKeyOutput{}, v.deleteOwn(ctx, "iam:DeleteSSHPublicKey", sshKeys, in.UserName, *in.SSHPublicKeyId)
}
