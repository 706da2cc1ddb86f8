"""Stand-ins for databases of which no server can be had: what rotation functions ask for and change, and no more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from keyturn.rotators.engines.postgresql_family.connection import md5_verifier

from .redshift_server import Answer as RedshiftAnswer
from .redshift_server import RedshiftServer
from .redshift_server import Row as RedshiftRow
from .tds_server import Answer, Error, Rows, TdsServer

HOST = "localhost"
_SUPERUSER = {"host": HOST, "username": "root", "password": "Super'user"}
LOGIN_SESSION: Rows = [[0, "master", "READ_WRITE", 0, 0]]


class Logins:
    """Logins and their passwords, as far as the function's batches ask for them and change them."""

    def __init__(self, passwords: dict[str, str]) -> None:
        self.passwords = passwords
        self.changes = 0

    def admit(self, user: str, password: str, _database: str) -> list[Error]:
        return [] if self.passwords.get(user) == password else [Error(18456, f"Login failed for user '{user}'.", 14)]

    def __call__(self, batch: str) -> Answer:
        if "authenticating_database_id" in batch:
            return [LOGIN_SESSION]
        if batch.startswith("SELECT ISNULL("):
            return [[[self._moment(batch)]]]
        if batch.startswith("USE [master];"):
            return self._change(batch)
        return self._catalogue(batch)

    def _moment(self, batch: str) -> str:
        [name] = re.findall(r"LOGINPROPERTY\(N'(\w+)', 'PasswordLastSetTime'\)", batch)
        return f"moment {self.changes}" if name in self.passwords else ""

    def _change(self, batch: str) -> Answer:
        [seen] = re.findall(r"<> N'([^']*)' THROW 50002", batch)
        if seen != self._moment(batch):
            return [Error(50002, "the password was set by somebody else")]
        for verb, name, password, old in re.findall(
            r"(CREATE|ALTER) LOGIN \[(\w+)\] WITH PASSWORD = N'((?:[^']|'')*)'(?: OLD_PASSWORD = N'((?:[^']|'')*)')?",
            batch,
        ):
            if (verb == "CREATE") == (name in self.passwords):
                return [Error(15151, f"Cannot alter the login '{name}'.")]
            if old and self.passwords[name] != old.replace("''", "'"):
                return [Error(15151, f"Cannot alter the login '{name}'.")]
            self.passwords[name] = password.replace("''", "'")
            self.changes += 1
        return []

    def _catalogue(self, batch: str) -> Answer:
        if "authentication_type" in batch:
            return []
        if "sys.sql_logins" in batch:
            [name, *_] = re.findall(r"l\.name = N'(\w+)'", batch)
            return (
                [[["login", f"0x{name.encode().hex()}", "master", "us_english", 1, 0]]]
                if name in self.passwords
                else []
            )
        if batch.startswith("SELECT name, CAST(HAS_DBACCESS"):
            return [[["master", 1], ["orders", 1]]]
        return []


class Catalogue:
    """Users and what was granted to them, by the words of the statement that asks."""

    def __init__(self) -> None:
        self.users: dict[str, tuple[RedshiftRow, str | None]] = {
            "app": ([False, False, "RESTRICTED", "UNLIMITED", 0], None)
        }
        self.granted: dict[tuple[str, str], list[RedshiftRow]] = {}

    def __call__(self, statement: str, parameters: Mapping[str, str]) -> RedshiftAnswer:
        username = parameters.get("$1", "")
        if "svv_user_info" in statement:
            return [self.users[username][0]] if username in self.users else []
        if "valuntil" in statement:
            return [[self.users[username][1]]]
        words = re.findall(r"FROM (\w+)", statement)
        return self.granted.get((username, words[0]), []) if words else []


class SqlserverStandIn:
    """A SQL Server with logins and nothing else, as tests of whole rotations want a database.

    Args:
        certificate: A folder with server.crt and server.key.
    """

    def __init__(self, certificate: Path) -> None:
        self.logins = Logins({"root": _SUPERUSER["password"]})
        self.server = TdsServer(self.logins, self.logins.admit, certificate=certificate)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self.server.__exit__(*details)

    def create_user(self, username: str, password: str) -> None:
        self.logins.passwords[username] = password

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        return {**self.superuser_value(), "username": username, "password": password}

    def superuser_value(self) -> dict[str, object]:
        return {"engine": "sqlserver", "port": self.server.port, **_SUPERUSER}

    def accepts(self, username: str, password: str) -> bool:
        return self.logins.passwords.get(username) == password


class RedshiftStandIn:
    """A Redshift with users and nothing else."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.server = RedshiftServer({"root": md5_verifier("root", _SUPERUSER["password"])}, self.catalogue)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self.server.__exit__(*details)

    def create_user(self, username: str, password: str) -> None:
        self.server.stored[username] = md5_verifier(username, password)
        self.catalogue.users[username] = self.catalogue.users["app"]

    def secret_value(self, username: str, password: str) -> dict[str, object]:
        return {**self.superuser_value(), "username": username, "password": password}

    def superuser_value(self) -> dict[str, object]:
        return {"engine": "redshift", "port": self.server.port, **_SUPERUSER}

    def accepts(self, username: str, password: str) -> bool:
        return self.server.stored.get(username) == md5_verifier(username, password)
