"""Amazon Redshift, provisioned and serverless.

The driver is pg8000, as for PostgreSQL, from whose version 8.0 Redshift descends; what both share is in
``postgresql_family/``. AWS's own driver would bring requests, lxml, Beautiful Soup and more, for nothing that a
rotation needs but one way to log in, which is here.

**TLS** is as in the PostgreSQL engine: ``ssl`` true verifies certificate and name; ``ssl`` false is plaintext; without
``ssl`` TLS is used if the server has it, with whatever certificate. In none of these does a password travel: MD5 and
Redshift's own SHA-256 method are answers to a question of the server.

**Passwords.** ``ALTER USER`` carries what the server would have computed and stored: the MD5 form, or for a user whom
the server has just asked in its SHA-256 way the SHA-256 form. How the salt of that one is written is not documented; it
is written as the server has just sent the old one, then a login with the new password is tried, and if it is refused,
the MD5 form is set, which is documented.

**Nobody passes,** as in PostgreSQL: the change is made in a transaction, the rotation confirmed, the change committed.
Redshift has no time limit for an idle transaction, so a function that is halted just then keeps other changes of users
waiting until its session ends; they give up and are attempted again.

**Clones.** The second of two alternating users gets the first one's options, groups, roles and whatever was granted to
it in the database that the secret names. What the first one owns stays its own.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import string
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import base, redshift_rights
from .postgresql_family.connection import FamilyConnection, md5_verifier, quoted_identifier
from .redshift_rights import Right

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
# The first question after a while may take seconds.
STATEMENT_TIMEOUT_SECONDS = 20
SUFFIX = "_clone"

# Amazon Redshift Database Developer Guide, "Names and identifiers".
_NAME_LIMIT_BYTES = 127
# Users of IAM and of identity providers, which have no passwords.
_FEDERATED = ("IAM:", "IAMR:", "AWSIDC:")
# AuthenticationDigest in Redshift's protocol, and the only digest there is.
_DIGEST, _SHA256 = 13, 0
_DIGEST_MESSAGE = b"d"
_SALT_BYTES = 32
_HEX_DIGITS = frozenset(string.hexdigits.encode())

# PostgreSQL documentation, appendix "PostgreSQL Error Codes"; Redshift keeps them.
_ERRORS: Mapping[str, type[base.DatabaseError]] = {
    "25006": base.ReadOnlyReplica,
    "28000": base.NotAdmitted,
    "28P01": base.AuthenticationFailed,
    "3D000": base.DatabaseMissing,
    "40001": base.LockTimedOut,
    "42501": base.MissingGrant,
    "42704": base.UserMissing,
    "53300": base.NotReady,
    "55P03": base.LockTimedOut,
    "57014": base.StatementTimedOut,
    "57P01": base.ConnectionLost,
    "57P02": base.ConnectionLost,
    "57P03": base.NotReady,
}
# Redshift's messages are English; its server of 2005 has no code of its own for a wrong password.
_WRONG_PASSWORD = "password authentication failed"  # noqa: S105 - a message
_ISOLATION = "Serializable isolation violation"
_USER = (
    "SELECT createdb, superuser, syslog_access, connection_limit, session_timeout"
    " FROM svv_user_info WHERE user_name = :username"
)
_VALID_UNTIL = "SELECT valuntil FROM pg_user WHERE usename = :username"
_NO_END = "infinity"
_UNRESTRICTED = "UNRESTRICTED"
_MOMENT = re.compile(r"[\d:+. -]+")


class Engine:
    """Amazon Redshift."""

    title = "Redshift"
    engine_names: tuple[str, ...] = ("redshift",)
    exclude_characters = "/@\"'\\:"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("pg8000", "scramp", "asn1crypto", "python-dateutil", "six")

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON."""
        login = base.read_login(value, engines=self.engine_names, default_port=5439, default_dbname="dev")
        if login.username.startswith(_FEDERATED):
            raise ValueError("username in the secret JSON is of IAM or an identity provider, and has no password.")
        return login

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=_NAME_LIMIT_BYTES, unit="bytes")

    def connect(self, login: base.Login) -> RedshiftConnection:
        """Log in at the first host that can be reached."""
        return base.connect_to_first(RedshiftConnection, login)


class RedshiftConnection(FamilyConnection):
    """One login."""

    password_methods = FamilyConnection.password_methods | {_DIGEST}
    # Of this user's stored password, if the server asked for its digest.
    _salt: bytes | None = None

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        super().__init__(
            login, host, port,
            connect_timeout_seconds=CONNECT_TIMEOUT_SECONDS, statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
        )  # fmt: skip

    def _know_server(self) -> None:
        [[version]] = self._run("SELECT version()")
        if "Redshift" not in version:
            raise base.AnotherProduct(f"{self._host} is no Redshift: it says {version}")
        # A statement that waits must not come true after this function has given up and a later rotation has passed it.
        self._run(f"SET statement_timeout TO {STATEMENT_TIMEOUT_SECONDS * 1000}")

    def _answer(self, connection: Any, data: bytes) -> bool:
        """Answer the digest method: prove the password to whoever has its salted hash.

        Source: AWS's drivers, redshift_connector and the JDBC driver.
        """
        if int.from_bytes(data[:4], "big") != _DIGEST:
            return False
        algorithm, self._salt, server_nonce = _digest_request(data[4:])
        if algorithm != _SHA256:
            raise base.UnsupportedMethod(f"The server asks for digest {algorithm}, which this function does not do")
        # Their nonces are moments, written in decimal.
        client_nonce = str(10**12 + secrets.randbelow(9 * 10**12)).encode()
        stored = hashlib.sha256(connection.password + self._salt).digest()
        proof = hashlib.sha256(stored + server_nonce + client_nonce).digest()
        message = struct.pack("!i", len(proof)) + proof + struct.pack("!i", len(client_nonce)) + client_nonce
        connection._send_message(_DIGEST_MESSAGE, message)  # noqa: SLF001 - as the driver answers other methods
        connection._sock.flush()  # noqa: SLF001 - as above
        return True

    def _server_error(self, fields: Mapping[str, str]) -> base.DatabaseError:
        code, reason = fields.get("C", ""), fields.get("M", "The server gave no reason")
        kind = _ERRORS.get(code, base.DatabaseError)
        if code == "28000" and _WRONG_PASSWORD in reason:
            kind = base.AuthenticationFailed
        elif code == "28000" and "SSL off" in reason and self._login.tls is base.TlsMode.FORBIDDEN:
            kind = base.TlsRequired
        elif _ISOLATION in reason:
            kind = base.LockTimedOut
        return kind(f"host {self._host}: {reason}", code or None)

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Store the new password's verifier in the server."""
        self._change(f"ALTER USER {quoted_identifier(username)}", username, password, confirm)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a user with the options, groups, roles and grants of ``like``, or complete the one there is."""
        model = self._user(like)
        if model is None:
            raise base.UserMissing(f"{self._host}: there is no user {like}, or none that this user may see")
        rights, target = redshift_rights.read(self._run, like), self._user(username)
        name, has = quoted_identifier(username), frozenset[Right]()
        if target is None:
            change, more = f"CREATE USER {name}", model.options()
        else:
            has = redshift_rights.read(self._run, username)
            self._refuse_stronger(username, like, target.beyond(model), has, rights)
            # The first of the two is the model of when passwords end.
            change, more = f"ALTER USER {name}", model.valid_until() if username == like + SUFFIX else ""
        lacks = sorted((right for right in rights if not right.is_within(has)), key=str)
        self._change(change, username, password, confirm, more, [right.to(username) for right in lacks])

    def _user(self, username: str) -> User | None:
        rows = self._run(_USER, username=username)
        if not rows:
            return None
        [createdb, superuser, syslog_access, connection_limit, session_timeout] = rows[0]
        # The view has not this one.
        [[valid_until]] = self._run(_VALID_UNTIL, username=username)
        return User(createdb, superuser, syslog_access, connection_limit, session_timeout, valid_until)

    def _refuse_stronger(
        self, username: str, like: str, options: list[str], has: frozenset[Right], rights: frozenset[Right]
    ) -> None:
        more = options + sorted(str(right) for right in has if not right.is_within(rights))
        if more:
            raise base.NotAClone(
                f"{self._host}: user {username} may do more than {like} ({'; '.join(more[:5])}), and may be"
                " somebody else's"
            )

    def _change(
        self, change: str, username: str, password: str, confirm: base.Confirm,
        options: str = "", statements: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Create or alter a user so that it has a password; with what follows from that, in one transaction."""
        stored = self._stored_form(username, password)
        with self._confirmed(confirm):
            # Both forms consist of letters, digits and | so they need no escaping.
            self._run(f"{change} PASSWORD '{stored}'{options}")
            for statement in statements:
                self._run(statement)
        if self._salt is not None and not self._logs_in(username, password):
            logger.warning("setSecret: %s does not take its SHA-256 form as we write it: MD5 is used.", self._host)
            with self._confirmed(confirm):
                self._run(f"ALTER USER {quoted_identifier(username)} PASSWORD '{md5_verifier(username, password)}'")

    def _logs_in(self, username: str, password: str) -> bool:
        login = replace(self._login, username=username, password=password)
        try:
            RedshiftConnection(login, self._host, self._port).close()
        except base.AuthenticationFailed:
            return False
        return True

    def _stored_form(self, username: str, password: str) -> str:
        """Return what the server is to store for a password: in the way in which it has asked for the one before.

        Source: Amazon Redshift Database Developer Guide, CREATE USER.
        """
        if self._salt is None:
            return md5_verifier(username, password)
        new = secrets.token_bytes(_SALT_BYTES)
        # The server sends either the salt's bytes, or the digits in which they were written.
        is_written = len(self._salt) == 2 * _SALT_BYTES and set(self._salt) <= _HEX_DIGITS
        salt = new.hex().encode() if is_written else new
        return f"sha256|{hashlib.sha256(password.encode() + salt).hexdigest()}|{new.hex()}"


@dataclass(frozen=True, slots=True)
class User:
    """A user's options, as SVV_USER_INFO has them."""

    may_create_databases: bool
    is_superuser: bool
    syslog_access: str | None
    connection_limit: str | None
    session_timeout: int | None
    expires_at: str | None

    def options(self) -> str:
        """Return what CREATE USER needs to give another user the same."""
        options = (" CREATEDB" if self.may_create_databases else "") + (" CREATEUSER" if self.is_superuser else "")
        if self.syslog_access == _UNRESTRICTED:
            options += f" SYSLOG ACCESS {_UNRESTRICTED}"
        if self.connection_limit and self.connection_limit.isdecimal():
            options += f" CONNECTION LIMIT {self.connection_limit}"
        if self.session_timeout:
            options += f" SESSION TIMEOUT {int(self.session_timeout)}"
        return options + (self.valid_until() if self._ends() else "")

    def valid_until(self) -> str:
        """Return what ALTER USER needs to end another user's password at the same moment."""
        return f" VALID UNTIL '{self.expires_at if self._ends() else _NO_END}'"

    def beyond(self, other: User) -> list[str]:
        """Return the options that the other user lacks, as people write them."""
        mine, theirs = ((user.may_create_databases, user.is_superuser) for user in (self, other))
        return [name for name, has, had in zip(("CREATEDB", "superuser"), mine, theirs, strict=True) if has and not had]

    def _ends(self) -> bool:
        return bool(self.expires_at and _MOMENT.fullmatch(self.expires_at))


def _digest_request(data: bytes) -> tuple[int, bytes, bytes]:
    """Return algorithm, salt and the server's nonce, each of the latter behind its length."""
    algorithm, length = struct.unpack_from("!ii", data)
    salt = data[8 : 8 + length]
    (nonce_length,) = struct.unpack_from("!i", data, 8 + length)
    return algorithm, salt, data[12 + length : 12 + length + nonce_length]
