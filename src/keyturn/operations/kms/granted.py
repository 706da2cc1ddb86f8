"""What the grants on a key allow a caller, found in memory: most keys have none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call, PrincipalKind
from keyturn.crypto.tokens import ForeignToken
from keyturn.errors.kms import InvalidGrantTokenException
from keyturn.operations.kit import Kit
from keyturn.rules.kms_grants import Asked, Grant, policy_of, terms_of
from keyturn.storage import kms_grants
from keyturn.storage.kms_grants import GrantRecord
from keyturn.storage.kms_keys import KmsKeyRecord

_KEY_ID, _GRANT_ID = "key_id", "grant_id"


def grants_of(kit: Kit, call: Call, key: KmsKeyRecord | None, asked: Asked) -> str | None:
    """Return what the grants on a key, if it is there, allow the caller in a call; None if that is nothing."""
    if key is None or not key.has_grants or call.principal.kind is PrincipalKind.SERVICE:
        return None
    granted = (grant for grantee in _names(call) for grant in _load(kit, key.key_id, grantee))
    return policy_of((grant for grant in granted if is_same(grant.unique_id, call)), asked)


def grant_of(record: GrantRecord) -> Grant:
    """Return a stored grant as it decides calls."""
    terms = terms_of(record.operations, record.constraints)
    return Grant(record.grant_id, record.grantee_principal, record.grantee_unique_id, terms)


def is_same(unique_id: str | None, call: Call) -> bool:
    """Whether the caller is the user or role that was named, and not another one by its name."""
    return unique_id is None or unique_id == call.principal.unique_id.partition(":")[0]


def new_grant_token(kit: Kit, record: GrantRecord) -> str:
    """Return a token of a grant; each is different, and all are as good."""
    return kit.grant_tokens.seal({_KEY_ID: record.key_id, _GRANT_ID: record.grant_id})


def open_grant_token(kit: Kit, token: str) -> tuple[str, str]:
    """Return the key's id and the grant's id that a token stands for.

    Raises:
        InvalidGrantTokenException: It is not one of ours.
    """
    try:
        payload = kit.grant_tokens.open(token)
    except ForeignToken as error:
        raise InvalidGrantTokenException from error
    return payload[_KEY_ID], payload[_GRANT_ID]


def check_grant_tokens(kit: Kit, request: Mapping[str, Any]) -> None:
    """Check the tokens that a request brings. They change nothing: here a grant counts from its first moment on.

    Raises:
        InvalidGrantTokenException: One is not ours.
    """
    for token in request.get("GrantTokens") or ():
        open_grant_token(kit, token)


def _names(call: Call) -> Iterator[str]:
    """The grantees that a caller is: itself, the role behind a session, and its account."""
    principal, place = call.principal, call.place
    yield principal.arn
    if principal.role_arn:
        yield principal.role_arn
    yield Place(place.partition, place.region, principal.account_id).root_arn()


def _load(kit: Kit, key_id: str, grantee: str) -> tuple[Grant, ...]:
    def load(connection: Connection) -> tuple[Grant, ...]:
        return tuple(grant_of(record) for record in kms_grants.load_of_grantee(connection, key_id, grantee))

    return kit.kept.get(kms_grants.GRANTS, kms_grants.subject_of(key_id, grantee), load)
