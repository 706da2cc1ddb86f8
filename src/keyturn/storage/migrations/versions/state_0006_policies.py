"""Groups, managed policies, permissions boundaries, and when roles and access keys were last used."""

import sqlalchemy as sa
from alembic import op

revision = "state_0006"
down_revision = "state_0005"
branch_labels = None
depends_on = None

# PostgreSQL's own names, for constraints that were made without one.
_NAMES = {"fk": "%(table_name)s_%(column_0_name)s_fkey"}


def upgrade() -> None:
    op.add_column("users", sa.Column("boundary_arn", sa.Text(), nullable=True))
    op.add_column("roles", sa.Column("boundary_arn", sa.Text(), nullable=True))
    op.add_column("roles", sa.Column("last_used_at", sa.BigInteger(), nullable=True))
    op.add_column("roles", sa.Column("last_used_region", sa.String(length=128), nullable=True))
    _make_groups()
    _make_policies()
    with op.batch_alter_table("access_keys", naming_convention=_NAMES) as access_keys:
        access_keys.add_column(sa.Column("last_used_at", sa.BigInteger(), nullable=True))
        access_keys.add_column(sa.Column("last_used_region", sa.String(length=128), nullable=True))
        access_keys.add_column(sa.Column("last_used_service", sa.String(length=64), nullable=True))
        # Keys follow their user to another name.
        access_keys.drop_constraint("access_keys_account_id_fkey", type_="foreignkey")
        access_keys.create_foreign_key(
            "access_keys_account_id_fkey",
            "users",
            ["account_id", "user_name"],
            ["account_id", "name"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        )


def _make_groups() -> None:
    op.create_table(
        "groups",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", _name_of(128), nullable=False),
        sa.Column("unique_id", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "name"),
        sa.UniqueConstraint("unique_id"),
        sa.UniqueConstraint("arn"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_arn", sa.Text(), nullable=False),
        sa.Column("user_arn", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["group_arn"], ["groups.arn"], ondelete="CASCADE", onupdate="CASCADE"),
        sa.ForeignKeyConstraint(["user_arn"], ["users.arn"], ondelete="CASCADE", onupdate="CASCADE"),
        sa.PrimaryKeyConstraint("group_arn", "user_arn"),
    )
    op.create_index("group_members_of_user", "group_members", ["user_arn"])


def _make_policies() -> None:
    op.create_table(
        "managed_policies",
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", _name_of(128), nullable=False),
        sa.Column("unique_id", sa.String(length=32), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("default_version", sa.Integer(), nullable=False),
        sa.Column("newest_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("unique_id"),
        sa.UniqueConstraint("account_id", "name", name="managed_policies_name"),
    )
    op.create_table(
        "policy_versions",
        sa.Column("policy_arn", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["policy_arn"], ["managed_policies.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("policy_arn", "version"),
    )
    op.create_table(
        "policy_attachments",
        sa.Column("owner_arn", sa.Text(), nullable=False),
        sa.Column("policy_arn", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("owner_arn", "policy_arn"),
    )
    op.create_index("policy_attachments_of_policy", "policy_attachments", ["account_id", "policy_arn"])


def _name_of(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
