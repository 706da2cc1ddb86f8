"""Audit records form a chain, are append-only, are indexed behind their writers, and are handed on to sinks."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0003"
down_revision = "journal_0002"
branch_labels = None
depends_on = None

_ROW = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_RESOURCE_TYPE = {
    "sqlite": "json_extract(event, '$.resources[0].type')",
    "postgresql": "event::json #>> '{resources,0,type}'",
}
# Only what a checkpoint stands for may go. Whoever writes a false checkpoint is found out by its seal.
_KEPT = "OLD.sequence > coalesce((SELECT sequence FROM audit_marks WHERE name = 'checkpoint'), 0)"
_NO_CHANGE = "audit events are not changed"
_NO_DELETION = "audit events are deleted by retention only"


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.execute("ALTER TABLE audit_events RENAME COLUMN event_row TO sequence")
    if dialect == "postgresql":
        op.execute("ALTER TABLE audit_events ALTER COLUMN sequence DROP DEFAULT")
        op.execute("DROP SEQUENCE IF EXISTS audit_events_event_row_seq")
    op.add_column("audit_events", sa.Column("link", sa.LargeBinary(), nullable=True))
    op.add_column("audit_events", sa.Column("resource_type", sa.Text(), nullable=True))
    op.execute(f"UPDATE audit_events SET resource_type = {_RESOURCE_TYPE[dialect]}")  # noqa: S608 - texts above
    op.drop_index("audit_events_of_owner", "audit_events")
    op.create_index("audit_events_of_owner", "audit_events", ["account_id", "region", "event_time", "sequence"])
    _create_tables()
    for statement in _sqlite_triggers() if dialect == "sqlite" else _postgresql_triggers():
        op.execute(statement)


def _create_tables() -> None:
    op.create_table(
        "audit_blocks",
        sa.Column("block", _ROW, autoincrement=False, nullable=False),
        sa.Column("first_time", sa.BigInteger(), nullable=False),
        sa.Column("last_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("block"),
    )
    op.create_index("audit_blocks_newest", "audit_blocks", ["last_time", "block"])
    op.create_table(
        "audit_values",
        sa.Column("block", _ROW, autoincrement=False, nullable=False),
        sa.Column("attribute", sa.String(length=16), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=128), nullable=False),
        sa.Column("offsets", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("block", "attribute", "value", "account_id", "region"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_marks",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "audit_cursors",
        sa.Column("sink", sa.String(length=512), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=64), nullable=True),
        sa.Column("lease_expires_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("sink"),
    )


def _sqlite_triggers() -> list[str]:
    refuse = "CREATE TRIGGER audit_events_no_{what} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{why}'); END"
    return [
        refuse.format(what="change", when="UPDATE ON audit_events", why=_NO_CHANGE),
        refuse.format(what="deletion", when=f"DELETE ON audit_events WHEN {_KEPT}", why=_NO_DELETION),
    ]


def _postgresql_triggers() -> list[str]:
    function = "CREATE FUNCTION audit_events_no_{what}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
    trigger = "CREATE TRIGGER audit_events_no_{what} BEFORE {when} ON audit_events FOR EACH {each}"
    runs = " EXECUTE FUNCTION audit_events_no_{what}()"
    refuse_deletion = f"IF {_KEPT} THEN RAISE EXCEPTION '{_NO_DELETION}'; END IF; RETURN OLD;"
    return [
        function.format(what="change", body=f"RAISE EXCEPTION '{_NO_CHANGE}';"),
        function.format(what="deletion", body=refuse_deletion),
        trigger.format(what="change", when="UPDATE", each="ROW") + runs.format(what="change"),
        trigger.format(what="deletion", when="DELETE", each="ROW") + runs.format(what="deletion"),
        trigger.format(what="truncation", when="TRUNCATE", each="STATEMENT") + runs.format(what="change"),
    ]
