"""The alternating-users strategy: two database users take turns, and a superuser sets the password of the one at rest.

The secret names its user, and in ``masterarn`` the superuser secret: the function logs in with that one, makes the
second user like the first when it is first needed, and from then on sets the password of whichever is not current.
The current user is never touched, so that whoever has read the secret keeps getting in until the rotation after next.

Source: AWS Secrets Manager User Guide, "Rotation strategies", alternating users; and "JSON structure of AWS Secrets
Manager secrets" for ``masterarn``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from .engines.base import AuthenticationFailed, DatabaseError, Engine, Login, NotAdmitted
from .secret import RotatingSecret
from .superuser import connect_superuser, superuser_arn

logger = logging.getLogger(__name__)


class Strategy:
    """Two users, one secret, and a superuser secret."""

    def new_value(self, engine: Engine, current: Mapping[str, object], password: str) -> dict[str, object]:
        """Return the current value with the other user and a new password; every other key is kept."""
        # Refused now, while nothing has been stored yet.
        superuser_arn(current)
        return {
            **current,
            "username": engine.alternate_username(engine.login(current).username),
            "password": password,
        }

    def check_identity(self, engine: Engine, pending: Login, current: Login) -> None:
        """Return if the pending value names the other user and the same host.

        Raises:
            ValueError: It does not.
        """
        _refuse_other_identity(engine, pending, current)

    def set_secret(self, secret: RotatingSecret, engine: Engine) -> None:
        """Make the database accept the pending value.

        Raises:
            KeyError: The current value names no superuser secret, or that one misses a key.
            ValueError: The pending value names another user or host than it must, or the superuser secret another host.
            ClientError: The function's role may not read the superuser secret.
            DatabaseError: The database refused.
        """
        value = secret.current()
        pending, current = engine.login(secret.pending()), engine.login(value)
        # Before any login: a pending value stored by somebody else must not send credentials to a host of their choice.
        self.check_identity(engine, pending, current)
        if _accepts(engine, pending, secret.token):
            logger.info(
                "setSecret: AWSPENDING secret is already set as password in %s DB for secret arn %s.",
                engine.title, secret.arn,
            )  # fmt: skip
            return
        with connect_superuser(secret, value, engine, current) as connection:
            connection.create_user_like(pending.username, current.username, pending.password, secret.confirm_pending)
        logger.info(
            "setSecret: Successfully set password for %s in %s DB for secret arn %s.",
            pending.username, engine.title, secret.arn,
        )  # fmt: skip


def _accepts(engine: Engine, login: Login, version_id: str) -> bool:
    """Tell whether the server knows this user and password; one that does not ask for the password proves nothing."""
    try:
        with engine.connect(login) as connection:
            return connection.password_was_checked
    except (AuthenticationFailed, NotAdmitted) as error:
        # A server that trusts its clients says of a user who is not there yet that it is not admitted.
        logger.info("setSecret: AWSPENDING (version %s) does not log in yet: %s", version_id, error.reason)
        return False
    except DatabaseError as error:
        logger.error("setSecret: Unable to log into database: %s", error)  # noqa: TRY400 - the error says it all
        raise


def _refuse_other_identity(engine: Engine, pending: Login, current: Login) -> None:
    if pending.username != engine.alternate_username(current.username):
        _refuse(
            f"setSecret: Attempting to modify user {pending.username} other than current user or clone"
            f" {current.username}"
        )
    if pending.addresses != current.addresses:
        _refuse(
            f"setSecret: Attempting to modify user for host {pending.host}:{pending.port} other than current host"
            f" {current.host}:{current.port}"
        )


def _refuse(message: str) -> None:
    logger.error(message)
    raise ValueError(message)
