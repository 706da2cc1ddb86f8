"""The four steps of a rotation, once for all engines and strategies.

Secrets Manager invokes the function four times with the same token:

1. ``createSecret`` stores a new value under the token, labelled AWSPENDING.
2. ``setSecret`` makes the database accept it.
3. ``testSecret`` logs in with it.
4. ``finishSecret`` moves AWSCURRENT to it.

Every step may run twice, at the same time even, and may be cut off anywhere: each one first looks at what is already
true. The value is stored before the database is touched and never replaced, so whatever happens there is a stored
version with which the database can be entered.

Log lines follow the wording of AWS's rotation functions, so that articles about those help here too. No line and no
error contains a secret value.

Source: AWS Secrets Manager User Guide, "How rotation works" and "Lambda rotation functions".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from .engines.base import DatabaseError, Engine
from .secret import RotatingSecret, SecretsManager
from .secret import client as default_client

logger = logging.getLogger(__name__)


class Strategy(Protocol):
    """Whose password changes, and who changes it."""

    def new_value(self, engine: Engine, current: Mapping[str, object], password: str) -> dict[str, object]:
        """Return the value of the new version; keys that are not understood are kept.

        Raises:
            KeyError: The strategy needs a key that the current value has not.
            ValueError: A value cannot be used.
        """
        ...

    def set_secret(self, secret: RotatingSecret, engine: Engine) -> None:
        """Make the database accept the pending value; nothing is left to do if it does so already."""
        ...


class Rotator:
    """A rotation function for one engine and one strategy; an instance is what Lambda calls a handler."""

    def __init__(
        self, engine: Engine, strategy: Strategy, client: Callable[[], SecretsManager] = default_client
    ) -> None:
        self._engine = engine
        self._strategy = strategy
        self._client = client
        # Lambda's root logger stays at WARNING unless told otherwise; these lines are what a rotation is diagnosed by.
        logging.getLogger(__package__).setLevel(logging.INFO)

    def __call__(self, event: Mapping[str, str], context: object) -> None:  # noqa: ARG002 - Lambda hands it in
        """Run one step.

        Args:
            event: ``Step``, ``SecretId`` (the ARN) and ``ClientRequestToken``, as Secrets Manager sends them.
            context: Lambda's; not used.

        Raises:
            ValueError: The secret is not in the state that this step needs, or the step does not exist.
            DatabaseError: The database refused; says why and what to do.
            ClientError: Secrets Manager refused.
        """
        step = event["Step"]
        secret = RotatingSecret(self._client(), event["SecretId"], event["ClientRequestToken"])
        labels = secret.labels()
        if secret.token not in labels:
            raise _refusal(f"Secret version {secret.token} has no stage for rotation of secret {secret.arn}.")
        if "AWSCURRENT" in labels[secret.token]:
            logger.info("Secret version %s already set as AWSCURRENT for secret %s.", secret.token, secret.arn)
            return
        if "AWSPENDING" not in labels[secret.token]:
            raise _refusal(f"Secret version {secret.token} not set as AWSPENDING for rotation of secret {secret.arn}.")
        if step == "createSecret":
            self._create_secret(secret)
        elif step == "setSecret":
            self._strategy.set_secret(secret, self._engine)
        elif step == "testSecret":
            self._test_secret(secret)
        elif step == "finishSecret":
            _finish_secret(secret, labels)
        else:
            raise _refusal(f"Invalid step parameter {step} for secret {secret.arn}")

    def _create_secret(self, secret: RotatingSecret) -> None:
        current = secret.current()
        # A value that this engine cannot use is refused now, while nothing has been stored yet.
        self._engine.login(current)
        if secret.has_pending_value():
            logger.info("createSecret: Successfully retrieved secret for %s.", secret.arn)
            return
        password = secret.random_password(self._engine.exclude_characters)
        if secret.put_pending(self._strategy.new_value(self._engine, current, password)):
            logger.info("createSecret: Successfully put secret for ARN %s and version %s.", secret.arn, secret.token)
        else:
            logger.info("createSecret: Another attempt has put version %s of secret %s.", secret.token, secret.arn)

    def _test_secret(self, secret: RotatingSecret) -> None:
        login = self._engine.login(secret.pending())
        try:
            with self._engine.connect(login) as connection:
                connection.test()
                password_was_checked = connection.password_was_checked
        except DatabaseError as error:
            logger.error(  # noqa: TRY400 - the error says it all, the runtime adds the traceback
                "testSecret: Unable to log into database with pending secret of secret ARN %s: %s", secret.arn, error
            )
            raise
        if not password_was_checked:
            logger.warning(
                "testSecret: The %s DB let the user in without asking for the password: this login proves nothing about"
                " version %s of secret arn %s.",
                self._engine.title, secret.token, secret.arn,
            )  # fmt: skip
        logger.info(
            "testSecret: Successfully signed into %s DB with AWSPENDING secret in %s.", self._engine.title, secret.arn
        )


def _finish_secret(secret: RotatingSecret, labels: Mapping[str, list[str]]) -> None:
    current_version_id = next((version_id for version_id in labels if "AWSCURRENT" in labels[version_id]), None)
    secret.make_current(current_version_id)
    logger.info(
        "finishSecret: Successfully set AWSCURRENT stage to version %s for secret %s.", secret.token, secret.arn
    )


def _refusal(message: str) -> ValueError:
    logger.error(message)
    return ValueError(message)
