"""The single-user strategy: a database user changes its own password.

Where a database lets no user do that (``needs_superuser`` in the engine's class), a superuser does it, whose secret the
secret names in ``masterarn``; the user's own login is proved first all the same.

While the rotation runs there is a moment in which the database accepts the pending value only. Which stored value is
true is therefore never remembered but asked of the database: pending, then current, then previous.

Source: AWS Secrets Manager User Guide, "Rotation strategies", single user.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from .engines.base import AuthenticationFailed, Connection, DatabaseError, Engine, Login
from .secret import RotatingSecret
from .superuser import connect_superuser, superuser_arn

logger = logging.getLogger(__name__)


class Strategy:
    """One user, one secret."""

    def new_value(self, engine: Engine, current: Mapping[str, object], password: str) -> dict[str, object]:
        """Return the current value with another password; every other key is kept."""
        if _needs_superuser(engine):
            # Refused now, while nothing has been stored yet.
            superuser_arn(current)
        return {**current, "password": password}

    def check_identity(self, engine: Engine, pending: Login, current: Login) -> None:  # noqa: ARG002 - as the strategies' interface has it
        """Return if the pending value names the same user and host as the current one.

        Raises:
            ValueError: It does not.
        """
        _refuse_other_identity(pending, current)

    def set_secret(self, secret: RotatingSecret, engine: Engine) -> None:
        """Make the database accept the pending value.

        Raises:
            ValueError: The pending value names another user or another host than the current one.
            DatabaseError: The database refused, or none of the stored values logs in.
            KeyError: A superuser is needed, and there is no secret of one or it misses a key.
            ClientError: The function's role may not read the superuser secret.
        """
        value = secret.current()
        pending, current = engine.login(secret.pending()), engine.login(value)
        # Before any login: a pending value stored by somebody else must not send credentials to a host of their choice.
        self.check_identity(engine, pending, current)
        try:
            connection, accepted = _connect_with_any(secret, engine, pending, current)
        except DatabaseError as error:
            logger.error(  # noqa: TRY400 - the error says it all, the runtime adds the traceback
                "setSecret: Unable to log into database with previous, current, or pending secret of secret arn %s: %s",
                secret.arn, error,
            )  # fmt: skip
            raise
        if accepted is pending and connection.password_was_checked:
            connection.close()
            logger.info(
                "setSecret: AWSPENDING secret is already set as password in %s DB for secret arn %s.",
                engine.title, secret.arn,
            )  # fmt: skip
            return
        if _needs_superuser(engine):
            connection.close()
            connection = connect_superuser(secret, value, engine, accepted)
        with connection:
            connection.set_password(pending.username, pending.password, secret.confirm_pending)
        logger.info(
            "setSecret: Successfully set password for user %s in %s DB for secret arn %s.",
            pending.username, engine.title, secret.arn,
        )  # fmt: skip


def _needs_superuser(engine: Engine) -> bool:
    return bool(getattr(engine, "needs_superuser", False))


def _connect_with_any(
    secret: RotatingSecret, engine: Engine, pending: Login, current: Login
) -> tuple[Connection, Login]:
    """Log in with whichever of the stored passwords is true."""
    connection = _connect(engine, pending, f"AWSPENDING (version {secret.token}) does not log in yet")
    if connection:
        return connection, pending
    connection = _connect(engine, current, "AWSCURRENT does not log in")
    if connection:
        return connection, current
    previous = _previous(secret, engine, current)
    connection = _connect(engine, previous, "AWSPREVIOUS does not log in")
    if connection and previous:
        return connection, previous
    raise AuthenticationFailed(f"The database refuses all stored passwords of user {pending.username}")


def _connect(engine: Engine, login: Login | None, complaint: str) -> Connection | None:
    """Log in; None if there is nothing to try or the server refuses this password. Any other failure ends the step."""
    if login is None:
        return None
    try:
        return engine.connect(login)
    except AuthenticationFailed as error:
        logger.info("setSecret: %s: %s", complaint, error.reason)
        return None


def _previous(secret: RotatingSecret, engine: Engine, current: Login) -> Login | None:
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


def _refuse_other_identity(pending: Login, current: Login) -> None:
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
