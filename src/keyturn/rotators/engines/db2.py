"""Amazon RDS for Db2.

The driver is IBM's own, ibm_db, with IBM's client in it: 45 MB of compiled code for Linux on x86_64. A package runs on
the Python for which it was built, 3.12 or newer in AWS Lambda, whose older images have a C library that is too old.

**Who changes a password.** Db2 keeps none: passwords are the operating system's. On RDS they are set by procedures of
the database ``rdsadmin``, which the master user may call, so both strategies need a superuser secret (``masterarn``).
Db2 elsewhere has no such procedures and is not offered.

**TLS.** Db2 gets passwords in clear, at the login and as arguments of those procedures: ``ssl`` must be true and the
port be that of TLS (50443 on RDS unless configured otherwise). The certificate must hold and carry the host's name.

**Later.** RDS says that it has changed a password before it has. So the new one is tried until it is in force, for ten
seconds; then the step fails, and the next attempt finds it in force.

**Who may pass.** The procedures are part of no transaction: the question whether the password is still to be set is
asked right before, and a function that was held up since then refuses itself. One that is halted between the two, or
whose change RDS makes after a later one, can put a password back.

**Two users.** On RDS users gain access by their groups. The second one joins the groups of the first and gets its
database authorities. Roles and privileges that were granted to the first user itself are not copied: a user that has
some is refused, with their names.

Source: Amazon RDS User Guide, "Stored procedures for granting and revoking privileges for RDS for Db2"; IBM Db2 11.5
documentation, SYSCAT.DBAUTH, SYSCAT.ROLEAUTH, SYSIBMADM.PRIVILEGES, AUTH_LIST_GROUPS_FOR_AUTHID, SQL messages.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import base, network

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
IN_FORCE_SECONDS = 10
SUFFIX = "_clone"

_PAUSE_SECONDS = 2
# AWS's function; RDS makes operating system users of them.
_NAME_LIMIT = 16
_ADMINISTRATION = "rdsadmin"
# In SYSCAT.DBAUTH a column is named after an authority, and GRANT calls some of them otherwise.
_AUTHORITIES: Mapping[str, str] = {
    "BINDADDAUTH": "BINDADD",
    "CONNECTAUTH": "CONNECT",
    "CREATETABAUTH": "CREATETAB",
    "DBADMAUTH": "DBADM WITHOUT DATAACCESS WITHOUT ACCESSCTRL",
    "EXTERNALROUTINEAUTH": "CREATE_EXTERNAL_ROUTINE",
    "IMPLSCHEMAAUTH": "IMPLICIT_SCHEMA",
    "LOADAUTH": "LOAD",
    "NOFENCEAUTH": "CREATE_NOT_FENCED_ROUTINE",
    "QUIESCECONNECTAUTH": "QUIESCE_CONNECT",
    "SECURITYADMAUTH": "SECADM",
    "SQLADMAUTH": "SQLADM",
    "WLMADMAUTH": "WLMADM",
    "EXPLAINAUTH": "EXPLAIN",
    "DATAACCESSAUTH": "DATAACCESS",
    "ACCESSCTRLAUTH": "ACCESSCTRL",
    "CREATESECUREAUTH": "CREATE_SECURE_OBJECT",
}
_HELD = f"SELECT {', '.join(_AUTHORITIES)} FROM syscat.dbauth WHERE grantee = ? AND granteetype = 'U'"  # noqa: S608 - ours
_GROUPS = "SELECT group FROM TABLE (sysproc.auth_list_groups_for_authid(?)) AS groups"
_OWN = """
    SELECT 'role ' CONCAT rolename FROM syscat.roleauth WHERE grantee = ? AND granteetype = 'U'
    UNION ALL
    SELECT privilege CONCAT ' ON ' CONCAT COALESCE(RTRIM(objectschema) CONCAT '.', '') CONCAT objectname
    FROM sysibmadm.privileges WHERE authid = ? AND authidtype = 'U'
"""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


class NotRds(base.DatabaseError):
    """The server has no procedures that change passwords."""

    hint = (
        "This function changes passwords with the rdsadmin procedures of Amazon RDS for Db2. Elsewhere they are the"
        " operating system's: rotate them with a function that changes them there."
    )


class OwnPrivileges(base.DatabaseError):
    """The user holds what its second one cannot be given."""

    hint = (
        "Grant it to a group that the user is in (rdsadmin.add_groups) instead of to the user, or rotate a single user:"
        " of two users in turn the second one gets groups and database authorities."
    )


_ERRORS: Mapping[int, type[base.DatabaseError]] = {
    440: NotRds,
    551: base.MissingGrant,
    552: base.MissingGrant,
    911: base.LockTimedOut,
    913: base.LockTimedOut,
    952: base.StatementTimedOut,
    1013: base.DatabaseMissing,
    1032: base.NotReady,
    1035: base.NotReady,
    1040: base.NotReady,
    1060: base.NotAdmitted,
    1092: base.MissingGrant,
    1117: base.NotReady,
    1224: base.ConnectionLost,
    1226: base.NotReady,
    1336: base.HostNotFound,
    1776: base.ReadOnlyReplica,
    20576: base.TlsFailed,
    30061: base.DatabaseMissing,
    30081: base.ConnectionLost,
}
_COMMUNICATION, _SECURITY = 30081, 30082
# IBM Db2 documentation, message SQL30082N: reason codes.
_REASONS: Mapping[str, type[base.DatabaseError]] = {
    "1": base.NotAdmitted,  # expired
    "17": base.AuthenticationMethodRefused,
    "19": base.NotAdmitted,  # disabled
    "24": base.AuthenticationFailed,
}


class Engine:
    """Amazon RDS for Db2."""

    title = "Db2"
    engine_names: tuple[str, ...] = ("db2",)
    # The last two have a meaning in the driver's connection string.
    exclude_characters = "/@\"'\\;{"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("ibm_db",)
    # Tests, commands, what earlier runs have written, and files that are there under several names.
    left_out = (
        "ibm_db_tests/*", "ibmdb_tests.py", "testfunctions.py", "tmp/*", "clidriver/bin/*", "clidriver/db2dump/*",
        "clidriver/include/*", "clidriver/lib/libdb2.so", "clidriver/lib/libDB2xml4c*",
    )  # fmt: skip
    # No user can change its own password by SQL.
    strategies = ("single_user_by_superuser", "alternating_users")

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON; ``dbname`` must be there, and ``ssl`` be true."""
        login = base.read_login(value, engines=self.engine_names, default_port=50000, default_dbname="")
        if not login.dbname:
            raise KeyError("dbname key is missing from secret JSON")
        if login.tls is not base.TlsMode.REQUIRED:
            raise ValueError("ssl in the secret JSON must be true: Db2 gets passwords in clear, hence over TLS only.")
        if not _NAME.fullmatch(login.username) or not _NAME.fullmatch(login.dbname):
            raise ValueError("username and dbname in the secret JSON must be letters, digits and underscores.")
        if any(character in login.host for character in ";={}"):
            raise ValueError("host in the secret JSON must be a name or an address, or several with commas.")
        if ";" in login.password or login.password[0] in "{\"'" or login.password.strip() != login.password:
            raise ValueError(
                "password in the secret JSON cannot be given to Db2's driver: no semicolon, no brace or quote at the"
                " beginning, no space around it."
            )
        return login

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=_NAME_LIMIT, unit="characters")

    def connect(self, login: base.Login) -> Db2Connection:
        """Log in at the first host that can be reached and takes changes."""
        return base.connect_to_first(Db2Connection, login)


class Db2Connection(base.Connection):
    """One login."""

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        self._login = login
        self._host, self._port = host, port
        # A package without the driver says so first.
        _driver_module()
        network.knock(login, host, port, CONNECT_TIMEOUT_SECONDS)
        self._driver = self._open(login)

    @property
    def password_was_checked(self) -> bool:
        """Always true: the operating system has checked it."""
        return True

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Set a user's password as the master user, and wait until it is in force."""
        with self._administration() as administration:
            refuse_old_answer = base.ask(confirm)
            self._change(administration, username, password, refuse_old_answer)
        self._wait_until_in_force(username, password)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a user with the groups and authorities of ``like``, or complete the one there is; password at last."""
        groups, authorities = self._groups(like), self._authorities(like)
        self._refuse_own_privileges(like)
        with self._administration() as administration:
            exists = username.upper() in self._users(administration)
            missing = groups
            if exists:
                missing = groups - self._groups(username)
                self._refuse_stronger(username, like, groups, authorities)
            refuse_old_answer = base.ask(confirm)
            for authority in sorted(authorities - self._authorities(username)):
                # A name, as Engine.login has it: nothing to be quoted, and known in upper case.
                self._run(self._driver, f"GRANT {authority} ON DATABASE TO USER {username.upper()}")
            if not exists:
                refuse_old_answer()
                call = "CALL rdsadmin.add_user(?, ?, ?)"
                self._run(administration, call, username, password, ",".join(sorted(groups)), secret=password)
            else:
                if missing:
                    self._run(administration, "CALL rdsadmin.add_groups(?, ?)", username, ",".join(sorted(missing)))
                self._change(administration, username, password, refuse_old_answer)
        self._wait_until_in_force(username, password)

    def test(self) -> None:
        """Read the server's time."""
        self._run(self._driver, "VALUES CURRENT TIMESTAMP")

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        with contextlib.suppress(Exception):
            _driver_module().close(self._driver)

    # Steps.

    def _change(self, administration: Any, username: str, password: str, refuse_old_answer: Callable[[], None]) -> None:
        refuse_old_answer()
        self._run(administration, "CALL rdsadmin.change_password(?, ?)", username, password, secret=password)

    def _wait_until_in_force(self, username: str, password: str) -> None:
        """Return once the database accepts it.

        Raises:
            NotReady: It does not yet.
        """
        login = replace(self._login, username=username, password=password)
        deadline = time.monotonic() + IN_FORCE_SECONDS
        while True:
            with contextlib.suppress(base.AuthenticationFailed, base.NotAdmitted):
                opened = self._open(login)
                _driver_module().close(opened)
                return
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE_SECONDS)
        raise base.NotReady(f"host {self._host} has taken the password of user {username}, but it is not in force yet")

    def _refuse_own_privileges(self, username: str) -> None:
        own = sorted(str(what).strip() for [what] in self._run(self._driver, _OWN, *[username.upper()] * 2))
        if own:
            raise OwnPrivileges(f"host {self._host}: user {username} itself holds {', '.join(own[:5])}")

    def _refuse_stronger(self, username: str, like: str, groups: set[str], authorities: set[str]) -> None:
        self._refuse_own_privileges(username)
        more = sorted((self._groups(username) - groups) | (self._authorities(username) - authorities))
        if more:
            raise base.NotAClone(
                f"host {self._host}: user {username} may do more than {like} ({', '.join(more[:5])}), and may be"
                " somebody else's"
            )

    def _groups(self, username: str) -> set[str]:
        # Db2 knows them in upper case, Linux in lower.
        return {str(group).strip().lower() for [group] in self._run(self._driver, _GROUPS, username.upper())}

    def _authorities(self, username: str) -> set[str]:
        # Whoever granted them has a row of its own.
        return {
            authority
            for row in self._run(self._driver, _HELD, username.upper())
            for authority, held in zip(_AUTHORITIES.values(), row, strict=True)
            if held == "Y"
        }

    def _users(self, administration: Any) -> set[str]:
        """Return the names of all users, in upper case; RDS answers with a text of lines and tabulators."""
        return {
            line.split("\t")[0].strip().upper()
            for [text] in self._run(administration, "CALL rdsadmin.list_users()")
            for line in str(text).splitlines()
        }

    @contextlib.contextmanager
    def _administration(self) -> Iterator[Any]:
        """Log in to the database of the procedures."""
        opened = self._open(replace(self._login, dbname=_ADMINISTRATION))
        try:
            yield opened
        finally:
            with contextlib.suppress(Exception):
                _driver_module().close(opened)

    def _open(self, login: base.Login) -> Any:
        driver = _driver_module()
        words = connection_words(login, self._host, self._port, _authorities_file())
        with self._translated(login.password):
            return driver.connect("".join(f"{name}={value};" for name, value in words.items()), "", "")

    def _run(self, connection: Any, statement: str, *values: str, secret: str = "") -> list[tuple[Any, ...]]:
        driver = _driver_module()
        with self._translated(secret):
            prepared = driver.prepare(connection, statement, {driver.SQL_ATTR_QUERY_TIMEOUT: STATEMENT_TIMEOUT_SECONDS})
            driver.execute(prepared, values) if values else driver.execute(prepared)
            rows: list[tuple[Any, ...]] = []
            while driver.num_fields(prepared) and (row := driver.fetch_tuple(prepared)):
                rows.append(row)
            return rows

    @contextlib.contextmanager
    def _translated(self, secret: str) -> Iterator[None]:
        """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the statement."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the driver raises Exception itself
            text = str(error).replace(secret, "***") if secret else str(error)
            raise _translation(text, self._host) from None


def connection_words(login: base.Login, host: str, port: int, authorities: str) -> dict[str, object]:
    """Return the words of the driver's connection string; nothing that Engine.login lets through can end its value."""
    return {
        "DATABASE": login.dbname,
        "HOSTNAME": host,
        "PORT": port,
        "PROTOCOL": "TCPIP",
        "UID": login.username,
        "PWD": login.password,
        "ConnectTimeout": CONNECT_TIMEOUT_SECONDS,
        "ReceiveTimeout": STATEMENT_TIMEOUT_SECONDS + CONNECT_TIMEOUT_SECONDS,
        "Security": "SSL",
        "SSLServerCertificate": authorities,
        "SSLClientHostnameValidation": "Basic",
    }


def _driver_module() -> Any:
    import ibm_db  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    return ibm_db


def _authorities_file() -> str:
    """Return where the certificates of authorities are, for a driver that reads them itself."""
    paths = ssl.get_default_verify_paths()
    for path in (os.environ.get("SSL_CERT_FILE"), paths.cafile, "/etc/pki/tls/cert.pem"):
        if path and Path(path).is_file():
            return path
    raise base.TlsFailed("There is no file with the certificates of authorities")


def _translation(text: str, host: str) -> base.DatabaseError:
    """Return our error for the driver's, which is a text."""
    code = re.search(r"SQLCODE=(-?\d+)", text)
    state = re.search(r"SQLSTATE=(\w+)", text)
    if code is None:
        return base.ConnectionLost(f"host {host} broke the protocol off, or is no Db2 server")
    number = abs(int(code[1]))
    reason = re.search(r'reason "(\d+)"', text)
    if number == _SECURITY:
        kind = _REASONS.get(reason[1] if reason else "", base.DatabaseError)
    elif number == _COMMUNICATION and "Timeout" in text:
        kind = base.ConnectionTimedOut
    else:
        kind = _ERRORS.get(number, base.DatabaseError)
    message = " ".join(re.sub(r"\[(IBM|CLI Driver|DB2[^\]]*)\]|SQLSTATE=\w+|SQLCODE=-?\d+", "", text).split()).rstrip(
        ". "
    )
    return kind(f"host {host}: {message}", f"SQLCODE {code[1]}, SQLSTATE {state[1] if state else '?'}")
