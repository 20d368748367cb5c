// Seals or opens standard input, as its first argument says, with the AWS
// Encryption SDK for JavaScript under the key of KMS that its second names, in the
// encryption context that its third is in JSON. More keys may follow: they are what
// else the data keys are wrapped under. It is told where KMS is as every SDK is.
const {
  buildClient, CommitmentPolicy, KmsKeyringNode, getClient, KMS,
} = require("@aws-crypto/client-node");

async function main([what, key, context, ...more]) {
  const { encrypt, decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT);
  const clientProvider = getClient(KMS, { endpoint: process.env.AWS_ENDPOINT_URL });
  const chunks = [];
  for await (const c of process.stdin) chunks.push(c);
  const input = Buffer.concat(chunks);
  if (what === "seal") {
    const keyring = new KmsKeyringNode({ clientProvider, generatorKeyId: key, keyIds: more });
    const { result } = await encrypt(keyring, input, { encryptionContext: JSON.parse(context) });
    process.stdout.write(result);
    return;
  }
  const { plaintext, messageHeader } = await decrypt(new KmsKeyringNode({ clientProvider, keyIds: [key] }), input);
  for (const [name, value] of Object.entries(JSON.parse(context))) {
    if (messageHeader.encryptionContext[name] !== value) throw new Error(`the context has no ${name}=${value}`);
  }
  process.stdout.write(plaintext);
}

main(process.argv.slice(2)).catch((e) => {
  console.error(`esdk: ${e.stack}`);
  process.exitCode = 1;
});
