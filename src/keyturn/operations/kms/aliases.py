"""Aliases: names of keys that can be given to others. Whoever changes one needs leave on the alias and on its keys.

Texts from field reports (Terraform's and Crossplane's issues), as recorded by localstack, and as collected by moto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.call import Call
from keyturn.errors.common import ValidationFailed
from keyturn.errors.kms import AlreadyExistsException, LimitExceededException
from keyturn.operations.kit import Kit
from keyturn.operations.kms.locking import lock_changeable
from keyturn.operations.kms.pages import page_of
from keyturn.operations.kms.references import FoundKey, find_own_key, load_alias, load_key, new_alias, no_such_alias
from keyturn.operations.kms.subjects import every_key, key_subject
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.kms_keys import check_alias, check_alias_of_customer
from keyturn.storage import kms_keys
from keyturn.storage.database import Transaction
from keyturn.storage.kms_keys import AliasRecord, KmsKeyRecord
from keyturn.wire.types.kms import (
    AliasListEntry,
    CreateAliasRequest,
    CreateAliasResponse,
    DeleteAliasRequest,
    DeleteAliasResponse,
    ListAliasesRequest,
    ListAliasesResponse,
    UpdateAliasRequest,
    UpdateAliasResponse,
)

_PAGE_SIZE = 50
_ALIASES_PER_KEY = 50


def alias_to_be(_kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[str]:
    """The alias that CreateAlias would make."""
    name: str = request["AliasName"]
    arn = call.place.kms_alias_arn(name)
    try:
        check_alias(name)
    except ValidationFailed as error:
        return Subject(arn, arn, record=None, missing=error)
    return Subject(arn, arn, record=name)


def alias(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[AliasRecord]:
    """Load the alias that ``AliasName`` means."""
    found = alias_to_be(kit, call, request)
    if found.record is None:
        return Subject(found.arn, found.asked, record=None, missing=found.missing)
    record = load_alias(kit, call.place, found.record)
    missing = no_such_alias(call.place, found.record) if record is None else None
    return Subject(found.arn, found.asked, record, missing)


@operation("kms", "CreateAlias", subject=alias_to_be)
def create_alias(kit: Kit, call: Call, request: CreateAliasRequest, name: str) -> CreateAliasResponse:
    """Give a key a name."""
    check_alias_of_customer(name)
    key = _target(kit, call, "kms:CreateAlias", request["TargetKeyId"])
    place = call.place
    made = new_alias(place, name, key.key_id, call.at)
    with kit.state.write() as transaction:
        current = lock_changeable(transaction, key)
        if len(current.aliases) >= _ALIASES_PER_KEY:
            raise LimitExceededException(f"A key can't have more than {_ALIASES_PER_KEY} aliases.")
        if not kms_keys.insert_alias(transaction, made):
            raise AlreadyExistsException(f"An alias with the name {place.kms_alias_arn(name)} already exists")
    return {}


@operation("kms", "UpdateAlias", subject=alias)
def update_alias(kit: Kit, call: Call, request: UpdateAliasRequest, record: AliasRecord) -> UpdateAliasResponse:
    """Let an alias name another key."""
    check_alias_of_customer(record.alias)
    _authorise_on(kit, call, "kms:UpdateAlias", record)
    key = _target(kit, call, "kms:UpdateAlias", request["TargetKeyId"])
    with kit.state.write() as transaction:
        current = lock_changeable(transaction, key)
        if len(current.aliases) >= _ALIASES_PER_KEY and record.alias not in current.aliases:
            raise LimitExceededException(f"A key can't have more than {_ALIASES_PER_KEY} aliases.")
        kms_keys.point_alias(transaction, _locked(transaction, call, record), key.key_id, call.at)
    return {}


@operation("kms", "DeleteAlias", subject=alias)
def delete_alias(kit: Kit, call: Call, _request: DeleteAliasRequest, record: AliasRecord) -> DeleteAliasResponse:
    """Take a name from a key."""
    check_alias_of_customer(record.alias)
    _authorise_on(kit, call, "kms:DeleteAlias", record)
    with kit.state.write() as transaction:
        kms_keys.delete_alias(transaction, _locked(transaction, call, record))
    return {}


@operation("kms", "ListAliases", subject=every_key)
def list_aliases(kit: Kit, call: Call, request: ListAliasesRequest, _subject: None) -> ListAliasesResponse:
    """List the account's aliases in the region by name, or those of one key."""
    place, key_id = call.place, None
    if "KeyId" in request:
        found = find_own_key(kit, place, request["KeyId"])
        if found.missing is not None:
            raise found.missing
        key_id = found.record.key_id if found.record is not None else None
    with kit.state.read() as connection:
        records = kms_keys.list_aliases(connection, place)
    shown = [record for record in records if key_id in (None, record.key_id)]
    listing = f"kms:ListAliases {key_id or ''}"
    page = page_of(kit, call, listing, request, shown, lambda record: record.alias, _PAGE_SIZE)
    response: ListAliasesResponse = {
        "Aliases": [_entry(record) for record in page.items],
        "Truncated": page.is_truncated,
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


def _locked(transaction: Transaction, call: Call, record: AliasRecord) -> AliasRecord:
    current = kms_keys.lock_alias(transaction, record.arn)
    if current is None:
        raise no_such_alias(call.place, record.alias)
    return current


def _entry(record: AliasRecord) -> AliasListEntry:
    return {
        "AliasName": record.alias,
        "AliasArn": record.arn,
        "TargetKeyId": record.key_id,
        "CreationDate": record.created_at,
        "LastUpdatedDate": record.updated_at,
    }


def _target(kit: Kit, call: Call, action: str, asked: str) -> KmsKeyRecord:
    """Return the key that is to have an alias, if the caller may give it one.

    Raises:
        ValidationFailed: It is named by an alias itself.
        AccessDenied: The caller may not.
        NotFoundException: There is no such key.
    """
    if asked.startswith("alias/"):
        raise ValidationFailed("Aliases must refer to keys. Not aliases")
    found = find_own_key(kit, call.place, asked)
    kit.authorise(call, action, key_subject(call, found))
    if found.record is None:
        raise found.missing or LookupError(asked)
    return found.record


def _authorise_on(kit: Kit, call: Call, action: str, record: AliasRecord) -> None:
    """Ask for leave on the key that has an alias now."""
    key = load_key(kit, record.key_id)
    if key is not None:
        kit.authorise(call, action, key_subject(call, FoundKey(key.arn, key)))
