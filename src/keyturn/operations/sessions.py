"""Temporary credentials: what AssumeRole hands out and what functions run with.

A session is not stored. Everything about it, its secret access key included, is sealed in the session token, so any
server that holds the same root key can verify it. It dies with its role: the token names the role's unique id, which a
role that was made anew does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from keyturn import ids
from keyturn.arn import Place
from keyturn.call import Principal, PrincipalKind
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.crypto.tokens import TokenSealer
from keyturn.sensitive import Sensitive
from keyturn.storage.principals import RoleRecord


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """What a client needs to sign with a session."""

    access_key_id: str
    secret_access_key: Sensitive[str]
    session_token: Sensitive[str]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session token, opened. Signs calls as ``principal``; satisfies ``wire.sigv4.KeyHolder``.

    Attributes:
        policy: The session policy's text; empty if none was given.
    """

    principal: Principal
    secret_access_key: Sensitive[str]
    expires_at: datetime
    policy: str


def issue_session(
    tokens: TokenSealer, role: RoleRecord, session_name: str, now: datetime, duration: timedelta, policy: str = ""
) -> SessionCredentials:
    """Make credentials with which somebody is a role for a while."""
    access_key_id, secret = ids.new_unique_id("ASIA"), ids.new_secret_access_key()
    expires_at = now + duration
    token = tokens.seal(
        {
            "access_key_id": access_key_id,
            "secret_access_key": secret,
            "role": role.name,
            "role_arn": role.arn,
            "unique_id": role.unique_id,
            "session_name": session_name,
            "issued_at": str(to_milliseconds(now)),
            "expires_at": str(to_milliseconds(expires_at)),
            "policy": policy,
        }
    )
    return SessionCredentials(access_key_id, Sensitive(secret), Sensitive(token), expires_at)


def open_session(tokens: TokenSealer, token: str) -> Session:
    """Return what a session token holds. Its expiry and its role are the caller's to check.

    Raises:
        ForeignToken: The token is not ours or was altered.
    """
    fields: Mapping[str, str] = tokens.open(token)
    session_name = fields["session_name"]
    place = Place.of(fields["role_arn"])
    principal = Principal(
        kind=PrincipalKind.ASSUMED_ROLE,
        arn=place.assumed_role_arn(fields["role"], session_name),
        unique_id=f"{fields['unique_id']}:{session_name}",
        account_id=place.account_id,
        name=fields["role"],
        access_key_id=fields["access_key_id"],
        role_arn=fields["role_arn"],
        session_name=session_name,
        session_issued_at=from_milliseconds(int(fields["issued_at"])),
    )
    return Session(
        principal=principal,
        secret_access_key=Sensitive(fields["secret_access_key"]),
        expires_at=from_milliseconds(int(fields["expires_at"])),
        policy=fields["policy"],
    )
