"""Static-role rotations of OpenBao's database secrets engine: by call, and by its own queue.

OpenBao sets the password and does not log in with it. It makes the SCRAM verifier itself where it is told to, as
Keyturn does, so that the database does not have to, and never sees the password.

Source: OpenBao's documentation, "Database secrets engine (API)" and "PostgreSQL database plugin (API)".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle, islice
from pathlib import Path

from benchmarks.openbao_server import OpenBaoApi, openbao
from benchmarks.processes import ServerProcess
from benchmarks.rotating_databases import Databases, Rate, Role, accepts

from keyturn.errors.base import KeyturnError
from keyturn.testing.postgresql import SUPERUSER

_THREADS = 4
# The shortest that OpenBao takes; it looks every five seconds, too.
_SHORTEST_PERIOD_SECONDS = 5
_LONG_PERIOD_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class StaticRoles:
    """OpenBao with a static role for each role of some databases."""

    name: str
    process: ServerProcess
    api: OpenBaoApi
    over: Databases

    def by_call(self, clients: int, seconds: float) -> Rate:
        """Rotate one role after the other, on so many connections."""
        until = time.monotonic() + seconds

        def rotate(roles: Sequence[Role]) -> int:
            count = 0
            for role in cycle(roles):
                if time.monotonic() >= until:
                    break
                self.api.call("POST", f"database/rotate-role/{_name(role)}")
                count += 1
            return count

        database_before, own_before, started_at = self.over.cpu_seconds(), self.process.cpu_seconds(), time.monotonic()
        with ThreadPoolExecutor(clients) as threads:
            total = sum(threads.map(rotate, [self.over.roles[number::clients] for number in range(clients)]))
        elapsed = time.monotonic() - started_at
        return Rate(
            f"{self.name}, rotate-role, {clients} at once",
            total,
            elapsed,
            (self.over.cpu_seconds() - database_before) / total * 1000,
            (self.process.cpu_seconds() - own_before) / total * 1000,
        )

    def by_queue(self, seconds: float) -> Rate:
        """Make all roles due all the time, and see how fast the queue turns.

        Whatever else happens, the last rotations of all roles lie within one turn of the queue.
        """
        for role in self.over.roles:
            self._store(role, _SHORTEST_PERIOD_SECONDS)
        database_before, own_before, started_at = self.over.cpu_seconds(), self.process.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - started_at
        database_seconds = self.over.cpu_seconds() - database_before
        own_seconds = self.process.cpu_seconds() - own_before
        rotated_at = sorted(self._rotated_at(role) for role in self.over.roles)
        rate = (len(rotated_at) - 1) / (rotated_at[-1] - rotated_at[0])
        total = rate * elapsed
        return Rate(
            f"{self.name}, its queue",
            round(total),
            elapsed,
            database_seconds / total * 1000,
            own_seconds / total * 1000,
        )

    def check(self, count: int) -> None:
        """Log in as some of the roles.

        Raises:
            KeyturnError: A database refuses.
        """
        for role in islice(self.over.roles, count):
            answer = self.api.call("GET", f"database/static-creds/{_name(role)}")
            if not accepts(role, answer["data"]["password"]):
                raise KeyturnError(f"{self.name}: the database refuses {role.name}.")

    def _store(self, role: Role, period_seconds: int) -> None:
        database = self.over.servers.index(role.server)
        document = {"db_name": f"database{database}", "username": role.name, "rotation_period": period_seconds}
        self.api.call("POST", f"database/static-roles/{_name(role)}", document)

    def _rotated_at(self, role: Role) -> float:
        shown = self.api.call("GET", f"database/static-creds/{_name(role)}")["data"]["last_vault_rotation"]
        return datetime.fromisoformat(shown).timestamp()

    def store_all(self) -> Rate:
        """Create the static roles; each is rotated when it is."""
        database_before, own_before, started_at = self.over.cpu_seconds(), self.process.cpu_seconds(), time.monotonic()
        with ThreadPoolExecutor(_THREADS) as threads:
            for _ in threads.map(lambda role: self._store(role, _LONG_PERIOD_SECONDS), self.over.roles):
                pass
        total = len(self.over.roles)
        return Rate(
            f"{self.name}, creating static roles, {_THREADS} at once",
            total,
            time.monotonic() - started_at,
            (self.over.cpu_seconds() - database_before) / total * 1000,
            (self.process.cpu_seconds() - own_before) / total * 1000,
        )


@contextmanager
def static_roles(directory: Path, over: Databases) -> Iterator[StaticRoles]:
    """Run OpenBao with a connection to each database; no static role is stored yet."""
    with openbao(directory) as (name, process, api):
        api.call("POST", "sys/mounts/database", {"type": "database"})
        for number, server in enumerate(over.servers):
            address = f"127.0.0.1:{server.port}/postgres?sslmode=disable"
            api.call(
                "POST",
                f"database/config/database{number}",
                {
                    "plugin_name": "postgresql-database-plugin",
                    "allowed_roles": "*",
                    "connection_url": f"postgresql://{{{{username}}}}:{{{{password}}}}@{address}",
                    "username": SUPERUSER,
                    "password": server.superuser_password,
                    "password_authentication": "scram-sha-256",
                },
            )
        yield StaticRoles(name, process, api, over)


def _name(role: Role) -> str:
    return f"{role.name}-{role.server.port}"
