"""MySQL, and Aurora MySQL.

The driver is PyMySQL: pure Python, so one deployment package runs on every architecture. What MySQL shares with MariaDB
is in ``mysql_family/``.

**TLS** is as in the PostgreSQL engine: ``ssl`` true verifies certificate and name; ``ssl`` false is plaintext; without
``ssl`` TLS is used if the server has it, with whatever certificate, and plaintext only if the server says that it has
none, which is logged.

**Passwords in clear.** MySQL needs them where others do not: ``caching_sha2_password`` asks for the whole password
whenever it does not remember the user, thus at the first login after each change, and a user without CREATE USER may
change its own password in clear only (``ALTER USER … IDENTIFIED BY``). Both are done over TLS and refused without it,
before anything is changed; MySQL leaves such passwords out of its own logs. With a certificate that nobody vouches for
(no ``ssl`` in the secret) they are safe from listeners, as with MySQL's own client; ``ssl`` true keeps them from
impostors too. The RSA exchange that MySQL offers instead of TLS is not used: its key comes from whoever answers. A
superuser's statements for another user carry the stored form only.

**Two passwords.** A user that has been granted APPLICATION_PASSWORD_ADMIN keeps its password as a second one when it
sets a new one (RETAIN CURRENT PASSWORD, from 8.0.14): whoever has read the secret before a rotation gets in until the
next one, which puts its own predecessor into that place. Thus the database accepts what AWSCURRENT and AWSPREVIOUS say,
and nothing is left to be discarded. The grant is the switch: who does not want that does not give it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from . import base
from .mysql_family import driver, errors, hashes
from .mysql_family.accounts import Account, Definition, quoted
from .mysql_family.connection import SUFFIX, FamilyConnection

_STORED_FORM: Mapping[str, Callable[[str], str]] = {
    "mysql_native_password": hashes.native,
    "caching_sha2_password": hashes.caching_sha2,
}
# The server itself computes this one, from a password in clear.
_OWN_ONLY = "sha256_password"
# MySQL 8.0 Reference Manual, "Account User Names and Passwords".
_NAME_LIMIT = 32
_TWO_PASSWORDS_SINCE = (8, 0, 14)
_HASHES_AS_HEX_SINCE = (8, 0, 17)


class Engine:
    """MySQL from version 5.7."""

    title = "MySQL"
    engine_names: tuple[str, ...] = ("mysql", "aurora-mysql")
    exclude_characters = "/@\"'\\"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("pymysql",)

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON."""
        return base.read_login(value, engines=self.engine_names, default_port=3306, default_dbname="")

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=_NAME_LIMIT, unit="characters")

    def connect(self, login: base.Login) -> MysqlConnection:
        """Log in at the first host that can be reached and takes changes."""
        return base.connect_to_first(MysqlConnection, login)


class MysqlConnection(FamilyConnection):
    """One login."""

    product = "MySQL"
    is_mariadb = False
    may_see_password = True
    # MySQL says everything.
    default_rest = ""

    def _session_settings(self, timeout: str) -> Mapping[str, str]:  # noqa: ARG002 - MariaDB's
        if self._release < (8,):
            # Without it a GRANT to a user who has just been dropped makes one without a password; version 8 never does.
            return {"sql_mode": "'NO_AUTO_CREATE_USER'"}
        # A salt may be any bytes.
        return {"print_identified_with_as_hex": "1"} if self._release >= _HASHES_AS_HEX_SINCE else {}

    @property
    def _release(self) -> tuple[int, ...]:
        found = re.match(r"(\d+)\.(\d+)\.(\d+)", self._version)
        return tuple(map(int, found.groups())) if found else ()

    def _refuse_unsuitable(self, account: Account, definition: Definition) -> None:
        [plugin] = definition.plugins
        is_own = account == self._account
        if plugin not in _STORED_FORM and not (is_own and plugin == _OWN_ONLY):
            raise base.AuthenticationMethodRefused(
                f"{self._host}: user {account.user} logs in by {plugin}, for which this function sets no password"
            )
        if not driver.is_encrypted(self._driver) and (is_own or plugin != "mysql_native_password"):
            needed = base.TlsRequired if self._login.tls is base.TlsMode.FORBIDDEN else base.TlsFailed
            raise needed(
                f"{self._host} takes a new password for user {account.user} in clear only, hence over TLS only"
            )

    def _set_password(self, account: Account, definition: Definition, password: str) -> None:
        if account != self._account:
            self._run(f"ALTER USER {account} {_identified(definition, password)}")
            return
        statement = f"ALTER USER {account} IDENTIFIED BY {quoted(password)}"
        kept = " RETAIN CURRENT PASSWORD" if self._may_keep_current() else ""
        try:
            self._run(statement + kept)
        except base.DatabaseError as error:
            # PASSWORD REQUIRE CURRENT, for this account or everybody.
            if error.code != str(errors.MISSING_CURRENT_PASSWORD):
                raise
            self._run(f"{statement} REPLACE {quoted(self._login.password)}{kept}")

    def _may_keep_current(self) -> bool:
        if self._release < _TWO_PASSWORDS_SINCE:
            return False
        # There names stand between quotes as they are, without any escaping.
        grantee = quoted(f"'{self._account.user}'@'{self._account.host}'")
        return bool(
            self._run(
                "SELECT 1 FROM information_schema.user_privileges"  # noqa: S608 - quoted
                f" WHERE privilege_type = 'APPLICATION_PASSWORD_ADMIN' AND grantee = {grantee}"
            )
        )

    def _create_statement(self, account: Account, definition: Definition, password: str) -> str:
        return f"CREATE USER {account} {_identified(definition, password)}"

    def _default_role_statement(self, account: Account, roles: str) -> str:
        return f"ALTER USER {account} DEFAULT ROLE {roles}"


def _identified(definition: Definition, password: str) -> str:
    [plugin] = definition.plugins
    # The forms consist of letters, digits and * $ . / so they need no escaping.
    return f"IDENTIFIED WITH {plugin} AS '{_STORED_FORM[plugin](password)}'"
