"""Temporary credentials: what AssumeRole and GetSessionToken hand out, and what functions run with.

A session is not stored. Everything about it, its secret access key included, is sealed in the session token, so any
server that holds the same root key can verify it. It dies with its role or user: the token names the unique id, which
one that was made anew does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Principal, PrincipalKind
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.crypto.tokens import TokenSealer
from keyturn.sensitive import Sensitive
from keyturn.storage.roles import RoleRecord
from keyturn.wire.types.sts import Credentials


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """What a role session is given beside its role.

    Attributes:
        policy: The session policy's text; empty if none was given.
        policy_arns: Managed policies that narrow the session together with it.
        tags: Each a key and a value.
        transitive_tag_keys: Of these tags, those that a chain of roles hands on.
        source_identity: Who is behind the session; empty if that was not said.
        is_preflight: Whether it is a function's, in a pre-flight.
    """

    policy: str = ""
    policy_arns: tuple[str, ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str = ""
    is_preflight: bool = False


NO_TERMS = SessionTerms()


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """What a client needs to sign with a session."""

    access_key_id: str
    secret_access_key: Sensitive[str]
    session_token: Sensitive[str]
    expires_at: datetime

    def shown(self) -> Credentials:
        """Return them as they are handed out."""
        return {
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key.reveal(),
            "SessionToken": self.session_token.reveal(),
            "Expiration": self.expires_at,
        }


@dataclass(frozen=True, slots=True)
class Session:
    """A session token, opened. Signs calls as ``principal``; satisfies ``wire.sigv4.KeyHolder``.

    Attributes:
        policy: The session policy's text; empty if none was given.
        policy_arns: Managed policies that narrow the session together with it.
    """

    principal: Principal
    secret_access_key: Sensitive[str]
    expires_at: datetime
    policy: str
    policy_arns: tuple[str, ...]


def issue_session(
    tokens: TokenSealer,
    role: RoleRecord,
    session_name: str,
    now: datetime,
    duration: timedelta,
    terms: SessionTerms = NO_TERMS,
) -> SessionCredentials:
    """Make credentials with which somebody is a role for a while."""
    payload = {
        "role": role.name,
        "role_arn": role.arn,
        "unique_id": role.unique_id,
        "session_name": session_name,
        "policy": terms.policy,
        "source_identity": terms.source_identity,
    }
    if terms.policy_arns:
        payload["policy_arns"] = json.dumps(terms.policy_arns)
    if terms.is_preflight:
        payload["preflight"] = "true"
    if terms.tags:
        payload["tags"] = json.dumps([terms.tags, terms.transitive_tag_keys])
    return _issue(tokens, payload, now, duration)


def issue_user_session(tokens: TokenSealer, user: Principal, now: datetime, duration: timedelta) -> SessionCredentials:
    """Make credentials with which a user is itself for a while."""
    payload = {"user": user.name, "user_arn": user.arn, "unique_id": user.unique_id}
    return _issue(tokens, payload, now, duration)


def _issue(tokens: TokenSealer, payload: Mapping[str, str], now: datetime, duration: timedelta) -> SessionCredentials:
    access_key_id, secret = ids.new_unique_id("ASIA"), ids.new_secret_access_key()
    expires_at = now + duration
    token = tokens.seal(
        {
            **payload,
            "access_key_id": access_key_id,
            "secret_access_key": secret,
            "issued_at": str(to_milliseconds(now)),
            "expires_at": str(to_milliseconds(expires_at)),
        }
    )
    return SessionCredentials(access_key_id, Sensitive(secret), Sensitive(token), expires_at)


def open_session(tokens: TokenSealer, token: str) -> Session:
    """Return what a session token holds. Its expiry and its role or user are the caller's to check.

    Raises:
        ForeignToken: The token is not ours or was altered.
    """
    fields: Mapping[str, str] = tokens.open(token)
    principal = _user(fields) if "user_arn" in fields else _role_session(fields)
    return Session(
        principal=replace(
            principal,
            access_key_id=fields["access_key_id"],
            session_issued_at=from_milliseconds(int(fields["issued_at"])),
        ),
        secret_access_key=Sensitive(fields["secret_access_key"]),
        expires_at=from_milliseconds(int(fields["expires_at"])),
        policy=fields.get("policy", ""),
        policy_arns=tuple(json.loads(fields.get("policy_arns", "[]"))),
    )


def _user(fields: Mapping[str, str]) -> Principal:
    return Principal(
        kind=PrincipalKind.USER,
        arn=fields["user_arn"],
        unique_id=fields["unique_id"],
        account_id=Place.of(fields["user_arn"]).account_id,
        name=fields["user"],
    )


def _role_session(fields: Mapping[str, str]) -> Principal:
    session_name = fields["session_name"]
    place = Place.of(fields["role_arn"])
    tags, transitive_tag_keys = json.loads(fields.get("tags", "[[], []]"))
    return Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        arn=place.assumed_role_arn(fields["role"], session_name),
        unique_id=f"{fields['unique_id']}:{session_name}",
        account_id=place.account_id,
        name=fields["role"],
        role_arn=fields["role_arn"],
        session_name=session_name,
        session_tags=tuple((key, value) for key, value in tags),
        transitive_tag_keys=tuple(transitive_tag_keys),
        source_identity=fields.get("source_identity", ""),
        is_preflight="preflight" in fields,
    )
