"""Grants: make, list, retire and revoke. One counts from the moment that CreateGrant answers, token or no token.

Source: AWS KMS Developer Guide, "Grants in AWS KMS" and "AWS KMS condition keys"; that NotFoundException tells of a
grant that is not there from moto's issues, its text from moto.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.base import AwsError
from keyturn.errors.common import ValidationFailed
from keyturn.errors.kms import (
    InvalidArnException,
    InvalidGrantTokenException,
    LimitExceededException,
    NotFoundException,
)
from keyturn.operations.kit import Kit
from keyturn.operations.kms.dry_run import check_in_earnest
from keyturn.operations.kms.granted import (
    check_grant_tokens,
    grant_of,
    grants_of,
    is_same,
    new_grant_token,
    open_grant_token,
)
from keyturn.operations.kms.grantees import shown_principal, unique_id_of
from keyturn.operations.kms.locking import lock_key
from keyturn.operations.kms.pages import page_from
from keyturn.operations.kms.references import FoundKey, find_key_itself, load_key
from keyturn.operations.kms.subjects import Keys, key_itself, key_subject, pair_keys, state_of
from keyturn.operations.registry import operation
from keyturn.operations.subject import Subject
from keyturn.rules.kms_grants import (
    EQUALS,
    GRANTS_PER_KEY,
    RETIRE,
    SUBSET,
    Asked,
    check_terms,
    retirement_policy,
    terms_of,
)
from keyturn.rules.kms_keys import check_usable
from keyturn.storage import kms_grants
from keyturn.storage.database import Transaction
from keyturn.storage.kms_grants import GrantRecord
from keyturn.storage.kms_keys import KeyManager, KmsKeyRecord
from keyturn.wire.types.kms import (
    CreateGrantRequest,
    CreateGrantResponse,
    GrantConstraints,
    GrantListEntry,
    ListGrantsRequest,
    ListGrantsResponse,
    ListRetirableGrantsRequest,
    ListRetirableGrantsResponse,
    RetireGrantRequest,
    RetireGrantResponse,
    RevokeGrantRequest,
    RevokeGrantResponse,
)

_PAGE_SIZE = 50
# No service of Keyturn makes grants or is given any.
_BY_PRINCIPAL: Keys = {"kms:grantisforawsresource": ("false",)}
_OF_SERVICES = ("GranteeServicePrincipal", "RetiringServicePrincipal")


def _key_to_grant(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    found = find_key_itself(kit, call.place, request["KeyId"])
    operations, constraints = request["Operations"], _constraints(request)
    keys: dict[str, tuple[str, ...]] = {
        **_BY_PRINCIPAL,
        **_constraint_keys(constraints),
        "kms:grantoperations": tuple(operations),
    }
    for member in ("GranteePrincipal", "RetiringPrincipal", *_OF_SERVICES):
        if member in request:
            keys[f"kms:{member.lower()}"] = (request[member],)
    asked = Asked(child=terms_of(operations, constraints))
    return key_subject(call, found, keys, grants_of(kit, call, found.record, asked))


@operation("kms", "CreateGrant", subject=_key_to_grant)
def create_grant(kit: Kit, call: Call, request: CreateGrantRequest, record: KmsKeyRecord) -> CreateGrantResponse:
    """Let a principal use a key; the same request again, with a name, makes no second grant."""
    _refuse_what_is_not_offered(request)
    if "GranteePrincipal" not in request:
        raise ValidationFailed("You must specify either GranteePrincipal or GranteeServicePrincipal, but not both.")
    check_terms(request["Operations"], _constraints(request))
    check_grant_tokens(kit, request)
    with kit.state.write() as transaction:
        current = lock_key(transaction, record)
        check_usable(current.arn, state_of(current))
        made = _new_grant(transaction, call, current, request)
        same = _made_before(transaction, made)
        if same is None:
            _check_room(transaction, current)
        check_in_earnest(request)
        if same is None:
            kms_grants.insert_grant(transaction, made)
    granted = same or made
    return {"GrantToken": new_grant_token(kit, granted), "GrantId": granted.grant_id}


def _key_with_grants(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[KmsKeyRecord]:
    return key_itself(kit, call, request, _BY_PRINCIPAL)


@operation("kms", "ListGrants", subject=_key_with_grants)
def list_grants(kit: Kit, call: Call, request: ListGrantsRequest, record: KmsKeyRecord) -> ListGrantsResponse:
    """List the grants on a key by id: all, those for one principal, or one."""
    _refuse_what_is_not_offered(request)
    grantee, grant_id = request.get("GranteePrincipal"), request.get("GrantId")

    def load(after: str, limit: int) -> list[GrantRecord]:
        with kit.state.read() as connection:
            if grant_id is None:
                return kms_grants.list_grants(
                    connection, record.key_id, grantee_principal=grantee, after=after, limit=limit
                )
            found = kms_grants.load_grant(connection, record.key_id, grant_id)
        return [] if found is None or grantee not in (None, found.grantee_principal) else [found]

    listing = f"kms:ListGrants {record.arn} {grantee or ''}"
    page = page_from(kit, call, listing, request, load, lambda grant: grant.grant_id, _PAGE_SIZE)
    response: ListGrantsResponse = {
        "Grants": [_entry(kit, call, grant) for grant in page.items],
        "Truncated": page.is_truncated,
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


def _retiring_principal(_kit: Kit, _call: Call, request: Mapping[str, Any]) -> Subject[str]:
    """What ListRetirableGrants acts on: not a key, but the principal whom it names."""
    principal = request.get("RetiringPrincipal", "*")
    return Subject(arn=principal, asked=principal, record=principal)


@operation("kms", "ListRetirableGrants", subject=_retiring_principal)
def list_retirable_grants(
    kit: Kit, call: Call, request: ListRetirableGrantsRequest, principal: str
) -> ListRetirableGrantsResponse:
    """List the grants in the region, on keys of all accounts, that a principal of the caller's account may retire."""
    _refuse_what_is_not_offered(request)
    if "RetiringPrincipal" not in request:
        raise ValidationFailed("You must specify either RetiringPrincipal or RetiringServicePrincipal, but not both.")
    with kit.state.read() as connection:
        unique_id_of(connection, principal, call.place.partition)
    if Place.of(principal).account_id != call.place.account_id:
        raise InvalidArnException(f"ARN does not refer to a principal of account {call.place.account_id}: {principal}")

    def load(after: str, limit: int) -> list[GrantRecord]:
        with kit.state.read() as connection:
            return kms_grants.list_retirable(connection, principal, call.place.region, after=after, limit=limit)

    listing = f"kms:ListRetirableGrants {principal}"
    page = page_from(kit, call, listing, request, load, lambda grant: grant.grant_id, _PAGE_SIZE)
    response: ListRetirableGrantsResponse = {
        "Grants": [_entry(kit, call, grant) for grant in page.items],
        "Truncated": page.is_truncated,
    }
    if page.marker is not None:
        response["NextMarker"] = page.marker
    return response


def _grant_to_retire(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[GrantRecord]:
    """Load the grant that a token, or a key and a grant's id, mean; the key's policy has no say in it."""
    try:
        found, grant_id = _named_grant(kit, call, request)
    except AwsError as error:
        return Subject("*", "*", record=None, missing=error)
    key = key_subject(call, found)
    if found.record is None:
        return Subject(key.arn, key.asked, record=None, missing=key.missing, keys=key.keys)
    with kit.state.read() as connection:
        record = kms_grants.load_grant(connection, found.record.key_id, grant_id)
    if record is None:
        return Subject(key.arn, key.asked, record=None, missing=_no_such_grant(grant_id), keys=key.keys)
    keys = key_subject(call, found, _constraint_keys(record.constraints or {})).keys
    return Subject(key.arn, key.asked, record, keys=keys, grants=_retirement(call, record))


@operation("kms", "RetireGrant", subject=_grant_to_retire)
def retire_grant(kit: Kit, _call: Call, request: RetireGrantRequest, record: GrantRecord) -> RetireGrantResponse:
    """End a grant, as one whom the grant itself lets do so."""
    _delete(kit, request, record)
    return {}


@operation("kms", "RevokeGrant", subject=_key_with_grants)
def revoke_grant(kit: Kit, _call: Call, request: RevokeGrantRequest, record: KmsKeyRecord) -> RevokeGrantResponse:
    """End a grant, as one who administers the key."""
    with kit.state.read() as connection:
        grant = kms_grants.load_grant(connection, record.key_id, request["GrantId"])
    if grant is None:
        raise _no_such_grant(request["GrantId"])
    _delete(kit, request, grant)
    return {}


def _refuse_what_is_not_offered(request: Mapping[str, Any]) -> None:
    refused = [member for member in _OF_SERVICES if member in request]
    if "SourceArn" in (request.get("Constraints") or {}):
        refused.append("SourceArn")
    if refused:
        raise ValidationFailed(f"Keyturn does not offer {refused[0]} of grants; see docs/compatibility.md.")


def _new_grant(transaction: Transaction, call: Call, key: KmsKeyRecord, request: Mapping[str, Any]) -> GrantRecord:
    grantee, retiring = request["GranteePrincipal"], request.get("RetiringPrincipal")
    connection, partition = transaction.connection, call.place.partition
    return GrantRecord(
        grant_id=ids.new_grant_id(),
        key_id=key.key_id,
        key_arn=key.arn,
        name=request.get("Name"),
        issuing_account_id=call.principal.account_id,
        grantee_principal=grantee,
        grantee_unique_id=unique_id_of(connection, grantee, partition),
        retiring_principal=retiring,
        retiring_unique_id=None if retiring is None else unique_id_of(connection, retiring, partition),
        operations=tuple(dict.fromkeys(request["Operations"])),
        constraints=_constraints(request) or None,
        created_at=call.at,
    )


def _made_before(transaction: Transaction, made: GrantRecord) -> GrantRecord | None:
    """Return the grant that the same request has made before, if it had a name."""
    if made.name is None:
        return None
    named = kms_grants.load_named(transaction.connection, made.key_id, made.name)
    return next((grant for grant in named if _comparable(grant) == _comparable(made)), None)


def _comparable(grant: GrantRecord) -> tuple[object, ...]:
    return (
        grant.issuing_account_id,
        (grant.grantee_principal, grant.grantee_unique_id),
        (grant.retiring_principal, grant.retiring_unique_id),
        terms_of(grant.operations, grant.constraints),
    )


def _check_room(transaction: Transaction, key: KmsKeyRecord) -> None:
    if key.manager is not KeyManager.CUSTOMER:
        return
    if kms_grants.count_grants(transaction.connection, key.key_id) >= GRANTS_PER_KEY:
        raise LimitExceededException(f"A key can't have more than {GRANTS_PER_KEY} grants.")


def _named_grant(kit: Kit, call: Call, request: Mapping[str, Any]) -> tuple[FoundKey, str]:
    if "GrantToken" in request:
        key_id, grant_id = open_grant_token(kit, request["GrantToken"])
        record = load_key(kit, key_id)
        if record is None or record.region != call.place.region:
            raise InvalidGrantTokenException
        return FoundKey(record.arn, record), grant_id
    if "KeyId" in request and "GrantId" in request:
        return find_key_itself(kit, call.place, request["KeyId"]), request["GrantId"]
    raise ValidationFailed("You must specify either GrantToken, or both KeyId and GrantId.")


def _retirement(call: Call, record: GrantRecord) -> str | None:
    """Return who may retire a grant, as far as it concerns the caller."""
    key_place = Place.of(record.key_arn)
    issuer = Place(key_place.partition, key_place.region, record.issuing_account_id)
    named = []
    if record.retiring_principal is not None and is_same(record.retiring_unique_id, call):
        named.append(record.retiring_principal)
    if RETIRE in record.operations and is_same(record.grantee_unique_id, call):
        named.append(record.grantee_principal)
    return retirement_policy(grant_of(record), named, sorted({key_place.root_arn(), issuer.root_arn()}))


def _delete(kit: Kit, request: Mapping[str, Any], record: GrantRecord) -> None:
    with kit.state.write() as transaction:
        is_there = kms_grants.delete_grant(transaction, record)
        if not is_there:
            raise _no_such_grant(record.grant_id)
        check_in_earnest(request)


def _no_such_grant(grant_id: str) -> NotFoundException:
    return NotFoundException(f"Grant ID {grant_id} not found")


def _constraints(request: Mapping[str, Any]) -> dict[str, Mapping[str, str]]:
    """Return the constraints that look at the encryption context, by name."""
    sent: Mapping[str, Any] = request.get("Constraints") or {}
    return {name: sent[name] for name in (EQUALS, SUBSET) if sent.get(name) is not None}


def _constraint_keys(constraints: Mapping[str, Mapping[str, str]]) -> Keys:
    """Condition keys of a grant's constraint: its type, and its pairs as if they were an encryption context."""
    keys: dict[str, tuple[str, ...]] = {}
    for name, pairs in constraints.items():
        keys |= {"kms:grantconstrainttype": (name,), **pair_keys(pairs)}
    return keys


def _entry(kit: Kit, call: Call, record: GrantRecord) -> GrantListEntry:
    issuer = Place(call.place.partition, call.place.region, record.issuing_account_id)
    entry: GrantListEntry = {
        "KeyId": record.key_arn,
        "GrantId": record.grant_id,
        "Name": record.name or "",
        "CreationDate": record.created_at,
        "GranteePrincipal": shown_principal(kit, record.grantee_principal, record.grantee_unique_id),
        "IssuingAccount": issuer.root_arn(),
        "Operations": list(record.operations),
    }
    if record.retiring_principal is not None:
        entry["RetiringPrincipal"] = shown_principal(kit, record.retiring_principal, record.retiring_unique_id)
    if record.constraints is not None:
        entry["Constraints"] = _shown_constraints(record.constraints)
    return entry


def _shown_constraints(constraints: Mapping[str, Mapping[str, str]]) -> GrantConstraints:
    shown: GrantConstraints = {}
    if EQUALS in constraints:
        shown["EncryptionContextEquals"] = dict(constraints[EQUALS])
    if SUBSET in constraints:
        shown["EncryptionContextSubset"] = dict(constraints[SUBSET])
    return shown
