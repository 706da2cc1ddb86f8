"""Bring a database to the schema of this version; refuse one from a newer version.

Migrations are numbered, go one way, and form two branches, ``state`` and ``journal`` (``storage/migrations``).
"""

from __future__ import annotations

import re
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

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
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    _migrate(stores.state, state, config, script)
    with stores.state.read() as connection:
        # What the journal keeps from before there were accounts belongs to this one.
        config.attributes["first_owner"] = stored_settings.load_settings(connection)
    _migrate(stores.journal, journal, config, script)


def check_is_current(stores: Stores) -> None:
    """Make sure that both databases have this version's schema, and change nothing.

    Raises:
        KeyturnError: One of them has another.
        StorageError: The database failed.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    for database, branch in ((stores.state, "state"), (stores.journal, "journal")):
        if _found(database, branch, script) != script.get_revision(f"{branch}@head").revision:
            raise KeyturnError(
                f"The {branch} database was written by an older version of Keyturn.",
                "Start the server with this version once: it brings the database up to date.",
            )


def _migrate(database: Database, target: str, config: Config, script: ScriptDirectory) -> None:
    branch = re.split("[@_]", target)[0]
    if _found(database, branch, script) == script.get_revision(target).revision:
        return
    with database.migrate() as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = f"{branch}_revision"
        command.upgrade(config, target)


def _found(database: Database, branch: str, script: ScriptDirectory) -> str | None:
    """Return the revision of a database, None for an empty one; refuse one from a newer version."""
    known = {revision.revision for revision in script.walk_revisions()}
    with database.read() as connection:
        options = {"version_table": f"{branch}_revision"}
        found = MigrationContext.configure(connection, opts=options).get_current_revision()
    if found is not None and found not in known:
        raise KeyturnError(
            f"The {branch} database was written by a newer version of Keyturn (schema {found}).",
            "Start it with that version or a newer one; going back is not possible.",
            "Or point --data-dir at another directory.",
        )
    return found
