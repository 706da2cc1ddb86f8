"""Random histories of one secret, on a server and on the model; after every step both must look the same.

The server is anything that answers calls: a real one through boto3, or its handlers on a workbench.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol

from hypothesis import currently_in_test_context, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from keyturn.testing.clock import FakeClock

from .secret_model import Refused, SecretModel

LABELS = ["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "AWSSOMETHING", "BLUE", "GREEN"]
STAGES = st.lists(st.sampled_from(LABELS), min_size=1, max_size=4, unique=True)
# Half of all tokens are new; the others come again and again.
TOKENS = st.none() | st.integers(0, 5)
VALUES = st.sampled_from(
    [{"SecretString": "a"}, {"SecretString": "b"}, {"SecretBinary": b"a"}, {"SecretBinary": b"\x00\xff"}]
)

_numbers = itertools.count(1)


class Server(Protocol):
    """What a history happens on."""

    # None if its moments cannot be known beforehand.
    clock: FakeClock | None

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer as the service does.

        Raises:
            Refused: It does not.
        """
        ...


class SecretMachine(RuleBasedStateMachine):
    """What callers can do to one secret."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server = server
        self.model = SecretModel(f"history/{next(_numbers)}", server.clock)
        self.ids: list[str] = []

    def _version_id(self, pick: int | None) -> str:
        """An id that was used before, if there is one, or a new one."""
        if pick is None or not self.ids:
            # Neither the order of ids nor their length is that of their making.
            number = len(self.ids)
            self.ids.append(f"{(number * 7919) % 10_007:05}-{'v' * (26 + number % 33)}")
            return self.ids[-1]
        return self.ids[pick % len(self.ids)]

    def _existing(self, pick: int) -> str:
        """The id of a version that exists, if there is one."""
        existing = sorted(self.model.known)
        return existing[pick % len(existing)] if existing else self._version_id(None)

    @property
    def _is_alive(self) -> bool:
        return self.model.secret is not None and not self.model.secret.is_dead

    def _step(self, operation: str, **request: Any) -> Any:
        if self.server.clock is not None:
            self.server.clock.advance(timedelta(milliseconds=1))
        request["Name" if operation == "CreateSecret" else "SecretId"] = self.model.name
        expected, answered = self._both(operation, request)
        if currently_in_test_context():
            note(f"{operation}({request}) -> {answered}")
        assert answered == expected, f"{operation}({request})\n    answered {answered}\n    expected {expected}"
        return answered

    def _both(self, operation: str, request: dict[str, Any]) -> tuple[Any, Any]:
        is_new = self.model.secret is None
        answered = _outcome(self.server.call, operation, request)
        expected = _outcome(self.model.call, operation, request)
        if is_new and operation == "CreateSecret" and isinstance(answered, dict):
            # The suffix of a new ARN is random.
            self.model.name_arn(answered["ARN"])
            expected["ARN"] = answered["ARN"]
        return expected, answered

    def _compare(self, operation: str, **request: Any) -> None:
        request["SecretId"] = self.model.name
        expected, answered = self._both(operation, request)
        assert answered == expected, f"{operation}({request}) then\n    answers {answered}\n    instead of {expected}"

    @initialize(pick=TOKENS, value=VALUES | st.just({}))
    def begin(self, pick: int | None, value: dict[str, Any]) -> None:
        self._step("CreateSecret", ClientRequestToken=self._version_id(pick), **value)

    @rule(pick=TOKENS, value=VALUES | st.just({}))
    def create(self, pick: int | None, value: dict[str, Any]) -> None:
        self._step("CreateSecret", ClientRequestToken=self._version_id(pick), **value)

    @precondition(lambda self: self._is_alive)
    @rule(pick=TOKENS, value=VALUES, stages=st.none() | STAGES)
    def put(self, pick: int | None, value: dict[str, Any], stages: Sequence[str] | None) -> None:
        request = {} if stages is None else {"VersionStages": list(stages)}
        self._step("PutSecretValue", ClientRequestToken=self._version_id(pick), **value, **request)

    @precondition(lambda self: self._is_alive)
    @rule(pick=TOKENS, value=VALUES, first=st.integers(0, 6), number=st.integers(10, 20))
    def put_with_many_labels(self, pick: int | None, value: dict[str, Any], first: int, number: int) -> None:
        stages = [f"L{label}" for label in range(first, first + number)]
        token = self._version_id(pick)
        self._step("PutSecretValue", ClientRequestToken=token, VersionStages=stages, **value)

    @precondition(lambda self: self._is_alive)
    @rule(pick=TOKENS, value=VALUES | st.just({}), description=st.sampled_from([None, "", "another"]))
    def update(self, pick: int | None, value: dict[str, Any], description: str | None) -> None:
        request = {} if description is None else {"Description": description}
        self._step("UpdateSecret", ClientRequestToken=self._version_id(pick), **value, **request)

    @precondition(lambda self: self._is_alive)
    @rule(stage=st.sampled_from(LABELS), to=st.none() | TOKENS, away=st.none() | TOKENS, new=st.booleans())
    def move(self, stage: str, to: int | None, away: int | None, new: bool) -> None:
        request = {}
        if to is not None or new:
            request["MoveToVersionId"] = self._version_id(to)
        if away is not None:
            request["RemoveFromVersionId"] = self._version_id(away)
        self._step("UpdateSecretVersionStage", VersionStage=stage, **request)

    @precondition(lambda self: self._is_alive and self.model.secret.holder("AWSPREVIOUS"))
    @rule()
    def roll_back(self) -> None:
        assert self.model.secret is not None
        current, previous = map(self.model.secret.holder, ("AWSCURRENT", "AWSPREVIOUS"))
        self._step(
            "UpdateSecretVersionStage",
            VersionStage="AWSCURRENT",
            MoveToVersionId=previous,
            RemoveFromVersionId=current,
        )

    @precondition(lambda self: self._is_alive)
    @rule(stage=st.sampled_from(LABELS), to=st.integers(0, 20))
    def move_as_told(self, stage: str, to: int) -> None:
        assert self.model.secret is not None
        holder = self.model.secret.holder(stage)
        request = {} if holder is None else {"RemoveFromVersionId": holder}
        self._step("UpdateSecretVersionStage", VersionStage=stage, MoveToVersionId=self._existing(to), **request)

    @precondition(lambda self: self._is_alive and self.model.secret.labels)
    @rule(pick=st.integers(0, 20))
    def take_off(self, pick: int) -> None:
        assert self.model.secret is not None
        labels = sorted(self.model.secret.labels)
        stage = labels[pick % len(labels)]
        holder = self.model.secret.holder(stage)
        self._step("UpdateSecretVersionStage", VersionStage=stage, RemoveFromVersionId=holder)

    @precondition(lambda self: self._is_alive)
    @rule(pick=TOKENS)
    def rotate(self, pick: int | None) -> None:
        self._step("RotateSecret", ClientRequestToken=self._version_id(pick))

    def _pending(self) -> str | None:
        return self.model.secret.holder("AWSPENDING") if self.model.secret and self._is_alive else None

    @precondition(lambda self: self._pending() is not None)
    @rule(value=VALUES, stages=st.none() | st.just(["AWSPENDING"]) | STAGES)
    def fill(self, value: dict[str, Any], stages: Sequence[str] | None) -> None:
        request = {} if stages is None else {"VersionStages": list(stages)}
        self._step("PutSecretValue", ClientRequestToken=self._pending(), **value, **request)

    @precondition(lambda self: self._pending() is not None)
    @rule()
    def finish(self) -> None:
        secret = self.model.secret
        assert secret is not None
        current = secret.holder("AWSCURRENT")
        request = {"RemoveFromVersionId": current} if current else {}
        self._step("UpdateSecretVersionStage", VersionStage="AWSCURRENT", MoveToVersionId=self._pending(), **request)

    @precondition(lambda self: self._is_alive)
    @rule()
    def cancel(self) -> None:
        self._step("CancelRotateSecret")

    @precondition(lambda self: self._is_alive)
    @rule(really=st.integers(0, 2))
    def delete(self, really: int) -> None:
        # Rarely, as little can be done until it is restored.
        if really == 0:
            self._step("DeleteSecret")
            self._nothing_can_be_done()

    @property
    def _is_restored_alike(self) -> bool:
        """Whether nothing happens after a restoration: a real scheduler takes a pending version up when it likes."""
        secret = self.model.secret
        assert secret is not None
        return self.server.clock is not None or not (secret.rotation_enabled and secret.holder("AWSPENDING"))

    @precondition(lambda self: self.model.secret and self.model.secret.is_dead and self._is_restored_alike)
    @rule()
    def restore(self) -> None:
        self._step("RestoreSecret")

    @precondition(lambda self: self.model.secret)
    @rule(really=st.integers(0, 3), pick=TOKENS, value=VALUES | st.just({}))
    def begin_anew(self, really: int, pick: int | None, value: dict[str, Any]) -> None:
        if really == 0:
            self._step("DeleteSecret", ForceDeleteWithoutRecovery=True)
            self._nothing_can_be_done()
            self._step("CreateSecret", ClientRequestToken=self._version_id(pick), **value)

    def _nothing_can_be_done(self) -> None:
        version_id = self._version_id(0)
        for answer in (
            self._step("PutSecretValue", ClientRequestToken=version_id, SecretString="a"),
            self._step("UpdateSecret", ClientRequestToken=version_id),
            self._step("UpdateSecretVersionStage", VersionStage="BLUE", MoveToVersionId=version_id),
            self._step("RotateSecret", ClientRequestToken=version_id),
            self._step("CancelRotateSecret"),
            self._step("GetSecretValue"),
        ):
            assert isinstance(answer, tuple)

    @precondition(lambda self: self._is_alive)
    @rule(pick=TOKENS, stage=st.sampled_from(LABELS))
    def read_by_id_and_label(self, pick: int | None, stage: str) -> None:
        self._step("GetSecretValue", VersionId=self._version_id(pick), VersionStage=stage)

    @precondition(lambda self: self.server.clock is not None and self._is_alive)
    @rule(hours=st.sampled_from([1, 23, 24, 30]))
    def time_passes(self, hours: int) -> None:
        assert self.server.clock is not None
        self.server.clock.advance(timedelta(hours=hours))

    @invariant()
    def everything_looks_the_same(self) -> None:
        if not self.ids:
            return
        self._compare("DescribeSecret")
        secret = self.model.secret
        if secret is None or not secret.is_dead:
            for deprecated in (False, True):
                self._compare("ListSecretVersionIds", IncludeDeprecated=deprecated)
        if secret is None or secret.is_dead:
            self._compare("GetSecretValue")
            return
        for stage in LABELS:
            self._compare("GetSecretValue", VersionStage=stage)
        for version_id in dict.fromkeys([*self.ids[:8], *self.ids[-12:]]):
            self._compare("GetSecretValue", VersionId=version_id)


def _outcome(call: Callable[[str, dict[str, Any]], dict[str, Any]], operation: str, request: dict[str, Any]) -> Any:
    """What a call answers, or the words it is refused with."""
    try:
        return call(operation, dict(request))
    except Refused as refused:
        return refused.args
