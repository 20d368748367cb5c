package material_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"borealis/internal/material"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB, s material.Spec, encoded []byte) *material.Key {
	t.Helper()
	k, err := material.Load(s, encoded)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// onCurve is the key with this scalar.
func onCurve(t testing.TB, s material.Spec, scalar, public string) *material.Key {
	t.Helper()
	encoded, err := material.MarshalPoint(s, unhex(t, scalar), unhex(t, public))
	if err != nil {
		t.Fatal(err)
	}
	return load(t, s, encoded)
}

// der is a signature of r and s in hexadecimal digits.
func der(t testing.TB, r, s string) []byte {
	t.Helper()
	R, ok := new(big.Int).SetString(r, 16)
	S, ok2 := new(big.Int).SetString(s, 16)
	if !ok || !ok2 {
		t.Fatalf("%s, %s", r, s)
	}
	return derInts(t, R, S)
}

func derInts(t testing.TB, r, s *big.Int) []byte {
	t.Helper()
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(r)
		b.AddASN1BigInt(s)
	})
	return b.BytesOrPanic()
}

// What AWS KMS signed: radkawar/stackd, testdata/aws/kms/ecc.json and rsa.json,
// recorded on 2026-09-12. Messages are "stackd ECC interoperability" and "stackd
// RSA interoperability", or their digests.
func TestSignaturesRecordedFromKMS(t *testing.T) {
	const (
		p256 = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcGIr8j9vQq4yAB7OytYUGjHnGKyVq6JUTjwPam6F7dou5hpL+T9PxzarZQ7u0xBcd44U9Ut6syYz15xiUBnp0Q=="
		k1   = "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEHTEKkRd6pwaxWDLQc5dQMqZG5B4T+iFYl8Ul07s8asiO+Ml4+kx4SO9+vSsF7hzk1OkI2hzEowFr14UEbQKkPA=="
		ed   = "MCowBQYDK2VwAyEAmnl5akZRr82aTm/SBYXqN0IqltQoLHdjrOKW7LIKU7A="
		rsa  = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsEyM/wrZ4DjlYm0+zLXrIsANbXcHfvhbuck3WhYwYuEiceA2hqbMYKlwHBge+g6umjDcN637XQewqCjazLM0S0ygi+EZfl92bRjk8V3j4dYwzCJoKzaCEAxrzClGU1mz84wfipfPH2dW9a0hQUqiU2K6sDiNXzluAOlH0g4LtA5eVfoqjx31Cg8UDbOHQEzX2qH/ZsAxojfo/neaAYOMEfuqoOBskqhw7ZSrJ3YEQdzdbMnWJJ5cXAeO0HKYP+ujaiNqMB3UB3c7Fg/DfDJRZ8d4LzqIVq8+Ao48pEOHfTvsvGFGikFrhviIlME+oXWmQtPz2t7rzORdEUeupT4LrwIDAQAB"
	)
	for _, c := range []struct {
		name      string
		spec      material.Spec
		public    string
		algorithm material.Algorithm
		digest    bool
		signature string
	}{
		{"P-256", "ECC_NIST_P256", p256, "ECDSA_SHA_256", false, "MEQCIDgjUJrpJqGtyDgAoDHnwSEzp8DdRkDaYWhOpTefoRHHAiBmFC/VowRUma6sqwA9hh285fGZYbjQnkZcjC4bYtOEfA=="},
		{"P-256, digest", "ECC_NIST_P256", p256, "ECDSA_SHA_256", true, "MEYCIQD5VlUHxTOjr+R3e/FEOg4xa64KFNkVHINn144hG/H6iAIhAMFG1F3ny4R+yEqlQ/POXiLVknUQKcEuGQ5iXJb5EWcc"},
		{"secp256k1", "ECC_SECG_P256K1", k1, "ECDSA_SHA_256", false, "MEUCIQD6dSFHN5NdOkaUdUCXo3MFobqTLFg4UKSYCopeOrpjSwIgKcC0j1hAc+ziyNuasUgP4V0MSIaHARkRgcFK6zuhXqY="},
		{"secp256k1, large s", "ECC_SECG_P256K1", k1, "ECDSA_SHA_256", false, "MEUCIECN1MEC2vXRALU/kEdrSa8UBJ3Tjxy4W1O1pHjkG/BlAiEA2dgPMbmbc+ulARwTLviYQj//+EAkdIjqt2ExS1Cybrw="},
		{"secp256k1, digest", "ECC_SECG_P256K1", k1, "ECDSA_SHA_256", true, "MEYCIQCEptb0YYUwufTnkl1JlF+7myBy2pJr61ndQGspvroUlAIhAOkVLLOXlDo5gYWMtEEFLuPmy3BZnL1tUZUh5jOuprF5"},
		{"Ed25519", "ECC_NIST_EDWARDS25519", ed, "ED25519_SHA_512", false, "/LlIG4hb/5IeqjrPH0jUm+NgE3UyPlDFulQ4wgr9eBxLa/ZEPSetXY8luFB4z0zjEs+pXiVONrhZELzak2FPBA=="},
		{"Ed25519ph", "ECC_NIST_EDWARDS25519", ed, "ED25519_PH_SHA_512", true, "lRxoBfode2A1wa9SP+A30MmtzofGyeVULvcrrwOx8uYqWkic7PuGDT+ZzEJcYI6je4GNiIq29kgJTXk5kXJOAg=="},
		{"PKCS #1 v1.5", "RSA_2048", rsa, "RSASSA_PKCS1_V1_5_SHA_256", false, "mUlBIilkaR2UjHVt0uC01vrFp5H+HqM4e4gLzFl5JnZNyeMCuvFxDy2Hjgt/qB+dvOGV/q2d6iaezXmfCkYFHSV2lggywk1Ttf8Pc2dvuDUN4ORywBZoGCwSA3LMt8btxgzZOduyYWdLYHdqDdxllKfzeez7tot/MuVXovy4ulhi9YmT6tPZUoX12HtHyZ6M2zEw+80ZaV838rqErma1XRmd3emZ3SEKAHY2fABvzgkXmi73XAG/SfmrDsXbcBnzYdaX3IkSIWq8kSxCGNW1lercNbmlfETFKd1a0edpoKvSJm1OBxaJZr4EAMXtUxVgrpptDRuxK7a7oEhscxINfw=="},
		{"PSS", "RSA_2048", rsa, "RSASSA_PSS_SHA_256", false, "Cre3sl11hm0L5ZQo65EunAggNViz2dqABfI23wmdWtkmDUB+cabP8dB0c5z6gCD/KwE11xrk9O+5Wh0sshjwb5LE52+49qcy9Z4rBHu81pP1mUgyEA6+hAXDeOvDu+UEq4KuTVZ8j0GmvJv5DD9My6DjVfsDfMT1Ue6yvNP4QjsMr1m32exV3M0ghoOH9atfftFv94Zo9xzNOOSVOZHOPP126DRD+zMTjjHprNFu10O2EPsvYt+9Rt+wLMIFoXwx118FRtLGpRy+sIxcpor8M9NyfLiSPIHPpaaCi+ibQE4qID9FMw6NJdw2p3+geTYqupHKhxeS8IZmSYwee0ms9A=="},
		{"PSS, digest", "RSA_2048", rsa, "RSASSA_PSS_SHA_256", true, "iViCAXq+uMffNAC7XGyhpP6eAqC5T7PSeTbrv1NVryaNmEzdTy9+Zqg29rhHb0DC7nSrBiJnHon64+l1f4Mfo77n/jG4A9LS0IK8qTc5dWAPp2YAYPONp8HsRWzxJHPU89/uCaGz8+975Bi2Qdi3GiC1RdlRSG6mtYqZ2IYtrzZHTodPDxY7+jNIuE74VAkZGwvvoWmNhXcx9iWuV1MyHkf1VDR8GJY+5gQt+0fzW7o4qaBVLpWSKbG8uanH8Tx/Ta4pKMumeQvUAk52xlr+MAeCH2rb7MNngTO7HqBrb4VS2pl/P4I7fS2+FMB2BZrmDcLSYuRjFsnJqnezEhC9zQ=="},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, err := material.LoadPublic(c.spec, unbase64(t, c.public))
			if err != nil {
				t.Fatal(err)
			}
			family, _, _ := strings.Cut(string(c.spec), "_")
			m := []byte("stackd " + family + " interoperability")
			mt := material.Raw
			if c.digest {
				mt = material.Digest
				if material.DigestSize(c.algorithm) == 64 {
					sum := sha512.Sum512(m)
					m = sum[:]
				} else {
					sum := sha256.Sum256(m)
					m = sum[:]
				}
			}
			sig := unbase64(t, c.signature)
			if err := k.Verify(c.algorithm, mt, m, sig); err != nil {
				t.Error(err)
			}
			m[0] ^= 1
			if err := k.Verify(c.algorithm, mt, m, sig); !errors.Is(err, material.ErrSignature) {
				t.Errorf("of another message: %v", err)
			}
		})
	}
}

// NIST CAVP, FIPS 186-3 ECDSA signature verification (SigVer.rsp): per curve the
// first that is valid, and the first of each way in which one is not.
func TestECDSAVectors(t *testing.T) {
	for _, c := range []struct {
		spec                          material.Spec
		result, message, public, r, s string
	}{
		{"ECC_NIST_P256", "F (3 - S changed)",
			"e4796db5f785f207aa30d311693b3702821dff1168fd2e04c0836825aefd850d9aa60326d88cde1a23c7745351392ca2288d632c264f197d05cd424a30336c19fd09bb229654f0222fcb881a4b35c290a093ac159ce13409111ff0358411133c24f5b8e2090d6db6558afc36f06ca1f6ef779785adba68db27a409859fc4c4a0",
			"0487f8f2b218f49845f6f10eec3877136269f5c1a54736dbdf69f89940cad41555" +
				"e15f369036f49842fac7a86c8a2b0557609776814448b8f5e84aa9f4395205e9",
			"d19ff48b324915576416097d2544f7cbdf8768b1454ad20e0baac50e211f23b0", "a3e81e59311cdfff2d4784949f7a2cb50ba6c3a91fa54710568e61aca3e847c6"},
		{"ECC_NIST_P256", "F (2 - R changed)",
			"069a6e6b93dfee6df6ef6997cd80dd2182c36653cef10c655d524585655462d683877f95ecc6d6c81623d8fac4e900ed0019964094e7de91f1481989ae1873004565789cbf5dc56c62aedc63f62f3b894c9c6f7788c8ecaadc9bd0e81ad91b2b3569ea12260e93924fdddd3972af5273198f5efda0746219475017557616170e",
			"045cf02a00d205bdfee2016f7421807fc38ae69e6b7ccd064ee689fc1a94a9f7d2" +
				"ec530ce3cc5c9d1af463f264d685afe2b4db4b5828d7e61b748930f3ce622a85",
			"dc23d130c6117fb5751201455e99f36f59aba1a6a21cf2d0e7481a97451d6693", "d6ce7708c18dbf35d4f8aa7240922dc6823f2e7058cbc1484fcad1599db5018c"},
		{"ECC_NIST_P256", "F (4 - Q changed)",
			"df04a346cf4d0e331a6db78cca2d456d31b0a000aa51441defdb97bbeb20b94d8d746429a393ba88840d661615e07def615a342abedfa4ce912e562af714959896858af817317a840dcff85a057bb91a3c2bf90105500362754a6dd321cdd86128cfc5f04667b57aa78c112411e42da304f1012d48cd6a7052d7de44ebcc01de",
			"042ddfd145767883ffbb0ac003ab4a44346d08fa2570b3120dcce94562422244cb" +
				"5f70c7d11ac2b7a435ccfbbae02c3df1ea6b532cc0e9db74f93fffca7c6f9a64",
			"9913111cff6f20c5bf453a99cd2c2019a4e749a49724a08774d14e4c113edda8", "9467cd4cd21ecb56b0cab0a9a453b43386845459127a952421f5c6382866c5cc"},
		{"ECC_NIST_P256", "P (0)",
			"e1130af6a38ccb412a9c8d13e15dbfc9e69a16385af3c3f1e5da954fd5e7c45fd75e2b8c36699228e92840c0562fbf3772f07e17f1add56588dd45f7450e1217ad239922dd9c32695dc71ff2424ca0dec1321aa47064a044b7fe3c2b97d03ce470a592304c5ef21eed9f93da56bb232d1eeb0035f9bf0dfafdcc4606272b20a3",
			"04e424dc61d4bb3cb7ef4344a7f8957a0c5134e16f7a67c074f82e6e12f49abf3c" +
				"970eed7aa2bc48651545949de1dddaf0127e5965ac85d1243d6f60e7dfaee927",
			"bf96b99aa49c705c910be33142017c642ff540c76349b9dab72f981fd9347f4f", "17c55095819089c2e03b9cd415abdf12444e323075d98f31920b9e0f57ec871c"},
		{"ECC_NIST_P256", "F (1 - Message changed)",
			"1669bfb657fdc62c3ddd63269787fc1c969f1850fb04c933dda063ef74a56ce13e3a649700820f0061efabf849a85d474326c8a541d99830eea8131eaea584f22d88c353965dabcdc4bf6b55949fd529507dfb803ab6b480cd73ca0ba00ca19c438849e2cea262a1c57d8f81cd257fb58e19dec7904da97d8386e87b84948169",
			"0469b7667056e1e11d6caf6e45643f8b21e7a4bebda463c7fdbc13bc98efbd0214" +
				"d3f9b12eb46c7c6fda0da3fc85bc1fd831557f9abc902a3be3cb3e8be7d1aa2f",
			"288f7a1cd391842cce21f00e6f15471c04dc182fe4b14d92dc18910879799790", "247b3c4e89a3bcadfea73c7bfd361def43715fa382b8c3edf4ae15d6e55e9979"},
		{"ECC_NIST_P384", "F (2 - R changed)",
			"4132833a525aecc8a1a6dea9f4075f44feefce810c4668423b38580417f7bdca5b21061a45eaa3cbe2a7035ed189523af8002d65c2899e65735e4d93a16503c145059f365c32b3acc6270e29a09131299181c98b3c76769a18faf21f6b4a8f271e6bf908e238afe8002e27c63417bda758f846e1e3b8e62d7f05ebd98f1f9154",
			"041f94eb6f439a3806f8054dd79124847d138d14d4f52bac93b042f2ee3cdb7dc9e09925c2a5fee70d4ce08c61e3b19160" +
				"1c4fd111f6e33303069421deb31e873126be35eeb436fe2034856a3ed1e897f26c846ee3233cd16240989a7990c19d8c",
			"3c15c3cedf2a6fbff2f906e661f5932f2542f0ce68e2a8182e5ed3858f33bd3c5666f17ac39e52cb004b80a0d4ba73cd", "9de879083cbb0a97973c94f1963d84f581e4c6541b7d000f9850deb25154b23a37dd72267bdd72665cc7027f88164fab"},
		{"ECC_NIST_P384", "P (0)",
			"9dd789ea25c04745d57a381f22de01fb0abd3c72dbdefd44e43213c189583eef85ba662044da3de2dd8670e6325154480155bbeebb702c75781ac32e13941860cb576fe37a05b757da5b5b418f6dd7c30b042e40f4395a342ae4dce05634c33625e2bc524345481f7e253d9551266823771b251705b4a85166022a37ac28f1bd",
			"04cb908b1fd516a57b8ee1e14383579b33cb154fece20c5035e2b3765195d1951d75bd78fb23e00fef37d7d064fd9af144" +
				"cd99c46b5857401ddcff2cf7cf822121faf1cbad9a011bed8c551f6f59b2c360f79bfbe32adbcaa09583bdfdf7c374bb",
			"33f64fb65cd6a8918523f23aea0bbcf56bba1daca7aff817c8791dc92428d605ac629de2e847d43cee55ba9e4a0e83ba", "4428bb478a43ac73ecd6de51ddf7c28ff3c2441625a081714337dd44fea8011bae71959a10947b6ea33f77e128d3c6ae"},
		{"ECC_NIST_P384", "F (3 - S changed)",
			"9c4479977ed377e75f5cc047edfa689ef232799513a2e70280e9b124b6c8d166e107f5494b406853aec4cff0f2ca00c6f89f0f4a2d4ab0267f44512dfff110d1b1b2e5e78832022c14ac06a493ab789e696f7f0f060877029c27157ce40f81258729caa4d9778bae489d3ab0259f673308ae1ec1b1948ad2845f863b36aedffb",
			"049b3c48d924194146eca4172b6d7d618423682686f43e1dbc54ed909053d075ca53b68ae12f0f16a1633d5d9cb17011ec" +
				"695039f837b68e59330ee95d11d5315a8fb5602a7b60c15142dbba6e93b5e4aba8ae4469eac39fa6436323eccc60dcb6",
			"202da4e4e9632bcb6bf0f6dafb7e348528d0b469d77e46b9f939e2fa946a608dd1f166bcbcde96cfad551701da69f6c2", "db595b49983882c48df8a396884cd98893a469c4d590e56c6a59b6150d9a0acdf142cf92151052644702ed857a5b7981"},
		{"ECC_NIST_P384", "F (4 - Q changed)",
			"21eb31f2b34e4dde8d6c701e976d3fbbf4de6a3384329118d4ddb49adb2bb44465598abf6df25858b450c7767e282ccaca494088274e37353674eef58f583937d3d184ef727317d3672397a74c8fe327919a3df8fd65af0bc8cebbc40095adf89f1bf2c5e6dc6ba44633fd8433b25f065f5e3eb4840af23cc534415406745a31",
			"045140108b93b52d9ad572d6129ed6564766f8df3755e49fa53eba41a5a0d6c1d24a483c90070583a66e3cfa52b6fb1f31" +
				"ff52498446a40c61e60c97554256472625633eda0c1a8b4061481fecfbe9c4503e99dfc69e86c9e85c8cc53dca6b8dc4",
			"b2726b2ba9da02de35e9953fc283d1e78700860d4c33dce8db04dd41499d904866c1b8debb377f6c0dfcb0704252174f", "775b027068d7ad55121a278a819f52099ace750d5e996eaec9dee7be72758736cf769650148fbd5c411beb9b88f979e"},
		{"ECC_NIST_P384", "F (1 - Message changed)",
			"6462bc8c0181db7d596a35aa25d5d323dd3b2798054c2af6c22e841b1ccf3dc3ee514f86d4a0cef7a6f7f566ae448b24dcc8d11eb7a585d44923ea1a06c774a2b3eb7409ab17a0065d5834ab00309ad44312a7317259219543e80ddb0cc2a4381bf6e53cd1bb357eba82e11c59f82e446c4b79314119182c0de96a1b5bae0b08",
			"042039661db813d494a9ecb2c4e0cdd7b54068aae8a5d0597009f67f4f36f32c8ee939abe03716e94970bba69f595fead6" +
				"e2d5236e7e357744514e66a3fb111073336de929598eb79fb4368c5bf80814e7584a3b94118faac9321df37452a846fc",
			"164b8ac2b34c4c499b9d6727e130b5ef37c296bd22c306d1396c6aa54ca661f729aa6353b55d7cf1793b80b5a485115f", "4e7187f8f735b7272f2c0985315b5602bb9b1a09f32233aa10570c82d1ccedef6e725800336511e47f88ddbbbdc08f54"},
		{"ECC_NIST_P521", "F (2 - R changed)",
			"a0732a605c785a2cc9a3ff84cbaf29175040f7a0cc35f4ea8eeff267c1f92f06f46d3b35437195185d322cbd775fd24741e86ee9236ba5b374a2ac29803554d715fa4656ac31778f103f88d68434dd2013d4c4e9848a11198b390c3d600d712893513e179cd3d31fb06c6e2a1016fb96ffd970b1489e36a556ab3b537eb29dff",
			"04012a593f568ca2571e543e00066ecd3a3272a57e1c94fe311e5df96afc1b792e5862720fc730e62052bbf3e118d3a078f0144fc00c9d8baaaa8298ff63981d09d911" +
				"017cea5ae75a74100ee03cdf2468393eef55ddabfe8fd5718e88903eb9fd241e8cbf9c68ae16f4a1db26c6352afcb1894a9812da6d32cb862021c86cd8aa483afc26",
			"1aac7692baf3aa94a97907307010895efc1337cdd686f9ef2fd8404796a74701e55b03ceef41f3e6f50a0eeea11869c4789a3e8ab5b77324961d081e1a3377ccc91", "9c1e7d93d056b5a97759458d58c49134a45071854b8a6b8272f9fe7e78e1f3d8097e8a6e731f7ab4851eb26d5aa4fdadba6296dc7af835fe3d1b6dba4b031d5f3"},
		{"ECC_NIST_P521", "F (3 - S changed)",
			"2fc1140a7414e33ab469799f9432b30d29d1e4451b28a756a0f24a7f7f90cb284fb443c074267a7600b370eefffea23078b4016b59cbeb95fab3c6f37a72e92271b29ee2382e1106f8dfd3871ef9bf045f78d378acc8d16c983d54c7bc0b0cb46bba0de78630f6d0796c2c275e46ebc88e6e6c0e675ebd849f02e47f51abd215",
			"0401d6aef44370325a8a5882f4667c21172cdc8fa41d712562883ececff53883ac8ee276124e825088c79d6c9d96323cb7b8c0b7ea44d3f0026e2538f4b62d785bb1af" +
				"0027203959a6e944b91fe6306debe74dc5dde9831fd0ec27e8be2d0b56807d63151b15f6495b8632e919e1e6b015f5ae5f2b6fb8cf75b5f848f00cf4ee457cebed3a",
			"4417ff74889dde6bb1820b5d13da5c81dcf9b0723ee89bb1ff0d3faa90d497685709f315b2cbe55481dee43ebb6d25b1501ae69494dd69e7bffb72f987d1573b93", "fd7aa027c665458c7ac11d54d4f32cb4a1e727b499ce27b08d3d647c636cc3222a4f0a6057732249ddc22574d7cb80c3769c3ea9de3d33db3edd8ea90cb3f8dc8a"},
		{"ECC_NIST_P521", "P (0)",
			"f69417bead3b1e208c4c99236bf84474a00de7f0b9dd23f991b6b60ef0fb3c62073a5a7abb1ef69dbbd8cf61e64200ca086dfd645b641e8d02397782da92d3542fbddf6349ac0b48b1b1d69fe462d1bb492f34dd40d137163843ac11bd099df719212c160cbebcb2ab6f3525e64846c887e1b52b52eced9447a3d31938593a87",
			"040153eb2be05438e5c1effb41b413efc2843b927cbf19f0bc9cc14b693eee26394a0d8880dc946a06656bcd09871544a5f15c7a1fa68e00cdc728c7cfb9c448034867" +
				"0143ae8eecbce8fcf6b16e6159b2970a9ceb32c17c1d878c09317311b7519ed5ece3374e7929f338ddd0ec0522d81f2fa4fa47033ef0c0872dc049bb89233eef9bc1",
			"dd633947446d0d51a96a0173c01125858abb2bece670af922a92dedcec067136c1fa92e5fa73d7116ac9c1a42b9cb642e4ac19310b049e48c53011ffc6e7461c36", "efbdc6a414bb8d663bb5cdb7c586bccfe7589049076f98cee82cdb5d203fddb2e0ffb77954959dfa5ed0de850e42a86f5a63c5a6592e9b9b8bd1b40557b9cd0cc0"},
		{"ECC_NIST_P521", "F (1 - Message changed)",
			"3607eaa1db2f696b93d573f67f0359422101cc6ceb526a5ec87b249e5b791ac4df488f4832eb00c6ec94bb52b7dd9d953a9c3ced3fb7171d28c42f81fd9998cd7d35c7030975381e54e071a37eb41d3e419fe93576d141e36a980089db54ebbf3a3ebf8a076daf8e57ce4484d7f7d234e1f6d658da5103a6e1d6ae9641ecac79",
			"0401184b27a48e223891cbd1f4a0255747d078f82768157e5adcc8e78355a2ff17d8363dfa39bcdb48e2fae759ea3bd6a8909ce1b2e7c20653915b7cd7b94d8f110349" +
				"003bd6e273ee4278743f1bb71ff7aefe1f2c52954d674c96f268f3985e69727f22adbe31e0dbe01da91e3e6d19baf8efa4dcb4d1cacd06a8efe1b617bd681839e6b9",
			"4c1d88d03878f967133eb56714945d3c89c3200fad08bd2d3b930190246bf8d43e453643c94fdab9c646c5a11271c800d5df25c11927c000263e785251d62acd59", "12e31766af5c605a1a67834702052e7e56bbd9e2381163a9bf16b579912a98bebabb70587da58bec621c1e779a8a21c193dda0785018fd58034f9a6ac3e297e3790"},
		{"ECC_NIST_P521", "F (4 - Q changed)",
			"3629ce6137cffaf0a485594cd47049e7866fa81bb56dd66168567542c6b8fdf7dbafe693c919a7288a03f2483b09c9cd2b3f91670264672967e4542d5bb6c87e861115ff3ec2ec2e96535148623e80525abae8d71f296a4e8947b48bb64074ebb7e0c7a586f57b35da910704f44b41151ac6db350c47e81805fc6932f435a98a",
			"040007067d2cf7b7619b9fcff2c898246ae0950439b8bab92d809624970eda18456cb99953ce1ae45ee5d36ef02fcd5caa4d951de8581f0c21e572caad56d6dce60da3" +
				"01913c59007a309005f226b6a30122828d60b4d0390359e1977f88b5347dacf2056dd362648e8b1d6fc038a3bd3fde6f1140c740efa9075ab8b4a64b334c5cd43f09",
			"12aa4a532c108aa3cfb1753f95ca626bb72bd96a423d727656d4ebdc3f406d6cc6c44d3718f9abae8a0b46be9b57f8fd3a540326b63d0d4a8a93165715920437787", "1badaf38e16efd75915f4806f054d40abd2d11e402039bd48c832f66cbfd145e4dac93357d476b7e608d7b75a017374ae76eee86c505f2cc16eaa19075827ccd60"},
	} {
		t.Run(string(c.spec)+"/"+c.result, func(t *testing.T) {
			spki, err := material.MarshalPeer(c.spec, unhex(t, c.public))
			if err != nil {
				t.Fatal(err)
			}
			k, err := material.LoadPublic(c.spec, spki)
			if err != nil {
				t.Fatal(err)
			}
			a := c.spec.Algorithms("SIGN_VERIFY")[0]
			err = k.Verify(a, "RAW", unhex(t, c.message), der(t, c.r, c.s))
			if c.result[0] == 'P' && err != nil || c.result[0] == 'F' && !errors.Is(err, material.ErrSignature) {
				t.Error(err)
			}
		})
	}
}

// RFC 6979, appendix A.2.5 to A.2.7: keys, and signatures of "sample" that must
// verify. Ours differ each time.
func TestRFC6979(t *testing.T) {
	for _, c := range []struct {
		spec               material.Spec
		scalar, x, y, r, s string
	}{
		{
			"ECC_NIST_P256",
			"c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
			"60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6",
			"7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
			"efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
			"f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
		},
		{
			"ECC_NIST_P384",
			"6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
			"ec3a4e415b4e19a4568618029f427fa5da9a8bc4ae92e02e06aae5286b300c64def8f0ea9055866064a254515480bc13",
			"8015d9b72d7d57244ea8ef9ac0c621896708a59367f9dfb9f54ca84b3f1c9db1288b231c3ae0d4fe7344fd2533264720",
			"94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
			"99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8",
		},
		{
			"ECC_NIST_P521",
			"00fad06daa62ba3b25d2fb40133da757205de67f5bb0018fee8c86e1b68c7e75caa896eb32f1f47c70855836a6d16fcc1466f6d8fbec67db89ec0c08b0e996b83538",
			"01894550d0785932e00eaa23b694f213f8c3121f86dc97a04e5a7167db4e5bcd371123d46e45db6b5d5370a7f20fb633155d38ffa16d2bd761dcac474b9a2f5023a4",
			"00493101c962cd4d2fddf782285e64584139c2f91b47f87ff82354d6630f746a28a0db25741b5b34a828008b22acc23f924faafbd4d33f81ea66956dfeaa2bfdfcf5",
			"c328fafcbd79dd77850370c46325d987cb525569fb63c5d3bc53950e6d4c5f174e25a1ee9017b5d450606add152b534931d7d4e8455cc91f9b15bf05ec36e377fa",
			"617cce7cf5064806c467f678d3b4080d6f1cc50af26ca209417308281b68af282623eaa63e5b5c0723d8b8c37ff0777b1a20f8ccb1dccc43997f1ee0e44da4a67a",
		},
	} {
		k := onCurve(t, c.spec, c.scalar, "04"+c.x+c.y)
		a := c.spec.Algorithms("SIGN_VERIFY")[0]
		sig := der(t, c.r, c.s)
		if err := k.Verify(a, "RAW", []byte("sample"), sig); err != nil {
			t.Errorf("%s: %v", c.spec, err)
		}
		if ours, err := k.Sign(a, "RAW", []byte("sample")); err != nil || bytes.Equal(ours, sig) {
			t.Errorf("%s: signed without chance, or %v", c.spec, err)
		}
	}
}

// NIST CAVP, SP 800-56A ECC CDH primitive (KAS_ECC_CDH_PrimitiveTest.txt),
// COUNT = 0 of each curve.
func TestECDHVectors(t *testing.T) {
	for _, c := range []struct {
		spec                         material.Spec
		scalar, public, peer, shared string
	}{
		{
			"ECC_NIST_P256",
			"7d7dc5f71eb29ddaf80d6214632eeae03d9058af1fb6d22ed80badb62bc1a534",
			"04ead218590119e8876b29146ff89ca61770c4edbbf97d38ce385ed281d8a6b23028af61281fd35e2fa7002523acc85a429cb06ee6648325389f59edfce1405141",
			"04700c48f77f56584c5cc632ca65640db91b6bacce3a4df6b42ce7cc838833d287db71e509e3fd9b060ddb20ba5c51dcc5948d46fbf640dfe0441782cab85fa4ac",
			"46fc62106420ff012e54a434fbdd2d25ccc5852060561e68040dd7778997bd7b",
		},
		{
			"ECC_NIST_P384",
			"3cc3122a68f0d95027ad38c067916ba0eb8c38894d22e1b15618b6818a661774ad463b205da88cf699ab4d43c9cf98a1",
			"049803807f2f6d2fd966cdd0290bd410c0190352fbec7ff6247de1302df86f25d34fe4a97bef60cff548355c015dbb3e5fba26ca69ec2f5b5d9dad20cc9da711383a9dbe34ea3fa5a2af75b46502629ad54dd8b7d73a8abb06a3a3be47d650cc99",
			"04a7c76b970c3b5fe8b05d2838ae04ab47697b9eaf52e764592efda27fe7513272734466b400091adbf2d68c58e0c50066ac68f19f2e1cb879aed43a9969b91a0839c4c38a49749b661efedf243451915ed0905a32b060992b468c64766fc8437a",
			"5f9d29dc5e31a163060356213669c8ce132e22f57c9a04f40ba7fcead493b457e5621e766c40a2e3d4d6a04b25e533f1",
		},
		{
			"ECC_NIST_P521",
			"017eecc07ab4b329068fba65e56a1f8890aa935e57134ae0ffcce802735151f4eac6564f6ee9974c5e6887a1fefee5743ae2241bfeb95d5ce31ddcb6f9edb4d6fc47",
			"0400602f9d0cf9e526b29e22381c203c48a886c2b0673033366314f1ffbcba240ba42f4ef38a76174635f91e6b4ed34275eb01c8467d05ca80315bf1a7bbd945f550a501b7c85f26f5d4b2d7355cf6b02117659943762b6d1db5ab4f1dbc44ce7b2946eb6c7de342962893fd387d1b73d7a8672d1f236961170b7eb3579953ee5cdc88cd2d",
			"0400685a48e86c79f0f0875f7bc18d25eb5fc8c0b07e5da4f4370f3a9490340854334b1e1b87fa395464c60626124a4e70d0f785601d37c09870ebf176666877a2046d01ba52c56fc8776d9e8f5db4f0cc27636d0b741bbe05400697942e80b739884a83bde99e0f6716939e632bc8986fa18dccd443a348b6c3e522497955a4f3c302f676",
			"005fc70477c3e63bc3954bd0df3ea0d1f41ee21746ed95fc5e1fdf90930d5e136672d72cc770742d1711c3c3a4c334a0ad9759436a4d3c5bf6e74b9578fac148c831",
		},
	} {
		peer, err := material.MarshalPeer(c.spec, unhex(t, c.peer))
		if err != nil {
			t.Fatal(err)
		}
		shared, err := onCurve(t, c.spec, c.scalar, c.public).Agree(peer)
		if err != nil || !bytes.Equal(shared, unhex(t, c.shared)) {
			t.Errorf("%s: another secret, or %v", c.spec, err)
		}
	}
}

// RFC 4231, test cases 1, 2 and 3. A key that is shorter than a block is the same
// as one that ends in zeros.
func TestRFC4231(t *testing.T) {
	for _, c := range []struct {
		key, data              []byte
		s224, s256, s384, s512 string
	}{
		{
			bytes.Repeat([]byte{0x0b}, 20), []byte("Hi There"),
			"896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22",
			"b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
			"afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
			"87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
		},
		{
			[]byte("Jefe"), []byte("what do ya want for nothing?"),
			"a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
			"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
			"af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
			"164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
		},
		{
			bytes.Repeat([]byte{0xaa}, 20), bytes.Repeat([]byte{0xdd}, 50),
			"7fb3cb3588c6c1f6ffa9694d7d6ad2649365b0c1f65d69d1ec8333ea",
			"773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
			"88062608d3e6ad8a0aa2ace014c8a86f0aa635d947ac9febe83ef4e55966144b2a5ab39dc13814b94e3ab6e101a34f27",
			"fa73b0089d56a284efb0f0756c890be9b1b5dbdd8ee81a3655f83e33b2279d39bf3e848279a722c806b485a47e67c807b946a337bee8942674278859e13292fb",
		},
	} {
		for s, want := range map[material.Spec]string{"HMAC_224": c.s224, "HMAC_256": c.s256, "HMAC_384": c.s384, "HMAC_512": c.s512} {
			a := s.Algorithms("GENERATE_VERIFY_MAC")[0]
			padded := append(bytes.Clone(c.key), make([]byte, material.DigestSize(a)-len(c.key))...)
			got, err := load(t, s, padded).MAC(a, c.data)
			if err != nil || hex.EncodeToString(got) != want {
				t.Errorf("%s: %x, %v", s, got, err)
			}
		}
	}
}

// RFC 8032, section 7.1, tests 1 and 3, and section 7.3 (Ed25519ph). The keys'
// encoding is that of RFC 8410.
func TestRFC8032(t *testing.T) {
	for _, c := range []struct {
		name                             string
		algorithm                        material.Algorithm
		seed, public, message, signature string
	}{
		{
			"test 1", "ED25519_SHA_512",
			"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
			"d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
			"",
			"e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
		},
		{
			"test 3", "ED25519_SHA_512",
			"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
			"fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
			"af82",
			"6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
		},
		{
			"test abc", "ED25519_PH_SHA_512",
			"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
			"ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
			"616263",
			"98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae4131f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := load(t, "ECC_NIST_EDWARDS25519", unhex(t, "302e020100300506032b657004220420"+c.seed))
			public, err := k.Public()
			if err != nil || hex.EncodeToString(public) != "302a300506032b6570032100"+c.public {
				t.Errorf("public key %x, %v", public, err)
			}
			sig, err := k.SignAny(c.algorithm, unhex(t, c.message))
			if err != nil || hex.EncodeToString(sig) != c.signature {
				t.Errorf("signature %x, %v", sig, err)
			}
		})
	}
}

// GM/T 0003.5, annexes A and C: a signature of "message digest" by the default
// identifier, and an encryption of "encryption standard".
func TestSM2Vectors(t *testing.T) {
	k := onCurve(t, "SM2",
		"3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8",
		"0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13")
	sig := der(t, "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3",
		"b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa")
	if err := k.Verify("SM2DSA", "RAW", []byte("message digest"), sig); err != nil {
		t.Errorf("message: %v", err)
	}
	digest := unhex(t, "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640")
	if err := k.Verify("SM2DSA", "DIGEST", digest, sig); err != nil {
		t.Errorf("digest: %v", err)
	}
	x, _ := new(big.Int).SetString("04ebfc718e8d1798620432268e77feb6415e2ede0e073c0f4f640ecd2e149a73", 16)
	y, _ := new(big.Int).SetString("e858f9d81e5430a57b36daab8f950a3c64e6ee6a63094d99283aff767e124df0", 16)
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(x)
		b.AddASN1BigInt(y)
		b.AddASN1OctetString(unhex(t, "59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766"))
		b.AddASN1OctetString(unhex(t, "21886ca989ca9c7d58087307ca93092d651efa"))
	})
	plaintext, err := k.Decrypt("SM2PKE", b.BytesOrPanic())
	if err != nil || string(plaintext) != "encryption standard" {
		t.Errorf("decrypted %q, %v", []byte(plaintext), err)
	}
}

// NIST ACVP, ML-KEM keyGen FIPS 203 and ML-DSA keyGen FIPS 204, vector set 42:
// the first test of each parameter set, its public key by its SHA-256. The
// encodings are those of RFC 9935 and RFC 9881.
func TestLatticeKeyVectors(t *testing.T) {
	for _, c := range []struct {
		spec                 material.Spec
		prefix, seed, public string
	}{
		{
			"ML_KEM_512", "3054020100300b060960864801650304040104428040",
			"2cb843a02ef02ee109305f39119fabf49ab90a57ffecb3a0e75e179450f5276184cc9121ae56fbf39e67adbd83ad2d3e3bb80843645206bdd9f2f629e3cc49b7",
			"f96920dc6766df52dca2428e7e751c0c27d537424c0a3f5c89153c2d5d28f898",
		},
		{
			"ML_KEM_768", "3054020100300b060960864801650304040204428040",
			"e34a701c4c87582f42264ee422d3c684d97611f2523efe0c998af05056d693dca85768f3486bd32a01bf9a8f21ea938e648eae4e5448c34c3eb88820b159eedd",
			"7799c9d8eef172aa78c073514f2f039c240de8c5cb61bca82ba0bc46041ce279",
		},
		{
			"ML_KEM_1024", "3054020100300b060960864801650304040304428040",
			"49ac8b99bb1e6a8ea818261f8be68bdeaa52897e7ec6c40b530bc760ab77dce399e3246884181f8e1dd44e0c7629093330221fd67d9b7d6e1510b2dbad8762f7",
			"62fccf5fdf805b110670b39cd5e25b1811172961ea4047bfbd589e323ce7cfbc",
		},
		{
			"ML_DSA_44", "3034020100300b060960864801650304031104228020",
			"93ef2e6ef1fb08999d142abe0295482370d3f43bdb254a78e2b0d5168eca065f",
			"6995b20ecd5cde41719035028a712ccf35b1adf53b913030423d9d6fa188d673",
		},
		{
			"ML_DSA_65", "3034020100300b060960864801650304031204228020",
			"70cefb9aed5b68e018b079da8284b9d5cad5499ed9c265ff73588005d85c225c",
			"646b26b8d09dbc9e865b6a006c693a3127b065e62fab5fbe8b159c416462feb6",
		},
		{
			"ML_DSA_87", "3034020100300b060960864801650304031304228020",
			"38359fbcd79582cffe609e137ee2efe8a8dbcbad18ba92bb433ab4f09b49299d",
			"ea374a09356e5f89be784f28f4ef938e8976cb5c4db00fbacb257663491748d4",
		},
	} {
		k := load(t, c.spec, unhex(t, c.prefix+c.seed))
		sum := sha256.Sum256(publicBytes(t, k))
		if hex.EncodeToString(sum[:]) != c.public {
			t.Errorf("%s: another public key", c.spec)
		}
	}
}

// publicBytes is the public key without its SubjectPublicKeyInfo.
func publicBytes(t testing.TB, k *material.Key) []byte {
	t.Helper()
	spki, err := k.Public()
	if err != nil {
		t.Fatal(err)
	}
	var outer, id cryptobyte.String
	var public []byte
	in := cryptobyte.String(spki)
	if !in.ReadASN1(&outer, asn1.SEQUENCE) || !in.Empty() || !outer.ReadASN1(&id, asn1.SEQUENCE) ||
		!outer.ReadASN1BitStringAsBytes(&public) || !outer.Empty() {
		t.Fatalf("not a SubjectPublicKeyInfo: %x", spki)
	}
	return public
}
