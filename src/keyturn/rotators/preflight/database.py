"""Logins: is the database there, and which of the stored values does it accept?

Nothing is written: a login, what the engine reads to know its server, and the end of the connection. A value is tried
once at most, and only if it is another one than the current value, because a database may lock a user after some
refusals. A value that names another host than the current one is not sent there.
"""

from __future__ import annotations

import contextlib
import socket
import time
from dataclasses import replace

from ..engines.base import (
    AuthenticationFailed,
    ConnectionRefused,
    ConnectionTimedOut,
    DatabaseError,
    Engine,
    HostNotFound,
    HostUnreachable,
    Login,
    TlsFailed,
    TlsMode,
    TlsRequired,
)
from .items import Items

ACCEPTED, REFUSED = "Accepted", "Refused"
_NOT_ASKED = "PasswordNotAsked"
_AWAY = frozenset(kind.__name__ for kind in (HostNotFound, HostUnreachable, ConnectionRefused, ConnectionTimedOut))
_TLS = frozenset(kind.__name__ for kind in (TlsFailed, TlsRequired))
_NO_DRIVER = "DriverMissing"
_REFUSED = AuthenticationFailed.__name__
_KNOCK_SECONDS = 4


class Database:
    """The database of a secret, asked by the engine of this package that is for it.

    Args:
        items: Where it is noted.
        engine: Of the database.
        current: The login with the current value.
    """

    def __init__(self, items: Items, engine: Engine, current: Login) -> None:
        self._items = items
        self._engine = engine
        self._current = current
        self._is_away = False

    def look(self) -> None:
        """Resolve the name, and log in with the current value."""
        if not self._resolve():
            self._is_away = True
            for item in ("database.connect", "database.tls", "login.current"):
                self._items.skipped(item, "NotReached", "The database's name does not resolve")
            return
        began = time.monotonic()
        code, reason = self._try(self._current)
        self._note_way(code, reason, began)
        if code in _AWAY or code in _TLS:
            self._items.skipped("login.current", "NotReached", "The database cannot be reached", began)
        elif code == ACCEPTED:
            self._items.ok("login.current", ACCEPTED, reason, began)
        elif code in (_NOT_ASKED, _NO_DRIVER):
            self._items.skipped("login.current", code, reason, began)
        else:
            self._items.failed("login.current", code, reason, began)

    def look_as_superuser(self, superuser: Login) -> None:
        """Log in with the superuser secret's current value, at the database of the secret."""
        item = "login.superuser"
        if not set(superuser.addresses) & set(self._current.addresses):
            self._items.skipped(item, "OtherHost", "The superuser secret names another host than the secret")
        elif not self._skips(item):
            began = time.monotonic()
            code, reason = self._try(replace(superuser, dbname=self._current.dbname))
            if code == ACCEPTED:
                self._items.ok(item, code, reason, began)
            elif code in (_NOT_ASKED, _NO_DRIVER):
                self._items.skipped(item, code, reason, began)
            else:
                self._items.failed(item, code, reason, began)

    def look_with_previous(self, previous: Login) -> None:
        """Log in with AWSPREVIOUS: of the same user it should be dead, of another one it may live."""
        item, keeps = "login.previous", getattr(self._engine, "keeps_previous", False)
        should_be_dead = previous.username == self._current.username and not keeps
        answer = self._answer(item, previous)
        if answer is None:
            return
        code, reason, began = answer
        if code == ACCEPTED and should_be_dead:
            self._items.failed(item, "StillAccepted", "The database still accepts the previous password", began)
        elif code == ACCEPTED:
            is_other = previous.username != self._current.username
            code = "AcceptedOtherUser" if is_other else ACCEPTED
            whose = "which is another user's" if is_other else "which it may keep"
            self._items.ok(item, code, f"The database accepts the previous value, {whose}", began)
        elif code == _REFUSED:
            self._items.ok(item, REFUSED, "The database refuses the previous value", began)
        else:
            self._items.skipped(item, code, reason, began)

    def look_with_pending(self, pending: Login) -> None:
        """Log in with AWSPENDING, which tells how far a rotation came that has not ended."""
        item = "login.pending"
        names = {self._current.username}
        with contextlib.suppress(ValueError):
            names.add(self._engine.alternate_username(self._current.username))
        if pending.username not in names:
            self._items.skipped(item, "OtherUser", "The pending value names a user that no rotation would set")
            return
        answer = self._answer(item, pending)
        if answer is None:
            return
        code, reason, began = answer
        if code == ACCEPTED:
            self._items.ok(item, ACCEPTED, "The database accepts the pending value", began)
        elif code == _REFUSED:
            self._items.ok(item, REFUSED, "The database does not accept the pending value yet", began)
        else:
            self._items.skipped(item, code, reason, began)

    def _answer(self, item: str, login: Login) -> tuple[str, str, float] | None:
        """Log in with another labelled value; None, with the item noted, if that is not to be done."""
        if login.addresses != self._current.addresses:
            self._items.skipped(item, "OtherHost", "This version names another host than the current one")
        elif (login.username, login.password) == (self._current.username, self._current.password):
            self._items.skipped(item, "SameValue", "This version has the user and password of the current one")
        elif not self._skips(item):
            began = time.monotonic()
            return (*self._try(login), began)
        return None

    def _skips(self, item: str) -> bool:
        """Whether there is nobody to ask, which is noted."""
        if self._is_away:
            self._items.skipped(item, "NotReached", "The database cannot be reached")
        return self._is_away

    def _try(self, login: Login) -> tuple[str, str]:
        """Log in and out; return ``Accepted`` or the name of the error, and a reason."""
        try:
            with self._engine.connect(login) as connection:
                if connection.password_was_checked:
                    return ACCEPTED, f"user {login.username}"
                return _NOT_ASKED, "The database let the user in without asking for the password: that proves nothing"
        except DatabaseError as error:
            return type(error).__name__, error.reason
        except ImportError as error:
            missing = error.name or "its driver"
            return _NO_DRIVER, f"The driver of {self._engine.title} is not to be had here: {missing} does not import"
        except Exception as error:  # noqa: BLE001 - a driver's own error may quote what it was given
            return "Unexpected", f"The driver failed: {type(error).__name__}"

    def _resolve(self) -> bool:
        began, found, reason = time.monotonic(), False, ""
        for host, port in self._current.addresses:
            try:
                socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                reason = reason or f"{host}: {getattr(error, 'strerror', None) or 'not a host name'}"
            else:
                found = True
        if not found:
            self._items.failed("database.resolve", HostNotFound.__name__, reason, began)
        else:
            self._items.ok("database.resolve", reason=self._current.host, since=began)
        return found

    def _note_way(self, code: str, reason: str, began: float) -> None:
        """Note what the first login tells of the way; no connection is made for that alone, unless none can log in.

        A server counts connections that end before they have logged in, and may block whoever makes them.
        """
        has_driver = code != _NO_DRIVER
        if not has_driver:
            code, reason = self._knock()
        self._is_away = code in _AWAY
        if self._is_away:
            self._items.failed("database.connect", code, reason, began)
            self._items.skipped("database.tls", "NotReached", "The database cannot be reached")
            return
        self._items.ok("database.connect", reason=f"{self._current.host}:{self._current.port}", since=began)
        if not has_driver:
            self._items.skipped("database.tls", _NO_DRIVER, "Without a driver nothing is said to the database")
        elif code in _TLS:
            self._items.failed("database.tls", code, reason, began)
        elif self._current.tls is TlsMode.REQUIRED:
            self._items.ok("database.tls", since=began)
        else:
            self._items.skipped("database.tls", "NotRequired", "The secret does not insist on TLS (ssl)")

    def _knock(self) -> tuple[str, str]:
        host, port = self._current.addresses[0]
        try:
            socket.create_connection((host, port), _KNOCK_SECONDS).close()
        except ConnectionRefusedError:
            return ConnectionRefused.__name__, f"host {host}, port {port}: Connection refused"
        except OSError as error:
            kind = ConnectionTimedOut if isinstance(error, TimeoutError) else HostUnreachable
            return kind.__name__, f"host {host}, port {port}: {error.strerror or 'no answer within the time limit'}"
        return ACCEPTED, ""
