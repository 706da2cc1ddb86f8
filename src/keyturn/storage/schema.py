"""Every table, once.

Two databases: *state* (secrets, functions, principals, rotations) and *journal* (audit events and function logs). On
SQLite they are two files, so that the journal's constant writing neither waits for the state's transactions nor makes
readers of the state look again; on PostgreSQL one database holds both.

What belongs to an account, or to an account's region, says so in columns of its own; it is found by ARN, or by name
within them. Moments are integers, milliseconds since the epoch, as precise as AWS shows them. What must stay secret is
sealed before it comes here: columns named ``sealed`` hold envelopes (``crypto/envelope.py``), columns named ``wrapped``
wrapped keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    and_,
    literal,
    or_,
)

from keyturn.arn import Place
from keyturn.clock import from_milliseconds, to_milliseconds
from keyturn.rules.preflight import Heartbeat, Verdict


class Moment(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as milliseconds since the epoch."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's protocol
        """Turn a moment into what the database keeps."""
        return None if value is None else to_milliseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - likewise
        """Turn what the database keeps into a moment."""
        return None if value is None else from_milliseconds(value)


# SQLite counts rows with INTEGER PRIMARY KEY only; PostgreSQL wants room for more than two thousand million of them.
RowId = BigInteger().with_variant(Integer, "sqlite")


def name_of(length: int) -> String:
    """A name that is listed: ordered by code point, as AWS and SQLite do, whatever PostgreSQL's locale says."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def owner() -> tuple[Column[str], Column[str]]:
    """Which account's region something belongs to."""
    return Column("account_id", String(12), nullable=False), Column("region", String(128), nullable=False)


def owner_of(place: Place) -> dict[str, str]:
    """Return the values of :func:`owner`'s columns, also as parameters of that name."""
    return {"account_id": place.account_id, "region": place.region}


state = MetaData()
journal = MetaData()

accounts = Table(
    "accounts",
    state,
    Column("account_id", String(12), primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, unique=True, nullable=False),
    Column("created_at", Moment, nullable=False),
)

settings = Table(
    "settings",
    state,
    Column("name", String(128), primary_key=True),
    Column("value", Text, nullable=False),
)

# One row per committed change that a kept row depends on; see storage/kept.py.
changes = Table(
    "changes",
    state,
    Column("generation", RowId, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("subject", Text, nullable=False),
    sqlite_autoincrement=True,
)

kms_keys = Table(
    "kms_keys",
    state,
    Column("key_id", String(64), primary_key=True),
    *owner(),
    Column("arn", Text, unique=True, nullable=False),
    # CUSTOMER, AWS for the default keys of services, KEYTURN for what seals Keyturn's own secrets.
    Column("manager", String(16), nullable=False),
    Column("description", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("tags", JSON(none_as_null=True)),
    Column("enabled", Boolean, nullable=False),
    Column("deletion_at", Moment),
    Column("created_at", Moment, nullable=False),
    # Of the newest material, which encrypts.
    Column("material_number", Integer, nullable=False),
    # None: the key is not rotated by itself.
    Column("rotation_period_days", Integer),
    Column("next_rotation_at", Moment),
)
Index("kms_keys_of_owner", kms_keys.c.account_id, kms_keys.c.region, kms_keys.c.key_id)
Index("kms_keys_deletion", kms_keys.c.deletion_at)
Index("kms_keys_rotation", kms_keys.c.next_rotation_at)

# What a key was made with has number 0; each rotation adds one, and none goes before the key does.
kms_materials = Table(
    "kms_materials",
    state,
    Column("key_id", String(64), ForeignKey("kms_keys.key_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("wrapped", LargeBinary, nullable=False),
    # Both None: the first.
    Column("rotated_at", Moment),
    Column("rotation_type", String(16)),
)

kms_aliases = Table(
    "kms_aliases",
    state,
    Column("arn", Text, primary_key=True),
    *owner(),
    Column("alias", name_of(256), nullable=False),
    Column("key_id", String(64), ForeignKey("kms_keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    UniqueConstraint("account_id", "region", "alias", name="kms_aliases_alias"),
)
Index("kms_aliases_of_key", kms_aliases.c.key_id)

kms_grants = Table(
    "kms_grants",
    state,
    Column("grant_id", String(64), primary_key=True),
    Column("key_id", String(64), ForeignKey("kms_keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("name", String(256)),
    Column("issuing_account_id", String(12), nullable=False),
    # A user or role is the one that it was when the grant was made: another one by the same name is somebody else.
    Column("grantee_principal", Text, nullable=False),
    Column("grantee_unique_id", String(32)),
    Column("retiring_principal", Text),
    Column("retiring_unique_id", String(32)),
    Column("operations", JSON, nullable=False),
    Column("constraints", JSON(none_as_null=True)),
    Column("created_at", Moment, nullable=False),
)
Index("kms_grants_of_key", kms_grants.c.key_id, kms_grants.c.grant_id)
Index("kms_grants_of_grantee", kms_grants.c.key_id, kms_grants.c.grantee_principal)
Index("kms_grants_named", kms_grants.c.key_id, kms_grants.c.name)
Index("kms_grants_retirable", kms_grants.c.retiring_principal, kms_grants.c.grant_id)

secrets = Table(
    "secrets",
    state,
    Column("secret_id", RowId, primary_key=True, autoincrement=True),
    *owner(),
    Column("arn", Text, unique=True, nullable=False),
    Column("name", name_of(512), nullable=False),
    Column("description", Text),
    Column("kms_key_id", Text),
    Column("type", Text),
    Column("created_at", Moment, nullable=False),
    Column("last_changed_at", Moment, nullable=False),
    Column("last_accessed_at", Moment),
    Column("last_rotated_at", Moment),
    Column("deleted_at", Moment),
    Column("deletion_at", Moment),
    Column("tags", JSON(none_as_null=True)),
    Column("resource_policy", Text),
    Column("rotation_enabled", Boolean),
    Column("rotation_function_arn", Text),
    Column("rotation_rules", JSON(none_as_null=True)),
    Column("next_rotation_at", Moment),
    Column("next_rotation_closes_at", Moment),
    Column("rotation_planned_at", Moment),
    # The rotation of which an attempt failed last, if none has succeeded since.
    Column("failed_rotation_id", RowId),
    # Of a replica; of a secret with replicas its own.
    Column("primary_arn", Text),
    UniqueConstraint("account_id", "region", "name", name="secrets_name"),
    sqlite_autoincrement=True,
)
Index("secrets_due", secrets.c.next_rotation_at)
Index("secrets_planned_at", secrets.c.rotation_planned_at)
Index("secrets_deletion", secrets.c.deletion_at)
# Which secret has gone without rotation for longest, and how many rotate at all.
_ROTATING = and_(secrets.c.rotation_enabled, secrets.c.deleted_at.is_(None))
Index(
    "secrets_rotating",
    secrets.c.last_rotated_at,
    secrets.c.created_at,
    sqlite_where=_ROTATING,
    postgresql_where=_ROTATING,
)
# Lists of an account's region, by each date they can be sorted by; by name they have the constraint's index.
_SECRETS_OWNER = (secrets.c.account_id, secrets.c.region)
Index("secrets_created", *_SECRETS_OWNER, secrets.c.created_at, secrets.c.secret_id)
Index("secrets_changed", *_SECRETS_OWNER, secrets.c.last_changed_at, secrets.c.secret_id)
Index("secrets_accessed", *_SECRETS_OWNER, secrets.c.last_accessed_at, secrets.c.secret_id)
Index("secrets_planned", *_SECRETS_OWNER, secrets.c.next_rotation_at, secrets.c.secret_id)
HAS_FAILED = secrets.c.failed_rotation_id.is_not(None)
Index("secrets_failed", secrets.c.secret_id, sqlite_where=HAS_FAILED, postgresql_where=HAS_FAILED)

# The dates that secrets had before they got others, for lists that are being read; see storage/secret_lists.py.
secret_moves = Table(
    "secret_moves",
    state,
    Column("move_id", RowId, primary_key=True, autoincrement=True),
    Column("secret_id", RowId, ForeignKey("secrets.secret_id", ondelete="CASCADE"), nullable=False),
    # Which date: a value of SortBy.
    Column("sort_by", String(32), nullable=False),
    Column("moved_from", Moment),
    Column("moved_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)
Index("secret_moves_of_secret", secret_moves.c.secret_id, secret_moves.c.sort_by, secret_moves.c.move_id)
Index("secret_moves_sorted", secret_moves.c.sort_by, secret_moves.c.moved_from, secret_moves.c.secret_id)

secret_versions = Table(
    "secret_versions",
    state,
    Column("secret_id", RowId, ForeignKey("secrets.secret_id", ondelete="CASCADE"), primary_key=True),
    Column("version_id", String(64), primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("last_accessed_at", Moment),
    # None: a version that RotateSecret labelled AWSPENDING and whose value createSecret has yet to put; without any
    # label, the token of a CreateSecret that brought no value.
    Column("sealed", LargeBinary),
    Column("is_binary", Boolean, nullable=False, default=False),
    # As the secret's was when the value was sealed; None for the default key.
    Column("kms_key_id", Text),
    # The same data key wrapped by the secret's previous KMS key, which still opens a version after the key was changed.
    Column("former_wrapped", LargeBinary),
    # Whether the rotation function stored the value for the rotation that made the version; None before this was noted.
    Column("from_rotation", Boolean),
)

staging_labels = Table(
    "staging_labels",
    state,
    Column("secret_id", RowId, ForeignKey("secrets.secret_id", ondelete="CASCADE"), primary_key=True),
    Column("label", String(256), primary_key=True),
    Column("version_id", String(64), nullable=False),
)

# By ARNs, because a replica that could not be made has no row of its own.
replications = Table(
    "replications",
    state,
    Column("replication_id", RowId, primary_key=True, autoincrement=True),
    Column("primary_arn", Text, nullable=False),
    Column("replica_arn", Text, unique=True, nullable=False),
    Column("kms_key_id", Text),
    Column("status", String(16), nullable=False),
    Column("message", Text),
    Column("role_arn", Text),
    # What the primary lists, and what the replica still is: between accounts either can end it for itself.
    Column("is_listed", Boolean, nullable=False),
    Column("is_followed", Boolean, nullable=False),
    sqlite_autoincrement=True,
)
Index("replications_of_primary", replications.c.primary_arn)

rotations = Table(
    "rotations",
    state,
    Column("rotation_id", RowId, primary_key=True, autoincrement=True),
    Column("secret_id", RowId, ForeignKey("secrets.secret_id", ondelete="CASCADE"), nullable=False),
    Column("version_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("step", String(16), nullable=False),
    Column("attempt", Integer, nullable=False, default=1),
    Column("requested_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("window_closes_at", Moment),
    Column("ended_at", Moment),
    Column("error", Text),
    Column("lease_owner", String(64)),
    Column("lease_expires_at", Moment),
    Column("lease_generation", Integer, nullable=False, default=0),
    Column("function_arn", Text),
    Column("database_lane", String(64)),
    Column("cause", String(64)),
    Column("offers_probe", Boolean),
    sqlite_autoincrement=True,
)
Index("rotations_due", rotations.c.status, rotations.c.due_at)
Index("rotations_of_secret", rotations.c.secret_id, rotations.c.rotation_id)

rotation_steps = Table(
    "rotation_steps",
    state,
    Column("rotation_id", RowId, ForeignKey("rotations.rotation_id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("step", String(16), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("outcome", String(16)),
    Column("error", Text),
    Column("cause", String(64)),
)

# What the last pre-flight of a secret that rotates has found, and when the next one is due.
preflights = Table(
    "preflights",
    state,
    Column("secret_id", RowId, ForeignKey("secrets.secret_id", ondelete="CASCADE"), primary_key=True),
    # None until it was looked at.
    Column("verdict", String(16)),
    Column("heartbeat", String(16)),
    # Which of Keyturn's engines the value is for; None if it is for none of them.
    Column("engine", String(32)),
    Column("causes", JSON(none_as_null=True)),
    Column("items", JSON(none_as_null=True)),
    Column("checked_at", Moment),
    # Since when verdict and heartbeat are these.
    Column("since", Moment),
    # Whether it was told that somebody has to do something.
    Column("is_told", Boolean, nullable=False),
    # None if nothing is due by itself: rotation is off.
    Column("due_at", Moment),
    # Until when some server looks, or nobody is to.
    Column("held_until", Moment),
)
Index("preflights_due", preflights.c.due_at)
# Found that rotation would fail, or that the database does not have what the secret says. The words stand in the
# statement itself, as in the index: by parameters neither database would see that they are the same.
IS_TROUBLED = or_(
    preflights.c.verdict == literal(Verdict.WILL_FAIL.value, literal_execute=True),
    preflights.c.heartbeat == literal(Heartbeat.DRIFT.value, literal_execute=True),
)
Index("preflights_troubled", preflights.c.secret_id, sqlite_where=IS_TROUBLED, postgresql_where=IS_TROUBLED)

users = Table(
    "users",
    state,
    Column("account_id", String(12), primary_key=True),
    Column("name", name_of(64), primary_key=True),
    Column("unique_id", String(32), unique=True, nullable=False),
    Column("path", String(512), nullable=False),
    Column("arn", Text, unique=True, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("tags", JSON(none_as_null=True)),
    Column("boundary_arn", Text),
)

roles = Table(
    "roles",
    state,
    Column("account_id", String(12), primary_key=True),
    Column("name", name_of(64), primary_key=True),
    Column("unique_id", String(32), unique=True, nullable=False),
    Column("path", String(512), nullable=False),
    Column("arn", Text, unique=True, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("trust_policy", Text, nullable=False),
    Column("description", Text),
    Column("max_session_seconds", Integer, nullable=False),
    Column("tags", JSON(none_as_null=True)),
    Column("boundary_arn", Text),
    Column("last_used_at", Moment),
    Column("last_used_region", String(128)),
)

groups = Table(
    "groups",
    state,
    Column("account_id", String(12), primary_key=True),
    Column("name", name_of(128), primary_key=True),
    Column("unique_id", String(32), unique=True, nullable=False),
    Column("path", String(512), nullable=False),
    Column("arn", Text, unique=True, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# By ARN, which follows its user or group to another name or path.
group_members = Table(
    "group_members",
    state,
    Column("group_arn", Text, ForeignKey("groups.arn", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
    Column("user_arn", Text, ForeignKey("users.arn", ondelete="CASCADE", onupdate="CASCADE"), primary_key=True),
)
Index("group_members_of_user", group_members.c.user_arn)

# Inline policies of users, groups and roles, by the owner's ARN.
inline_policies = Table(
    "inline_policies",
    state,
    Column("owner_arn", Text, primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("document", Text, nullable=False),
)

# Customer managed policies. Those of AWS are files (rules/policy/aws_managed).
managed_policies = Table(
    "managed_policies",
    state,
    Column("arn", Text, primary_key=True),
    Column("account_id", String(12), nullable=False),
    Column("name", name_of(128), nullable=False),
    Column("unique_id", String(32), unique=True, nullable=False),
    Column("path", String(512), nullable=False),
    Column("description", Text),
    Column("tags", JSON(none_as_null=True)),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("default_version", Integer, nullable=False),
    # The number of the newest there ever was: none is given twice.
    Column("newest_version", Integer, nullable=False),
    UniqueConstraint("account_id", "name", name="managed_policies_name"),
)

policy_versions = Table(
    "policy_versions",
    state,
    Column("policy_arn", Text, ForeignKey("managed_policies.arn", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

# Managed policies of users, groups and roles, by the owner's ARN; AWS's own policies among them.
policy_attachments = Table(
    "policy_attachments",
    state,
    Column("owner_arn", Text, primary_key=True),
    Column("policy_arn", Text, primary_key=True),
    # Of the owner: each account counts for itself how often it uses one of AWS's policies.
    Column("account_id", String(12), nullable=False),
)
Index("policy_attachments_of_policy", policy_attachments.c.account_id, policy_attachments.c.policy_arn)

access_keys = Table(
    "access_keys",
    state,
    Column("access_key_id", String(128), primary_key=True),
    Column("account_id", String(12), nullable=False),
    Column("user_name", String(64), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("last_used_at", Moment),
    Column("last_used_region", String(128)),
    Column("last_used_service", String(64)),
    ForeignKeyConstraint(
        ["account_id", "user_name"], ["users.account_id", "users.name"], ondelete="CASCADE", onupdate="CASCADE"
    ),
)

packages = Table(
    "packages",
    state,
    Column("sha256", String(64), primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


def function_configuration() -> tuple[Column[Any], ...]:
    """Columns of what a function is at one time: as it can be changed, and as a version keeps it."""
    return (
        Column("runtime", String(64), nullable=False),
        Column("handler", String(128), nullable=False),
        Column("role_arn", Text, nullable=False),
        Column("description", Text, nullable=False),
        Column("timeout_seconds", Integer, nullable=False),
        Column("memory_mb", Integer, nullable=False),
        Column("ephemeral_storage_mb", Integer, nullable=False),
        # The environment variables as JSON, sealed; None without any.
        Column("sealed", LargeBinary),
        Column("code_sha256", String(64), ForeignKey("packages.sha256"), nullable=False),
        Column("code_size_bytes", BigInteger, nullable=False),
        Column("revision_id", String(36), nullable=False),
        Column("last_modified_at", Moment, nullable=False),
        # Layers in order, each with all that is needed to run it (storage/layers.py); None without any.
        Column("layers", JSON(none_as_null=True)),
        # How it logs, as LoggingConfig shows it; None for plain text in the group that is named after it.
        Column("logging", JSON(none_as_null=True)),
        # The VPC that it is attached to, as VpcConfigResponse shows it; None if it is in none.
        Column("vpc_config", JSON(none_as_null=True)),
    )


functions = Table(
    "functions",
    state,
    Column("arn", Text, primary_key=True),
    *owner(),
    Column("name", name_of(64), nullable=False),
    *function_configuration(),
    Column("tags", JSON(none_as_null=True)),
    # The highest version number that was ever given; None before the first.
    Column("last_version", Integer),
    # The version that is still what the function is; None if the function was changed since, or never published.
    Column("published_version", Integer),
    # How many invocations may run at once, of all versions together; None if nothing is reserved.
    Column("reserved_concurrency", Integer),
    UniqueConstraint("account_id", "region", "name", name="functions_name"),
)

function_versions = Table(
    "function_versions",
    state,
    Column("function_arn", Text, ForeignKey("functions.arn", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    *function_configuration(),
)

function_aliases = Table(
    "function_aliases",
    state,
    Column("function_arn", Text, ForeignKey("functions.arn", ondelete="CASCADE"), primary_key=True),
    Column("name", name_of(128), primary_key=True),
    # None is $LATEST.
    Column("version", Integer),
    Column("description", Text, nullable=False),
    Column("revision_id", String(36), nullable=False),
)

function_statements = Table(
    "function_statements",
    state,
    Column("function_arn", Text, ForeignKey("functions.arn", ondelete="CASCADE"), primary_key=True),
    Column("qualifier", String(128), primary_key=True),
    Column("statement_id", String(100), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("statement", Text, nullable=False),
)

layers = Table(
    "layers",
    state,
    Column("arn", Text, primary_key=True),
    *owner(),
    Column("name", name_of(140), nullable=False),
    # The highest version number that was ever given: none is given twice, even after all versions were deleted.
    Column("last_version", Integer, nullable=False),
    UniqueConstraint("account_id", "region", "name", name="layers_name"),
)

layer_versions = Table(
    "layer_versions",
    state,
    Column("layer_arn", Text, ForeignKey("layers.arn", ondelete="CASCADE"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("description", Text, nullable=False),
    Column("license_info", Text),
    # What is said to run it; None if that was not said.
    Column("architectures", JSON(none_as_null=True)),
    Column("runtimes", JSON(none_as_null=True)),
    Column("code_sha256", String(64), ForeignKey("packages.sha256"), nullable=False),
    Column("code_size_bytes", BigInteger, nullable=False),
    Column("unzipped_size_bytes", BigInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    # Statements of its resource-based policy as pairs of id and JSON text, in the order in which they were added.
    Column("statements", JSON, nullable=False),
    Column("revision_id", String(36), nullable=False),
)

# What EC2 keeps of networks: VPCs, subnets, route tables and so on, each as EC2 describes it; see network_objects.py.
network_objects = Table(
    "network_objects",
    state,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(128), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("object_id", String(64), primary_key=True),
    # None: of no VPC, or of none at the moment.
    Column("vpc_id", String(64)),
    Column("body", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
)
Index("network_objects_of_vpc", *(network_objects.c[name] for name in ("account_id", "region", "vpc_id")))

# Nothing changes a row, and only retention deletes one: triggers see to that (storage/migrations).
audit_events = Table(
    "audit_events",
    journal,
    # Without gaps, in the order of commits.
    Column("sequence", RowId, primary_key=True, autoincrement=False),
    # None: from before there was a chain (rules/audit_chain.py).
    Column("link", LargeBinary),
    *owner(),
    Column("event_id", String(36), nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("event_source", Text, nullable=False),
    Column("event_name", Text, nullable=False),
    Column("username", Text),
    Column("access_key_id", Text),
    Column("read_only", Boolean, nullable=False),
    Column("resource_name", Text),
    Column("resource_type", Text),
    Column("error_code", Text),
    Column("request_id", Text, nullable=False),
    Column("event", Text, nullable=False),
)
Index(
    "audit_events_of_owner",
    audit_events.c.account_id,
    audit_events.c.region,
    audit_events.c.event_time,
    audit_events.c.sequence,
)

# Whole blocks of records and which of them have a value: made behind the writers, see storage/audit_index.py.
audit_blocks = Table(
    "audit_blocks",
    journal,
    Column("block", RowId, primary_key=True, autoincrement=False),
    Column("first_time", BigInteger, nullable=False),
    Column("last_time", BigInteger, nullable=False),
)
Index("audit_blocks_newest", audit_blocks.c.last_time, audit_blocks.c.block)

audit_values = Table(
    "audit_values",
    journal,
    Column("block", RowId, primary_key=True, autoincrement=False),
    Column("attribute", String(16), primary_key=True),
    Column("value", Text, primary_key=True),
    Column("account_id", String(12), primary_key=True),
    Column("region", String(128), primary_key=True),
    # How far behind the block's first each of them is, as decimal numbers with commas between them.
    Column("offsets", Text, nullable=False),
    sqlite_with_rowid=False,
)

# Sealed statements about the trail; see storage/audit_marks.py.
audit_marks = Table(
    "audit_marks",
    journal,
    Column("name", String(32), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("link", LargeBinary),
    Column("at", Moment, nullable=False),
    Column("seal", LargeBinary, nullable=False),
)

# How far each sink has come, and which server feeds it.
audit_cursors = Table(
    "audit_cursors",
    journal,
    Column("sink", String(512), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("lease_owner", String(64)),
    Column("lease_expires_at", Moment),
)

# Console sessions that were ended before their time; a session itself is a sealed cookie.
console_sign_outs = Table(
    "console_sign_outs",
    state,
    Column("session_id", String(64), primary_key=True),
    # When the session would have ended by itself.
    Column("expires_at", Moment, nullable=False),
)
Index("console_sign_outs_expired", console_sign_outs.c.expires_at)

# What notifiers have still to be told: one row for each message and notifier, until it was taken or is given up.
notifications = Table(
    "notifications",
    journal,
    Column("notification_id", RowId, primary_key=True, autoincrement=True),
    Column("notifier", String(64), nullable=False),
    # The message as JSON; it is the same at each try.
    Column("document", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    # How often it was offered. Whoever offers it has put due_at off until that must have ended.
    Column("tries", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    sqlite_autoincrement=True,
)
Index("notifications_due", notifications.c.notifier, notifications.c.due_at)

# Everything of the logs counts in milliseconds on the wire and is never anything else on the way there.
log_groups = Table(
    "log_groups",
    journal,
    Column("group_id", RowId, primary_key=True, autoincrement=True),
    *owner(),
    Column("name", name_of(512), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("retention_days", Integer),
    UniqueConstraint("account_id", "region", "name", name="log_groups_name"),
)

log_streams = Table(
    "log_streams",
    journal,
    Column("stream_id", RowId, primary_key=True, autoincrement=True),
    Column("group_id", RowId, ForeignKey("log_groups.group_id", ondelete="CASCADE"), nullable=False),
    Column("name", name_of(512), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("first_event_ms", BigInteger),
    Column("last_event_ms", BigInteger),
    Column("last_ingestion_ms", BigInteger),
    UniqueConstraint("group_id", "name", name="log_streams_name"),
)

log_events = Table(
    "log_events",
    journal,
    # Rises with every stored event and never returns: the stable eventId by which `aws logs tail` drops repeats.
    Column("event_row", RowId, primary_key=True, autoincrement=True),
    Column("stream_id", RowId, ForeignKey("log_streams.stream_id", ondelete="CASCADE"), nullable=False),
    Column("group_id", RowId, nullable=False),
    Column("timestamp_ms", BigInteger, nullable=False),
    Column("ingested_ms", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("log_events_of_group", log_events.c.group_id, log_events.c.timestamp_ms, log_events.c.event_row)
Index("log_events_of_stream", log_events.c.stream_id, log_events.c.timestamp_ms, log_events.c.event_row)

# What was counted of functions: of each minute one row for each server and process that has counted something.
function_metrics = Table(
    "function_metrics",
    journal,
    Column("account_id", String(12), primary_key=True),
    Column("region", String(128), primary_key=True),
    # Both empty for all functions, resource empty for all versions and aliases.
    Column("function_name", String(64), primary_key=True),
    Column("resource", String(256), primary_key=True),
    Column("minute_at", Moment, primary_key=True),
    Column("part", String(36), primary_key=True),
    Column("invocations", Integer, nullable=False),
    Column("errors", Integer, nullable=False),
    Column("throttles", Integer, nullable=False),
    Column("total_ms", Double, nullable=False),
    Column("shortest_ms", Double),
    Column("longest_ms", Double, nullable=False),
    # JSON: pairs of a value and how often it was met.
    Column("durations", Text, nullable=False),
    Column("concurrency", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("function_metrics_minute", function_metrics.c.minute_at)
