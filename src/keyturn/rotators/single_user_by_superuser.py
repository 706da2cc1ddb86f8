"""The single-user strategy for users who may not change their own password: a superuser sets it.

The secret names, as for alternating users, a superuser secret in ``masterarn``. Where a user may have two passwords
at once (Redis) nobody who has read the secret is refused at any moment, and no second user is needed. Elsewhere there
is the moment that the single-user strategy has.

Source: AWS Secrets Manager User Guide, "Rotation strategies", single user.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

from .engines.base import AuthenticationFailed, Engine, Login
from .promotion import Promotion
from .secret import RotatingSecret
from .single_user import previous_login, refuse_other_identity, try_login
from .superuser import accepts, connect, prove, superuser_arn, superuser_login

logger = logging.getLogger(__name__)


class Strategy:
    """One user, one secret, and a superuser secret."""

    takes_superuser = True

    def check_value(self, engine: Engine, current: Mapping[str, object]) -> None:  # noqa: ARG002 - the interface's
        """Return if the value names a superuser secret."""
        superuser_arn(current)

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
            KeyError: The current value names no superuser secret, or that one misses a key.
            ValueError: The pending value names another user or host than it must, or the superuser secret another host.
            ClientError: The function's role may not read the superuser secret.
            DatabaseError: The database refused, or neither of the stored values logs in.
        """
        value = secret.current()
        pending, current = engine.login(secret.pending()), engine.login(value)
        # Before any login: a pending value stored by somebody else must not send credentials to a host of their choice.
        self.check_identity(engine, pending, current)
        promotion = Promotion(secret, engine, pending)
        if accepts(engine, pending, secret.token):
            logger.info(
                "setSecret: AWSPENDING secret is already set as password in %s DB for secret arn %s.",
                engine.title, secret.arn,
            )  # fmt: skip
            promotion.at_once()
            return
        arn = superuser_arn(value)
        superuser = superuser_login(secret, arn, engine, current)
        # Whoever writes a secret must not have the superuser change a user that is not theirs: a stored value must be
        # true, and true where the superuser acts, whatever other hosts it names.
        proof = _true_login(secret, engine, replace(current, host=superuser.host, port=superuser.port), current)
        superuser = replace(superuser, retained_password=proof.password)
        complaint = f"setSecret: Unable to log into database using credentials in master secret {arn}"
        with connect(engine, superuser, complaint) as connection:
            connection.set_password(pending.username, pending.password, promotion.confirm)
        logger.info(
            "setSecret: Successfully set password for user %s in %s DB for secret arn %s.",
            pending.username, engine.title, secret.arn,
        )  # fmt: skip
        promotion.at_once()


def _true_login(secret: RotatingSecret, engine: Engine, acting: Login, current: Login) -> Login:
    """Return the login with the current password, or else with the previous one, that is let in.

    Args:
        secret: The one that rotates.
        engine: Of its database.
        acting: The current login, where the superuser acts.
        current: The same, as it is stored.

    Raises:
        AuthenticationFailed: Neither is.
        PasswordNotAsked: The server lets anybody in.
    """
    if connection := try_login(engine, acting, "AWSCURRENT does not log in"):
        prove(engine, acting, connection)
        return acting
    previous = previous_login(secret, engine, current)
    acting = replace(acting, password=previous.password) if previous else acting
    if previous and (connection := try_login(engine, acting, "AWSPREVIOUS does not log in")):
        prove(engine, acting, connection)
        return acting
    message = f"The database refuses the current and the previous password of user {current.username}"
    logger.error("setSecret: Unable to log into database using current credentials for secret %s", secret.arn)
    raise AuthenticationFailed(message)
