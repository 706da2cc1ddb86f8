"""The bench set up: a function, its secret, its database, and what can be done with them one step at a time."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from keyturn.config import SandboxChoice
from keyturn.errors.base import KeyturnError
from keyturn.rules.staging import AWSCURRENT, AWSPENDING, AWSPREVIOUS

from .boundaries import React, Watch
from .database import Database, Value
from .leaks import Leaks
from .throwaway import FunctionSource, Run, ThrowAwayKeyturn

STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
SECRET_NAME = "secret/under-test"  # noqa: S105 - a name
_SUPERUSER_NAME = "superuser/of-the-secret-under-test"
# A key that no function knows: it belongs to somebody else, and is to be kept.
FOREIGN_KEY = "keyturn-bench"
_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class State:
    """What is stored and what the database says to it.

    Attributes:
        labels: Staging label to version id.
        values: Version id to value, of the versions that have one; a value that is no JSON object is an empty one.
        accepted: Versions with which the database lets one in.
        refused: Versions with which it does not.
    """

    labels: Mapping[str, str]
    values: Mapping[str, Value] = field(repr=False)
    accepted: frozenset[str]
    refused: frozenset[str]

    @property
    def current_id(self) -> str:
        """The version that applications get."""
        return self.labels[AWSCURRENT]

    @property
    def is_current_dead(self) -> bool:
        """Whether applications are refused."""
        return self.current_id in self.refused

    @property
    def is_known(self) -> bool:
        """Whether anybody can say what logs in."""
        return bool(self.accepted or self.refused)

    @property
    def is_locked_out(self) -> bool:
        """Whether no stored version lets anybody in."""
        return bool(self.refused) and not self.accepted

    def in_words(self) -> str:
        """Return which versions the database accepts, by their labels."""
        names: dict[str, str] = {}
        for label in (AWSCURRENT, AWSPENDING, AWSPREVIOUS):
            if label in self.labels:
                names.setdefault(self.labels[label], label)
        said = [
            f"{name} {'logs in' if version in self.accepted else 'is refused'}"
            for version, name in names.items()
            if version in self.accepted | self.refused
        ]
        if self.accepted - set(names):
            said.append("a version without a label logs in")
        return ", ".join(said) or "nothing is known of what logs in"


class Desk:
    """A function, its secret and its database. Use :meth:`open` in a ``with``.

    Attributes:
        keyturn: The server.
        database: What is behind the secret.
        watch: Knows what boundaries the last step reached.
        runs: All invocations so far.
        secret_arn: The secret under test.
        left: What is not as it was before, at the end; empty if all is.
    """

    def __init__(self, keyturn: ThrowAwayKeyturn, database: Database, watch: Watch, source: FunctionSource) -> None:
        self.keyturn = keyturn
        self.database = database
        self.watch = watch
        self.runs: list[Run] = []
        self.secret_arn = ""
        self.left = ""
        self.timeout_seconds = source.timeout_seconds
        self._superuser_arn: str | None = None
        self._tokens: list[str] = []
        self._values: set[str] = set()

    @classmethod
    @contextlib.contextmanager
    def open(
        cls,
        source: FunctionSource,
        value: Value,
        superuser: Value | None,
        *,
        begin_at: datetime | None,
        sandbox: SandboxChoice,
        keep_values: Callable[[Sequence[Value]], str],
    ) -> Iterator[Self]:
        """Set everything up; at the end the secret's user has the password again that it had before.

        Args:
            source: The function.
            value: The secret's.
            superuser: The superuser secret's, if there is one.
            begin_at: What the server's clock shows; the machine's time if None.
            sandbox: How the function is kept apart.
            keep_values: Puts values in a safe place, if the password cannot be set back, and returns which.

        Raises:
            KeyturnError: Something cannot be set up.
        """
        watch = Watch()
        with ExitStack() as closing:
            closing.enter_context(_quiet())
            database = closing.enter_context(Database.open(value, superuser, watch))
            if database.accepts(database.as_seen(value)) is False:
                raise KeyturnError(
                    f"{database.title} refuses the password in the secret.",
                    "Give a secret that logs in: the bench begins with a healthy one.",
                )
            keyturn = closing.enter_context(ThrowAwayKeyturn.open(watch, begin_at=begin_at, sandbox=sandbox))
            desk = cls(keyturn, database, watch, source)
            desk._set_up(source)
            closing.callback(desk._restore, keep_values)
            yield desk

    def _set_up(self, source: FunctionSource) -> None:
        seen = self.database.as_seen
        if self.database.superuser is not None:
            self._superuser_arn = self._create_secret(_SUPERUSER_NAME, seen(self.database.superuser))
        self.secret_arn = self._create_secret(SECRET_NAME, self._first_value())
        self.keyturn.create_function(source, secret_arn=self.secret_arn, superuser_arn=self._superuser_arn)
        self.keyturn.enable_rotation(self.secret_arn)

    def _first_value(self) -> dict[str, object]:
        superuser = {"masterarn": self._superuser_arn} if self._superuser_arn else {}
        return {**self.database.as_seen(self.database.value), **superuser, FOREIGN_KEY: "is kept"}

    def _create_secret(self, name: str, value: Value) -> str:
        text = json.dumps(value)
        self._values.add(text)
        arn: str = self.keyturn.secrets.create_secret(Name=name, SecretString=text)["ARN"]
        return arn

    # One thing at a time.

    def begin(self) -> str:
        """Begin a rotation: return its token, to whose version AWSPENDING is attached."""
        token = self.keyturn.begin_rotation(self.secret_arn)
        self._tokens.append(token)
        return token

    def run(self, step: str, token: str, react: React | None = None) -> Run:
        """Invoke the function for one step, with whatever ``react`` does to it on the way."""
        self.watch.begin(react)
        try:
            return self.invoke(step, token)
        finally:
            self.watch.end()

    def invoke(self, step: str, token: str, more: Mapping[str, object] | None = None) -> Run:
        """Invoke the function for one step; ``more`` is what the event has beside what every step's has."""
        event = {"Step": step, "SecretId": self.secret_arn, "ClientRequestToken": token, **(more or {})}
        run = self.keyturn.invoke(event)
        self.runs.append(run)
        return run

    def run_all(self, token: str, steps: Sequence[str] = STEPS) -> Run | None:
        """Run steps in order; return the first one that fails, None if none does."""
        for step in steps:
            run = self.run(step, token)
            if not run.has_succeeded:
                return run
        return None

    def attempt_again(self, token: str) -> Run | None:
        """Do what Secrets Manager does after a failure: all steps again, and once more; return what failed last."""
        failed = None
        for _ in range(_ATTEMPTS):
            failed = self.run_all(token)
            if failed is None:
                return None
        return failed

    def store_pending(self, token: str, value: Value) -> None:
        """Store the value of a rotation as if its createSecret had done it."""
        text = json.dumps(value)
        self._values.add(text)
        self.keyturn.secrets.put_secret_value(
            SecretId=self.secret_arn, ClientRequestToken=token, SecretString=text, VersionStages=[AWSPENDING]
        )

    # What has come of it.

    def state(self) -> State:
        """Look at every version that has a label or belongs to a rotation since the last reset."""
        labels = self.keyturn.labels(self.secret_arn)
        values: dict[str, Value] = {}
        for version_id in {*labels.values(), *self._tokens}:
            text = self._text_of(version_id)
            if text is not None:
                self._values.add(text)
                values[version_id] = _parsed(text)
        answers = {version_id: self.database.accepts(value) for version_id, value in values.items()}
        return State(
            labels=labels,
            values=values,
            accepted=frozenset(version_id for version_id, answer in answers.items() if answer),
            refused=frozenset(version_id for version_id, answer in answers.items() if answer is False),
        )

    def _text_of(self, version_id: str) -> str | None:
        client = self.keyturn.secrets
        try:
            reply: Mapping[str, Any] = client.get_secret_value(SecretId=self.secret_arn, VersionId=version_id)
        except client.exceptions.ResourceNotFoundException:
            return None
        return str(reply.get("SecretString", ""))

    def reset(self) -> None:
        """Make everything healthy again: nothing pending, and a current version that logs in.

        Raises:
            KeyturnError: Nobody can log in any more.
        """
        for relay in self.database.relays:
            relay.admit()
        self.keyturn.enable_rotation(self.secret_arn)
        state = self.state()
        if not state.is_known:
            self._finish_what_was_begun(state)
            state = self.state()
        self.keyturn.abandon_rotation(self.secret_arn)
        foreign_key_is_kept = state.values.get(state.current_id, {}).get(FOREIGN_KEY) is not None
        if state.is_known and not (foreign_key_is_kept and state.current_id in state.accepted):
            self._store_current(self._value_that_logs_in(state))
        self._tokens = []

    def _finish_what_was_begun(self, state: State) -> None:
        """Complete the last rotation if it may have changed what nobody here can ask."""
        token = next((token for token in reversed(self._tokens) if token in state.values), None)
        if token is None or token == state.current_id:
            return
        self.keyturn.attach_pending(self.secret_arn, token)
        self.attempt_again(token)

    def _value_that_logs_in(self, state: State) -> Value:
        for version_id in state.accepted:
            return {**self._first_value(), **state.values[version_id]}
        value = {**self._first_value(), "password": secrets.token_urlsafe(24)}
        if self.database.superuser is None:
            raise KeyturnError(
                "No stored version logs in any more, so nothing else can be tried.",
                "Set the user's password in the database by hand, or let the bench use a database of its own:"
                " --database.",
            )
        self.database.set_password(value, str(value["password"]))
        return value

    def _store_current(self, value: Value) -> None:
        text = json.dumps(value)
        self._values.add(text)
        self.keyturn.secrets.put_secret_value(SecretId=self.secret_arn, SecretString=text)

    def leaks(self) -> list[tuple[Run, str]]:
        """Return invocations that showed a secret value, and where: a line of the log with the value hidden."""
        leaks = Leaks(self._values)
        hidden = [(run, leaks.hidden(text)) for run in self.runs for text in (*run.log, run.answer)]
        return [(run, text.strip()) for run, text in hidden if text is not None]

    def _restore(self, keep_values: Callable[[Sequence[Value]], str]) -> None:
        """Give the secret's user the password that it had, or put what it may be now in a safe place; never raises."""
        try:
            self.left = self._set_back()
        except Exception as error:  # noqa: BLE001 - whatever it is, the values must not go with the directory
            self.left = f"The password has not been set back. {error}"
        if self.left:
            self.left += f" What it may be now is in {keep_values(self._likely_values())}."

    def _set_back(self) -> str:
        """Give the secret's user the password that it had; return why that was not possible."""
        for relay in self.database.relays:
            relay.admit()
        self.keyturn.enable_rotation(self.secret_arn)
        state = self.state()
        value = self.database.value
        if not state.is_known:
            if not self.runs or self._set_back_by_the_function(state):
                return ""
            return "Nothing is known here of what the secret opens, and the function has not set the first value again."
        if not self.database.accepts(self.database.as_seen(value)):
            last = next((state.values[version_id] for version_id in state.accepted), state.values[state.current_id])
            self.database.set_password({**last, "username": value["username"]}, str(value["password"]))
        return ""

    def _set_back_by_the_function(self, state: State) -> bool:
        """Have the function rotate to the value that there was at first; tell whether it says that it has."""
        self._finish_what_was_begun(state)
        self.keyturn.abandon_rotation(self.secret_arn)
        token = self.begin()
        self.store_pending(token, self._first_value())
        return self.run_all(token, STEPS[1:]) is None

    def _likely_values(self) -> list[Value]:
        """Return every value that may be in force, the latest first."""
        labels = self.keyturn.labels(self.secret_arn)
        versions = dict.fromkeys([*reversed(self._tokens), *(labels[name] for name in sorted(labels, reverse=True))])
        texts = [text for version_id in versions if (text := self._text_of(version_id)) is not None]
        return [{**self.database.value, **_without_address(_parsed(text))} for text in texts]


def _without_address(value: Value) -> dict[str, object]:
    return {key: held for key, held in value.items() if key not in ("host", "port", "masterarn", FOREIGN_KEY)}


def _parsed(text: str) -> Value:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the terminal what servers and engines say of the connections that are cut here on purpose."""
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "keyturn")]
    before = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(loggers, before, strict=True):
            each.setLevel(level)
