"""KMS keys with owner, policy and state; aliases in a table of their own; the data key of a version under two keys."""

import json

import sqlalchemy as sa
from alembic import op

revision = "state_0003"
down_revision = "state_0002"
branch_labels = None
depends_on = None

_DEFAULT_ALIAS = "alias/aws/secretsmanager"


def upgrade() -> None:
    op.add_column("secret_versions", sa.Column("former_wrapped", sa.LargeBinary(), nullable=True))
    # SQLite cannot take away a column that is unique, so the table is made anew.
    op.rename_table("kms_keys", "kms_keys_0001")
    op.create_table(
        "kms_keys",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=128), nullable=False),
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column("manager", sa.String(length=16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("deletion_at", sa.BigInteger(), nullable=True),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id"),
        sa.UniqueConstraint("arn"),
    )
    op.create_index("kms_keys_of_owner", "kms_keys", ["account_id", "region", "key_id"], unique=False)
    op.create_index("kms_keys_deletion", "kms_keys", ["deletion_at"], unique=False)
    op.create_table(
        "kms_aliases",
        sa.Column("arn", sa.Text(), nullable=False),
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=128), nullable=False),
        sa.Column(
            "alias",
            sa.String(length=256).with_variant(sa.String(length=256, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["kms_keys.key_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("arn"),
        sa.UniqueConstraint("account_id", "region", "alias", name="kms_aliases_alias"),
    )
    op.create_index("kms_aliases_of_key", "kms_aliases", ["key_id"], unique=False)
    _move_keys(op.get_bind())
    op.drop_table("kms_keys_0001")


def _move_keys(connection: sa.Connection) -> None:
    """Give the two keys there were so far to the first account, in the region that the server was for."""
    rows = connection.execute(sa.text("SELECT key_id, alias, wrapped, created_at FROM kms_keys_0001")).all()
    if not rows:
        return
    settings = {row.name: row.value for row in connection.execute(sa.text("SELECT name, value FROM settings"))}
    partition, account_id = settings["partition"], settings["account_id"]
    of_secrets = connection.execute(sa.text("SELECT min(region) FROM secrets")).scalar()
    region = settings.get("region") or of_secrets or _REGION
    owner = {"account_id": account_id, "region": region}
    for row in rows:
        is_default = row.alias == _DEFAULT_ALIAS
        key = {
            **owner,
            "key_id": row.key_id,
            "arn": f"arn:{partition}:kms:{region}:{account_id}:key/{row.key_id}",
            "manager": "AWS" if is_default else "KEYTURN",
            "description": _DESCRIPTION if is_default else "",
            "policy": _policy(partition, region, account_id) if is_default else "",
            "enabled": True,
            "wrapped": bytes(row.wrapped),
            "created_at": row.created_at,
        }
        connection.execute(sa.insert(_KEYS), key)
        if is_default:
            alias = {
                **owner,
                "arn": f"arn:{partition}:kms:{region}:{account_id}:{row.alias}",
                "alias": row.alias,
                "key_id": row.key_id,
                "created_at": row.created_at,
                "updated_at": row.created_at,
            }
            connection.execute(sa.insert(_ALIASES), alias)


_DESCRIPTION = "Default key that protects my Secrets Manager data when no other key is defined"


def _policy(partition: str, region: str, account_id: str) -> str:
    """What rules/kms_keys.py gave to default keys when this migration was written."""
    sid = (
        "Allow access through AWS Secrets Manager for all principals in the account that are authorized to use AWS"
        " Secrets Manager"
    )
    here, anywhere = (f"secretsmanager.{where}.amazonaws.com" for where in (region, "*"))
    everybody = {"Sid": sid, "Effect": "Allow", "Principal": {"AWS": "*"}}
    statements = [
        {
            **everybody,
            "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:CreateGrant", "kms:DescribeKey"],
            "Resource": "*",
            "Condition": {"StringEquals": {"kms:CallerAccount": account_id, "kms:ViaService": here}},
        },
        {
            **everybody,
            "Action": "kms:GenerateDataKey*",
            "Resource": "*",
            "Condition": {
                "StringEquals": {"kms:CallerAccount": account_id},
                "StringLike": {"kms:ViaService": anywhere},
            },
        },
        {
            "Sid": "Allow direct access to key metadata to the account",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:{partition}:iam::{account_id}:root"},
            "Action": ["kms:Describe*", "kms:Get*", "kms:List*", "kms:RevokeGrant"],
            "Resource": "*",
        },
    ]
    return json.dumps({"Version": "2012-10-17", "Id": "auto-secretsmanager-2", "Statement": statements})


_REGION = "us-east-1"
_KEYS = sa.table(
    "kms_keys",
    *(sa.column(name) for name in ("key_id", "account_id", "region", "arn", "manager", "description", "policy")),
    sa.column("enabled", sa.Boolean()),
    sa.column("wrapped", sa.LargeBinary()),
    sa.column("created_at"),
)
_ALIASES = sa.table(
    "kms_aliases",
    *(sa.column(name) for name in ("arn", "account_id", "region", "alias", "key_id", "created_at", "updated_at")),
)
