"""Drives KMS with boto3, whose parser, retries and paginators are Python's own.

Its arguments are the Region and the account that it is in; it says "well" at the end.
"""

import sys
from datetime import datetime, timezone

import boto3

region, account = sys.argv[1:]
kms = boto3.client("kms")


def refused(code, words, call, **arguments):
    """Wants a call to fail with the exception that the client names code."""
    try:
        call(**arguments)
    except kms.exceptions.ClientError as e:
        error = e.response["Error"]
        assert error["Code"] == code, e
        assert words in error["Message"], e
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 400, e
        return
    raise AssertionError(f"{code} did not come")


made = kms.create_key(Description="ключ", Tags=[{"TagKey": "team", "TagValue": "orders"}])["KeyMetadata"]
key = made["KeyId"]
assert made["Arn"] == f"arn:aws:kms:{region}:{account}:key/{key}", made
assert made["CreationDate"].tzinfo and abs((datetime.now(timezone.utc) - made["CreationDate"]).total_seconds()) < 60
assert made["Description"] == "ключ" and made["EncryptionAlgorithms"] == ["SYMMETRIC_DEFAULT"]

assert kms.create_alias(AliasName="alias/boto", TargetKeyId=key)["ResponseMetadata"]["HTTPStatusCode"] == 200
refused("AlreadyExistsException", "already exists", kms.create_alias, AliasName="alias/boto", TargetKeyId=key)

context = {"stage": "test", "имя": "значение"}
sealed = kms.encrypt(KeyId="alias/boto", Plaintext=b"\x00secret\xff", EncryptionContext=context)
assert sealed["KeyId"] == made["Arn"]
opened = kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext=context)
assert opened["Plaintext"] == b"\x00secret\xff" and opened["KeyMaterialId"] == made["CurrentKeyMaterialId"]
refused("InvalidCiphertextException", "", kms.decrypt, CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"stage": "live"})
refused("ValidationException", "less than or equal to 4096", kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)

data = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
assert kms.decrypt(CiphertextBlob=data["CiphertextBlob"], EncryptionContext=context)["Plaintext"] == data["Plaintext"]

signer = kms.create_key(KeySpec="ECC_NIST_P384", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
signature = kms.sign(KeyId=signer, Message=b"release", SigningAlgorithm="ECDSA_SHA_384")["Signature"]
assert kms.verify(KeyId=signer, Message=b"release", Signature=signature, SigningAlgorithm="ECDSA_SHA_384")["SignatureValid"]
try:
    kms.verify(KeyId=signer, Message=b"another", Signature=signature, SigningAlgorithm="ECDSA_SHA_384")
    raise AssertionError("it verified another message")
except kms.exceptions.KMSInvalidSignatureException:
    pass

grants = {kms.create_grant(KeyId=key, GranteePrincipal=account, Operations=["Decrypt"])["GrantId"] for _ in range(7)}
listed = [g for page in kms.get_paginator("list_grants").paginate(KeyId=key, PaginationConfig={"PageSize": 3}) for g in page["Grants"]]
assert {g["GrantId"] for g in listed} == grants and len(listed) == 7, listed
ids = {k["KeyId"] for page in kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1}) for k in page["Keys"]}
assert {key, signer} <= ids
assert kms.list_resource_tags(KeyId=key)["Tags"] == [{"TagKey": "team", "TagValue": "orders"}]

kms.disable_key(KeyId=key)
try:
    kms.encrypt(KeyId=key, Plaintext=b"x")
    raise AssertionError("it encrypted under a disabled key")
except kms.exceptions.DisabledException as e:
    assert e.response["Error"]["Message"] == f"{made['Arn']} is disabled."
gone = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
assert gone["KeyState"] == "PendingDeletion" and 6 <= (gone["DeletionDate"] - datetime.now(timezone.utc)).days <= 7
refused("NotFoundException", "does not exist", kms.describe_key, KeyId="00000000-0000-4000-8000-000000000000")
print("well")
