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
from dataclasses import replace

from .engines.base import Engine, Login
from .secret import RotatingSecret
from .superuser import accepts, connect, prove, refuse, superuser_arn, superuser_login

logger = logging.getLogger(__name__)


class Strategy:
    """Two users, one secret, and a superuser secret."""

    takes_superuser = True

    def check_value(self, engine: Engine, current: Mapping[str, object]) -> None:
        """Return if the value names a superuser secret, and its user can have a second one."""
        superuser_arn(current)
        engine.alternate_username(engine.login(current).username)

    def new_value(self, secret: RotatingSecret, engine: Engine, current: Mapping[str, object]) -> dict[str, object]:
        """Return the current value with the other user and a new password; every other key is kept."""
        return {
            **current,
            "username": engine.alternate_username(engine.login(current).username),
            "password": secret.random_password(engine.exclude_characters, engine.password_length),
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
        if accepts(engine, pending, secret.token):
            logger.info(
                "setSecret: AWSPENDING secret is already set as password in %s DB for secret arn %s.",
                engine.title, secret.arn,
            )  # fmt: skip
            return
        arn = superuser_arn(value)
        superuser = superuser_login(secret, arn, engine, current)
        # Whoever writes a secret must not have the superuser change a user that is not theirs: the current value must
        # be true, and true where the superuser acts, whatever other hosts it names.
        proof = replace(current, host=superuser.host, port=superuser.port)
        complaint = f"setSecret: Unable to log into database using current credentials for secret {secret.arn}"
        prove(engine, proof, connect(engine, proof, complaint))
        complaint = f"setSecret: Unable to log into database using credentials in master secret {arn}"
        with connect(engine, superuser, complaint) as connection:
            connection.create_user_like(pending.username, current.username, pending.password, secret.confirm_pending)
        logger.info(
            "setSecret: Successfully set password for %s in %s DB for secret arn %s.",
            pending.username, engine.title, secret.arn,
        )  # fmt: skip


def _refuse_other_identity(engine: Engine, pending: Login, current: Login) -> None:
    if pending.username != engine.alternate_username(current.username):
        refuse(
            f"setSecret: Attempting to modify user {pending.username} other than current user or clone"
            f" {current.username}"
        )
    if pending.addresses != current.addresses:
        refuse(
            f"setSecret: Attempting to modify user for host {pending.host}:{pending.port} other than current host"
            f" {current.host}:{current.port}"
        )
