"""The database behind a secret, as the bench sees it: directly, past the relay that the function goes through."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from keyturn.errors.base import KeyturnError
from keyturn.rotators import catalogue
from keyturn.rotators.engines import base

from .boundaries import Watch
from .relay import HOST, Relay

Value = Mapping[str, object]


@dataclass(slots=True)
class Database:
    """A database and the relays before its addresses.

    Attributes:
        value: The secret as it was given, with the database's own addresses.
        superuser: Likewise the superuser secret, if there is one.
        engine: Asks it; None if there is none for what the secret's ``engine`` says.
        relays: One for each address, in order; empty if the function goes there directly.
    """

    value: Value = field(repr=False)
    superuser: Value | None = field(repr=False)
    engine: base.Engine | None
    relays: tuple[Relay, ...] = ()

    @classmethod
    @contextlib.contextmanager
    def open(cls, value: Value, superuser: Value | None, watch: Watch) -> Iterator[Database]:
        """Put relays before the database of a secret, if that is possible.

        Raises:
            KeyturnError: The secret is not as its engine needs it.
        """
        engine = engine_of(value)
        with ExitStack() as closing:
            relays = [closing.enter_context(Relay(address, watch)) for address in _addresses(value, engine)]
            yield cls(value, superuser, engine, tuple(relays))

    @property
    def title(self) -> str:
        """The database in a person's words."""
        kind = self.engine.title if self.engine else str(self.value.get("engine", "no database"))
        return f"{kind} at {self.value['host']}" if "host" in self.value else kind

    def as_seen(self, value: Value) -> dict[str, object]:
        """Return a secret as the function gets it: with the relays' addresses."""
        if not self.relays:
            return dict(value)
        ports = ",".join(str(relay.port) for relay in self.relays)
        is_text = len(self.relays) > 1 or isinstance(value.get("port"), str)
        hosts = ",".join([HOST] * len(self.relays))
        return {**value, "host": hosts, "port": ports if is_text else int(ports)}

    def accepts(self, value: Value) -> bool | None:
        """Tell whether the database lets in who has this value, as the function stored it; None if that is unknown."""
        if self.engine is None:
            return None
        seen = self.as_seen(self.value)
        if any(value.get(key) != seen.get(key) for key in ("host", "port")):
            # Not asked: the value is for another database.
            return None
        try:
            login = self.engine.login({**value, **self._own_address()})
            with self.engine.connect(login) as connection:
                return connection.password_was_checked or None
        except (base.AuthenticationFailed, KeyError, ValueError):
            return False
        except base.DatabaseError as error:
            raise KeyturnError(f"{self.title} cannot be asked: {error.reason}.", error.hint) from None

    def set_password(self, value: Value, password: str) -> None:
        """Set a user's password as somebody would who does not know of Secrets Manager.

        Args:
            value: Of the user, which the database accepts; not looked at if there is a superuser.
            password: The new one.

        Raises:
            KeyturnError: It cannot be set.
        """
        if self.engine is None:
            raise KeyturnError("Nothing is known of this kind of database.")
        actor = self.superuser or {**value, **self._own_address()}
        try:
            with self.engine.connect(self.engine.login(actor)) as connection:
                connection.set_password(str(value["username"]), password, lambda: None)
        except base.DatabaseError as error:
            raise KeyturnError(f"The password of {value['username']} cannot be set: {error.reason}.") from None

    def _own_address(self) -> dict[str, object]:
        return {key: self.value[key] for key in ("host", "port") if key in self.value}


def engine_of(value: Value) -> base.Engine | None:
    """Return the engine for what a secret's ``engine`` says, None if there is none, or if it is for no database."""
    name = catalogue.engine_for(value.get("engine"))
    if name is None or hasattr(catalogue.engines()[name], "strategies"):
        return None
    return catalogue.engines()[name]


def _addresses(value: Value, engine: base.Engine | None) -> tuple[tuple[str, int], ...]:
    """Return where the relays are to stand; nowhere if the way is encrypted for the host's own name."""
    if engine is not None:
        try:
            login = engine.login(value)
            addresses = login.addresses
        except (KeyError, ValueError, TypeError) as error:
            raise KeyturnError(f"The secret cannot be used: {error.args[0]}") from None
        return () if login.tls is base.TlsMode.REQUIRED else addresses
    port = value.get("port")
    if isinstance(value.get("host"), str) and str(port).isdecimal():
        return ((str(value["host"]), int(str(port))),)
    return ()
