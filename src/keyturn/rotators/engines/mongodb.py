"""MongoDB, and Amazon DocumentDB.

The driver is PyMongo. It has compiled parts for speed and does without them; they are left out of a deployment package,
so one package runs on every architecture.

**Where a user lives.** A MongoDB user belongs to one database, which is where it logs in and where its password is set.
It is ``dbname``, as in AWS's function, or ``authSource`` if the secret has that key: an application's ``dbname`` is
often the one it works with. A superuser logs in at its own.

**The primary.** Only a replica set's primary takes changes. A member that says who it is sends us there; a router
(mongos) takes changes itself.

**TLS.** MongoDB has no form of a password that could be stored in its place: ``updateUser`` and ``createUser`` carry it
in clear. So a password is set over TLS only. ``ssl`` true verifies certificate and name; without ``ssl`` any
certificate will do, and the log says that the password was shown to a server for which nobody vouches; a server without
TLS is refused. ``ssl`` false logs in without TLS, for SCRAM does not show the password, and sets none. MongoDB leaves
passwords out of its log.

**Durable.** A change waits until a majority of the replica set has it, so that a failover cannot forget it.

**Who may pass.** Commands about users are part of no transaction, and MongoDB has neither a lock for clients nor a
limit for idle connections. The question whether the password is still to be set is asked as late as possible: after it
come a new login with the password that is valid, a look at the clock, and the change. So a function that is halted
after the question changes nothing any more, unless it is halted between that look and the change: a few microseconds in
which a password can be put back.

**Two users.** The second one gets the first one's roles, custom data, authentication restrictions and mechanisms with
its password in one command. Roles that one of two existing users lacks are given to it at its turn; one that has more
than the user of the secret is refused, for it may belong to somebody else.

Source: MongoDB Manual, "User Management Commands", "hello" and "Error Codes".
"""

from __future__ import annotations

import contextlib
import logging
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import base, network

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
SUFFIX = "_clone"

# MongoDB sets no limit; a login's messages do.
_NAME_LIMIT_BYTES = 1000
_MAJORITY = {"w": "majority", "wtimeout": STATEMENT_TIMEOUT_SECONDS * 1000}
_MECHANISMS = frozenset({"SCRAM-SHA-1", "SCRAM-SHA-256"})
# What a user has beside roles and password, and what it is where nothing is said.
_DESCRIBED: Mapping[str, object] = {"customData": {}, "authenticationRestrictions": []}
_EXISTS = "51003"
# FailedToParse, InvalidOptions, DocumentDB's "Feature not supported", and a field that the parser does not know.
_NOT_UNDERSTOOD = frozenset({"9", "72", "303", "40415"})


class TooOld(base.DatabaseError):
    """The driver in this package does not know servers that old."""

    hint = (
        "Build the package with an older PyMongo: 4.13 knows Amazon DocumentDB 4.0 and MongoDB 4.0, 4.10 MongoDB 3.6"
        " (pip install 'pymongo<4.14', then keyturn function package mongodb)."
    )


class MayNotManageUsers(base.MissingGrant):
    """The user may log in but may not do this to a user."""

    hint = (
        "A user changes its own password with the action changeOwnPassword on its database, which no built-in role"
        " gives to ordinary users: create a role with it (createRole) and grant it. With alternating users the"
        " superuser secret's user needs userAdmin on that database, or userAdminAnyDatabase."
    )


class ManagedByAtlas(base.DatabaseError):
    """MongoDB Atlas does not take changes of users from clients."""

    hint = "MongoDB Atlas changes users through its own API only: rotate them with a function that calls it."


_ERRORS: Mapping[int, type[base.DatabaseError]] = {
    11: base.UserMissing,
    13: MayNotManageUsers,
    18: base.AuthenticationFailed,
    24: base.LockTimedOut,
    50: base.StatementTimedOut,
    64: base.NotReady,  # not as many members as asked for have it
    89: base.ConnectionTimedOut,
    91: base.ConnectionLost,  # shutdown in progress
    100: base.NotReady,  # the set has too few members for a majority
    112: base.LockTimedOut,
    133: base.NotReady,  # a router finds no primary
    189: base.ReadOnlyReplica,  # stepped down
    202: base.ConnectionTimedOut,
    262: base.StatementTimedOut,
    334: base.AuthenticationMethodRefused,
    8000: ManagedByAtlas,
    10107: base.ReadOnlyReplica,
    11600: base.ConnectionLost,  # shutdown in progress
    11601: base.StatementTimedOut,  # somebody has it ended
    11602: base.ReadOnlyReplica,  # stepped down
    13435: base.ReadOnlyReplica,
    13436: base.ReadOnlyReplica,
}
_ATLAS = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class MongodbLogin(base.Login):
    """A login, whose ``dbname`` is the database of the users that are to be changed.

    Attributes:
        authentication_database: The one in which this user itself is known.
    """

    authentication_database: str


class Engine:
    """MongoDB from version 4.4, and Amazon DocumentDB from 5.0; older ones with an older driver."""

    title = "MongoDB"
    engine_names: tuple[str, ...] = ("mongo",)
    exclude_characters = "/@\"'\\"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("pymongo",)
    left_out = ("*.so", "*.c", "*.h", "gridfs/*")

    def login(self, value: Mapping[str, object]) -> MongodbLogin:
        """Read the secret's JSON."""
        named = {**value, "dbname": value.get("authSource") or value.get("dbname")}
        login = base.read_login(named, engines=self.engine_names, default_port=27017, default_dbname="admin")
        if any(part in login.host for part in ("/", "?", "%", ".sock")):
            # The driver takes URIs and sockets there, with options that are not ours.
            raise ValueError("host in the secret JSON must be a name or an address, or several with commas.")
        return MongodbLogin(
            login.username,
            login.password,
            login.host,
            login.port,
            login.dbname,
            login.tls,
            authentication_database=login.dbname,
        )

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=_NAME_LIMIT_BYTES, unit="bytes")

    def connect(self, login: base.Login) -> MongodbConnection:
        """Log in at the primary, which the first host that can be reached names."""
        return base.connect_to_first(MongodbConnection, login)


class MongodbConnection(base.Connection):
    """One login."""

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        self._login = login
        self._host, self._port = _primary(login, host, port)
        self._logging_in = True
        self._driver = _client(login, self._host, self._port, with_credentials=True)
        try:
            # The driver logs in with the first command.
            self.test()
        except BaseException:
            self.close()
            raise
        self._logging_in = False

    @property
    def password_was_checked(self) -> bool:
        """Always true: a server without access control refuses a wrong password as well."""
        return True

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Set the password of this user or another one; mechanisms stay what they are."""
        self._refuse_plaintext(username)
        user = self._user(username)
        if user is None:
            raise base.UserMissing(f"{self._host}: database {self._login.dbname} has no user {username}")
        self._change({"updateUser": username, "pwd": password, **_mechanisms(user)}, confirm)
        if (username, self._login.dbname) == (self._login.username, _known_in(self._login)):
            # With which the next change has to log in.
            self._login = replace(self._login, password=password)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a user with the roles of ``like`` and what else describes it, or complete the one there is."""
        self._refuse_plaintext(username)
        model, own = self._described(like), self._described(username)
        if model is None:
            raise base.UserMissing(f"{self._host}: database {self._login.dbname} has no user {like}")
        if own is None:
            described = {name: model[name] for name in _DESCRIBED if model.get(name)}
            command = {"createUser": username, "pwd": password, "roles": model["roles"], **described}
            try:
                self._change({**command, **_mechanisms(model)}, confirm)
            except base.DatabaseError as error:
                # Another attempt of the same step has been faster.
                if error.code != _EXISTS or (own := self._described(username)) is None:
                    raise
            else:
                return
        command = {"updateUser": username, "pwd": password}
        if _roles(own) - _roles(model):
            more = ", ".join(sorted(f"{role} on {database}" for role, database in _roles(own) - _roles(model)))
            raise base.NotAClone(
                f"{self._host}: user {username} may do more than {like} ({more}), and may be somebody else's"
            )
        if _roles(model) - _roles(own):
            command["roles"] = model["roles"]
        # The first of the two is the model in what is not granted: an alteration of it must not be undone.
        is_model = username != like + SUFFIX
        if not is_model:
            command |= {
                name: model.get(name, empty)
                for name, empty in _DESCRIBED.items()
                if model.get(name, empty) != own.get(name, empty)
            }
        self._change({**command, **_mechanisms(own if is_model else model)}, confirm)

    def test(self) -> None:
        """Ask whether the server is there."""
        self._run(self._driver, {"ping": 1})

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        with contextlib.suppress(Exception):
            self._driver.close()

    def _refuse_plaintext(self, username: str) -> None:
        if self._login.tls is base.TlsMode.FORBIDDEN:
            raise base.TlsRequired(
                f"{self._host} takes a new password for user {username} in clear only, hence over TLS only"
            )
        if self._login.tls is not base.TlsMode.REQUIRED:
            logger.warning(
                "The host %s gets the new password over TLS, but nobody vouches for its certificate. Set ssl to true.",
                self._host,
            )

    def _change(self, command: Mapping[str, object], confirm: base.Confirm) -> None:
        """Ask, log in anew, and run a command that changes a user, durably."""
        refuse_old_answer = base.ask(confirm)
        comforts = {"writeConcern": _MAJORITY, "maxTimeMS": STATEMENT_TIMEOUT_SECONDS * 1000}
        with contextlib.closing(_client(self._login, self._host, self._port, with_credentials=True)) as fresh:
            self._run(fresh, {"ping": 1})
            refuse_old_answer()
            try:
                reply = self._run(fresh, {**command, **comforts})
            except base.DatabaseError as error:
                if error.code not in _NOT_UNDERSTOOD:
                    raise
                reply = self._run(fresh, command)
        if unsure := reply.get("writeConcernError"):
            raise base.NotReady(
                f"{self._host}: the change is made, but not at a majority of the replica set: {unsure.get('errmsg')}",
                str(unsure.get("code")),
            )

    def _user(self, username: str, **options: bool) -> dict[str, Any] | None:
        which = {"user": username, "db": self._login.dbname}
        found = self._run(self._driver, {"usersInfo": which, **options})["users"]
        return found[0] if found else None

    def _described(self, username: str) -> dict[str, Any] | None:
        """Return everything that a second user needs; DocumentDB has no restrictions and does not know the option."""
        try:
            return self._user(username, showAuthenticationRestrictions=True)
        except base.DatabaseError as error:
            if error.code not in _NOT_UNDERSTOOD:
                raise
            return self._user(username)

    def _run(self, driver: Any, command: Mapping[str, object]) -> dict[str, Any]:
        with _translated(driver, self._host, self._login, logging_in=self._logging_in, command=command):
            return dict(driver[self._login.dbname].command(dict(command)))


def _primary(login: base.Login, host: str, port: int) -> tuple[str, int]:
    """Return where changes are possible: here, or where this member says.

    Nothing is shown yet: the server is asked before anybody logs in.
    """
    named = _ask_for_primary(login, host, port)
    if named is None:
        return host, port
    logger.info("The host %s is a secondary; its primary is %s:%s.", host, *named)
    if _ask_for_primary(login, *named) is not None:
        raise base.ReadOnlyReplica(f"{host} names {named[0]} as the primary, which says that it is none")
    return named


def _ask_for_primary(login: base.Login, host: str, port: int) -> tuple[str, int] | None:
    """Return the primary that a member names; None if this server itself takes changes."""
    network.knock(login, host, port, CONNECT_TIMEOUT_SECONDS)
    with contextlib.closing(_client(login, host, port, with_credentials=False)) as client:
        with _translated(client, host, login, logging_in=True, command={}):
            if client.is_primary:
                return None
        [description] = client.topology_description.server_descriptions().values()
    if description.primary is None:
        raise base.ReadOnlyReplica(f"{host} is a member of a replica set and knows no primary")
    primary_host, primary_port = description.primary
    return str(primary_host), int(primary_port or port)


def _client(login: base.Login, host: str, port: int, *, with_credentials: bool) -> Any:
    """Return the driver's client of one server, which connects when it is first used."""
    import pymongo  # noqa: PLC0415 - only where a connection is made, so that a package without it says so there

    options: dict[str, Any] = {}
    if with_credentials:
        # The driver picks SCRAM; PLAIN, which shows the password, it never does unasked.
        options |= {"username": login.username, "password": login.password, "authSource": _known_in(login)}
    if login.tls is base.TlsMode.PREFERRED:
        options["tlsAllowInvalidCertificates"] = True
    return pymongo.MongoClient(
        host=f"[{host}]" if ":" in host else host,
        port=port,
        directConnection=True,
        connect=False,
        tls=login.tls is not base.TlsMode.FORBIDDEN,
        appname="keyturn-rotation",
        connectTimeoutMS=CONNECT_TIMEOUT_SECONDS * 1000,
        serverSelectionTimeoutMS=CONNECT_TIMEOUT_SECONDS * 1000,
        socketTimeoutMS=(STATEMENT_TIMEOUT_SECONDS + CONNECT_TIMEOUT_SECONDS) * 1000,
        serverMonitoringMode="poll",
        retryReads=False,
        retryWrites=False,
        **options,
    )


def _known_in(login: base.Login) -> str:
    return login.authentication_database if isinstance(login, MongodbLogin) else login.dbname


def _mechanisms(user: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what a command needs to leave a user its ways to log in; without it MongoDB gives both."""
    has = set(user.get("mechanisms", ()))
    return {"mechanisms": sorted(has)} if has & _MECHANISMS and has < _MECHANISMS else {}


def _roles(user: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(role["role"], role["db"]) for role in user["roles"]}


@contextlib.contextmanager
def _translated(
    driver: Any, host: str, login: base.Login, *, logging_in: bool, command: Mapping[str, object]
) -> Iterator[None]:
    """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the command."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the driver raises its own, sockets', TLS's and Python's errors
        found = _translation(error, _chain(error, *_discovery_errors(driver)), host, login, logging_in=logging_in)
        if found.code is not None and command:
            found = type(found)(_without_command(found, command, host, login), found.code)
        raise found from None


def _without_command(error: base.DatabaseError, command: Mapping[str, object], host: str, login: base.Login) -> str:
    """Return a server's reason in words that do not repeat the command, and with it a password."""
    if isinstance(error, MayNotManageUsers):
        [what, whom] = next(iter(command.items()))
        name = whom["user"] if isinstance(whom, dict) else whom
        return f"host {host}: user {login.username} may not run {what} on {name} of database {login.dbname}"
    password = command.get("pwd")
    return error.reason.replace(password, "***") if isinstance(password, str) else error.reason


def _translation(
    error: Exception, chain: list[BaseException], host: str, login: base.Login, *, logging_in: bool
) -> base.DatabaseError:
    import pymongo.errors  # noqa: PLC0415 - as above

    for link in chain:
        if isinstance(link, ssl.SSLError):
            return network.tls_error(link, host)
    if isinstance(error, pymongo.errors.OperationFailure | pymongo.errors.NotPrimaryError):
        details = error.details if isinstance(error.details, dict) else {}
        return _server_error(details, host, login, logging_in=logging_in)
    if any(isinstance(link, pymongo.errors.ConfigurationError) for link in chain):
        return TooOld(f"host {host} is older than this function's driver, PyMongo {pymongo.version}, knows")
    for link in chain:
        if isinstance(link, OSError):
            return network.network_error(link, f"host {host}, connected")
    if isinstance(error, pymongo.errors.AutoReconnect):
        if logging_in and login.tls is base.TlsMode.FORBIDDEN:
            return base.TlsRequired(f"host {host} closed the connection, as a server does that takes TLS only")
        return base.ConnectionLost(f"host {host} closed the connection, or is no MongoDB server")
    return base.DatabaseError(f"host {host}: the driver refuses this login or command: {type(error).__name__}")


def _server_error(details: Mapping[str, Any], host: str, login: base.Login, *, logging_in: bool) -> base.DatabaseError:
    code, message = details.get("code", 0), str(details.get("errmsg", "no reason given"))
    kind = _ERRORS.get(code, base.DatabaseError)
    if code == _ATLAS and logging_in:
        kind = base.AuthenticationFailed
    if kind is base.AuthenticationFailed:
        message = f"{message.rstrip('.')} (user {login.username} of database {_known_in(login)})"
    return kind(f"host {host}: {message.rstrip('.')}", str(code))


def _discovery_errors(driver: Any) -> list[BaseException]:
    """Return why the driver found no server; its own exception has the text only."""
    descriptions: Iterable[Any] = driver.topology_description.server_descriptions().values()
    return [description.error for description in descriptions if description.error is not None]


def _chain(*errors: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    for error in errors:
        link: BaseException | None = error
        while link is not None and link not in found:
            found.append(link)
            link = link.__cause__ or link.__context__
    return found
