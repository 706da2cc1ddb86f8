"""The four steps of a rotation, once for all engines and strategies.

Secrets Manager invokes the function four times with the same token:

1. ``createSecret`` stores a new value under the token, labelled AWSPENDING.
2. ``setSecret`` makes the database accept it. Where users would be refused until the label has moved, it also logs in
   and moves it (``promotion.py``); the next two steps then find that nothing is left to do.
3. ``testSecret`` logs in with it.
4. ``finishSecret`` moves AWSCURRENT to it.

Every step may run twice, at the same time even, and may be cut off anywhere: each one first looks at what is already
true. The value is stored before the database is touched and never replaced, so whatever happens there is a stored
version with which the database can be entered.

A fifth step is Keyturn's own, and AWS never asks for it: ``probeSecret`` logs in with each labelled version and answers
which of them the database accepts and which it refuses. What it could not find out is in neither list. If all are
refused it goes on with the versions that the event names in ``LostVersionIds``, up to the first that is accepted.

Log lines follow the wording of AWS's rotation functions, so that articles about those help here too. No line and no
error contains a secret value.

Source: AWS Secrets Manager User Guide, "How rotation works" and "Lambda rotation functions".
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from botocore.exceptions import ClientError

from .engines.base import OF_ONE_LOGIN, AuthenticationFailed, DatabaseError, Engine, Login
from .secret import NotPending, RotatingSecret, SecretsManager
from .secret import client as default_client

logger = logging.getLogger(__name__)

_ANSWER = {"rotator": "keyturn.rotator/1", "offers": ["probeSecret"]}


class Strategy(Protocol):
    """Whose password changes, and who changes it.

    Attributes:
        takes_superuser: Whether it cannot do without a superuser secret.
    """

    takes_superuser: bool

    def check_value(self, engine: Engine, current: Mapping[str, object]) -> None:
        """Return if a current value that the engine can read has what the strategy needs; nothing is asked for.

        Raises:
            KeyError: It lacks a key.
            ValueError: A value cannot be used.
        """
        ...

    def new_value(
        self, secret: RotatingSecret, engine: Engine, current: Mapping[str, object]
    ) -> dict[str, object] | None:
        """Return the value of the new version; keys that are not understood are kept. None if it has one already."""
        ...

    def check_identity(self, engine: Engine, pending: Login, current: Login) -> None:
        """Return if the pending value is for a user and a database that a rotation of the current one may change.

        Raises:
            ValueError: It is not.
        """
        ...

    def set_secret(self, secret: RotatingSecret, engine: Engine) -> None:
        """Make the database accept the pending value, unless it does so already.

        A strategy that locks users out by that makes the version current as soon as it has logged in with it.
        """
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

    def __call__(self, event: Mapping[str, Any], context: object) -> dict[str, object]:  # noqa: ARG002 - Lambda's
        """Run one step.

        Args:
            event: ``Step``, ``SecretId`` (the ARN) and ``ClientRequestToken``, as Secrets Manager sends them;
                of ``probeSecret`` also ``LostVersionIds``, from Keyturn.
            context: Lambda's; not used.

        Returns:
            For Keyturn; AWS does not look at it. ``rotator`` is the format, ``offers`` the steps beyond AWS's; of
            ``probeSecret`` also ``accepted`` and ``refused``, lists of version ids, and in ``unanswered`` why there is
            nothing to be said of the others.

        Raises:
            ValueError: The secret is not in the state that this step needs, or the step does not exist.
            DatabaseError: The database refused; says why and what to do.
            ClientError: Secrets Manager refused.
        """
        step = event["Step"]
        secret = RotatingSecret(self._client(), event["SecretId"], event["ClientRequestToken"])
        if step == "probeSecret":
            return {**_ANSWER, **self._probe(secret, event.get("LostVersionIds", []))}
        self._run(step, secret)
        return dict(_ANSWER)

    def _run(self, step: str, secret: RotatingSecret) -> None:
        if step in ("setSecret", "testSecret"):
            try:
                self._use_pending_value(step, secret)
            except NotPending:
                # Asked only now why there is none: a call less where all is well.
                if _labels_while_pending(secret) is not None:
                    raise
            return
        labels = _labels_while_pending(secret)
        if labels is None:
            return
        if step == "createSecret":
            self._create_secret(secret)
        elif step == "finishSecret":
            secret.make_current(labels)
            logger.info(
                "finishSecret: Successfully set AWSCURRENT stage to version %s for secret %s.", secret.token, secret.arn
            )
        else:
            raise _refusal(f"Invalid step parameter {step} for secret {secret.arn}")

    def _use_pending_value(self, step: str, secret: RotatingSecret) -> None:
        if step == "setSecret":
            self._strategy.set_secret(secret, self._engine)
        else:
            self._test_secret(secret)

    def _create_secret(self, secret: RotatingSecret) -> None:
        current = secret.current()
        # A value that this engine cannot use is refused now, while nothing has been stored yet.
        self._engine.login(current)
        self._strategy.check_value(self._engine, current)
        value = self._strategy.new_value(secret, self._engine, current)
        if value is not None and secret.put_pending(value):
            logger.info("createSecret: Successfully put secret for ARN %s and version %s.", secret.arn, secret.token)
        else:
            logger.info("createSecret: Successfully retrieved secret for %s.", secret.arn)

    def _probe(self, secret: RotatingSecret, lost: Sequence[str]) -> dict[str, object]:
        values = secret.labelled_values()
        current_id, value = values.get("AWSCURRENT", ("", {}))
        current = self._login(value)
        said: dict[bool | None, list[str]] = {True: [], False: [], None: []}
        reasons: list[str] = []
        # The pending one first, because it decides most.
        asked = [(label, version_id) for label, (version_id, _) in values.items()]
        # As for a pending one: whose it is has to be right.
        asked += [("AWSPENDING", version_id) for version_id in lost]
        for label, version_id in asked:
            is_lost = version_id in lost
            if is_lost and (said[True] or current_id not in said[False]):
                break
            try:
                login = self._login(secret.lost(version_id) if is_lost else values[label][1])
                said[self._is_accepted(label, login, current)].append(version_id)
            except (DatabaseError, ClientError) as error:
                logger.error("probeSecret: Unable to ask about version %s: %s", version_id, error)  # noqa: TRY400 - as in testSecret
                reasons.append(f"{type(error).__name__}: {error}")
                # What is wrong with one value says nothing of the others.
                if not isinstance(error, (*OF_ONE_LOGIN, ClientError)):
                    break
        logger.info("probeSecret: %s DB accepts %s and refuses %s.", self._engine.title, said[True], said[False])
        unanswered = {"unanswered": reasons[-1]} if reasons else {}
        return {"accepted": said[True], "refused": said[False], **unanswered}

    def _is_accepted(self, label: str, login: Login | None, current: Login | None) -> bool | None:
        """Say whether the database of the current value accepts a login; None if that cannot be told."""
        if login is None:
            return False
        if current is None:
            return None
        if label == "AWSPENDING" and not self._may_follow(login, current):
            return False
        if login.addresses != current.addresses:
            return False
        try:
            with self._engine.connect(login) as connection:
                return connection.password_was_checked or None
        except AuthenticationFailed as error:
            logger.info("probeSecret: %s: %s", label, error.reason)
            return False

    def _login(self, value: Mapping[str, object]) -> Login | None:
        try:
            return self._engine.login(value)
        except (KeyError, ValueError):
            return None

    def _may_follow(self, pending: Login, current: Login) -> bool:
        try:
            self._strategy.check_identity(self._engine, pending, current)
        except ValueError:
            return False
        return True

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


def _labels_while_pending(secret: RotatingSecret) -> dict[str, list[str]] | None:
    """Return the labels by version, or None if the version is current already.

    Raises:
        ValueError: It is not pending, or rotation is switched off.
    """
    labels = secret.labels()
    if secret.token not in labels:
        raise _refusal(f"Secret version {secret.token} has no stage for rotation of secret {secret.arn}.")
    if "AWSCURRENT" in labels[secret.token]:
        logger.info("Secret version %s already set as AWSCURRENT for secret %s.", secret.token, secret.arn)
        return None
    if "AWSPENDING" not in labels[secret.token]:
        raise _refusal(f"Secret version {secret.token} not set as AWSPENDING for rotation of secret {secret.arn}.")
    return labels


def _refusal(message: str) -> ValueError:
    logger.error(message)
    return ValueError(message)
