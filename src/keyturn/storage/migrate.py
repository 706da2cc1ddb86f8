"""Bring a database to the schema of this version; refuse one from a newer version.

Migrations are numbered, go one way, and form two branches, ``state`` and ``journal`` (``storage/migrations``). A file's
name begins with the name of its revision, so that a database is known to be current without loading any.
"""

from __future__ import annotations

import re
from pathlib import Path

from sqlalchemy import String, column, inspect, select, table

from keyturn.errors.base import KeyturnError
from keyturn.storage import settings as stored_settings
from keyturn.storage.database import Database, Stores

_MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(stores: Stores, *, state: str = "state@head", journal: str = "journal@head") -> None:
    """Migrate both databases.

    Args:
        stores: The databases.
        state: Up to which revision; tests stop at older ones.
        journal: Likewise.

    Raises:
        KeyturnError: A database was written by a newer Keyturn.
        StorageError: The database failed.
    """
    _migrate(stores.state, state)
    with stores.state.read() as connection:
        # What the journal keeps from before there were accounts belongs to this one.
        first_owner = stored_settings.load_settings(connection)
    _migrate(stores.journal, journal, first_owner=first_owner)


def check_is_current(stores: Stores) -> None:
    """Make sure that both databases have this version's schema, and change nothing.

    Raises:
        KeyturnError: One of them has another.
        StorageError: The database failed.
    """
    for database, branch in ((stores.state, "state"), (stores.journal, "journal")):
        if _found(database, branch) != revisions(branch)[-1]:
            raise KeyturnError(
                f"The {branch} database was written by an older version of Keyturn.",
                "Start the server with this version once: it brings the database up to date.",
            )


def revisions(branch: str) -> list[str]:
    """Return the revisions of a branch, oldest first."""
    return sorted(path.name[: len(branch) + 5] for path in (_MIGRATIONS / "versions").glob(f"{branch}_*.py"))


def _migrate(database: Database, target: str, **attributes: object) -> None:
    branch = re.split("[@_]", target)[0]
    if _found(database, branch) == (revisions(branch)[-1] if target.endswith("@head") else target):
        return
    # Nearly every start finds nothing to do, and would spend a tenth of its time on loading this.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config(attributes={**attributes, "version_table": f"{branch}_revision"})
    config.set_main_option("script_location", str(_MIGRATIONS))
    with database.migrate() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def _found(database: Database, branch: str) -> str | None:
    """Return the revision of a database, None for an empty one; refuse one from a newer version."""
    name = f"{branch}_revision"
    with database.read() as connection:
        stored = select(column("version_num", String)).select_from(table(name))
        found = connection.execute(stored).scalar() if inspect(connection).has_table(name) else None
    if found is not None and found not in revisions(branch):
        raise KeyturnError(
            f"The {branch} database was written by a newer version of Keyturn (schema {found}).",
            "Start it with that version or a newer one; going back is not possible.",
            "Or point --data-dir at another directory.",
        )
    return found
