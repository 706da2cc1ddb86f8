"""The pre-flight's program with a database and a Secrets Manager in memory: what is tried, what not, and its words."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from keyturn.rotators.engines import base
from keyturn.rotators.preflight import program
from keyturn.rotators.preflight.database import Database
from keyturn.rotators.preflight.imports import check_handler
from keyturn.rotators.preflight.items import Items
from keyturn.rotators.preflight.program import Preflight

from .fakes import VALUE, FakeEngine

HERE = {**VALUE, "host": "127.0.0.1"}


class LookingEngine(FakeEngine):
    """Tells by user how a login ends."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, Exception] = {}

    def connect(self, login: base.Login) -> Any:
        if login.username in self.errors:
            self.logins.append(login)
            raise self.errors[login.username]
        return super().connect(login)


class Look:
    """A database that was looked at."""

    def __init__(self, **changed: object) -> None:
        self.engine, self.items = LookingEngine(), Items()
        self.current = self.login(**changed)
        self.database = Database(self.items, self.engine, self.current)

    def login(self, **changed: object) -> base.Login:
        return self.engine.login({**HERE, **changed})

    def item(self, name: str) -> tuple[object, object]:
        return next((each["status"], each["code"]) for each in self.items.found if each["item"] == name)

    @property
    def tried(self) -> list[tuple[str, str]]:
        return [(login.username, login.password) for login in self.engine.logins]


def test_the_way_is_told_by_the_login_and_no_connection_is_made_for_it() -> None:
    look = Look(ssl=True)
    look.database.look()

    assert [(each["item"], each["status"]) for each in look.items.found] == [
        ("database.resolve", "ok"),
        ("database.connect", "ok"),
        ("database.tls", "ok"),
        ("login.current", "ok"),
    ]
    assert look.tried == [("app", "first")]


@pytest.mark.parametrize(
    ("error", "item"),
    [
        (base.ConnectionRefused("no"), "database.connect"),
        (base.ConnectionTimedOut("no"), "database.connect"),
        (base.TlsFailed("no"), "database.tls"),
        (base.TlsRequired("no"), "database.tls"),
        (base.AuthenticationFailed("no"), "login.current"),
        (base.NotAdmitted("no"), "login.current"),
        (base.ReadOnlyReplica("no"), "login.current"),
    ],
)
def test_an_error_has_its_place(error: base.DatabaseError, item: str) -> None:
    look = Look()
    look.engine.errors["app"] = error
    look.database.look()

    assert look.item(item) == ("failed", type(error).__name__)
    failed = [each["item"] for each in look.items.found if each["status"] == "failed"]
    assert failed == [item]


def test_a_database_that_is_away_is_asked_once() -> None:
    look = Look()
    look.engine.errors["app"] = base.ConnectionRefused("no")
    look.database.look()
    look.database.look_as_superuser(look.login(username="root", password="r"))
    look.database.look_with_previous(look.login(password="old"))
    look.database.look_with_pending(look.login(password="new"))

    assert len(look.tried) == 1
    assert {look.item(f"login.{who}") for who in ("current", "superuser", "previous", "pending")} == {
        ("skipped", "NotReached")
    }


def test_a_server_that_asks_for_no_password_proves_nothing() -> None:
    look = Look()
    look.engine.trusting = True
    look.database.look()

    assert look.item("login.current") == ("skipped", "PasswordNotAsked")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ModuleNotFoundError("no", name="driver"), ("skipped", "DriverMissing")),
        (RuntimeError("pass-word-1"), ("failed", "Unexpected")),
    ],
)
def test_a_driver_that_is_not_to_be_had_is_never_ok(error: Exception, said: tuple[str, str]) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        look = Look(port=listening.getsockname()[1])
        look.engine.errors["app"] = error
        look.database.look()

    assert look.item("login.current") == said
    assert look.item("database.connect") == ("ok", "Ok")
    assert "pass-word-1" not in json.dumps(look.items.found)


def test_without_a_driver_it_is_knocked_at_the_door() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        look = Look(port=closed.getsockname()[1])
        look.engine.errors["app"] = ModuleNotFoundError("no", name="driver")
        look.database.look()

    assert look.item("database.connect") == ("failed", "ConnectionRefused")
    assert look.item("database.tls") == ("skipped", "NotReached")


def test_each_version_is_tried_once_and_only_if_it_is_another_one() -> None:
    look = Look()
    look.database.look()
    look.database.look_with_previous(look.login(password="old"))
    look.database.look_with_pending(look.login())
    assert look.tried == [("app", "first"), ("app", "old")]
    assert look.item("login.previous") == ("ok", "Refused")
    assert look.item("login.pending") == ("skipped", "SameValue")


@pytest.mark.parametrize(
    ("username", "keeps", "said"),
    [
        ("app", False, ("failed", "StillAccepted")),
        ("app", True, ("ok", "Accepted")),
        ("app_clone", False, ("ok", "AcceptedOtherUser")),
    ],
)
def test_whose_previous_password_it_is_decides_whether_it_should_be_dead(
    username: str, keeps: bool, said: tuple[str, str]
) -> None:
    look = Look()
    look.engine.keeps_previous = keeps  # type: ignore[attr-defined]  # of some engines
    # A server that takes two passwords of one user.
    look.engine.passwords[username] = "old"
    look.database.look_with_previous(look.login(username=username, password="old"))

    assert look.item("login.previous") == said


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"host": "127.0.0.2"}, "OtherHost"), ({"port": 99}, "OtherHost"), ({"username": "root"}, "OtherUser")],
)
def test_a_pending_value_of_somebody_else_is_sent_nowhere(changed: Mapping[str, object], code: str) -> None:
    look = Look()
    look.database.look_with_pending(look.login(password="new", **changed))

    assert (look.item("login.pending"), look.tried) == (("skipped", code), [])


def test_a_superuser_of_another_host_is_not_tried() -> None:
    look = Look()
    look.database.look_as_superuser(look.login(username="root", password="r", host="127.0.0.2"))
    assert (look.item("login.superuser"), look.tried) == (("skipped", "OtherHost"), [])

    look.engine.passwords["root"] = "r"
    look.database.look_as_superuser(look.login(username="root", password="r", host="127.0.0.2,127.0.0.1"))
    assert look.tried == [("root", "r")]


# The function's module.


def _handler(directory: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, object], bool]:
    (directory / "looked_at.py").write_text(source)
    monkeypatch.chdir(directory)
    items = Items()
    wants_json = check_handler(items, "looked_at.handler")
    return items.found[0], wants_json


@pytest.mark.parametrize(
    ("source", "code", "reason"),
    [
        ("handler = 1", "Ok", ""),
        (
            "import no_such",
            "Runtime.ImportModuleError",
            "Unable to import module 'looked_at': No module named 'no_such'",
        ),
        ("nothing = 1", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'looked_at'"),
        ("raise ValueError('x' * 5000)", "ValueError", "x" * 300),
        ("import sys; sys.exit(4)", "SystemExit", "4"),
        ("import os; os._exit(4)", "Runtime.ExitError", "Runtime exited with error: exit status 4"),
        (
            # Who is left behind holds the other end.
            "import os, time\nif os.fork(): os._exit(4)\ntime.sleep(10)\nos._exit(0)",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 4",
        ),
        (
            "import os; os.closerange(3, 99); handler = 1",
            "Runtime.ExitError",
            "Runtime exited with error: exit status 1",
        ),
    ],
)
def test_a_module_is_imported_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, code: str, reason: str
) -> None:
    found, _ = _handler(tmp_path, source, monkeypatch)

    assert (found["code"], found["reason"]) == (code, reason)
    assert found["status"] == ("ok" if code == "Ok" else "failed")


def test_functions_for_databases_are_known_by_what_they_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _handler(tmp_path, "handler = 1\ndef get_secret_dict(): pass", monkeypatch)[1]
    (tmp_path / "keyturn_rotators.py").touch()
    assert _handler(tmp_path, "import keyturn_rotators\nhandler = 1", monkeypatch)[1]
    assert not _handler(tmp_path, "handler = 1", monkeypatch)[1]


# The whole of it.


class FakeService:
    """Secrets Manager as the program asks it."""

    def __init__(self, items: Items, values: Mapping[str, Any]) -> None:
        self._items, self._values = items, values
        self.read_stages: list[str] = []

    def describe(self, _secret_arn: str) -> None:
        self._items.ok("secret.describe")

    def read(self, item: str, secret_arn: str, stage: str = "AWSCURRENT") -> Any:
        value = self._values.get(secret_arn if item == "superuser.read" else stage)
        if value is None:
            self._items.failed(item, "AccessDeniedException", "no")
        else:
            self._items.ok(item)
        return value

    def read_quietly(self, _secret_arn: str, stage: str) -> tuple[Any, str]:
        self.read_stages.append(stage)
        value = self._values.get(stage)
        return (value, "") if value is not None else (None, "NoVersion")


def _looked(values: Mapping[str, Any], *, wants_json: bool = False, **event: Any) -> dict[str, tuple[Any, Any]]:
    items = Items()
    service = FakeService(items, values)
    given = {"SecretId": "arn", "Engine": None, "EngineNames": [], "Heartbeat": True, **event}
    Preflight(items, service, given, wants_json=wants_json).look()  # type: ignore[arg-type]  # a fake
    return {str(each["item"]): (each["status"], each["code"]) for each in items.found}


EVERYTHING = {
    "secret.describe", "secret.read", "secret.value", "superuser.read", "superuser.value", "database.resolve",
    "database.connect", "database.tls", "login.current", "login.superuser", "login.previous", "login.pending",
}  # fmt: skip


@pytest.mark.parametrize("value", [None, "no JSON", {}, {"engine": "other"}, {"engine": "postgres"}])
def test_every_item_is_told_whatever_the_value_is(value: Any) -> None:
    found = _looked({"AWSCURRENT": value}, Engine="postgresql", EngineNames=["postgres"])

    assert set(found) == EVERYTHING
    assert found["login.current"][0] == "skipped"


def test_what_is_no_json_is_a_fault_of_functions_for_databases_only() -> None:
    assert _looked({"AWSCURRENT": "text"}, wants_json=True)["secret.value"] == ("failed", "NotJson")
    assert _looked({"AWSCURRENT": "text"})["secret.value"] == ("skipped", "NotJson")
    assert _looked({"AWSCURRENT": {}}, wants_json=True)["secret.value"] == ("failed", "MissingKey")
    assert _looked({"AWSCURRENT": {"engine": "x"}}, wants_json=True)["secret.value"] == ("skipped", "UnknownEngine")


def test_a_superuser_secret_is_read_and_its_value_checked() -> None:
    current = {**HERE, "engine": "postgres", "host": "no-such-host.invalid", "masterarn": "master"}
    engine: dict[str, Any] = {"Engine": "postgresql", "EngineNames": ["postgres"]}

    assert _looked({"AWSCURRENT": current}, **engine)["superuser.read"] == ("failed", "AccessDeniedException")
    no_json = _looked({"AWSCURRENT": current, "master": "text"}, **engine)
    assert no_json["superuser.value"] == ("failed", "NotJson")
    incomplete = _looked({"AWSCURRENT": current, "master": {"engine": "postgres"}}, **engine)
    assert incomplete["superuser.value"] == ("failed", "MissingKey")
    assert incomplete["login.superuser"] == ("skipped", "NotTried")


def test_without_the_heartbeat_the_other_versions_are_not_even_read() -> None:
    items = Items()
    current = {**HERE, "engine": "postgres", "host": "no-such-host.invalid"}
    service = FakeService(items, {"AWSCURRENT": current, "AWSPREVIOUS": current})
    event = {"SecretId": "arn", "Engine": "postgresql", "EngineNames": ["postgres"], "Heartbeat": False}
    Preflight(items, service, event, wants_json=True).look()  # type: ignore[arg-type]  # a fake

    assert service.read_stages == []
    assert [each["code"] for each in items.found if each["item"] in ("login.previous", "login.pending")] == ["Off"] * 2


def test_a_python_that_is_too_old_for_the_engines_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "_OLDEST_PYTHON", (99, 0))
    found = _looked({"AWSCURRENT": {**HERE, "engine": "postgres"}}, Engine="postgresql", EngineNames=["postgres"])

    assert found["secret.value"] == ("skipped", "OldPython")
    assert found["login.current"] == ("skipped", "NotTried")
