"""The new version becomes current in ``setSecret``, where a user has one password and the change has proved to be good.

Between the change and that moment whoever reads the secret is refused, so it is not left for two more invocations. It
is a shortcut and no more: what goes wrong here, or proves nothing, is left to ``testSecret`` and ``finishSecret``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from .engines.base import DatabaseError, Engine, Login
from .secret import RotatingSecret

logger = logging.getLogger(__name__)


class Promotion:
    """From the confirmation of a change to AWSCURRENT on the new version.

    Args:
        secret: The one that rotates.
        engine: Of its database.
        pending: What logs in once the change is made.
    """

    def __init__(self, secret: RotatingSecret, engine: Engine, pending: Login) -> None:
        self._secret = secret
        self._engine = engine
        self._pending = pending
        self._labels: Mapping[str, list[str]] | None = None

    def confirm(self) -> None:
        """Return if the password is still to be set; the answer is what the label is moved by: no call more.

        Raises:
            ValueError: It is not.
        """
        self._labels = self._secret.confirm_pending()

    def at_once(self) -> None:
        """Log in with the pending value, and move AWSCURRENT to its version; not if anything is in the way."""
        secret = self._secret
        try:
            if not self._is_proved():
                return
            labels = self._labels or secret.confirm_pending()
            if "AWSCURRENT" in labels[secret.token]:
                return
            # Away from the version that was current when the change was confirmed: a function that was held up since
            # cannot take the label from a later one.
            secret.make_current(labels)
        except (DatabaseError, ClientError, BotoCoreError, ValueError) as error:
            logger.warning(
                "setSecret: Version %s of secret arn %s is not made AWSCURRENT yet, that is left to testSecret and"
                " finishSecret: %s",
                secret.token, secret.arn, error,
            )  # fmt: skip
            return
        logger.info(
            "setSecret: Successfully set AWSCURRENT stage to version %s for secret %s.", secret.token, secret.arn
        )

    def _is_proved(self) -> bool:
        with self._engine.connect(self._pending) as connection:
            connection.test()
            if not connection.password_was_checked:
                return False
        logger.info(
            "setSecret: Successfully signed into %s DB with AWSPENDING secret in %s.",
            self._engine.title, self._secret.arn,
        )  # fmt: skip
        return True
