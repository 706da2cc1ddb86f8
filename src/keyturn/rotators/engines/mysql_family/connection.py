"""One login to a MySQL or MariaDB server: the steps that both share, and what is left to each.

**Nobody passes.** ALTER USER and SET PASSWORD come true at once; there is no transaction in which to ask whether the
password is still to be set. In its place the session takes a named lock (GET_LOCK, one for each user name) and tells
the server to end it after ten idle seconds (``wait_timeout``). Then it asks, and then it sets the password: if the
function is halted in between, its session and lock are gone before another rotation can set a later password, and its
own statement finds a closed connection. The lock binds rotation functions only, and one server only: the nodes of a
Galera cluster or a multi-primary group each have their own, so a secret should name one of them first.

**The account.** A user changes the account that the server has logged it in as (CURRENT_USER), whatever its host. For
another user it is the account of that name that the server would pick for this client.

**Two users.** The second one gets the first one's account options, roles and grants, under the same host, and at last
the password: until then nobody can log in as it. Grants that one of two existing users lacks are given to it at its
turn; one that has more than the user of the secret is refused, for it may belong to somebody else.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from .. import base
from . import driver, errors
from .accounts import Account, Definition, Grants, account_for, quoted

CONNECT_TIMEOUT_SECONDS = 5
STATEMENT_TIMEOUT_SECONDS = 10
# Less than a statement's, so that it ends in our words.
LOCK_TIMEOUT_SECONDS = 9
SUFFIX = "_clone"

# Aurora's readers say the third only.
_READ_ONLY = ("read_only", "super_read_only", "innodb_read_only")


class FamilyConnection(base.Connection, ABC):
    """One login."""

    # What the server is, in people's words; and what it says of itself.
    product: ClassVar[str]
    is_mariadb: ClassVar[bool]
    may_see_password: ClassVar[bool]
    # What ALTER USER needs where SHOW CREATE USER says nothing.
    default_rest: ClassVar[str]

    def __init__(self, login: base.Login, host: str, port: int) -> None:
        self._login = login
        self._host = host
        self._logging_in = True
        try:
            with self._translated():
                self._driver = driver.log_in(
                    login, host, port, timeout_seconds=CONNECT_TIMEOUT_SECONDS, may_see_password=self.may_see_password
                )
        except base.AuthenticationFailed as error:
            if login.tls is base.TlsMode.FORBIDDEN:
                # REQUIRE SSL: the server says nothing else than if the password were wrong.
                error = base.AuthenticationFailed(
                    f"{error.reason}, or this user must use TLS, which the secret forbids", error.code
                )
            raise error from None
        self._logging_in = False
        # The driver sets it before each answer that it waits for.
        self._driver._read_timeout = STATEMENT_TIMEOUT_SECONDS + CONNECT_TIMEOUT_SECONDS  # noqa: SLF001 - it has no other way
        try:
            self._know_server(login)
        except BaseException:
            self.close()
            raise

    def _know_server(self, login: base.Login) -> None:
        # ProxySQL answers this question, in these words, itself.
        if "ProxySQL" in str(self._run("SELECT @@version_comment LIMIT 1")):
            raise base.BehindProxy(f"{self._host} is ProxySQL")
        [[account, client, self._version]] = self._run("SELECT CURRENT_USER(), USER(), VERSION()")
        self._account, self._client = Account.parse(account), Account.parse(client)
        if self.password_was_checked and self._account.user != login.username:
            # An anonymous account, or a proxied one: whoever knows its password is not who the secret says.
            raise base.NotAdmitted(f"{self._host} lets {login.username} in as {self._account}, not as itself")
        if ("MariaDB" in self._version) != self.is_mariadb:
            raise base.AnotherProduct(f"{self._host} is no {self.product} server: it says {self._version}")
        # Asked even of users whom it does not bind: what they write on a replica is lost or breaks it.
        names = ", ".join(f"'{name}'" for name in _READ_ONLY)
        for name, value in self._run(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})"):
            if value not in ("OFF", "0"):
                raise base.ReadOnlyReplica(f"{self._host} is a read-only replica: {name} is {value}")

    @property
    def password_was_checked(self) -> bool:
        """False if the server runs with --skip-grant-tables; then any password would have done."""
        return self._account.user != "skip-grants user"

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Set the password of the account that this user has logged in as, or of another user's."""
        self._prepare_session()
        account = self._account_of(username)
        definition = self._definition(account)
        self._refuse_unsuitable(account, definition)
        with self._lock(username):
            confirm()
            self._set_password(account, definition, password)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create an account with the options, roles and grants of ``like``, or complete the one there is.

        Its password is set at last: who finds it in force finds everything else done.
        """
        self._prepare_session()
        model = self._account_of(like)
        target = Account(username, model.host)
        definition, grants = self._definition(model), self._grants(model)
        self._refuse_unsuitable(target, definition)
        with self._lock(username):
            if target.host not in self._hosts(username):
                confirm()
                self._create(target, definition, grants, password)
                return
            own, has = self._definition(target), self._grants(target)
            _refuse_stronger(has, grants, f"{self._host}: user {username} may do more than {like}")
            # The first of the two is the model in what is not granted: an alteration of it must not be undone.
            is_model = username != like + SUFFIX
            if is_model:
                self._refuse_unsuitable(target, own)
            confirm()
            if not grants.rights() <= has.rights():
                for grant in grants.grants:
                    self._run(grant.to(target))
            if not is_model:
                self._alter(target, definition, grants, own, has)
            self._set_password(target, own if is_model else definition, password)

    def test(self) -> None:
        """Read the server's time."""
        self._run("SELECT NOW()")

    def close(self) -> None:
        """End the connection; a server that is gone already has ended it too."""
        with contextlib.suppress(Exception):
            self._driver.close()

    # What MySQL and MariaDB do each in their own way.

    @abstractmethod
    def _session_settings(self, timeout: str) -> Mapping[str, str]:
        """Return variables to set, beside those of :meth:`_prepare_session`.

        Args:
            timeout: After how many seconds a statement that waits is to give up.
        """

    @abstractmethod
    def _refuse_unsuitable(self, account: Account, definition: Definition) -> None:
        """Return if a password can be set safely for an account that logs in so; while nothing has been done yet."""

    @abstractmethod
    def _set_password(self, account: Account, definition: Definition, password: str) -> None:
        """Set it, at once and durably."""

    @abstractmethod
    def _create_statement(self, account: Account, definition: Definition, password: str) -> str:
        """Return CREATE USER for an account that logs in in the same way, with this password."""

    @abstractmethod
    def _default_role_statement(self, account: Account, roles: str) -> str:
        """Return what makes these roles the default ones, or none."""

    # Steps.

    def _prepare_session(self) -> None:
        """Set what the statements below depend on."""
        timeout = str(STATEMENT_TIMEOUT_SECONDS)
        settings = {
            # Backslashes mean what they mean to accounts.quoted().
            "sql_mode": "''",
            "sql_quote_show_create": "1",
            # A function that is halted loses its session, and a statement that waits gives up.
            "wait_timeout": timeout,
            "lock_wait_timeout": timeout,
            **self._session_settings(timeout),
        }
        self._run("SET SESSION " + ", ".join(f"{name} = {value}" for name, value in settings.items()))

    @contextlib.contextmanager
    def _lock(self, username: str) -> Iterator[None]:
        """Be the only rotation function that changes this user, as long as the session lives."""
        # A lock's name is short in MySQL.
        name = "keyturn:" + hashlib.sha256(username.encode()).hexdigest()[:40]
        if self._run(f"SELECT GET_LOCK('{name}', {LOCK_TIMEOUT_SECONDS})") != [[1]]:
            raise base.NotReady(f"{self._host}: another rotation of user {username} is at work")
        try:
            yield
        finally:
            with contextlib.suppress(base.DatabaseError):
                self._run(f"SELECT RELEASE_LOCK('{name}')")

    def _account_of(self, username: str) -> Account:
        """Return the account that a user logs in as from here."""
        if username == self._account.user:
            return self._account
        hosts = self._hosts(username)
        host = hosts[0] if len(hosts) == 1 else account_for(hosts, self._client.host)
        if host is None:
            found = f"only from {', '.join(sorted(hosts))}" if hosts else "nowhere"
            raise base.UserMissing(
                f"{self._host}: user {username} may log in {found}, and this function comes from {self._client.host}"
            )
        return Account(username, host)

    def _hosts(self, username: str) -> list[str]:
        """Return the hosts of all accounts of this name."""
        # MariaDB keeps roles in the same table, without a host.
        rows = self._run(f"SELECT Host FROM mysql.user WHERE User = {quoted(username)} AND Host <> ''")  # noqa: S608 - quoted
        return [str(host) for [host] in rows]

    def _definition(self, account: Account) -> Definition:
        [[statement, *_], *_] = self._run(f"SHOW CREATE USER {account}")
        definition = Definition.parse(statement)
        if len(definition.plugins) > 1:
            raise base.AuthenticationMethodRefused(
                f"{self._host}: user {account.user} logs in by any of {', '.join(definition.plugins)}, and a rotation"
                " would set one of them only"
            )
        return definition

    def _grants(self, account: Account) -> Grants:
        return Grants.parse(str(line) for [line] in self._run(f"SHOW GRANTS FOR {account}"))

    def _create(self, target: Account, definition: Definition, grants: Grants, password: str) -> None:
        """Make a whole account, or none; until it is whole with a password that nobody knows."""
        statement = self._create_statement(target, definition, secrets.token_urlsafe(32))
        self._run(f"{statement} {definition.options()}".rstrip())
        try:
            for grant in grants.grants:
                self._run(grant.to(target))
            if roles := definition.default_roles or grants.default_role:
                self._run(self._default_role_statement(target, roles))
            self._set_password(target, definition, password)
        except BaseException:
            with contextlib.suppress(base.DatabaseError):
                self._run(f"DROP USER {target}")
            raise

    def _alter(self, target: Account, definition: Definition, grants: Grants, own: Definition, has: Grants) -> None:
        """Give an account the options and default roles of its model, if they have been altered there."""
        if own.options() != definition.options():
            self._run(f"ALTER USER {target} {definition.all_options(self.default_rest)}")
        roles = definition.default_roles or grants.default_role
        if roles != (own.default_roles or has.default_role):
            self._run(self._default_role_statement(target, roles or "NONE"))

    def _run(self, statement: str) -> list[list[Any]]:
        with self._translated():
            self._driver.query(statement)
            return [list(row) for row in self._driver._result.rows or ()]  # noqa: SLF001 - without a cursor's formatting

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn whatever the driver raises into a DatabaseError, and drop the original: it may hold the statement."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the driver raises its own, sockets', TLS's and Python's errors
            raise errors.translation(error, host=self._host, logging_in=self._logging_in) from None


def _refuse_stronger(has: Grants, grants: Grants, complaint: str) -> None:
    allowed = grants.rights()
    more = sorted(str(right) for right in has.rights() if not right.is_within(allowed))
    if more:
        raise base.NotAClone(f"{complaint} ({'; '.join(more[:5])}), and may be somebody else's")
