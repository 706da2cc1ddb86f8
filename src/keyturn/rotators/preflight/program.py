"""Runs in a rotation function's stead and answers what it finds there.

The event names the secret (``SecretId``), the engine whose code and driver lie beside this program (``Engine``, None
if Keyturn has none for the secret) and whether the other labelled values are tried as well (``Heartbeat``). The answer
is::

    {"preflight": "keyturn.preflight/1", "items": [{"item": "function.import", "status": "ok", …}, …]}

in this order: the function's handler, the way to Secrets Manager, what the role may read, the value, the way to the
database, the logins. Where one thing is missing, what needs it is ``skipped``.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from .imports import check_handler
from .items import Items
from .service import Service

FORMAT = "keyturn.preflight/1"

_OLDEST_PYTHON = (3, 11)
_DATABASE = ("database.resolve", "database.connect", "database.tls", "login.current")
_OTHERS = {"login.previous": "AWSPREVIOUS", "login.pending": "AWSPENDING"}


def lambda_handler(event: Mapping[str, Any], context: object) -> dict[str, object]:  # noqa: ARG001 - Lambda's
    """Look at everything once."""
    items = Items()
    # First, while this process is small: both share the function's memory.
    wants_json = check_handler(items, os.environ.get("_HANDLER", ""))
    service = Service(items)
    Preflight(items, service, event, wants_json=wants_json).look()
    return {"preflight": FORMAT, "items": items.found}


class Preflight:
    """One secret, looked at.

    Args:
        items: Where it is noted.
        service: Secrets Manager.
        event: As the program got it.
        wants_json: Whether the function is known to need a JSON object.
    """

    def __init__(self, items: Items, service: Service, event: Mapping[str, Any], *, wants_json: bool) -> None:
        self._items = items
        self._service = service
        self._secret_arn = str(event["SecretId"])
        self._engine_name = event.get("Engine")
        self._known_engines = [str(name) for name in event.get("EngineNames", [])]
        self._beats = event.get("Heartbeat") is True
        self._wants_json = wants_json

    def look(self) -> None:
        """Note everything about the secret and its database."""
        self._service.describe(self._secret_arn)
        value = self._service.read("secret.read", self._secret_arn)
        if isinstance(value, dict):
            engine = self._engine(value)
            superuser = self._superuser(value)
            self._look_at_database(engine, value, superuser)
            return
        if value is None:
            self._items.skipped("secret.value", "NotRead", "The current value could not be read")
        elif self._wants_json:
            self._items.failed("secret.value", "NotJson", "The function needs a JSON object, and the value is none")
        else:
            self._items.skipped("secret.value", "NotJson", "The current value is no JSON object")
        self._skip(("superuser.read", "superuser.value", *_DATABASE, "login.superuser", *_OTHERS), "NotRead")

    def _engine(self, value: Mapping[str, object]) -> Any:
        """Return the engine of a value, checked; None, with the item noted, if no login can be tried."""
        item, named = "secret.value", value.get("engine")
        if self._engine_name is None or named not in self._known_engines:
            said = "has no engine" if named is None else "names an engine that Keyturn does not know"
            if self._wants_json and named is None:
                self._items.failed(item, "MissingKey", "engine key is missing from secret JSON")
            else:
                self._items.skipped(item, "UnknownEngine", f"The value {said}: no login can be tried")
            return None
        if sys.version_info < _OLDEST_PYTHON:
            version = ".".join(map(str, _OLDEST_PYTHON))
            self._items.skipped(item, "OldPython", f"Keyturn's engines need Python {version} or later")
            return None
        engine = importlib.import_module(f"..engines.{self._engine_name}", __package__).Engine()
        problem = _problem_of(engine, value)
        if problem is not None:
            self._items.failed(item, *problem)
            return None
        self._items.ok(item, reason=f"engine {named}")
        return engine

    def _superuser(self, value: Mapping[str, object]) -> Mapping[str, object] | None:
        arn = value.get("masterarn")
        if not isinstance(arn, str) or not arn:
            self._skip(("superuser.read", "superuser.value"), "NoSuperuser")
            return None
        found = self._service.read("superuser.read", arn)
        if isinstance(found, dict):
            return found
        if found is None:
            self._skip(("superuser.value",), "NotRead")
        else:
            self._items.failed("superuser.value", "NotJson", f"The current value of {arn} is no JSON object")
        return None

    def _look_at_database(
        self, engine: Any, value: Mapping[str, object], superuser: Mapping[str, object] | None
    ) -> None:
        if engine is None:
            if superuser is not None:
                self._skip(("superuser.value",), "UnknownEngine")
            self._skip((*_DATABASE, "login.superuser", *_OTHERS), "NotTried")
            return
        # It takes the engines, which an old Python does not load.
        from .database import Database  # noqa: PLC0415 - see above

        database = Database(self._items, engine, engine.login(value))
        database.look()
        self._look_as_superuser(database, engine, superuser)
        self._look_at_others(database, engine)

    def _look_as_superuser(self, database: Any, engine: Any, superuser: Mapping[str, object] | None) -> None:
        problem = None if superuser is None else _problem_of(engine, superuser)
        if superuser is None:
            self._skip(("login.superuser",), "NoSuperuser")
        elif problem is not None:
            self._items.failed("superuser.value", *problem)
            self._skip(("login.superuser",), "NotTried")
        else:
            self._items.ok("superuser.value")
            database.look_as_superuser(engine.login(superuser))

    def _look_at_others(self, database: Any, engine: Any) -> None:
        look = {"login.previous": database.look_with_previous, "login.pending": database.look_with_pending}
        for item, label in _OTHERS.items():
            if not self._beats:
                self._skip((item,), "Off")
                continue
            value, why = self._service.read_quietly(self._secret_arn, label)
            if value is None:
                self._skip((item,), why)
            elif _problem_of(engine, value) is not None:
                self._skip((item,), "InvalidValue")
            else:
                look[item](engine.login(value))

    def _skip(self, names: Any, code: str) -> None:
        for item in names:
            self._items.skipped(item, code, _WHY.get(code, "It could not be read"))


_WHY = {
    "InvalidValue": "The value is none that this engine can use",
    "NoSuperuser": "The value names no superuser secret (masterarn)",
    "NoVersion": "No version has this label, or it has no value",
    "NotJson": "The value is no JSON object",
    "NotRead": "The value could not be read",
    "NotTried": "No login can be tried with the value",
    "Off": "The heartbeat is switched off",
    "UnknownEngine": "No login can be tried with the value",
}


def _problem_of(engine: Any, value: Mapping[str, object]) -> tuple[str, str] | None:
    """Return what an engine cannot use in a value, in its own words; None if all is well."""
    try:
        _ = engine.login(value).addresses
    except KeyError as error:
        return "MissingKey", str(error.args[0])
    except ValueError as error:
        return "InvalidValue", str(error)
    return None
