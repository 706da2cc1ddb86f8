"""Several accounts and regions: each has audit events and log groups of its own."""

import sqlalchemy as sa
from alembic import context, op

revision = "journal_0002"
down_revision = "journal_0001"
branch_labels = None
depends_on = None

_NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key"}
_OWNER = {"account_id": sa.String(length=12), "region": sa.String(length=128)}


def upgrade() -> None:
    first_owner: dict[str, str] = context.config.attributes["first_owner"]
    for table in ("audit_events", "log_groups"):
        for column, column_type in _OWNER.items():
            op.add_column(table, sa.Column(column, column_type, nullable=True))
            # A journal that is made anew has no rows, and its state may never have had a region.
            if column in first_owner:
                op.execute(
                    sa.text(f"UPDATE {table} SET {column} = :value").bindparams(value=first_owner[column])  # noqa: S608 - names above
                )
        with op.batch_alter_table(table, naming_convention=_NAMES) as batch:
            for column, column_type in _OWNER.items():
                batch.alter_column(column, existing_type=column_type, nullable=False)
            if table == "log_groups":
                batch.drop_constraint("log_groups_name_key", type_="unique")
                batch.create_unique_constraint("log_groups_name", [*_OWNER, "name"])
    op.create_index("audit_events_of_owner", "audit_events", ["account_id", "region", "event_row"], unique=False)
