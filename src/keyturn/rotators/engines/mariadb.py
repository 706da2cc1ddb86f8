"""MariaDB.

The driver is PyMySQL: pure Python, so one deployment package runs on every architecture. What MariaDB shares with MySQL
is in ``mysql_family/``.

**TLS** is as in the PostgreSQL engine: ``ssl`` true verifies certificate and name; ``ssl`` false is plaintext; without
``ssl`` TLS is used if the server has it, with whatever certificate, and plaintext only if the server says that it has
none, which is logged. The password itself never travels: ``mysql_native_password`` and ``ed25519`` are answers to a
question of the server. Whatever else a server asks for is refused.

**Passwords.** ``SET PASSWORD`` carries the hash that the server would have computed and stored, so no log, binary log
or replica sees the password; a user may do that for its own account without any privilege. The plugin stays what it
was. A server whose password rules refuse what they cannot read (``strict_password_validation``) ends in an error that
says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from . import base
from .mysql_family import hashes
from .mysql_family.accounts import Account, Definition
from .mysql_family.connection import SUFFIX, FamilyConnection

_STORED_FORM: Mapping[str, Callable[[str], str]] = {
    "mysql_native_password": hashes.native,
    "ed25519": hashes.ed25519,
}
# MariaDB documentation, "Identifier Names": 128 characters; longer names are refused.
_NAME_LIMIT = 128


class Engine:
    """MariaDB from version 10.4."""

    title = "MariaDB"
    engine_names: tuple[str, ...] = ("mariadb",)
    exclude_characters = "/@\"'\\"
    password_length = 32
    driver_distributions: tuple[str, ...] = ("pymysql",)

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON."""
        return base.read_login(value, engines=self.engine_names, default_port=3306, default_dbname="")

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=_NAME_LIMIT, unit="characters")

    def connect(self, login: base.Login) -> MariadbConnection:
        """Log in at the first host that can be reached and takes changes."""
        return base.connect_to_first(MariadbConnection, login)


class MariadbConnection(FamilyConnection):
    """One login."""

    product = "MariaDB"
    is_mariadb = True
    may_see_password = False
    default_rest = "ACCOUNT UNLOCK PASSWORD EXPIRE DEFAULT"

    def _session_settings(self, timeout: str) -> Mapping[str, str]:
        # Without NO_AUTO_CREATE_USER a GRANT to a user who has just been dropped makes one without a password.
        # A statement that waits for the end of FLUSH TABLES WITH READ LOCK heeds no lock_wait_timeout.
        return {"sql_mode": "'NO_AUTO_CREATE_USER'", "max_statement_time": timeout}

    def _refuse_unsuitable(self, account: Account, definition: Definition) -> None:
        [plugin] = definition.plugins
        if plugin not in _STORED_FORM:
            raise base.AuthenticationMethodRefused(
                f"{self._host}: user {account.user} logs in by {plugin}, for which this function sets no password"
            )

    def _set_password(self, account: Account, definition: Definition, password: str) -> None:
        if account == self._account:
            # The one statement for which a user needs no privilege.
            self._run(f"SET PASSWORD FOR {account} = '{_STORED_FORM[definition.plugins[0]](password)}'")
        else:
            self._run(f"ALTER USER {account} {_identified(definition, password)}")

    def _create_statement(self, account: Account, definition: Definition, password: str) -> str:
        return f"CREATE USER {account} {_identified(definition, password)}"

    def _default_role_statement(self, account: Account, roles: str) -> str:
        return f"SET DEFAULT ROLE {roles} FOR {account}"


def _identified(definition: Definition, password: str) -> str:
    [plugin] = definition.plugins
    # The forms consist of letters, digits and * + / so they need no escaping.
    return f"IDENTIFIED VIA {plugin} USING '{_STORED_FORM[plugin](password)}'"
