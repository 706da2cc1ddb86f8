"""Access keys of users: at most two each, the secret half shown once."""

from __future__ import annotations

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.common import AccessDenied
from keyturn.errors.iam import NoSuchEntityException
from keyturn.operations.iam import quotas
from keyturn.operations.iam.entities import current, user
from keyturn.operations.iam.pages import end_of, page_of
from keyturn.operations.iam.quotas import check_count
from keyturn.operations.kit import Kit
from keyturn.operations.registry import operation
from keyturn.operations.sealing import seal_access_key
from keyturn.operations.subject import Subject
from keyturn.sensitive import Sensitive
from keyturn.storage import access_keys
from keyturn.storage.access_keys import AccessKeyRecord
from keyturn.storage.database import Transaction
from keyturn.storage.users import UserRecord
from keyturn.wire.types.iam import (
    AccessKeyMetadata,
    CreateAccessKeyRequest,
    CreateAccessKeyResponse,
    DeleteAccessKeyRequest,
    DeleteAccessKeyResponse,
    GetAccessKeyLastUsedRequest,
    GetAccessKeyLastUsedResponse,
    ListAccessKeysRequest,
    ListAccessKeysResponse,
    UpdateAccessKeyRequest,
    UpdateAccessKeyResponse,
)

_ACTIVE = "Active"
_INACTIVE = "Inactive"
_NEVER = "N/A"


def used_key(kit: Kit, call: Call, request: GetAccessKeyLastUsedRequest) -> Subject[AccessKeyRecord]:
    """Load the access key that ``AccessKeyId`` means; its user is what policies are about.

    A key of another account is as one that does not exist, and that is not told from a refusal.
    """
    access_key_id = request["AccessKeyId"]
    asked = f"access key {access_key_id}"
    with kit.state.read() as connection:
        record = access_keys.load_access_key(connection, access_key_id)
    if record is None or record.user.account_id != call.place.account_id:
        refusal = (
            f"User: {call.principal.arn} is not authorized to perform iam:GetAccessKeyLastUsed on resource: {asked}"
        )
        return Subject(call.place.user_arn("/", ""), asked, None, missing=AccessDenied(refusal))
    return Subject(record.user.arn, asked, record)


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
        now = current(transaction, record)
        present = access_keys.list_access_keys(transaction.connection, now.arn)
        check_count("AccessKeysPerUser", len(present), quotas.KEYS_PER_USER)
        access_keys.insert_access_key(transaction, access_key)
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
        records = access_keys.list_access_keys(connection, record.arn)
    records.sort(key=lambda access_key: access_key.access_key_id)
    page = page_of(kit, call, "ListAccessKeys", request, records, lambda access_key: access_key.access_key_id)
    return {"AccessKeyMetadata": [_shown(access_key) for access_key in page.items], **end_of(page)}


@operation("iam", "GetAccessKeyLastUsed", subject=used_key)
def get_access_key_last_used(
    kit: Kit, _call: Call, _request: GetAccessKeyLastUsedRequest, record: AccessKeyRecord
) -> GetAccessKeyLastUsedResponse:
    """Say when, where and for what an access key was last used."""
    use = kit.uses.last(record.access_key_id, record.last_use)
    if use is None:
        return {
            "UserName": record.user.name,
            "AccessKeyLastUsed": {"ServiceName": _NEVER, "Region": _NEVER},
        }
    return {
        "UserName": record.user.name,
        "AccessKeyLastUsed": {"LastUsedDate": use.used_at, "ServiceName": use.service, "Region": use.region},
    }


@operation("iam", "UpdateAccessKey", subject=user)
def update_access_key(
    kit: Kit, _call: Call, request: UpdateAccessKeyRequest, record: UserRecord
) -> UpdateAccessKeyResponse:
    """Switch an access key on or off."""
    access_key_id = request["AccessKeyId"]
    with kit.state.write() as transaction:
        _check_owner(transaction, access_key_id, record)
        access_keys.update_access_key(transaction, access_key_id, active=request["Status"] == _ACTIVE)
    return {}


@operation("iam", "DeleteAccessKey", subject=user)
def delete_access_key(
    kit: Kit, _call: Call, request: DeleteAccessKeyRequest, record: UserRecord
) -> DeleteAccessKeyResponse:
    """Delete an access key; calls that it signs are refused from now on."""
    access_key_id = request["AccessKeyId"]
    with kit.state.write() as transaction:
        _check_owner(transaction, access_key_id, record)
        access_keys.delete_access_key(transaction, access_key_id)
    return {}


def _check_owner(transaction: Transaction, access_key_id: str, record: UserRecord) -> None:
    """Refuse another user's key like one that does not exist: the caller was allowed this user only.

    Raises:
        NoSuchEntityException: The user has no such key.
    """
    access_key = access_keys.load_access_key(transaction.connection, access_key_id)
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
