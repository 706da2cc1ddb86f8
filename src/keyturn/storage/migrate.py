"""Bring a database to the schema of this version; refuse one from a newer version.

Migrations are numbered, go one way, and form two branches, ``state`` and ``journal`` (``storage/migrations``).
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from keyturn.errors.base import KeyturnError
from keyturn.storage.database import Database, Stores

_MIGRATIONS = Path(__file__).with_name("migrations")


def migrate(stores: Stores) -> None:
    """Migrate both databases.

    Raises:
        KeyturnError: A database was written by a newer Keyturn.
        StorageError: The database failed.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    _migrate(stores.state, "state", config, script)
    _migrate(stores.journal, "journal", config, script)


def _migrate(database: Database, branch: str, config: Config, script: ScriptDirectory) -> None:
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
    if found == script.get_revision(f"{branch}@head").revision:
        return
    with database.write() as transaction:
        # Servers that start together take turns; those that come later find nothing left to do.
        database.dialect.order_commits(transaction.connection)
        config.attributes["connection"] = transaction.connection
        config.attributes["version_table"] = version_table
        command.upgrade(config, f"{branch}@head")
