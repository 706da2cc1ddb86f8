"""PostgreSQL, and Aurora PostgreSQL.

The driver is pg8000: pure Python, so one deployment package runs on every architecture. What PostgreSQL shares with
Redshift is in ``postgresql_family/``.

**TLS.** ``ssl`` true in the secret: the certificate must hold and carry the host's name (libpq's verify-full), there is
no way back to plaintext. ``ssl`` false: plaintext. Without ``ssl``: TLS if the server has it, with whatever
certificate; plaintext only if the server itself says that it has none, and the log says so. In none of these does a
password travel readable outside a verified TLS connection: SCRAM and MD5 never show it, and a server that asks for it
in clear is refused.

**Passwords.** ``ALTER ROLE`` carries what the server would have computed and stored, never the password, so that no
log, no ``pg_stat_activity`` and no replication stream of the server sees it. It is a SCRAM-SHA-256 verifier if this
login itself used SCRAM or the server's ``password_encryption`` says so. Otherwise it is the MD5 form, because the
administrator of such a server keeps it for clients that cannot do SCRAM. Sending the password is never necessary.

**Clones.** The second of two alternating users is made a member of the first, as AWS's function does it: it has the
first one's grants, memberships and everything the first one owns, now and in future. Attributes of a role are not
inherited, so they are copied. What the clone creates belongs to the clone.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterator, Mapping

from . import base
from .postgresql_family import driver
from .postgresql_family.connection import FamilyConnection, md5_verifier, quoted_identifier

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10

_SCRAM_LEAST_ITERATIONS = 4096

# PostgreSQL documentation, appendix "PostgreSQL Error Codes".
_ERRORS: Mapping[str, type[base.DatabaseError]] = {
    "25006": base.ReadOnlyReplica,
    "25P03": base.ConnectionLost,
    "28000": base.NotAdmitted,
    "28P01": base.AuthenticationFailed,
    "3D000": base.DatabaseMissing,
    "42501": base.MissingGrant,
    "42704": base.UserMissing,
    "53300": base.NotReady,
    "55P03": base.LockTimedOut,
    "57014": base.StatementTimedOut,
    "57P01": base.ConnectionLost,
    "57P02": base.ConnectionLost,
    "57P03": base.NotReady,
}
# PostgreSQL documentation, "Identifiers and Key Words": longer names are cut off, silently.
_NAME_LIMIT_BYTES = 63
# Somebody else created the role meanwhile: CREATE ROLE's own check says the first, the index behind it the second.
_EXISTS = frozenset({"42710", "23505"})
# PostgreSQL documentation, CREATE ROLE; in the order of the columns below.
_ATTRIBUTES = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
_ROLE = """
    SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolconnlimit
    FROM pg_catalog.pg_roles WHERE rolname = :username
"""
# Of two booleans the greater one is true.
_STRONGER_STRANGER = """
    SELECT 1 FROM pg_catalog.pg_roles AS other, pg_catalog.pg_roles AS own
    WHERE other.rolname = :username AND own.rolname = :like
    AND (other.rolsuper > own.rolsuper OR other.rolcreatedb > own.rolcreatedb
        OR other.rolcreaterole > own.rolcreaterole OR other.rolreplication > own.rolreplication
        OR other.rolbypassrls > own.rolbypassrls)
    AND NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_auth_members
        WHERE (roleid, member) IN ((other.oid, own.oid), (own.oid, other.oid))
    )
"""

# While a password is set these mean that a rule refused it: passwordcheck raises the first, credcheck the second.
_PASSWORD_RULES = frozenset({"22023", "28000", "28P01"})


class Engine:
    """PostgreSQL from version 10."""

    title = "PostgreSQL"
    engine_names: tuple[str, ...] = ("postgres", "aurora-postgresql")
    exclude_characters = ":/@\"'\\"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("pg8000", "scramp", "asn1crypto", "python-dateutil", "six")

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON."""
        return base.read_login(value, engines=self.engine_names, default_port=5432, default_dbname="postgres")

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix="_clone", limit=_NAME_LIMIT_BYTES, unit="bytes")

    def connect(self, login: base.Login) -> PostgresqlConnection:
        """Log in at the first host that can be reached and takes changes."""
        return base.connect_to_first(PostgresqlConnection, login)


class PostgresqlConnection(FamilyConnection):
    """One login."""

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        super().__init__(
            login, host, port,
            connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
        )  # fmt: skip

    def _know_server(self) -> None:
        """Raise if this server follows another one and so cannot store a password."""
        if self._run("SELECT pg_catalog.pg_is_in_recovery()")[0][0]:
            raise base.ReadOnlyReplica(f"{self._host} is a read-only replica: it is in recovery")

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Store the new password's verifier in the server."""
        stored = self._stored_form(username, password)
        with self._confirmed(confirm), _password_rules():
            # Both forms consist of letters, digits and + / = $ : - so they need no escaping.
            self._run(f"ALTER ROLE {quoted_identifier(username)} PASSWORD '{stored}'")

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a role that is a member of ``like`` and has its attributes, or set the password of the one there is.

        Source: PostgreSQL documentation, "Role Membership" (what a member inherits) and "Role Attributes" (what not).
        """
        if not self._run(_ROLE, username=username):
            try:
                self._create_role(username, like, self._stored_form(username, password), confirm)
            except base.DatabaseError as error:
                # Another attempt of the same step has been faster.
                if error.code not in _EXISTS:
                    raise
            else:
                return
        if self._run(_STRONGER_STRANGER, username=username, like=like):
            raise base.NotAClone(f"{self._host}: user {username} may do more than {like} and is not its clone")
        self.set_password(username, password, confirm)

    def _create_role(self, username: str, like: str, stored: str, confirm: base.Confirm) -> None:
        *has, connection_limit = self._run(_ROLE, username=like)[0]
        attributes = [keyword for keyword, held in zip(_ATTRIBUTES, has, strict=True) if held]
        with self._confirmed(confirm):
            with _password_rules():
                self._run(
                    f"CREATE ROLE {quoted_identifier(username)} LOGIN {' '.join(attributes)}"
                    f" CONNECTION LIMIT {int(connection_limit)} PASSWORD '{stored}'"
                )
            self._run(f"GRANT {quoted_identifier(like)} TO {quoted_identifier(username)}")

    def _limit_idle_transaction(self) -> None:
        # Whoever is held up with a lock in its hand must not keep the others waiting.
        self._run(f"SET LOCAL idle_in_transaction_session_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")

    def _stored_form(self, username: str, password: str) -> str:
        """Return what the server is to store for a password, and make ready for a statement that stores it."""
        # A statement that waits must not come true after this function has given up and a later rotation has passed it.
        self._run(f"SET statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
        encryption, iterations, commit = self._run(
            "SELECT pg_catalog.current_setting('password_encryption'),"
            " pg_catalog.current_setting('scram_iterations', true), pg_catalog.current_setting('synchronous_commit')"
        )[0]
        if commit == "off":
            # Otherwise a crash of the server could forget the password after it has been labelled AWSCURRENT.
            self._run("SET synchronous_commit = on")
        if driver.SASL in self._driver.methods or encryption == "scram-sha-256":
            return scram_verifier(password, int(iterations or _SCRAM_LEAST_ITERATIONS))
        logger.warning("setSecret: %s keeps passwords as MD5 (password_encryption is %s).", self._host, encryption)
        return md5_verifier(username, password)

    def _server_error(self, fields: Mapping[str, str]) -> base.DatabaseError:
        tls_was_asked_for = self._login.tls is not base.TlsMode.FORBIDDEN
        return _server_error(fields, host=self._host, tls_was_asked_for=tls_was_asked_for)


@contextlib.contextmanager
def _password_rules() -> Iterator[None]:
    """Name it if a rule of the server refuses the password that a statement sets."""
    try:
        yield
    except base.DatabaseError as error:
        if error.code in _PASSWORD_RULES:
            raise base.PasswordRejected(error.reason, error.code) from None
        raise


def scram_verifier(password: str, iterations: int, salt: bytes | None = None) -> str:
    """Return what a server stores for SCRAM-SHA-256 (RFC 5802, RFC 7677; format: PostgreSQL documentation, pg_authid).

    Args:
        password: Prepared by SASLprep as the driver does it at login.
        iterations: The server's setting, raised to the least that clients accept.
        salt: 16 random bytes unless given.

    Raises:
        PasswordRejected: SASLprep forbids a character.
    """
    import scramp  # type: ignore[import-untyped]  # noqa: PLC0415 - part of the driver, which has no types

    mechanism = scramp.ScramMechanism("SCRAM-SHA-256")
    try:
        salt, stored_key, server_key, count = mechanism.make_auth_info(
            password, iteration_count=max(iterations, _SCRAM_LEAST_ITERATIONS), salt=salt
        )
    except scramp.ScramException:
        raise base.PasswordRejected("The password has a character that SCRAM does not allow (RFC 4013)") from None
    shown_salt, shown_stored, shown_server = (
        base64.b64encode(part).decode() for part in (salt, stored_key, server_key)
    )
    return f"SCRAM-SHA-256${count}:{shown_salt}${shown_stored}:{shown_server}"


def _server_error(fields: Mapping[str, str], *, host: str, tls_was_asked_for: bool) -> base.DatabaseError:
    """Return our error for the server's. Messages may be translated, so only codes and fixed names are looked at."""
    code, reason = fields.get("C", ""), fields.get("M", "The server gave no reason")
    kind = _ERRORS.get(code, base.DatabaseError)
    if code == "28000" and "pg_hba.conf" in reason and not tls_was_asked_for:
        # The rule for this user may be for hostssl only. The server says "no encryption", before version 14 "SSL off".
        kind = base.TlsRequired if "no encryption" in reason or "SSL off" in reason else kind
    return kind(f"host {host}: {reason}", code or None)
