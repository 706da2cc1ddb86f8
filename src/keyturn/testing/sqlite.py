"""SQLite databases of a test's own, without the time it takes to migrate them: that is done once in each process."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from keyturn.storage.database import Stores
from keyturn.storage.migrate import migrate


def new_database(directory: Path) -> str:
    """Make databases of the newest schema with nothing in them, and return their URL.

    Args:
        directory: Exists, and holds none yet.
    """
    for name, content in _migrated().items():
        (directory / name).write_bytes(content)
    return _url(directory)


@cache
def _migrated() -> dict[str, bytes]:
    """Content of the files by their names, as it is when nobody has them open."""
    with tempfile.TemporaryDirectory() as directory:
        stores = Stores.open(_url(Path(directory)))
        migrate(stores)
        stores.close()
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def _url(directory: Path) -> str:
    return f"sqlite:///{directory / 'keyturn.db'}"
