package keys

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"borealis/internal/cloud"
	"borealis/internal/policy"
)

// maxStores is how many custom key stores an account has in a Region.
const maxStores = 10

const (
	publicConnectivity = string(types.XksProxyConnectivityTypePublicEndpoint)
	vpcConnectivity    = string(types.XksProxyConnectivityTypeVpcEndpointService)
)

// CreateCustomKeyStore makes a custom key store, which is not connected yet.
func (v *View) CreateCustomKeyStore(ctx context.Context, in *kms.CreateCustomKeyStoreInput) (*kms.CreateCustomKeyStoreOutput, error) {
	if err := v.allow(ctx, "CreateCustomKeyStore", "*", policy.Context{}); err != nil {
		return nil, err
	}
	k := KeyStore{Place: v.home(), ID: newStoreID(), Name: str(in.CustomKeyStoreName), Type: string(in.CustomKeyStoreType), Created: v.now(), Connection: Disconnected}
	var secret string
	var err error
	if k.Type == external {
		secret, err = v.newProxy(&k, in)
	} else {
		k.Type = cloudHSM
		secret, err = v.newCluster(&k, in)
	}
	if err != nil {
		return nil, err
	}
	if err := v.Store.View(ctx, func(tx Tx) error { return mayAddStore(tx, &k) }); err != nil { // before anybody is asked
		return nil, err
	}
	if k.Secret, err = v.Sealer.Seal([]byte(secret), k.storeContext()); err != nil {
		return nil, err
	}
	b, err := v.openStore(k)
	if err != nil {
		return nil, err
	}
	if err := v.probe(ctx, b, "CreateCustomKeyStore"); err != nil {
		return nil, err
	}
	err = v.write(ctx, func(tx *change) error {
		if err := mayAddStore(tx.Tx, &k); err != nil {
			return err
		}
		return tx.PutKeyStore(k)
	})
	if err != nil {
		return nil, err
	}
	return &kms.CreateCustomKeyStoreOutput{CustomKeyStoreId: &k.ID}, nil
}

// newProxy reads the parameters of an external key store.
func (v *View) newProxy(k *KeyStore, in *kms.CreateCustomKeyStoreInput) (secret string, err error) {
	c := in.XksProxyAuthenticationCredential
	k.Proxy = ProxySettings{
		Endpoint: str(in.XksProxyUriEndpoint), Path: str(in.XksProxyUriPath), Connectivity: string(in.XksProxyConnectivity),
		VPCService: str(in.XksProxyVpcEndpointServiceName), VPCOwner: str(in.XksProxyVpcEndpointServiceOwner),
	}
	switch {
	case v.Proxies == nil:
		return "", unsupported("This server does not offer external key stores.")
	case c == nil || k.Proxy.Endpoint == "" || k.Proxy.Path == "" || k.Proxy.Connectivity == "":
		return "", invalid("An external key store needs XksProxyConnectivity, XksProxyAuthenticationCredential, XksProxyUriEndpoint and XksProxyUriPath.")
	case in.CloudHsmClusterId != nil || in.KeyStorePassword != nil || in.TrustAnchorCertificate != nil:
		return "", invalid("CloudHsmClusterId, KeyStorePassword and TrustAnchorCertificate are not valid for an external key store.")
	}
	k.Proxy.AccessKeyID = str(c.AccessKeyId)
	return str(c.RawSecretAccessKey), v.checkProxy(k)
}

// checkProxy refuses settings of a proxy that cannot belong together.
func (v *View) checkProxy(k *KeyStore) error {
	p := &k.Proxy
	switch {
	case !strings.HasSuffix(p.Path, "/kms/xks/v1"):
		return invalid("XksProxyUriPath must end with /kms/xks/v1: this is the version of the proxy API that is supported.")
	case p.Connectivity == vpcConnectivity && p.VPCService == "":
		return invalid("XksProxyVpcEndpointServiceName is required when XksProxyConnectivity is VPC_ENDPOINT_SERVICE.")
	case p.Connectivity == publicConnectivity && (p.VPCService != "" || p.VPCOwner != ""):
		return invalid("XksProxyVpcEndpointServiceName and XksProxyVpcEndpointServiceOwner are not valid when XksProxyConnectivity is PUBLIC_ENDPOINT.")
	case p.Connectivity == vpcConnectivity && !v.Proxies.Private(p.Endpoint):
		return &types.XksProxyVpcEndpointServiceNotFoundException{Message: new(fmt.Sprintf("VPC endpoint service %s with the private DNS name of %s is not found.", p.VPCService, p.Endpoint))}
	}
	if p.Connectivity == vpcConnectivity && p.VPCOwner == "" {
		p.VPCOwner = string(k.Account)
	}
	return nil
}

// newCluster reads the parameters of a CloudHSM key store.
func (v *View) newCluster(k *KeyStore, in *kms.CreateCustomKeyStoreInput) (password string, err error) {
	if missing := v.missingHSM(); missing != "" {
		return "", noHSM(missing)
	}
	k.Cluster, k.Anchor = str(in.CloudHsmClusterId), str(in.TrustAnchorCertificate)
	switch {
	case k.Cluster == "" || k.Anchor == "" || in.KeyStorePassword == nil:
		return "", invalid("A CloudHSM key store needs CloudHsmClusterId, KeyStorePassword and TrustAnchorCertificate.")
	case in.XksProxyAuthenticationCredential != nil || in.XksProxyConnectivity != "" || in.XksProxyUriEndpoint != nil ||
		in.XksProxyUriPath != nil || in.XksProxyVpcEndpointServiceName != nil || in.XksProxyVpcEndpointServiceOwner != nil:
		return "", invalid("Parameters of an external key store proxy are not valid for a CloudHSM key store.")
	}
	if _, err := parseAnchor(k.Anchor); err != nil {
		return "", err
	}
	return *in.KeyStorePassword, nil
}

// missingHSM says what this server lacks to use hardware security modules, or "".
func (s *Service) missingHSM() string {
	if s.HSMs == nil {
		return "it has no hardware security module"
	}
	return s.HSMs.Missing()
}

func noHSM(missing string) error {
	return unsupported("This server does not offer CloudHSM key stores: %s.", missing)
}

// parseAnchor is the DER of a trust anchor certificate.
func parseAnchor(text string) ([]byte, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, &types.IncorrectTrustAnchorException{Message: new("The trust anchor certificate is not a certificate in PEM.")}
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return nil, &types.IncorrectTrustAnchorException{Message: new("The trust anchor certificate is not an X.509 certificate.")}
	}
	return block.Bytes, nil
}

// mayAddStore refuses a store that the account may not have beside those that it
// has, or for which it has too many.
func mayAddStore(tx Tx, k *KeyStore) error {
	others, err := tx.KeyStores(k.Place, "", maxStores+1)
	if err != nil {
		return err
	}
	if len(others) >= maxStores {
		return limitExceeded("An account can have %d custom key stores in a Region.", maxStores)
	}
	return fits(tx, k, others)
}

// fits refuses what must be k's alone and is another store's.
func fits(tx Tx, k *KeyStore, others []KeyStore) error {
	for _, o := range others {
		if o.ID == k.ID {
			continue
		}
		if o.Name == k.Name {
			return &types.CustomKeyStoreNameInUseException{Message: new(fmt.Sprintf("A custom key store with the name %s already exists.", k.Name))}
		}
		if err := proxyInUse(&k.Proxy, &o.Proxy); k.Type == external && o.Type == external && err != nil {
			return err
		}
	}
	if k.Type != cloudHSM {
		return nil
	}
	o, err := tx.StoreOfCluster(k.Cluster)
	switch {
	case isNotFound(err):
		return nil
	case err == nil && o.ID != k.ID:
		return &types.CloudHsmClusterInUseException{Message: new(fmt.Sprintf("CloudHSM cluster %s is associated with another custom key store.", k.Cluster))}
	}
	return err
}

func proxyInUse(p, o *ProxySettings) error {
	switch {
	case p.URI() == o.URI():
		return &types.XksProxyUriInUseException{Message: new(fmt.Sprintf("The external key store proxy API address %s is associated with another external key store.", p.URI()))}
	case p.VPCService != "" && p.VPCService == o.VPCService:
		return &types.XksProxyVpcEndpointServiceInUseException{Message: new(fmt.Sprintf("VPC endpoint service %s is associated with another external key store.", p.VPCService))}
	case p.Endpoint == o.Endpoint && (p.Connectivity == vpcConnectivity || o.Connectivity == vpcConnectivity):
		return &types.XksProxyUriEndpointInUseException{Message: new(fmt.Sprintf("The external key store proxy endpoint %s is associated with another external key store.", p.Endpoint))}
	}
	return nil
}

// probe asks what is behind a store, for the operations that set it up.
func (v *View) probe(ctx context.Context, b *backing, operation string) error {
	if b.Type == cloudHSM {
		anchor, err := parseAnchor(b.Anchor)
		if err != nil {
			return err
		}
		if err := v.HSMs.Check(ctx, b.Cluster, anchor); err != nil {
			return hsmManageError(b.Cluster, err)
		}
		return nil
	}
	if b.Proxy.Connectivity == vpcConnectivity && operation == "CreateCustomKeyStore" {
		return nil // KMS asks such a proxy when it connects
	}
	if err := v.Proxies.Health(ctx, b.proxy(), ProxyCall{Operation: operation, RequestID: v.caller.RequestID}); err != nil {
		return proxyManageError(err)
	}
	return nil
}

func noStore(id string) error {
	return &types.CustomKeyStoreNotFoundException{Message: new(fmt.Sprintf("Custom key store %s is not found.", id))}
}

func storeState(k *KeyStore) error {
	return &types.CustomKeyStoreInvalidStateException{Message: new(fmt.Sprintf("The connection state of custom key store %s is %s, which is not valid for this operation.", k.ID, k.Connection))}
}

// keyStore is a custom key store of the caller's account and Region.
func (v *View) keyStore(ctx context.Context, id string) (k KeyStore, err error) {
	err = v.Store.View(ctx, func(tx Tx) (err error) {
		k, err = tx.KeyStore(v.home(), id)
		return err
	})
	if isNotFound(err) {
		err = noStore(id)
	}
	return k, err
}

// changeStore changes a custom key store. plan checks the request and makes the
// change; it runs outside the transaction, and again if the store has changed in
// between.
func (v *View) changeStore(ctx context.Context, id string, plan func(*KeyStore) error) (KeyStore, error) {
	for {
		k, err := v.keyStore(ctx, id)
		if err != nil {
			return k, err
		}
		if err := plan(&k); err != nil {
			return k, err
		}
		err = v.write(ctx, func(tx *change) error {
			if err := tx.unchangedStore(&k); err != nil {
				return err
			}
			others, err := tx.KeyStores(k.Place, "", maxStores+1)
			if err != nil {
				return err
			}
			if err := fits(tx.Tx, &k, others); err != nil {
				return err
			}
			return tx.PutKeyStore(k)
		})
		if !errors.Is(err, cloud.ErrConflict) {
			return k, err
		}
	}
}

// unchangedStore is nil if the store in the transaction is the version that k was
// made of, or cloud.ErrConflict.
func (c *change) unchangedStore(k *KeyStore) error {
	now, err := c.KeyStore(k.Place, k.ID)
	if isNotFound(err) || err == nil && now.Version != k.Version {
		return fmt.Errorf("custom key store %s: %w", k.ID, cloud.ErrConflict)
	}
	return err
}

// UpdateCustomKeyStore changes a custom key store. Its name can be changed while
// it is connected, and so can the path and the credential of a proxy; the rest
// only while it is disconnected.
func (v *View) UpdateCustomKeyStore(ctx context.Context, in *kms.UpdateCustomKeyStoreInput) (*kms.UpdateCustomKeyStoreOutput, error) {
	if err := v.allow(ctx, "UpdateCustomKeyStore", "*", policy.Context{}); err != nil {
		return nil, err
	}
	_, err := v.changeStore(ctx, str(in.CustomKeyStoreId), func(k *KeyStore) error {
		if err := updatable(k, in); err != nil {
			return err
		}
		if in.NewCustomKeyStoreName != nil {
			k.Name = *in.NewCustomKeyStoreName
		}
		if k.Type == external {
			return v.updateProxy(ctx, k, in)
		}
		return v.updateCluster(ctx, k, in)
	})
	if err != nil {
		return nil, err
	}
	return &kms.UpdateCustomKeyStoreOutput{}, nil
}

// updatable refuses changes that are not for a store of this type, or not in its
// connection state.
func updatable(k *KeyStore, in *kms.UpdateCustomKeyStoreInput) error {
	ofCluster := in.CloudHsmClusterId != nil || in.KeyStorePassword != nil
	moves := in.XksProxyConnectivity != "" || in.XksProxyUriEndpoint != nil || in.XksProxyVpcEndpointServiceName != nil || in.XksProxyVpcEndpointServiceOwner != nil
	ofProxy := moves || in.XksProxyAuthenticationCredential != nil || in.XksProxyUriPath != nil
	switch {
	case k.Type == external && ofCluster:
		return invalid("CloudHsmClusterId and KeyStorePassword are not valid for an external key store.")
	case k.Type == cloudHSM && ofProxy:
		return invalid("Parameters of an external key store proxy are not valid for a CloudHSM key store.")
	case k.Connection == Disconnected || k.Connection == Connected && !ofCluster && !moves:
		return nil
	}
	return storeState(k)
}

// updateProxy changes the proxy of k as in says, and asks it how it is.
func (v *View) updateProxy(ctx context.Context, k *KeyStore, in *kms.UpdateCustomKeyStoreInput) error {
	was := k.Proxy
	p := &k.Proxy
	set(&p.Endpoint, in.XksProxyUriEndpoint)
	set(&p.Path, in.XksProxyUriPath)
	set(&p.VPCService, in.XksProxyVpcEndpointServiceName)
	set(&p.VPCOwner, in.XksProxyVpcEndpointServiceOwner)
	if in.XksProxyConnectivity != "" {
		p.Connectivity = string(in.XksProxyConnectivity)
		if p.Connectivity == publicConnectivity && in.XksProxyVpcEndpointServiceOwner == nil {
			p.VPCOwner = ""
		}
	}
	if p.Connectivity != was.Connectivity && p.Endpoint == was.Endpoint {
		return invalid("A change of XksProxyConnectivity needs another XksProxyUriEndpoint.")
	}
	if c := in.XksProxyAuthenticationCredential; c != nil {
		p.AccessKeyID = str(c.AccessKeyId)
		sealed, err := v.Sealer.Seal([]byte(str(c.RawSecretAccessKey)), k.storeContext())
		if err != nil {
			return err
		}
		k.Secret = sealed
	} else if *p == was {
		return nil
	}
	if err := v.checkProxy(k); err != nil {
		return err
	}
	b, err := v.openStore(*k)
	if err != nil {
		return err
	}
	return v.probe(ctx, b, "UpdateCustomKeyStore")
}

func set(to *string, from *string) {
	if from != nil {
		*to = *from
	}
}

// updateCluster changes the cluster of k, or its password, as in says.
func (v *View) updateCluster(ctx context.Context, k *KeyStore, in *kms.UpdateCustomKeyStoreInput) error {
	if p := in.KeyStorePassword; p != nil {
		sealed, err := v.Sealer.Seal([]byte(*p), k.storeContext())
		if err != nil {
			return err
		}
		k.Secret = sealed
	}
	if in.CloudHsmClusterId == nil || *in.CloudHsmClusterId == k.Cluster {
		return nil
	}
	if missing := v.missingHSM(); missing != "" {
		return noHSM(missing)
	}
	k.Cluster = *in.CloudHsmClusterId
	b, err := v.openStore(*k)
	if err != nil {
		return err
	}
	err = v.probe(ctx, b, "UpdateCustomKeyStore")
	if _, other := errors.AsType[*types.IncorrectTrustAnchorException](err); other {
		return &types.CloudHsmClusterNotRelatedException{Message: new(fmt.Sprintf("CloudHSM cluster %s has another certificate than the cluster of custom key store %s.", k.Cluster, k.ID))}
	}
	return err
}

// ConnectCustomKeyStore lets a custom key store be connected. It does not wait for
// that; DescribeCustomKeyStores tells how it went.
func (v *View) ConnectCustomKeyStore(ctx context.Context, in *kms.ConnectCustomKeyStoreInput) (*kms.ConnectCustomKeyStoreOutput, error) {
	if err := v.allow(ctx, "ConnectCustomKeyStore", "*", policy.Context{}); err != nil {
		return nil, err
	}
	_, err := v.changeStore(ctx, str(in.CustomKeyStoreId), func(k *KeyStore) error {
		if k.Connection == Failed {
			return storeState(k)
		}
		if missing := v.missingHSM(); k.Type == cloudHSM && missing != "" {
			return noHSM(missing)
		}
		k.Connection, k.Request = Connecting, v.caller.RequestID
		return nil
	})
	if err != nil {
		return nil, err
	}
	v.poke()
	return &kms.ConnectCustomKeyStoreOutput{}, nil
}

// DisconnectCustomKeyStore makes the keys of a custom key store unavailable.
func (v *View) DisconnectCustomKeyStore(ctx context.Context, in *kms.DisconnectCustomKeyStoreInput) (*kms.DisconnectCustomKeyStoreOutput, error) {
	if err := v.allow(ctx, "DisconnectCustomKeyStore", "*", policy.Context{}); err != nil {
		return nil, err
	}
	k, err := v.changeStore(ctx, str(in.CustomKeyStoreId), func(k *KeyStore) error {
		if k.Connection == Disconnected {
			return storeState(k)
		}
		k.Connection, k.Cause, k.Request = Disconnected, "", ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	if k.Type == cloudHSM && v.HSMs != nil {
		v.HSMs.Logout(k.Cluster)
	}
	return &kms.DisconnectCustomKeyStoreOutput{}, nil
}

// DeleteCustomKeyStore deletes a custom key store that is disconnected and has no
// keys. What was behind it stays.
func (v *View) DeleteCustomKeyStore(ctx context.Context, in *kms.DeleteCustomKeyStoreInput) (*kms.DeleteCustomKeyStoreOutput, error) {
	if err := v.allow(ctx, "DeleteCustomKeyStore", "*", policy.Context{}); err != nil {
		return nil, err
	}
	id := str(in.CustomKeyStoreId)
	err := v.write(ctx, func(tx *change) error {
		k, err := tx.KeyStore(v.home(), id)
		if isNotFound(err) {
			return noStore(id)
		}
		if err != nil {
			return err
		}
		if k.Connection != Disconnected {
			return storeState(&k)
		}
		some, err := tx.StoreKeys(k.Place, k.ID, "", 1)
		if err != nil {
			return err
		}
		if len(some) > 0 {
			return &types.CustomKeyStoreHasCMKsException{Message: new(fmt.Sprintf("Custom key store %s contains KMS keys.", id))}
		}
		return tx.DeleteKeyStore(k.Place, k.ID)
	})
	if err != nil {
		return nil, err
	}
	return &kms.DeleteCustomKeyStoreOutput{}, nil
}

// DescribeCustomKeyStores lists the custom key stores of the caller's account in
// the Region, or one of them by its id or its name.
func (v *View) DescribeCustomKeyStores(ctx context.Context, in *kms.DescribeCustomKeyStoresInput) (*kms.DescribeCustomKeyStoresOutput, error) {
	if err := v.allow(ctx, "DescribeCustomKeyStores", "*", policy.Context{}); err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != nil && in.CustomKeyStoreName != nil {
		return nil, invalid("Please specify either CustomKeyStoreId or CustomKeyStoreName, and not both.")
	}
	p, err := newPage("custom key stores", in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	if in.CustomKeyStoreId != nil || in.CustomKeyStoreName != nil {
		p.after, p.limit = "", maxStores // the one may be anywhere
	}
	var list []KeyStore
	err = v.Store.View(ctx, func(tx Tx) (err error) {
		list, err = tx.KeyStores(v.home(), p.after, p.limit+1)
		return err
	})
	if err != nil {
		return nil, err
	}
	if list, err = pick(list, in); err != nil {
		return nil, err
	}
	out := &kms.DescribeCustomKeyStoresOutput{CustomKeyStores: []types.CustomKeyStoresListEntry{}}
	list, out.NextMarker = cut(p, list, func(k KeyStore) string { return k.ID })
	out.Truncated = out.NextMarker != nil
	for _, k := range list {
		out.CustomKeyStores = append(out.CustomKeyStores, k.entry())
	}
	return out, nil
}

// pick is the one store of a list that in names, or all if it names none.
func pick(list []KeyStore, in *kms.DescribeCustomKeyStoresInput) ([]KeyStore, error) {
	if in.CustomKeyStoreId == nil && in.CustomKeyStoreName == nil {
		return list, nil
	}
	for _, k := range list {
		if k.ID == str(in.CustomKeyStoreId) || in.CustomKeyStoreName != nil && k.Name == *in.CustomKeyStoreName {
			return []KeyStore{k}, nil
		}
	}
	return nil, noStore(str(in.CustomKeyStoreId) + str(in.CustomKeyStoreName))
}

// entry says k in KMS's words. It has no secret.
func (k *KeyStore) entry() types.CustomKeyStoresListEntry {
	e := types.CustomKeyStoresListEntry{
		CustomKeyStoreId: &k.ID, CustomKeyStoreName: &k.Name, CustomKeyStoreType: types.CustomKeyStoreType(k.Type),
		ConnectionState: types.ConnectionStateType(k.Connection), CreationDate: &k.Created,
		ConnectionErrorCode: types.ConnectionErrorCodeType(k.Cause),
	}
	if k.Type == cloudHSM {
		e.CloudHsmClusterId, e.TrustAnchorCertificate = &k.Cluster, &k.Anchor
		return e
	}
	p := k.Proxy
	e.XksProxyConfiguration = &types.XksProxyConfigurationType{
		Connectivity: types.XksProxyConnectivityType(p.Connectivity), AccessKeyId: &p.AccessKeyID, UriEndpoint: &p.Endpoint, UriPath: &p.Path,
	}
	if p.Connectivity == vpcConnectivity {
		e.XksProxyConfiguration.VpcEndpointServiceName, e.XksProxyConfiguration.VpcEndpointServiceOwner = &p.VPCService, &p.VPCOwner
	}
	return e
}
