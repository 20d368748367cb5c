package keys

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

// A FaultKind says what went wrong with what backs a custom key store.
type FaultKind string

// What a proxy reports, spelled as the proxy API's error names.
const (
	FaultAccessDenied      FaultKind = "AccessDeniedException"
	FaultAuthentication    FaultKind = "AuthenticationFailedException"
	FaultDependencyTimeout FaultKind = "DependencyTimeoutException"
	FaultInternal          FaultKind = "InternalException"
	FaultInvalidCiphertext FaultKind = "InvalidCiphertextException"
	FaultInvalidUsage      FaultKind = "InvalidKeyUsageException"
	FaultInvalidState      FaultKind = "InvalidStateException"
	FaultInvalidPath       FaultKind = "InvalidUriPathException"
	FaultKeyNotFound       FaultKind = "KeyNotFoundException"
	FaultThrottling        FaultKind = "ThrottlingException"
	FaultUnsupported       FaultKind = "UnsupportedOperationException"
	FaultValidation        FaultKind = "ValidationException"
)

// What is noticed on the way to a proxy.
const (
	FaultUnreachable  FaultKind = "Unreachable"  // no connection, or to an address that is not allowed
	FaultTLS          FaultKind = "BadTLS"       // no TLS connection
	FaultTimeout      FaultKind = "TimedOut"     // no answer in time
	FaultAnswer       FaultKind = "BadAnswer"    // an answer that is not the API's
	FaultUnavailable  FaultKind = "Unavailable"  // no key manager works
	FaultInner        FaultKind = "BadInner"     // what the proxy has decrypted is not what it was given
	FaultNoVPCService FaultKind = "NoVPCService" // there is no such VPC endpoint service
)

// What can be wrong with a cluster of hardware security modules, beside
// FaultKeyNotFound, FaultInvalidCiphertext and FaultTimeout.
const (
	FaultNoCluster     FaultKind = "NotFound"
	FaultInactive      FaultKind = "NotActive"
	FaultUnfit         FaultKind = "Unfit"
	FaultWrongAnchor   FaultKind = "WrongAnchor"
	FaultNoUser        FaultKind = "NoUser"
	FaultWrongPassword FaultKind = "WrongPassword"
	FaultLockedOut     FaultKind = "LockedOut"
	FaultLoggedIn      FaultKind = "LoggedIn"
	FaultBroken        FaultKind = "Broken"
)

// A Fault is why what backs a custom key store did not do what it was asked.
// Detail is for the operator, and never shown to callers: it may quote a proxy.
type Fault struct {
	Kind   FaultKind
	Detail string
}

func (f *Fault) Error() string {
	if f.Detail == "" {
		return "custom key store: " + string(f.Kind)
	}
	return "custom key store: " + string(f.Kind) + ": " + f.Detail
}

// proxyTexts are KMS's sentences about proxies, as the specification of the proxy
// API has them.
var proxyTexts = map[FaultKind]string{
	FaultAccessDenied:      "The external key store proxy denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request again.",
	FaultAuthentication:    "The external key store proxy rejected the request because it could not authenticate AWS KMS. Verify the XKS proxy authentication credentials for your external key store and update if necessary.",
	FaultDependencyTimeout: "The external key store proxy did not respond to the request in the time allotted. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
	FaultInternal:          "The external key store proxy rejected the request because it cannot communicate with the external key manager. Verify that the external key store proxy configuration is correct and that the external key manager is available.",
	FaultInvalidCiphertext: "The external key store proxy rejected the request because the specified ciphertext or encryption context is corrupted, missing, or otherwise invalid.",
	FaultInner:             "The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.",
	FaultInvalidUsage:      "The external key associated with this KMS key in an external key store does not support the requested operation. Enable the operation on the key in your external key manager, and try the request again.",
	FaultInvalidState:      "The external key associated with this KMS key in an external key store is not enabled in the external key manager. Enable the external key in the external key manager and retry the request.",
	FaultInvalidPath:       "The external key store proxy rejected the request because of an invalid URI path. Verify the URI path for your external key store and update if necessary.",
	FaultKeyNotFound:       "The external key associated with this KMS key in an external key store was not found in its external key manager. If the external key ID associated with this KMS key is incorrect, create a new KMS key with the correct external key ID.",
	FaultThrottling:        "The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of your calls using KMS keys in this external key store.",
	FaultUnsupported:       "The external key store proxy rejected the request because it does not support the requested operation. If you see this error repeatedly, report it to your external key store proxy administrator.",
	FaultUnreachable:       "AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct in your external key store.",
	FaultTLS:               "AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its certificate.",
	FaultTimeout:           "AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
}

// badAnswerText is about every other answer.
const badAnswerText = "AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, report it to your external key store proxy administrator."

// notConnectedText refuses to make a key in an external key store that is not connected.
const notConnectedText = "This KMS key is in a custom key store that is not connected to its external key store proxy. Connect the external key store and try the request again."

func proxyText(k FaultKind) *string {
	switch text, ok := proxyTexts[k]; {
	case ok:
		return &text
	case k == FaultUnavailable:
		return new(proxyTexts[FaultUnreachable])
	}
	return new(badAnswerText)
}

// proxyManageError is what CreateCustomKeyStore and UpdateCustomKeyStore say of a
// proxy that does not answer as it should.
func proxyManageError(err error) error {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return err
	}
	text := proxyText(f.Kind)
	switch f.Kind {
	case FaultAuthentication:
		return &types.XksProxyIncorrectAuthenticationCredentialException{Message: text}
	case FaultInvalidPath:
		return &types.XksProxyInvalidConfigurationException{Message: text}
	case FaultDependencyTimeout, FaultThrottling, FaultUnreachable, FaultTLS, FaultTimeout, FaultUnavailable:
		return &types.XksProxyUriUnreachableException{Message: text}
	}
	return &types.XksProxyInvalidResponseException{Message: text}
}

// proxyCreateKeyError is what CreateKey says of it.
func proxyCreateKeyError(err error) error {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return err
	}
	text := proxyText(f.Kind)
	switch f.Kind {
	case FaultInvalidState, FaultInvalidUsage:
		return &types.XksKeyInvalidConfigurationException{Message: text}
	case FaultKeyNotFound:
		return &types.XksKeyNotFoundException{Message: text}
	case FaultAccessDenied:
		return &types.KMSInvalidStateException{Message: text}
	}
	return &types.CustomKeyStoreInvalidStateException{Message: text}
}

// proxyCryptoError is what cryptographic operations say of it.
func proxyCryptoError(err error) error {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return err
	}
	return &types.KMSInvalidStateException{Message: proxyText(f.Kind)}
}

// hsmManageError is what CreateCustomKeyStore says of a cluster.
func hsmManageError(cluster string, err error) error {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return err
	}
	switch f.Kind {
	case FaultNoCluster:
		return &types.CloudHsmClusterNotFoundException{Message: new(fmt.Sprintf("CloudHSM cluster %s is not found.", cluster))}
	case FaultInactive, FaultNoUser, FaultLockedOut:
		return &types.CloudHsmClusterNotActiveException{Message: new(fmt.Sprintf("CloudHSM cluster %s is not active.", cluster))}
	case FaultWrongAnchor:
		return &types.IncorrectTrustAnchorException{Message: new(fmt.Sprintf("The trust anchor certificate is not that of CloudHSM cluster %s.", cluster))}
	case FaultTimeout, FaultBroken:
		return hsmCryptoError("CloudHSM cluster "+cluster, err)
	}
	return &types.CloudHsmClusterInvalidConfigurationException{Message: new(fmt.Sprintf("CloudHSM cluster %s cannot make AES keys or encrypt with AES-GCM.", cluster))}
}

// hsmCryptoError is what operations say that use a key, or a cluster, called what.
func hsmCryptoError(what string, err error) error {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		return err
	}
	switch f.Kind {
	case FaultInvalidCiphertext:
		return badCiphertext()
	case FaultTimeout:
		return &types.DependencyTimeoutException{Message: new(what + " did not answer in time.")}
	case FaultKeyNotFound:
		return &types.KMSInvalidStateException{Message: new("The key material of " + what + " is not in its CloudHSM cluster.")}
	case FaultWrongPassword, FaultLockedOut, FaultNoUser, FaultLoggedIn:
		return &types.KMSInvalidStateException{Message: new(what + " is in a custom key store that cannot log in to its CloudHSM cluster. Disconnect the custom key store, correct its password and connect it again.")}
	}
	return &types.KeyUnavailableException{Message: new(what + " is not available. Retry the request.")}
}

// causes are the connection error codes of faults.
var causes = map[FaultKind]types.ConnectionErrorCodeType{
	FaultAuthentication:    types.ConnectionErrorCodeTypeInvalidCredentials,
	FaultAccessDenied:      types.ConnectionErrorCodeTypeXksProxyAccessDenied,
	FaultInvalidPath:       types.ConnectionErrorCodeTypeXksProxyInvalidConfiguration,
	FaultUnreachable:       types.ConnectionErrorCodeTypeXksProxyNotReachable,
	FaultUnavailable:       types.ConnectionErrorCodeTypeXksProxyNotReachable,
	FaultThrottling:        types.ConnectionErrorCodeTypeXksProxyNotReachable,
	FaultTLS:               types.ConnectionErrorCodeTypeXksProxyInvalidTlsConfiguration,
	FaultTimeout:           types.ConnectionErrorCodeTypeXksProxyTimedOut,
	FaultDependencyTimeout: types.ConnectionErrorCodeTypeXksProxyTimedOut,
	FaultNoVPCService:      types.ConnectionErrorCodeTypeXksVpcEndpointServiceNotFound,
	FaultNoCluster:         types.ConnectionErrorCodeTypeClusterNotFound,
	FaultInactive:          types.ConnectionErrorCodeTypeInsufficientCloudhsmHsms,
	FaultWrongPassword:     types.ConnectionErrorCodeTypeInvalidCredentials,
	FaultLockedOut:         types.ConnectionErrorCodeTypeUserLockedOut,
	FaultNoUser:            types.ConnectionErrorCodeTypeUserNotFound,
	FaultLoggedIn:          types.ConnectionErrorCodeTypeUserLoggedIn,
}

// connectionCause is the connection error code of a failure to connect a store of
// this type.
func connectionCause(storeType string, err error) string {
	f, ok := errors.AsType[*Fault](err)
	switch {
	case !ok:
		return string(types.ConnectionErrorCodeTypeInternalError)
	case f.Kind == FaultTimeout && storeType == cloudHSM:
		return string(types.ConnectionErrorCodeTypeNetworkErrors)
	case causes[f.Kind] != "":
		return string(causes[f.Kind])
	case storeType == external:
		return string(types.ConnectionErrorCodeTypeXksProxyInvalidResponse)
	}
	return string(types.ConnectionErrorCodeTypeInternalError)
}
