"""Oracle Database.

The driver is python-oracledb in its thin mode: no Oracle client beside it. It is compiled, and so is cryptography,
which it needs: a package runs on the architecture and the Python for which it was built.

**A user's own password** is changed by the protocol's own message, with the old one beside the new one, both under the
session's key: no SQL, no log and no listener sees it, with or without TLS, whatever characters are in it. It needs no
privilege, satisfies password rules that ask for the old password, and the server compares that one before it changes
anything. So nobody passes: a function that was halted while a later rotation set another password is refused. (A
profile with PASSWORD_ROLLOVER_TIME lets the password before the rollover count as the old one for that long: rotate
less often than that.)

**Another user's password** can be changed in SQL only (``ALTER USER … IDENTIFIED BY``), in clear: over TLS and not
without. There Oracle compares nothing and takes no lock for clients: the question whether the password is still to be
set is asked right before, and a function that was held up since then refuses itself.

**TLS.** Oracle's listener takes TLS at a port of its own. ``ssl`` true: TLS, the certificate must hold and carry the
host's name. Otherwise plaintext, in which a login shows no password.

**Names** are in upper case unless they stand in double quotes, in a secret as in SQL.

**dbname** is a service name, or a SID if the listener knows no such service: AWS's function takes it as the one without
TLS and as the other with it.

Source: Oracle Database Security Guide, "Configuring Authentication"; Error Messages; python-oracledb's source
(``impl/thin/messages/auth.pyx``) for what the message carries.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from . import base, network, oracle_rights
from .oracle_rights import Definition, quoted

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
CONNECT_THREAD = "keyturn-connect"
SUFFIX = "_CLONE"

# SQL Language Reference, "Database Object Naming Rules"; 30 before 12.2.
_NAME_LIMIT_BYTES = 128
_WHERE = """
    SELECT SYS_CONTEXT('USERENV', 'DATABASE_ROLE'), SYS_CONTEXT('USERENV', 'SESSION_USER') FROM dual
"""
_NO_SUCH_SERVICE = "DPY-6001"
_EXISTS = "ORA-01920"


class CommonUser(base.DatabaseError):
    """The user belongs to the container database, and the login is one of a pluggable database."""

    hint = (
        "Name a service of the root (CDB$ROOT) as dbname in both secrets, or rotate a local user: a common user"
        " (C##...) is changed in the root only."
    )


class NativeEncryption(base.TlsFailed):
    """The server asks for Oracle's own network encryption, which the driver's thin mode may not have."""

    hint = (
        "Connect with TLS (ssl true, and the listener's TCPS port), or set SQLNET.ENCRYPTION_SERVER and"
        " SQLNET.CRYPTO_CHECKSUM_SERVER to accepted or requested instead of required."
    )


class OldVerifier(base.AuthenticationMethodRefused):
    """The server keeps this password, or speaks, as Oracle did before version 11."""

    hint = (
        "Set SQLNET.ALLOWED_LOGON_VERSION_SERVER to 11 or more, and then the user's password anew, so that the server"
        " keeps it in a newer form."
    )


_ERRORS: Mapping[str, type[base.DatabaseError]] = {
    "ORA-00018": base.NotReady,  # too many sessions
    "ORA-00020": base.NotReady,  # too many processes
    "ORA-00054": base.LockTimedOut,
    "ORA-00942": base.MissingGrant,  # of a view that is there for whoever may read it
    "ORA-01005": base.AuthenticationFailed,
    "ORA-01013": base.StatementTimedOut,
    "ORA-01017": base.AuthenticationFailed,
    "ORA-01031": base.MissingGrant,
    "ORA-01033": base.NotReady,  # starting or stopping
    "ORA-01034": base.NotReady,
    "ORA-01045": base.NotAdmitted,  # no CREATE SESSION
    "ORA-01089": base.NotReady,
    "ORA-01109": base.NotReady,  # mounted only
    "ORA-01918": base.UserMissing,
    "ORA-02391": base.NotReady,  # sessions of this user
    "ORA-03113": base.ConnectionLost,
    "ORA-03114": base.ConnectionLost,
    "ORA-03135": base.ConnectionLost,
    "ORA-04021": base.LockTimedOut,
    "ORA-12505": base.DatabaseMissing,
    "ORA-12514": base.DatabaseMissing,
    "ORA-12516": base.NotReady,
    "ORA-12519": base.NotReady,
    "ORA-12520": base.NotReady,
    "ORA-12528": base.NotReady,
    "ORA-12541": base.ConnectionRefused,
    "ORA-12650": NativeEncryption,
    "ORA-12660": NativeEncryption,
    "ORA-16000": base.ReadOnlyReplica,
    "ORA-28000": base.NotAdmitted,  # locked
    "ORA-28001": base.NotAdmitted,  # expired
    "ORA-28003": base.PasswordRejected,
    "ORA-28007": base.PasswordRejected,
    "ORA-28008": base.AuthenticationFailed,  # the old password is not the old one any more
    "ORA-28040": OldVerifier,
    "ORA-65066": CommonUser,
    "ORA-65096": CommonUser,
    "DPY-3001": NativeEncryption,
    "DPY-3010": OldVerifier,
    "DPY-3015": OldVerifier,
    "DPY-4011": base.ConnectionLost,
    "DPY-4024": base.StatementTimedOut,
    "DPY-5016": NativeEncryption,
    "DPY-6000": base.NotReady,
    "DPY-6001": base.DatabaseMissing,
    "DPY-6002": base.TlsFailed,
    "DPY-6003": base.DatabaseMissing,
    "DPY-6006": base.TlsFailed,
}
# While a password is set they mean that it is too long, or no password at all.
_PASSWORD_FORM = frozenset({"ORA-00972", "ORA-00988", "ORA-28218", "ORA-28219"})


class Engine:
    """Oracle Database from version 12.1."""

    title = "Oracle"
    engine_names: tuple[str, ...] = ("oracle",)
    exclude_characters = "/@\"'\\"
    # Bytes that a password may have before version 23.
    password_length = 30
    driver_distributions: tuple[str, ...] = ("oracledb", "cryptography", "cffi", "typing_extensions")

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON; ``dbname`` must be there."""
        login = base.read_login(value, engines=self.engine_names, default_port=1521, default_dbname="")
        if not login.dbname:
            raise KeyError("dbname key is missing from secret JSON")
        if any(character in login.username for character in "[]"):
            raise ValueError("username in the secret JSON must not name a proxy user.")
        _normal(login.username)
        return login

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one, in upper case unless it is quoted."""
        is_quoted = username.startswith('"')
        other = base.alternate_username(_normal(username), suffix=SUFFIX, limit=_NAME_LIMIT_BYTES, unit="bytes")
        return quoted(other) if is_quoted else other

    def connect(self, login: base.Login) -> OracleConnection:
        """Log in at the first host that can be reached and takes changes."""
        return base.connect_to_first(OracleConnection, login)


class OracleConnection(base.Connection):
    """One login."""

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        self._login = login
        self._host = host
        self._user = _normal(login.username)
        with self._translated():
            self._driver = _log_in(login, host, port)
        try:
            with self._translated():
                # Milliseconds, for each answer; the server is told to break the statement off.
                self._driver.call_timeout = STATEMENT_TIMEOUT_SECONDS * 1000
            self._know_server()
        except BaseException:
            self.close()
            raise

    def _know_server(self) -> None:
        [[role, user]] = self._run(_WHERE)
        if role not in (None, "PRIMARY"):
            raise base.ReadOnlyReplica(f"host {self._host} is a standby database: {role}")
        if user != self._user:
            raise base.NotAdmitted(f"host {self._host} lets {self._user} in as {user}, not as itself")

    @property
    def password_was_checked(self) -> bool:
        """Always true: the login cannot succeed without it."""
        return True

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Set this user's own password under the session's key, or another user's in SQL, over TLS."""
        user = _normal(username)
        if user != self._user:
            self._refuse_clear(user, password)
            self._alter(user, password, base.ask(confirm))
            return
        confirm()
        with self._translated(password):
            # The server compares the old one.
            self._driver.changepassword(self._login.password, password)
        # With which the next change has to come.
        self._login = replace(self._login, password=password)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a user with what ``like`` has, or complete the one there is; its password is set at last."""
        user, model_name = _normal(username), _normal(like)
        self._refuse_clear(user, password)
        model, own = self._definition(model_name), self._definition(user)
        if model is None:
            raise base.UserMissing(f"host {self._host}: there is no user {model_name}")
        if own is None:
            try:
                self._create(user, model, password, confirm)
            except base.DatabaseError as error:
                # Another attempt of the same step has been faster.
                if error.code != _EXISTS or (own := self._definition(user)) is None:
                    raise
            else:
                return
        if more := model.lacks(own):
            raise base.NotAClone(
                f"host {self._host}: user {user} may do more than {model_name}"
                f" ({'; '.join(what + option for what, option in list(more.items())[:5])}), and may be somebody else's"
            )
        refuse_old_answer = base.ask(confirm)
        self._grant(user, own.lacks(model))
        # The first of the two is the model in what is not granted: an alteration of it must not be undone.
        if user == model_name + SUFFIX:
            clauses = own.clauses(model)
            if own.default_roles != model.default_roles:
                clauses.append(f"DEFAULT ROLE {model.default_roles}")
            for clause in clauses:
                self._run(f"ALTER USER {quoted(user)} {clause}")
        self._alter(user, password, refuse_old_answer)

    def test(self) -> None:
        """Read the server's time."""
        self._run("SELECT SYSDATE FROM dual")

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        with contextlib.suppress(Exception):
            self._driver.close()

    def _refuse_clear(self, user: str, password: str) -> None:
        if self._login.tls is not base.TlsMode.REQUIRED:
            raise base.TlsFailed(
                f"host {self._host} takes a new password for another user ({user}) in clear only, hence over TLS only:"
                " set ssl to true and port to the listener's TCPS port, in the secret and in the superuser secret"
            )
        if '"' in password:
            raise base.PasswordRejected("Oracle takes no double quote in a password that another user sets")

    def _definition(self, user: str) -> Definition | None:
        found = oracle_rights.read(self._run, user)
        if found and found.authentication != "PASSWORD":
            raise base.AuthenticationMethodRefused(
                f"host {self._host}: user {user} logs in by {found.authentication}, and has no password to be set"
            )
        return found

    def _create(self, user: str, model: Definition, password: str, confirm: base.Confirm) -> None:
        """Make a whole user, or none; until it is whole with a password that nobody knows."""
        # Of the same characters, so that it meets the same rules.
        unknown = "".join(secrets.SystemRandom().sample(password, len(password)))
        refuse_old_answer = base.ask(confirm)
        statement = f"CREATE USER {quoted(user)} IDENTIFIED BY {quoted(unknown)}"
        with _password_rules():
            self._run(" ".join((statement, *model.clauses())), secret=unknown)
        try:
            self._grant(user, model.grants)
            if model.default_roles != "ALL":
                self._run(f"ALTER USER {quoted(user)} DEFAULT ROLE {model.default_roles}")
            self._alter(user, password, refuse_old_answer)
        except BaseException:
            with contextlib.suppress(base.DatabaseError):
                self._run(f"DROP USER {quoted(user)}")
            raise

    def _grant(self, user: str, grants: Mapping[str, str]) -> None:
        for what, option in grants.items():
            try:
                self._run(f"GRANT {what} TO {quoted(user)}{option}")
            except base.DatabaseError as error:
                # The server does not say which one it was.
                raise type(error)(f"{error.reason} (GRANT {what}{option})", error.code) from None

    def _alter(self, user: str, password: str, refuse_old_answer: Callable[[], None]) -> None:
        refuse_old_answer()
        with _password_rules():
            self._run(f"ALTER USER {quoted(user)} IDENTIFIED BY {quoted(password)}", secret=password)

    def _run(self, statement: str, *, secret: str = "", **variables: str) -> list[tuple[Any, ...]]:
        with self._translated(secret), self._driver.cursor() as cursor:
            cursor.execute(statement, variables)
            return list(cursor.fetchall()) if cursor.description else []

    @contextlib.contextmanager
    def _translated(self, secret: str = "") -> Iterator[None]:
        """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the statement."""
        try:
            yield
        except ImportError:
            # The package lacks the driver, or was built for another platform: it says which file.
            raise
        except Exception as error:  # noqa: BLE001 - the driver raises its own, sockets', TLS's and Python's errors
            raise _translation(error, self._host, secret) from None


def _normal(username: str) -> str:
    """Return a name as the database knows it."""
    if username.startswith('"') and username.endswith('"') and len(username) > 1:
        username = username[1:-1]
    else:
        username = username.upper()
    quoted(username)
    return username


@contextlib.contextmanager
def _password_rules() -> Iterator[None]:
    """Name it if the server does not take the form of the password that a statement sets."""
    try:
        yield
    except base.DatabaseError as error:
        if error.code in _PASSWORD_FORM:
            raise base.PasswordRejected(f"{error.reason}; before version 23 it has 30 bytes", error.code) from None
        raise


def _log_in(login: base.Login, host: str, port: int) -> Any:
    """Return the driver's connection, by service name or else by SID."""
    try:
        return _connect(login, host, port, service_name=login.dbname)
    except Exception as error:
        if _NO_SUCH_SERVICE not in [code for code, _ in map(_said, _chain(error))]:
            raise
    logger.info("The host %s has no service %s: trying it as a SID.", host, login.dbname)
    return _connect(login, host, port, sid=login.dbname)


def _connect(login: base.Login, host: str, port: int, **name: str) -> Any:
    import oracledb  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    is_tls = login.tls is base.TlsMode.REQUIRED
    options: dict[str, Any] = {"ssl_context": ssl.create_default_context()} if is_tls else {}
    return _within(
        # The driver's own limit ends where the connection stands; a listener may stay silent behind it.
        2 * CONNECT_TIMEOUT_SECONDS,
        lambda: oracledb.connect(
            user=login.username,
            password=login.password,
            host=host,
            port=port,
            protocol="tcps" if is_tls else "tcp",
            ssl_server_dn_match=True,
            tcp_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            retry_count=0,
            program="keyturn-rotation",
            **name,
            **options,
        ),
    )


def _within(seconds: float, connect: Callable[[], Any]) -> Any:
    """Return what ``connect`` returns, or raise what it raises, or TimeoutError."""
    connected: list[Any] = []
    failed: list[BaseException] = []
    given_up = threading.Event()

    def work() -> None:
        try:
            connected.append(connect())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            failed.append(error)
        if connected and given_up.is_set():
            connected[0].close()

    thread = threading.Thread(target=work, name=CONNECT_THREAD, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    if not connected:
        given_up.set()
        raise TimeoutError
    return connected[0]


def _translation(error: Exception, host: str, secret: str) -> base.DatabaseError:
    """Return our error for the driver's, which wraps what the system or the listener said."""
    chain = _chain(error)
    for link in chain:
        if isinstance(link, base.DatabaseError):
            return link
        if isinstance(link, ssl.SSLError):
            return network.handshake_error(link, host)
    said = [found for found in map(_said, chain) if found[0]]
    for link in chain:
        # The listener may have refused over a connection that stood.
        if isinstance(link, OSError) and not any(code.startswith("ORA-") for code, _ in said):
            return network.network_error(link, f"host {host}")
    if not said:
        return base.ConnectionLost(
            f"host {host} broke the protocol off, or is no Oracle listener: {type(error).__name__}"
        )
    # The last one is where it began.
    code, message = said[-1]
    if secret:
        message = message.replace(secret, "***")
    return _ERRORS.get(code, base.DatabaseError)(f"host {host}: {message}", code)


def _said(error: BaseException) -> tuple[str, str]:
    """Return code and message of a driver's exception; nothing for another one."""
    found = error.args[0] if error.args else None
    code = str(getattr(found, "full_code", "") or "")
    # A verify function's own words are in the lines that follow; the driver adds where to read about it.
    lines = [line for line in str(getattr(found, "message", "")).splitlines() if not line.startswith("Help:")]
    return code, "; ".join(line.strip() for line in lines).removeprefix(f"{code}: ")


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in found:
        found.append(link)
        link = link.__cause__ or link.__context__
    return found
