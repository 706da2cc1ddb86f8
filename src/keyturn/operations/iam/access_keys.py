"""Access keys of users: at most two each, the secret half shown once."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.iam import LimitExceededException, NoSuchEntityException
from keyturn.operations.iam.entities import missing_user, user
from keyturn.operations.iam.pages import page_of
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.sealing import seal_access_key
from keyturn.sensitive import Sensitive
from keyturn.storage import principals
from keyturn.storage.database import Transaction
from keyturn.storage.principals import AccessKeyRecord, UserRecord
from keyturn.wire.types.iam import (
    AccessKeyMetadata,
    CreateAccessKeyRequest,
    CreateAccessKeyResponse,
    DeleteAccessKeyRequest,
    DeleteAccessKeyResponse,
    ListAccessKeysRequest,
    ListAccessKeysResponse,
    UpdateAccessKeyRequest,
    UpdateAccessKeyResponse,
)

_KEYS_PER_USER = 2
_ACTIVE = "Active"
_INACTIVE = "Inactive"


@operation("iam", "CreateAccessKey", subject=user)
def create_access_key(
    kit: Kit, call: Call, _request: CreateAccessKeyRequest, record: UserRecord
) -> CreateAccessKeyResponse:
    """Make an access key; its secret half is never shown again."""
    access_key_id, secret = ids.new_unique_id("AKIA"), Sensitive(ids.new_secret_access_key())
    access_key = AccessKeyRecord(
        access_key_id=access_key_id,
        user=record,
        sealed=seal_access_key(kit, access_key_id, secret),
        active=True,
        created_at=call.at,
    )
    with kit.state.write() as transaction:
        if principals.load_user(transaction.connection, record.account_id, record.name) is None:
            raise missing_user(record.name)
        if len(principals.list_access_keys(transaction.connection, record.arn)) >= _KEYS_PER_USER:
            raise LimitExceededException(f"Cannot exceed quota for AccessKeysPerUser: {_KEYS_PER_USER}")
        principals.insert_access_key(transaction, access_key)
    return {
        "AccessKey": {
            "UserName": record.name,
            "AccessKeyId": access_key_id,
            "Status": _ACTIVE,
            "SecretAccessKey": secret.reveal(),
            "CreateDate": call.at,
        }
    }


@operation("iam", "ListAccessKeys", subject=user)
def list_access_keys(
    kit: Kit, call: Call, request: ListAccessKeysRequest, record: UserRecord
) -> ListAccessKeysResponse:
    """List a user's access keys without their secret halves."""
    with kit.state.read() as connection:
        access_keys = principals.list_access_keys(connection, record.arn)
    access_keys.sort(key=lambda access_key: access_key.access_key_id)
    page = page_of(kit, call, "ListAccessKeys", request, access_keys, lambda access_key: access_key.access_key_id)
    response: ListAccessKeysResponse = {
        "AccessKeyMetadata": [_shown(access_key) for access_key in page.items],
        "IsTruncated": page.is_truncated,
    }
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


@operation("iam", "UpdateAccessKey", subject=user)
def update_access_key(
    kit: Kit, _call: Call, request: UpdateAccessKeyRequest, record: UserRecord
) -> UpdateAccessKeyResponse:
    """Switch an access key on or off."""
    access_key_id = request["AccessKeyId"]
    with kit.state.write() as transaction:
        _check_owner(transaction, access_key_id, record)
        principals.update_access_key(transaction, access_key_id, active=request["Status"] == _ACTIVE)
    return {}


@operation("iam", "DeleteAccessKey", subject=user)
def delete_access_key(
    kit: Kit, _call: Call, request: DeleteAccessKeyRequest, record: UserRecord
) -> DeleteAccessKeyResponse:
    """Delete an access key; calls that it signs are refused from now on."""
    access_key_id = request["AccessKeyId"]
    with kit.state.write() as transaction:
        _check_owner(transaction, access_key_id, record)
        principals.delete_access_key(transaction, access_key_id)
    return {}


def _check_owner(transaction: Transaction, access_key_id: str, record: UserRecord) -> None:
    """Refuse another user's key like one that does not exist: the caller was allowed this user only.

    Raises:
        NoSuchEntityException: The user has no such key.
    """
    access_key = principals.load_access_key(transaction.connection, access_key_id)
    # By ARN: in another account there may be a user of the same name.
    if access_key is None or access_key.user.arn != record.arn:
        raise NoSuchEntityException(f"The Access Key with id {access_key_id} cannot be found.")


def _shown(access_key: AccessKeyRecord) -> AccessKeyMetadata:
    return {
        "UserName": access_key.user.name,
        "AccessKeyId": access_key.access_key_id,
        "Status": _ACTIVE if access_key.active else _INACTIVE,
        "CreateDate": access_key.created_at,
    }
