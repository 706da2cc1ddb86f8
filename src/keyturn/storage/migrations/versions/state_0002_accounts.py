"""Several accounts and regions: what belongs to one says so; what is there belongs to the settings' own."""

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

revision = "state_0002"
down_revision = "state_0001"
branch_labels = None
depends_on = None

# PostgreSQL's own names, for constraints that were made without one.
_NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key", "pk": "%(table_name)s_pkey"}
_NAMES |= {"fk": "%(table_name)s_%(column_0_name)s_fkey"}
_OWNER = ("account_id", "region")
_OWNED_BY_ACCOUNT = {"users": ("account_id",), "roles": ("account_id",), "access_keys": ("account_id",)}


def upgrade() -> None:
    settings: dict[str, str] = dict(op.get_bind().execute(sa.text("SELECT name, value FROM settings")).all())
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id"),
        sa.UniqueConstraint("email"),
    )
    if settings:
        op.execute(
            sa.text(
                "INSERT INTO accounts (account_id, name, email, created_at)"
                " SELECT :account_id, 'management', 'management@accounts.invalid', min(created_at) FROM users"
            ).bindparams(account_id=settings["account_id"])
        )
    for table, columns in {**_OWNED_BY_ACCOUNT, "secrets": _OWNER, "functions": _OWNER}.items():
        _add_owner(table, columns, settings)
    _renew_principals()
    _renew_functions()
    with op.batch_alter_table(
        "secrets", naming_convention=_NAMES, table_kwargs={"sqlite_autoincrement": True}
    ) as secrets:
        _require(secrets, _OWNER)
        secrets.alter_column("name", type_=_name_of(512), existing_type=sa.Text(), existing_nullable=False)
        secrets.drop_constraint("secrets_name_key", type_="unique")
        secrets.create_unique_constraint("secrets_name", [*_OWNER, "name"])


def _renew_principals() -> None:
    with op.batch_alter_table("access_keys", naming_convention=_NAMES) as access_keys:
        access_keys.drop_constraint("access_keys_user_name_fkey", type_="foreignkey")
    for table in ("users", "roles"):
        with op.batch_alter_table(table, naming_convention=_NAMES) as principals:
            _require(principals, ("account_id",))
            principals.drop_constraint(f"{table}_pkey", type_="primary")
            principals.create_primary_key(f"{table}_pkey", ["account_id", "name"])
    with op.batch_alter_table("access_keys", naming_convention=_NAMES) as access_keys:
        _require(access_keys, ("account_id",))
        access_keys.create_foreign_key(
            "access_keys_account_id_fkey",
            "users",
            ["account_id", "user_name"],
            ["account_id", "name"],
            ondelete="CASCADE",
        )


def _renew_functions() -> None:
    op.add_column("function_statements", sa.Column("function_arn", sa.Text(), nullable=True))
    op.execute(
        sa.text(
            "UPDATE function_statements SET function_arn ="
            " (SELECT arn FROM functions WHERE functions.name = function_statements.function_name)"
        )
    )
    key = ["qualifier", "statement_id"]
    with op.batch_alter_table("function_statements", naming_convention=_NAMES) as statements:
        statements.drop_constraint("function_statements_function_name_fkey", type_="foreignkey")
        statements.drop_constraint("function_statements_pkey", type_="primary")
        statements.alter_column("function_arn", existing_type=sa.Text(), nullable=False)
        statements.drop_column("function_name")
        statements.create_primary_key("function_statements_pkey", ["function_arn", *key])
    with op.batch_alter_table("functions", naming_convention=_NAMES) as functions:
        _require(functions, _OWNER)
        functions.drop_constraint("functions_pkey", type_="primary")
        functions.drop_constraint("functions_arn_key", type_="unique")
        functions.create_primary_key("functions_pkey", ["arn"])
        functions.create_unique_constraint("functions_name", [*_OWNER, "name"])
    with op.batch_alter_table("function_statements", naming_convention=_NAMES) as statements:
        statements.create_foreign_key(
            "function_statements_function_arn_fkey", "functions", ["function_arn"], ["arn"], ondelete="CASCADE"
        )


def _add_owner(table: str, columns: tuple[str, ...], settings: dict[str, str]) -> None:
    for column in columns:
        op.add_column(table, sa.Column(column, _OWNER_TYPES[column], nullable=True))
        if settings:
            op.execute(
                sa.text(f"UPDATE {table} SET {column} = :value").bindparams(value=settings[column])  # noqa: S608 - names above
            )


def _require(batch: BatchOperations, columns: tuple[str, ...]) -> None:
    for column in columns:
        batch.alter_column(column, existing_type=_OWNER_TYPES[column], nullable=False)


def _name_of(length: int) -> sa.String:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


_OWNER_TYPES = {"account_id": sa.String(length=12), "region": sa.String(length=128)}
