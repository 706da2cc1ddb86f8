"""Who is signed in: a session is a sealed cookie, bound to the access key that it was made with.

Nothing of a session is stored but that it was ended early, so that any server which holds the same root key knows it.
It ends when it has not been used for an hour, after eight hours, with its access key or temporary credentials, and when
its owner signs out, wherever its cookie is by then.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from keyturn.call import Principal
from keyturn.clock import Clock, from_milliseconds, to_milliseconds
from keyturn.console.clients import Credentials
from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.errors.base import AwsError
from keyturn.sensitive import Sensitive
from keyturn.server.authenticate import Signer
from keyturn.storage import console_sign_outs
from keyturn.storage.database import Database

IDLE: Final = timedelta(hours=1)
WHOLE: Final = timedelta(hours=8)
# A cookie is renewed when it is used, but not at each request of a page's.
_RENEWED_AFTER = timedelta(minutes=5)
_RANDOM_BYTES = 24
# IAM's accessKeyIdType.
_ACCESS_KEY_ID: Final = re.compile(r"\w{1,128}", re.ASCII)

FindHolder = Callable[[str, str | None, datetime], Signer]


@dataclass(frozen=True, slots=True)
class Session:
    """A cookie, opened.

    Attributes:
        session_id: Random, made anew at each sign-in.
        csrf_token: What every form of this session carries.
        access_key_id: The key that it is bound to.
        session_token: Of temporary credentials; empty for a user's own access key.
        region: The region that is looked at.
        begun_at: When its owner signed in.
        seen_at: When it was used last, to some minutes.
    """

    session_id: str
    csrf_token: Sensitive[str]
    access_key_id: str
    session_token: Sensitive[str]
    region: str
    begun_at: datetime
    seen_at: datetime

    @property
    def ends_at(self) -> datetime:
        """When it ends, however much it is used."""
        return self.begun_at + WHOLE

    def is_forged(self, csrf_token: str) -> bool:
        """Return whether a form was not made for this session."""
        return not hmac.compare_digest(self.csrf_token.reveal().encode(), csrf_token.encode())


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session whose key is good now.

    Attributes:
        cookie: What the browser is to keep from now on; None if it has that already.
    """

    session: Session
    principal: Principal
    credentials: Credentials
    cookie: str | None = None


class Sessions:
    """Begins, opens and ends sessions. Safe to share between threads."""

    def __init__(self, sealer: TokenSealer, find_holder: FindHolder, state: Database, clock: Clock) -> None:
        self._sealer = sealer
        self._find_holder = find_holder
        self._state = state
        self._clock = clock

    def begin(self, access_key_id: str, secret_access_key: str, session_token: str, region: str) -> SignedIn | None:
        """Return a new session for whoever knows an access key; None if nobody has that key with that secret."""
        holder = self._holder(access_key_id, session_token)
        known = "" if holder is None else holder.secret_access_key.reveal()
        # Compared also where there is none, so that the time it takes tells nothing.
        if not hmac.compare_digest(known.encode(), secret_access_key.encode()) or holder is None:
            return None
        now = self._clock.now()
        session = Session(
            session_id=secrets.token_urlsafe(_RANDOM_BYTES),
            csrf_token=Sensitive(secrets.token_urlsafe(_RANDOM_BYTES)),
            access_key_id=access_key_id,
            session_token=Sensitive(session_token),
            region=region,
            begun_at=now,
            seen_at=now,
        )
        return _signed_in(session, holder, self._seal(session))

    def open(self, cookie: str) -> SignedIn | None:
        """Return who a cookie belongs to; None if it is not one of ours, has ended, or its key is good no more."""
        try:
            session = _read(self._sealer.open(cookie))
        except ForeignToken:
            return None
        now = self._clock.now()
        if now >= min(session.ends_at, session.seen_at + IDLE):
            return None
        holder = self._holder(session.access_key_id, session.session_token.reveal())
        if holder is None:
            return None
        with self._state.read() as connection:
            if console_sign_outs.is_signed_out(connection, session.session_id):
                return None
        if now - session.seen_at < _RENEWED_AFTER:
            return _signed_in(session, holder, None)
        session = replace(session, seen_at=now)
        return _signed_in(session, holder, self._seal(session))

    def move(self, session: Session, region: str) -> str:
        """Return the cookie of a session that looks at another region."""
        return self._seal(replace(session, region=region))

    def end(self, session: Session) -> None:
        """End a session now."""
        with self._state.write() as transaction:
            console_sign_outs.insert_sign_out(transaction, session.session_id, session.ends_at, self._clock.now())

    def _holder(self, access_key_id: str, session_token: str) -> Signer | None:
        if not _ACCESS_KEY_ID.fullmatch(access_key_id):
            # It may hold what a database does not take.
            return None
        try:
            return self._find_holder(access_key_id, session_token or None, self._clock.now())
        except AwsError:
            return None

    def _seal(self, session: Session) -> str:
        return self._sealer.seal(
            {
                "session_id": session.session_id,
                "csrf_token": session.csrf_token.reveal(),
                "access_key_id": session.access_key_id,
                "session_token": session.session_token.reveal(),
                "region": session.region,
                "begun_at": str(to_milliseconds(session.begun_at)),
                "seen_at": str(to_milliseconds(session.seen_at)),
            }
        )


def _read(fields: dict[str, str]) -> Session:
    return Session(
        session_id=fields["session_id"],
        csrf_token=Sensitive(fields["csrf_token"]),
        access_key_id=fields["access_key_id"],
        session_token=Sensitive(fields["session_token"]),
        region=fields["region"],
        begun_at=from_milliseconds(int(fields["begun_at"])),
        seen_at=from_milliseconds(int(fields["seen_at"])),
    )


def _signed_in(session: Session, holder: Signer, cookie: str | None) -> SignedIn:
    credentials = Credentials(session.access_key_id, holder.secret_access_key, session.session_token)
    return SignedIn(session, holder.principal, credentials, cookie)
