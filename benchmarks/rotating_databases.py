"""The databases whose passwords are rotated, and the least that a rotation costs there: ALTER ROLE and one login."""

from __future__ import annotations

import multiprocessing
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pg8000.native
from benchmarks.processes import tree_cpu_seconds

from keyturn.rotators.engines.postgresql import scram_verifier
from keyturn.rotators.engines.postgresql_family.connection import quoted_identifier
from keyturn.testing.postgresql import SUPERUSER, PostgresqlServer
from keyturn.testing.private_server import HOST

# As in production: what was changed is on the disk.
_SETTINGS = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "64MB", "max_connections": "100"}
_SCRAM_ITERATIONS = 4096
_ROLES_AT_ONCE = 250
_CREATE_ROLES = """
DO $$ BEGIN
  FOR number IN {first}..{last} LOOP
    EXECUTE format('CREATE ROLE app%s LOGIN PASSWORD %L', number, '{verifier}');
  END LOOP;
END $$
"""


@dataclass(frozen=True, slots=True)
class Role:
    """A role of one of the servers."""

    name: str
    server: PostgresqlServer


@dataclass(frozen=True, slots=True)
class Databases:
    """Some PostgreSQL servers with as many roles each, all of which have the same password to begin with."""

    servers: Sequence[PostgresqlServer]
    roles: Sequence[Role]
    password: str

    def cpu_seconds(self) -> float:
        """Return the processor time of all servers so far."""
        return sum(tree_cpu_seconds(_pid(server)) for server in self.servers)


@contextmanager
def databases(servers: int, roles: int) -> Iterator[Databases]:
    """Start servers and create roles; neighbours in the list of roles are on different servers.

    Args:
        servers: How many.
        roles: How many, on all of them together.
    """
    password = secrets.token_urlsafe(24)
    verifier = scram_verifier(password, _SCRAM_ITERATIONS)
    with ExitStack() as stack:
        started = [stack.enter_context(PostgresqlServer.start(settings=_SETTINGS)) for _ in range(servers)]
        each = -(-roles // servers)
        for server in started:
            # A transaction takes the longer for each role the more it has created.
            for first in range(0, each, _ROLES_AT_ONCE):
                last = min(first + _ROLES_AT_ONCE, each) - 1
                server.run(_CREATE_ROLES.format(first=first, last=last, verifier=verifier))
        listed = [Role(f"app{number}", server) for number in range(each) for server in started]
        yield Databases(started, listed[:roles], password)


def accepts(role: Role, password: str) -> bool:
    """Tell whether a role can log in with a password."""
    return role.server.accepts(role.name, password)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast something went.

    Attributes:
        name: What.
        rotations: How many.
        seconds: In this time.
        database_ms: Processor time of the databases for one, in milliseconds.
        client_ms: Likewise of whatever rotates.
    """

    name: str
    rotations: int
    seconds: float
    database_ms: float
    client_ms: float

    @property
    def per_second(self) -> float:
        """Rotations a second."""
        return self.rotations / self.seconds


def measure_floor(over: Databases, connections: int, seconds: float) -> Rate:
    """Change passwords by verifiers made here, and log in once with each: on so many connections, a process for each.

    Leaves the roles with passwords that nobody knows.
    """
    shares = [over.roles[number::connections] for number in range(connections)]
    database_before, started_at = over.cpu_seconds(), time.monotonic()
    with multiprocessing.get_context("spawn").Pool(connections) as pool:
        done = pool.starmap(_change_and_log_in, [(share, seconds) for share in shares])
    elapsed = max(seconds_taken for _, seconds_taken, _ in done)
    total = sum(count for count, _, _ in done)
    assert time.monotonic() - started_at >= seconds
    return Rate(
        f"ALTER ROLE and one login, {connections} at once",
        total,
        elapsed,
        (over.cpu_seconds() - database_before) / total * 1000,
        sum(cpu for _, _, cpu in done) / total * 1000,
    )


def _change_and_log_in(roles: Sequence[Role], seconds: float) -> tuple[int, float, float]:
    """Return how many, in which time, with how much processor time of this process."""
    superusers = {
        role.server.port: _connected(SUPERUSER, role.server.port, role.server.superuser_password) for role in roles
    }
    cpu_before, started_at, count = time.process_time(), time.monotonic(), 0
    for role in cycle(roles):
        if time.monotonic() - started_at >= seconds:
            break
        password = secrets.token_urlsafe(24)
        verifier = scram_verifier(password, _SCRAM_ITERATIONS)
        superusers[role.server.port].run(f"ALTER ROLE {quoted_identifier(role.name)} PASSWORD '{verifier}'")
        _connected(role.name, role.server.port, password).close()
        count += 1
    taken = time.monotonic() - started_at
    for connection in superusers.values():
        connection.close()
    return count, taken, time.process_time() - cpu_before


def _connected(username: str, port: int, password: str) -> Any:
    # Otherwise the driver prepares for TLS each time, which takes ten times as long as the login.
    return pg8000.native.Connection(
        username, host=HOST, port=port, password=password, database="postgres", ssl_context=False
    )


def _pid(server: PostgresqlServer) -> int:
    return int((server.directory / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
