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


def _migrate(database: Database, target: str, config: Config, script: ScriptDirectory) -> None:
    branch = re.split("[@_]", target)[0]
    version_table = f"{branch}_revision"
    known = {revision.revision for revision in script.walk_revisions()}
    with database.read() as connection:
        found = MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_revision()
    if found is not None and found not in known:
        raise KeyturnError(
            f"The {branch} database was written by a newer version of Keyturn (schema {found}).",
            "Start it with that version or a newer one; going back is not possible.",
            "Or point --data-dir at another directory.",
        )
    if found == script.get_revision(target).revision:
        return
    with database.migrate() as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = version_table
        command.upgrade(config, target)
