"""The single-user strategy: a database user changes its own password.

There is a moment in which the database accepts the pending value only; it ends when the new password has been tried,
in the same step. Which stored value is true is never remembered but asked of the database: pending, then current, then
previous.

Source: AWS Secrets Manager User Guide, "Rotation strategies", single user.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from .engines.base import AuthenticationFailed, Connection, DatabaseError, Engine, Login
from .promotion import Promotion
from .secret import RotatingSecret

logger = logging.getLogger(__name__)


class Strategy:
    """One user, one secret."""

    takes_superuser = False

    def check_value(self, engine: Engine, current: Mapping[str, object]) -> None:
        """Return: a value that the engine can read is enough."""

    def new_value(self, secret: RotatingSecret, engine: Engine, current: Mapping[str, object]) -> dict[str, object]:
        """Return the current value with another password; every other key is kept."""
        return {**current, "password": secret.random_password(engine.exclude_characters, engine.password_length)}

    def check_identity(self, engine: Engine, pending: Login, current: Login) -> None:  # noqa: ARG002 - as the strategies' interface has it
        """Return if the pending value names the same user and host as the current one.

        Raises:
            ValueError: It does not.
        """
        refuse_other_identity(pending, current)

    def set_secret(self, secret: RotatingSecret, engine: Engine) -> None:
        """Make the database accept the pending value, and the version current if the new password has been tried.

        Raises:
            ValueError: The pending value names another user or another host than the current one.
            DatabaseError: The database refused, or none of the stored values logs in.
        """
        pending, current = engine.login(secret.pending()), engine.login(secret.current())
        # Before any login: a pending value stored by somebody else must not send credentials to a host of their choice.
        self.check_identity(engine, pending, current)
        promotion = Promotion(secret, engine, pending)
        try:
            connection = try_login(engine, pending, f"AWSPENDING (version {secret.token}) does not log in yet")
            if connection and connection.password_was_checked:
                connection.close()
                logger.info(
                    "setSecret: AWSPENDING secret is already set as password in %s DB for secret arn %s.",
                    engine.title, secret.arn,
                )  # fmt: skip
                promotion.at_once()
                return
            connection = connection or try_login(engine, current, "AWSCURRENT does not log in")
            previous = None if connection else previous_login(secret, engine, current)
            connection = connection or try_login(engine, previous, "AWSPREVIOUS does not log in")
            if connection is None:
                raise AuthenticationFailed(f"The database refuses all stored passwords of user {pending.username}")
        except DatabaseError as error:
            logger.error(  # noqa: TRY400 - the error says it all, the runtime adds the traceback
                "setSecret: Unable to log into database with previous, current, or pending secret of secret arn %s: %s",
                secret.arn, error,
            )  # fmt: skip
            raise
        with connection:
            connection.set_password(pending.username, pending.password, promotion.confirm)
        logger.info(
            "setSecret: Successfully set password for user %s in %s DB for secret arn %s.",
            pending.username, engine.title, secret.arn,
        )  # fmt: skip
        promotion.at_once()


def try_login(engine: Engine, login: Login | None, complaint: str) -> Connection | None:
    """Log in; None if there is nothing to try or the server refuses this password. Any other failure ends the step."""
    if login is None:
        return None
    try:
        return engine.connect(login)
    except AuthenticationFailed as error:
        logger.info("setSecret: %s: %s", complaint, error.reason)
        return None


def previous_login(secret: RotatingSecret, engine: Engine, current: Login) -> Login | None:
    """Return the current login with the previous password, if the previous value belongs to the same user and host."""
    try:
        value = secret.previous()
        previous = engine.login(value) if value else None
    except (KeyError, ValueError):
        # The secret may have held something else before it was made fit for rotation.
        return None
    if previous is None or _identity(previous) != _identity(current):
        return None
    return replace(current, password=previous.password)


def _identity(login: Login) -> tuple[object, ...]:
    return login.username, login.addresses


def refuse_other_identity(pending: Login, current: Login) -> None:
    """Return if both are for the same user and host.

    Raises:
        ValueError: They are not.
    """
    message = None
    if pending.username != current.username:
        message = f"setSecret: Attempting to modify user {pending.username} other than current user {current.username}"
    elif pending.addresses != current.addresses:
        message = (
            f"setSecret: Attempting to modify user {pending.username} for host {pending.host}:{pending.port} other than"
            f" current host {current.host}:{current.port}"
        )
    if message:
        logger.error(message)
        raise ValueError(message)
