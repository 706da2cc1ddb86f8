"""Lambda layers, their versions, and which layers a function has."""

import sqlalchemy as sa
from alembic import op

revision = "state_0012"
down_revision = "state_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("functions", sa.Column("layers", sa.JSON(), nullable=True))
    op.add_column("function_versions", sa.Column("layers", sa.JSON(), nullable=True))
    op.create_table(
        "layers",
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=128), nullable=False),
        sa.Column(
            "name",
            sa.String(length=140).with_variant(sa.String(length=140, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("last_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("account_id", "region", "name", name="layers_name"),
    )
    op.create_table(
        "layer_versions",
        sa.Column("layer_arn", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("license_info", sa.Text(), nullable=True),
        sa.Column("architectures", sa.JSON(), nullable=True),
        sa.Column("runtimes", sa.JSON(), nullable=True),
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        sa.Column("code_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("unzipped_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("statements", sa.JSON(), nullable=False),
        sa.Column("revision_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["code_sha256"], ["packages.sha256"]),
        sa.ForeignKeyConstraint(["layer_arn"], ["layers.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("layer_arn", "version"),
    )
