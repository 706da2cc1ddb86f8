"""A crowd of clients on one secret: what each did and saw, and what cannot have been.

Every value begins with the id of its version, so that a value and an id that do not belong together are noticed. Every
client writes down when its calls began and ended; afterwards a read that returned what had been overwritten before it
began is a stale one.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

CLIENTS = 16
LABEL_OF_THEIR_OWN = "CLIENT"


@dataclass(frozen=True)
class Event:
    """A version became current, or was read as the current one, at some moment between two."""

    version_id: str
    began_at: float
    ended_at: float


@dataclass
class Client:
    """One caller, and what it remembers of its own writes.

    Attributes:
        written: Version id to value, of every write that was acknowledged.
        turns: When which version was made current.
        reads: When which version was read as current.
        label_at: The version that its own label was put on last.
        tags: What it has tagged and not untagged since.
    """

    number: int
    api: Any
    secret_id: str
    written: dict[str, str] = field(default_factory=dict)
    turns: list[Event] = field(default_factory=list)
    reads: list[Event] = field(default_factory=list)
    label_at: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    described: str | None = None
    chance: random.Random = field(init=False)
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.number)

    @property
    def label(self) -> str:
        """A staging label that nobody else touches."""
        return f"{LABEL_OF_THEIR_OWN}{self.number}"

    def play(self, steps: int) -> None:
        """Do this and that; the same for the same number."""
        actions: Sequence[Callable[[], Any]] = (
            self.read, self.read, self.read_everything, self.put, self.put_with_own_label, self.update, self.move,
            self.move, self.tag, self.describe,
        )  # fmt: skip
        for _ in range(steps):
            action = self.chance.choice(actions)
            action()
            self.done[action.__name__] += 1

    def read(self) -> str:
        """Read the current value."""
        began_at = time.monotonic()
        answer = self.api.get_secret_value(SecretId=self.secret_id)
        self.reads.append(Event(answer["VersionId"], began_at, time.monotonic()))
        assert answer["SecretString"].split()[0] == answer["VersionId"]
        assert "AWSCURRENT" in answer["VersionStages"]
        version_id: str = answer["VersionId"]
        return version_id

    def read_everything(self) -> None:
        """Look at the labels, and at a version that this client wrote."""
        described = self.api.describe_secret(SecretId=self.secret_id)
        listed = self.api.list_secret_version_ids(SecretId=self.secret_id)["Versions"]
        for stages_of in (
            described["VersionIdsToStages"],
            {version["VersionId"]: version["VersionStages"] for version in listed},
        ):
            labels = [label for stages in stages_of.values() for label in stages]
            assert len(labels) == len(set(labels)), stages_of
            assert "AWSCURRENT" in labels, stages_of
            assert self.label_at is None or self.label in stages_of[self.label_at]
        for key, value in self.tags.items():
            assert {"Key": key, "Value": value} in described["Tags"]
        if self.written:
            version_id = self.chance.choice(list(self.written))
            answer = self.api.get_secret_value(SecretId=self.secret_id, VersionId=version_id)
            assert answer["SecretString"] == self.written[version_id]

    def put(self) -> None:
        """Store a value that becomes the current one."""
        self._write(self.api.put_secret_value, is_turn=True)

    def update(self) -> None:
        """Likewise, in the other way."""
        self._write(self.api.update_secret, is_turn=True)

    def put_with_own_label(self) -> None:
        """Store a value under this client's label."""
        self.label_at = self._write(self.api.put_secret_value, is_turn=False, VersionStages=[self.label])

    def _write(self, call: Callable[..., Any], *, is_turn: bool, **request: Any) -> str:
        version_id = str(uuid.uuid4())
        value = f"{version_id} by client {self.number}"
        began_at = time.monotonic()
        call(SecretId=self.secret_id, SecretString=value, ClientRequestToken=version_id, **request)
        self.written[version_id] = value
        if is_turn:
            self.turns.append(Event(version_id, began_at, time.monotonic()))
        # One's own write is seen at once.
        assert self.api.get_secret_value(SecretId=self.secret_id, VersionId=version_id)["SecretString"] == value
        return version_id

    def move(self) -> None:
        """Make a version of this client's current again, provided that nobody else was faster."""
        if not self.written:
            return
        current, target = self.read(), self.chance.choice(list(self.written))
        began_at = time.monotonic()
        try:
            self.api.update_secret_version_stage(
                SecretId=self.secret_id,
                VersionStage="AWSCURRENT",
                MoveToVersionId=target,
                RemoveFromVersionId=current,
            )
        except ClientError as error:
            said: Any = error.response["Error"]
            assert said["Code"] == "InvalidParameterException", said
            assert "it must be set to the version that currently has the staging label" in said["Message"], said
            self.done["moves that came too late"] += 1
            return
        self.turns.append(Event(target, began_at, time.monotonic()))

    def tag(self) -> None:
        """Add one of three tags, or take it off."""
        key = f"{self.number}-{self.chance.randrange(3)}"
        if self.tags.pop(key, None) is None:
            self.tags[key] = str(self.chance.random())
            tags = [{"Key": key, "Value": self.tags[key]}]
            self.api.tag_resource(SecretId=self.secret_id, Tags=tags)
        else:
            self.api.untag_resource(SecretId=self.secret_id, TagKeys=[key])

    def describe(self) -> None:
        """Write another description."""
        self.described = f"{self.number} {self.chance.random()}"
        self.api.update_secret(SecretId=self.secret_id, Description=self.described)


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Make calls at the same time; return what each answered, or the error it was refused with."""
    together = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        together.wait()
        try:
            return call()
        except ClientError as error:
            return error.response["Error"]

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def stale_reads(clients: Sequence[Client], first: Event) -> list[tuple[str, str]]:
    """Reads of a version that another had replaced before the read began, with that other.

    A version that became current once is known to have been so when somebody has read it, acknowledged or not.
    """
    turns = [first, *(turn for client in clients for turn in client.turns)]
    reads = [read for client in clients for read in client.reads]
    often = {version_id for version_id, number in Counter(turn.version_id for turn in turns).items() if number > 1}
    seen_at: dict[str, float] = {}
    for read in reads:
        seen_at[read.version_id] = min(read.ended_at, seen_at.get(read.version_id, read.ended_at))
    known = [
        Event(
            turn.version_id,
            turn.began_at,
            turn.ended_at
            if turn.version_id in often
            else min(turn.ended_at, seen_at.get(turn.version_id, turn.ended_at)),
        )
        for turn in turns
    ]
    stale = []
    for read in reads:
        possible = [turn for turn in known if turn.version_id == read.version_id and turn.began_at <= read.ended_at]
        replaced_by = [
            next((later for later in known if turn.ended_at < later.began_at and later.ended_at < read.began_at), None)
            for turn in possible
        ]
        if not possible or all(replaced_by):
            stale.append((read.version_id, str(replaced_by)))
    return stale
