"""Microsoft SQL Server, from version 2012, on Amazon RDS and elsewhere.

The driver is python-tds: pure Python, so one deployment package runs on every architecture. TLS and errors are made
here, in ``tds/``.

**TLS.** A login shows the password to the server, and so does the statement that changes it. So there is no connection
without TLS, whatever ``ssl`` says: ``ssl`` true verifies certificate and name; without it, and with ``ssl`` false, the
certificate is not looked at, which the log says, for SQL Server makes one for itself if it has none. A server without
TLS is refused before the login.

**Passwords.** ``ALTER LOGIN … WITH PASSWORD = N'…'`` in clear, over TLS; SQL Server leaves such statements out of its
traces. The stored form (``HASHED``) is not used: it needs a right that users do not have, is refused while CHECK_POLICY
is on, and is not for routine changes, says Microsoft.

**Who is meant.** A session that a database has authenticated is a contained user's, and changes it by ALTER USER;
any other is a login's. Logins are one server's: those of an availability group's other replicas are not changed.

**Nobody passes.** First the moment of the last change is read, then the rotation is confirmed, then one batch changes
the password if that moment is still the same, in a transaction and under a named lock (sp_getapplock) that ends with
the batch. A function that is halted holds nothing, and what it sends afterwards is refused. A user's own change also
names the old password, which the server compares.

**Clones.** The second of two alternating users gets the first one's options, server roles, permissions, and in every
database a user with its roles, permissions and default schema; all of it and the password in one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import base
from .tds import driver, errors
from .tds.principals import SUFFIX, Principal, completing, literal, quoted, read_contained_user, read_login

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
# Less than a statement's, so that it ends in our words.
LOCK_TIMEOUT_MILLISECONDS = 9000
# UTF-16 beyond this takes two units, of which the driver counts one.
_LAST_CHARACTER = "\uffff"

# Of Amazon RDS itself; nobody may enter it.
_OTHERS_DATABASES = {"rdsadmin"}
# Logins have 0 there, by the documentation, or master's number.
_SERVER_IDS = (0, 1)
_SESSION = (
    "SELECT s.authenticating_database_id, DB_NAME(),"
    " CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(60)),"
    " (SELECT COUNT(*) FROM sys.databases AS d WHERE d.replica_id IS NOT NULL"
    " AND DATABASEPROPERTYEX(d.name, 'Updateability') = 'READ_WRITE'),"
    " (SELECT COUNT(*) FROM sys.databases AS d WHERE d.replica_id IS NOT NULL)"
    " FROM sys.dm_exec_sessions AS s WHERE s.session_id = @@SPID"
)
_OVERTAKEN = "the password was set by somebody else at this moment, and nothing was changed"
# When a password was changed last; an empty text if there is no such principal.
_LOGIN_CHANGED = (
    "ISNULL(CONVERT(nvarchar(30), CAST(LOGINPROPERTY({name}, 'PasswordLastSetTime') AS datetime), 121), N'')"
)
_USER_CHANGED = (
    "ISNULL((SELECT CONVERT(nvarchar(30), u.modify_date, 121) FROM sys.database_principals AS u"
    " WHERE u.name = {name}), N'')"
)


class Engine:
    """SQL Server from version 2012."""

    title = "SQL Server"
    engine_names: tuple[str, ...] = ("sqlserver",)
    exclude_characters = "/@\"'\\"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("python-tds",)

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON."""
        login = base.read_login(value, engines=self.engine_names, default_port=1433, default_dbname="master")
        for key, text in (("username", login.username), ("password", login.password), ("dbname", login.dbname)):
            if not _fits(text):
                raise ValueError(
                    f"{key} in the secret JSON is more than SQL Server takes: 128 characters up to U+FFFF."
                )
        if "\\" in login.username:
            raise ValueError("username in the secret JSON is a Windows login, whose password SQL Server does not keep.")
        return login

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=driver.LIMIT, unit="characters")

    def connect(self, login: base.Login) -> SqlserverConnection:
        """Log in at the first host that can be reached and takes changes."""
        return base.connect_to_first(SqlserverConnection, login)


class SqlserverConnection(base.Connection):
    """One login."""

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        self._login = login
        self._host = host
        self._session: driver.Session | None = None
        with self._translated():
            self._session = driver.log_in(login, host, port, timeout_seconds=CONNECT_TIMEOUT_SECONDS)
        self._session.settimeout(STATEMENT_TIMEOUT_SECONDS + CONNECT_TIMEOUT_SECONDS)
        try:
            self._know_server()
        except BaseException:
            self.close()
            raise

    def _know_server(self) -> None:
        [[authenticated_by, self._database, updateability, primaries, replicas]] = self._run(_SESSION)
        self._is_contained = authenticated_by not in _SERVER_IDS
        if updateability == "READ_ONLY" or (replicas and not primaries):
            raise base.ReadOnlyReplica(f"{self._host} takes no changes: its database {self._database} is read only")

    @property
    def password_was_checked(self) -> bool:
        """Always: SQL Server trusts nobody."""
        return True

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Set the password of the login or contained user as which this session is logged in, or of another login."""
        _refuse_unfit(password)
        kind = "USER" if self._is_contained else "LOGIN"
        self._change(username, [_set_password(kind, username, password, self._old_password(username))], confirm)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a login or contained user with the options, users, roles and permissions of ``like``.

        One that exists gets what it lacks, and the password.
        """
        _refuse_unfit(password)
        # As at a login: a contained user of that name comes first.
        model = read_contained_user(self._run, self._database, like)
        self._is_contained = model is not None
        model = model or read_login(self._run, like)
        if model is None:
            raise base.UserMissing(f"{self._host}: there is no login {like}, or none that this user may see")
        closed = sorted(set(model.closed) - _OTHERS_DATABASES)
        if closed:
            logger.warning(
                "setSecret: The superuser may not enter databases %s of %s: what %s may do there is not given to %s.",
                ", ".join(closed), self._host, like, username,
            )  # fmt: skip
        target = self._read(username)
        if target:
            more = sorted(str(right) for right in target.rights if not right.is_within(model.rights))
            if more:
                raise base.NotAClone(
                    f"{self._host}: user {username} may do more than {like} ({'; '.join(more[:5])}), and may be"
                    " somebody else's"
                )
        statements = [self._identity(username, target, model, password), *completing(username, target, model)]
        self._change(username, statements, confirm)

    def _read(self, name: str) -> Principal | None:
        if self._is_contained:
            return read_contained_user(self._run, self._database, name)
        return read_login(self._run, name)

    def _old_password(self, username: str) -> str:
        return f" OLD_PASSWORD = {literal(self._login.password)}" if username == self._login.username else ""

    def _identity(self, username: str, target: Principal | None, model: Principal, password: str) -> str:
        """Return the statement that makes a login or user, or sets the password of the one there is."""
        kind = "USER" if self._is_contained else "LOGIN"
        if target is None:
            options = f", {model.options}" if model.options else ""
            return f"CREATE {kind} {quoted(username)} WITH PASSWORD = {literal(password)}{options};"
        # Wrong passwords may have locked a login at rest; a contained user has no locks, and says nothing here.
        locked = self._run(f"SELECT CAST(LOGINPROPERTY({literal(username)}, 'IsLocked') AS int)") == [[1]]
        return _set_password(kind, username, password, " UNLOCK" if locked and not self._is_contained else "")

    def _change(self, username: str, statements: Sequence[str], confirm: base.Confirm) -> None:
        """Run statements in one transaction, unless the password has been set since before ``confirm``."""
        changed = (_USER_CHANGED if self._is_contained else _LOGIN_CHANGED).format(name=literal(username))
        [[moment]] = self._run(f"SELECT {changed}")
        confirm()
        # Case counts in a lock's name; it need not in a user's.
        lock = "keyturn:" + hashlib.sha256(username.lower().encode()).hexdigest()
        batch = [
            f"SET NOCOUNT ON; SET XACT_ABORT ON; SET LOCK_TIMEOUT {LOCK_TIMEOUT_MILLISECONDS};",
            "BEGIN TRANSACTION;",
            "DECLARE @lock int;",
            f"EXEC @lock = sys.sp_getapplock N'{lock}', N'Exclusive', N'Transaction', {LOCK_TIMEOUT_MILLISECONDS};",
            f"IF @lock < 0 THROW {errors.BUSY}, N'another rotation of this user is at work', 1;",
            f"IF {changed} <> {literal(moment)} THROW {errors.OVERTAKEN}, {literal(_OVERTAKEN)}, 1;",
            *statements,
            "COMMIT TRANSACTION;",
        ]
        if not self._is_contained:
            # A lock counts in the database in which it is taken.
            batch.insert(0, "USE [master];")
        self._run("\n".join(batch))

    def test(self) -> None:
        """Read the server's time."""
        self._run("SELECT CONVERT(nvarchar(30), SYSUTCDATETIME(), 126)")

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        if self._session:
            with contextlib.suppress(Exception):
                self._session.close()

    def _run(self, batch: str) -> list[list[Any]]:
        if self._session is None:
            return []
        with self._translated():
            return self._session.run(batch)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the statement."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the driver raises its own, sockets', TLS's and Python's errors
            messages = self._session.messages() if self._session else []
            raise errors.translation(error, messages, host=self._host) from None


def _set_password(kind: str, name: str, password: str, more: str) -> str:
    return f"ALTER {kind} {quoted(name)} WITH PASSWORD = {literal(password)}{more};"


def _fits(text: str) -> bool:
    return len(text) <= driver.LIMIT and max(text) <= _LAST_CHARACTER


def _refuse_unfit(password: str) -> None:
    """Raise if a password could be set but not be used, or not be set as it is."""
    try:
        literal(password)
    except ValueError:
        fits = False
    else:
        fits = _fits(password)
    if not fits:
        raise base.PasswordRejected(
            "SQL Server takes passwords of up to 128 characters up to U+FFFF, no backslash at the end of a line"
        )
