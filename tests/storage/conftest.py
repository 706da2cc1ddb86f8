"""Every test of this folder runs on SQLite and on a real PostgreSQL, on a database of its own with the full schema."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keyturn.arn import Place
from keyturn.storage.database import Stores
from keyturn.storage.migrate import migrate
from keyturn.testing.postgresql import PostgresqlServer
from keyturn.testing.sqlite import new_database

from .desk import Desk
from .files import state_files

PLACE = Place("aws", "us-east-1", "000000000000")
NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)

_numbers = itertools.count(1)

OpenStores = Callable[[], Stores]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_template(postgresql: PostgresqlServer) -> str:
    postgresql.run("CREATE DATABASE migrated")
    stores = Stores.open(_url(postgresql, "migrated"))
    migrate(stores)
    stores.close()
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database that is migrated already."""
    if request.param == "sqlite":
        yield new_database(tmp_path)
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    template = request.getfixturevalue("postgresql_template")
    name = f"test_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield _url(server, name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a single table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/keyturn.db"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql")
    name = f"empty_{next(_numbers)}"
    server.run(f"CREATE DATABASE {name}")
    yield _url(server, name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def open_stores(database_url: str) -> Iterator[OpenStores]:
    """Opens the test's database once more, as another server would."""
    with ExitStack() as stack:

        def open_again() -> Stores:
            stores = Stores.open(database_url)
            stack.callback(stores.close)
            return stores

        yield open_again


@pytest.fixture
def stores(open_stores: OpenStores) -> Stores:
    return open_stores()


@pytest.fixture
def server(database_url: str, request: pytest.FixtureRequest) -> PostgresqlServer | None:
    """The PostgreSQL server, if the test runs on it."""
    if database_url.startswith("sqlite"):
        return None
    found: PostgresqlServer = request.getfixturevalue("postgresql")
    return found


@pytest.fixture
def desk(stores: Stores) -> Desk:
    return Desk(stores)


@pytest.fixture
def files(desk: Desk, server: PostgresqlServer | None) -> Callable[[], bytes]:
    return lambda: state_files(Stores(desk.kit.state, desk.kit.journal), server)


def _url(server: PostgresqlServer, name: str) -> str:
    return server.url(name, driver="postgresql")
