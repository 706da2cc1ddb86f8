"""A database engine in memory, and a rotation of a secret for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from keyturn.rotators import single_user
from keyturn.rotators.engines import base
from keyturn.rotators.handler import Rotator, Strategy
from keyturn.testing.secretsmanager import ARN, FakeSecretsManager

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
TOKEN = "11111111-2222-3333-4444-555555555555"
VALUE = {
    "engine": "fake",
    "host": "db.example",
    "username": "app",
    "password": "first",
    "note": "kept",
    "tags": {"a": [1]},
}


class Killed(BaseException):
    """The function's process ends here."""


class FakeEngine:
    """One database with its users' passwords."""

    title = "Fake"
    exclude_characters = "/"
    password_length = 32
    engine_names: tuple[str, ...] = ("fake",)
    driver_distributions: tuple[str, ...] = ()

    def __init__(self, interrupt: Callable[[str], None] = lambda _: None) -> None:
        self.passwords = {"app": "first"}
        self.trusting = False
        self.unreachable: base.DatabaseError | None = None
        self.logins: list[base.Login] = []
        self.clones: dict[str, str] = {}
        self.interrupt = interrupt

    def login(self, value: Mapping[str, object]) -> base.Login:
        return base.read_login(value, engines=self.engine_names, default_port=1234, default_dbname="main")

    def alternate_username(self, username: str) -> str:
        return base.alternate_username(username, suffix="_clone", limit=20, unit="bytes")

    def connect(self, login: base.Login) -> FakeConnection:
        self.logins.append(login)
        if self.unreachable:
            raise self.unreachable
        if not self.trusting and self.passwords.get(login.username) != login.password:
            raise base.AuthenticationFailed(f"password authentication failed for user {login.username}")
        return FakeConnection(self)


class FakeConnection(base.Connection):
    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine

    @property
    def password_was_checked(self) -> bool:
        return not self._engine.trusting

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        self._engine.interrupt("before set_password")
        confirm()
        self._engine.passwords[username] = password
        self._engine.interrupt("after set_password")

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        self._engine.interrupt("before create_user_like")
        confirm()
        if username not in self._engine.passwords:
            self._engine.clones[username] = like
        self._engine.passwords[username] = password
        self._engine.interrupt("after create_user_like")

    def test(self) -> None:
        pass

    def close(self) -> None:
        pass


def rotator(engine: base.Engine, service: FakeSecretsManager, strategy: Strategy | None = None) -> Rotator:
    return Rotator(engine, strategy or single_user.Strategy(), client=lambda: service)


def event(step: str, token: str = TOKEN) -> dict[str, str]:
    return {"Step": step, "SecretId": ARN, "ClientRequestToken": token, "RotationToken": "opaque"}
