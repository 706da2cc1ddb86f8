"""The encryption key."""

from __future__ import annotations

import json
from typing import Any

from tests.corpus.account import ACCOUNT, KEY, REGION, ROLE, SECRET, Account, ago, policy
from tests.corpus.cases import HEALTHY, Family

keys = Family("key", "AWS documentation: Troubleshoot rotation, Access to KMS is not allowed; KMS, key states")
healthy = Family("key, healthy", "AWS documentation: KMS, key policies and grants")

READ = (
    "An error occurred (AccessDeniedException) when calling the GetSecretValue operation: Access to KMS is not allowed"
)
WRITE = READ.replace("GetSecretValue", "PutSecretValue")
BROKEN = (
    "An error occurred (DecryptionFailure) when calling the GetSecretValue operation: Secrets Manager can't decrypt the "
    "protected secret text using the provided KMS key."
)
ROOT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
USE = ["kms:Decrypt", "kms:GenerateDataKey"]


def _fails(account: Account, message: str = READ, error: str = "ClientError") -> None:
    account.failing()
    account.with_key()
    account.raised(error, message)


def _key(account: Account, **metadata: Any) -> None:
    reply: Any = account.replies["kms:DescribeKey"]
    reply["KeyMetadata"].update(metadata)


def _key_policy(account: Account, *statements: dict[str, Any]) -> None:
    account.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(policy(*statements)), "PolicyName": "default"}


def _may(principal: object, action: object = "kms:*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*", **more}


@keys.fault("kms-role-denied", source="public thread: aws-secrets-manager-rotation-lambdas#53")
def the_role_may_not_use_it(account: Account) -> None:
    _fails(account)
    account.role_policies.pop("key")


@keys.fault("kms-role-denied")
def the_role_may_not_write(account: Account) -> None:
    _fails(account, WRITE)
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": KEY})


@keys.fault("kms-role-denied", source="public thread: aws-secrets-manager-rotation-lambdas#75, another key is granted")
def the_role_may_use_another_key(account: Account) -> None:
    _fails(account)
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": USE, "Resource": KEY.replace("key/1", "key/2")})


@keys.fault(
    "kms-role-denied", source="AWS documentation: Troubleshoot rotation, the encryption context of another secret"
)
def the_role_may_use_it_for_another_secret(account: Account) -> None:
    _fails(account)
    context = {"StringEquals": {"kms:EncryptionContext:SecretARN": f"{SECRET}-other"}}
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": USE, "Resource": KEY, "Condition": context})


@keys.fault("kms-role-denied")
def the_role_may_use_it_by_its_alias_which_is_no_resource(account: Account) -> None:
    _fails(account)
    alias = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/orders"
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": USE, "Resource": alias})


@keys.fault("kms-key-policy-denies")
def its_policy_is_for_an_administrator_only(account: Account) -> None:
    _fails(account)
    _key_policy(account, _may({"AWS": f"arn:aws:iam::{ACCOUNT}:role/admin"}))


@keys.fault("kms-key-policy-denies")
def its_policy_is_for_another_service(account: Account) -> None:
    _fails(account)
    via = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    _key_policy(account, _may({"AWS": f"arn:aws:iam::{ACCOUNT}:role/admin"}), _may({"AWS": "*"}, USE, Condition=via))


@keys.fault("kms-key-policy-denies")
def its_policy_denies_the_role(account: Account) -> None:
    _fails(account, WRITE)
    _key_policy(
        account,
        _may(ROOT),
        {"Effect": "Deny", "Principal": {"AWS": ROLE}, "Action": "kms:GenerateDataKey", "Resource": "*"},
    )


@keys.fault("kms-key-disabled")
def it_is_disabled(account: Account) -> None:
    _fails(account, BROKEN, "DecryptionFailure")
    _key(account, KeyState="Disabled", Enabled=False)


@keys.fault("kms-key-disabled")
def it_is_disabled_and_the_log_speaks_of_access(account: Account) -> None:
    _fails(account)
    _key(account, KeyState="Disabled", Enabled=False)


@keys.fault("kms-key-pending-deletion")
def it_is_about_to_be_deleted(account: Account) -> None:
    _fails(account, BROKEN, "DecryptionFailure")
    _key(account, KeyState="PendingDeletion", Enabled=False, DeletionDate=ago(days=-20))


@keys.fault("kms-key-pending-deletion", source="AWS documentation: KMS, key states; the material is gone")
def its_material_is_not_there(account: Account) -> None:
    _fails(account, BROKEN, "DecryptionFailure")
    _key(account, KeyState="PendingImport", Enabled=False, Origin="EXTERNAL")


@keys.fault("kms-key-asymmetric", source="AWS documentation: Secrets Manager API Reference, KmsKeyId")
def it_is_asymmetric(account: Account) -> None:
    _fails(
        account,
        "An error occurred (EncryptionFailure) when calling the PutSecretValue operation: Cannot generate a data key with an asymmetric KMS key",
    )
    _key(account, KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT", CustomerMasterKeySpec="RSA_2048")


# All is well.


@healthy.nothing(*HEALTHY)
def a_key_with_everything(account: Account) -> None:
    account.with_key()


@healthy.nothing(*HEALTHY)
def the_accounts_own_key(account: Account) -> None:
    account.secret["KmsKeyId"] = "alias/aws/secretsmanager"


@healthy.nothing(*HEALTHY)
def the_accounts_own_key_by_its_arn(account: Account) -> None:
    account.secret["KmsKeyId"] = f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/aws/secretsmanager"


@healthy.nothing(*HEALTHY)
def its_policy_names_the_role(account: Account) -> None:
    account.with_key()
    account.role_policies.pop("key")
    _key_policy(account, _may(ROOT), _may({"AWS": ROLE}, [*USE, "kms:DescribeKey"]))


@healthy.nothing(*HEALTHY)
def its_policy_lets_everybody_in_by_the_service(account: Account) -> None:
    account.with_key()
    account.role_policies.pop("key")
    via = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com", "kms:CallerAccount": ACCOUNT}}
    _key_policy(account, _may({"AWS": "*"}, [*USE, "kms:Encrypt", "kms:ReEncrypt*"], Condition=via))


@healthy.nothing(*HEALTHY)
def a_grant_names_the_role(account: Account) -> None:
    account.with_key()
    account.role_policies.pop("key")
    account.replies["kms:ListGrants"] = {
        "Grants": [
            {
                "KeyId": KEY,
                "GrantId": "g" * 64,
                "GranteePrincipal": ROLE,
                "Operations": ["Decrypt", "GenerateDataKey", "DescribeKey"],
            }
        ]
    }


@healthy.nothing(*HEALTHY)
def by_its_alias(account: Account) -> None:
    account.with_key()
    account.secret["KmsKeyId"] = "alias/orders"


@healthy.nothing(*HEALTHY)
def for_this_secret_only(account: Account) -> None:
    account.with_key()
    context = {"StringEquals": {"kms:EncryptionContext:SecretARN": SECRET}}
    account.role_policies["key"] = policy({"Effect": "Allow", "Action": "kms:*", "Resource": KEY, "Condition": context})
