"""From a signature to a principal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Connection

from keyturn.call import Principal, PrincipalKind
from keyturn.crypto.tokens import ForeignToken
from keyturn.errors.common import ExpiredToken, UnrecognizedClient
from keyturn.kept import Kept
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import open_access_key
from keyturn.operations.sessions import Session, open_session
from keyturn.sensitive import Sensitive
from keyturn.storage import access_keys, roles, users
from keyturn.wire.http import HttpRequest
from keyturn.wire.sigv4 import Verifier

_SESSIONS_KEPT = 10_000
_IAM = "iam"


@dataclass(frozen=True, slots=True)
class Signer:
    """The holder of an access key: who they are and what they sign with."""

    principal: Principal
    secret_access_key: Sensitive[str]
    session_policy: str = ""
    session_policy_arns: tuple[str, ...] = ()


class Authenticated(NamedTuple):
    """Who signed a request, and the region that they meant."""

    signer: Signer
    region: str


class Authenticator:
    """Verifies signatures against access keys and session tokens."""

    def __init__(self, kit: Kit, skew: timedelta) -> None:
        self._kit = kit
        self._verifier = Verifier(regions=kit.regions, skew=skew)
        self._sessions: Kept[str, Session] = Kept(_SESSIONS_KEPT)

    def authenticate(self, request: HttpRequest, signing_name: str, now: datetime) -> Authenticated:
        """Return who signed the request, and for which region.

        Raises:
            SigningFault: Nobody known here did, or not properly.
        """

        def find_key(access_key_id: str, session_token: str | None) -> Signer:
            signer = self.holder(access_key_id, session_token, now)
            if session_token is not None and signing_name == _IAM and signer.principal.kind is PrincipalKind.USER:
                # AWS's answer to a user's temporary credentials without multi-factor authentication.
                raise UnrecognizedClient
            return signer

        return Authenticated(*self._verifier.verify(request, signing_name=signing_name, now=now, find_key=find_key))

    def holder(self, access_key_id: str, session_token: str | None, now: datetime) -> Signer:
        """Return who holds an access key, or temporary credentials.

        Raises:
            SigningFault: Nobody does, or not any more.
        """
        if session_token is None:
            return self._user(access_key_id)
        return self._session(access_key_id, session_token, now)

    def _user(self, access_key_id: str) -> Signer:
        def load(connection: Connection) -> Signer | None:
            key = access_keys.load_access_key(connection, access_key_id)
            if key is None or not key.active:
                return None
            principal = Principal(
                kind=PrincipalKind.USER,
                arn=key.user.arn,
                unique_id=key.user.unique_id,
                account_id=key.user.account_id,
                name=key.user.name,
                access_key_id=access_key_id,
            )
            return Signer(principal, open_access_key(self._kit, access_key_id, key.sealed))

        signer = self._kit.kept.get(users.ACCESS_KEY, access_key_id, load)
        if signer is None:
            raise UnrecognizedClient
        return signer

    def _session(self, access_key_id: str, token: str, now: datetime) -> Signer:
        session = self._sessions.get(token)
        if session is None:
            try:
                session = open_session(self._kit.session_tokens, token)
            except ForeignToken as error:
                raise UnrecognizedClient from error
            self._sessions.put(token, session)
        principal = session.principal
        if principal.access_key_id != access_key_id:
            raise UnrecognizedClient
        if session.expires_at <= now:
            raise ExpiredToken
        if not self._is_there(principal):
            raise UnrecognizedClient
        return Signer(principal, session.secret_access_key, session.policy, session.policy_arns)

    def _is_there(self, principal: Principal) -> bool:
        """Whether the role or user of a session is still the one that it was issued for."""
        arn = principal.role_arn
        if arn:
            role = self._kit.kept.get(roles.ROLE, arn, lambda connection: roles.load_role_by_arn(connection, arn))
            return role is not None and principal.unique_id.startswith(role.unique_id + ":")
        user_arn = principal.arn
        user = self._kit.kept.get(users.USER, user_arn, lambda connection: users.load_user_by_arn(connection, user_arn))
        return user is not None and principal.unique_id == user.unique_id
