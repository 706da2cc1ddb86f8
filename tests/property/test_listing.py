"""Filters find what a naive reading of their rules finds, and a list is the same list however long it is being read."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations.secretsmanager import search
from keyturn.rules.listing import Searchable, compile_filters
from keyturn.storage import inline_policies, secret_lists
from keyturn.testing.handlers import ALLOW_ALL, open_bench

# Most of the time of these many small writes would be waiting for a disk, about which nothing is asked here.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

# Few letters, so that filters find something.
TEXTS = st.text("abAB/-. ", max_size=6)
NAMES = st.text("abAB/-", min_size=1, max_size=4)
TAGS = st.dictionaries(st.text("abAB/-. ", min_size=1, max_size=6), TEXTS, max_size=2)
VALUES = st.builds(str.__add__, st.sampled_from(["", "!"]), st.text("abAB/-. ", max_size=3))
FILTERS = st.lists(
    st.fixed_dictionaries(
        {
            "Key": st.sampled_from(
                ["name", "tag-key", "tag-value", "description", "all", "primary-region", "owning-service"]
            ),
            "Values": st.lists(VALUES, min_size=1, max_size=3),
        }
    ),
    max_size=3,
)
SECRETS = st.builds(Searchable, name=NAMES, description=TEXTS, tags=TAGS, primary_region=TEXTS, owning_service=TEXTS)


def naive_words(text: str) -> list[str]:
    """Character by character: blanks and one kind of special character end a word, a capital can begin one."""
    specials = {character for character in text if character in "/-_+=.@"}
    if len(specials) > 1:
        return [text]
    found = [""]
    for position, character in enumerate(text):
        before, after = text[position - 1 : position], text[position + 1 : position + 2]
        begins = character.isupper() and (before.islower() or (before.isupper() and after.islower()))
        if begins or character in specials or character.isspace():
            found.append("")
        if character not in specials and not character.isspace():
            found[-1] += character
    return [word for word in found if word]


def naively_found(secret: Searchable, filters: list[Mapping[str, Any]]) -> bool:
    return all(any(naively_matches(secret, entry["Key"], value) for value in entry["Values"]) for entry in filters)


def naively_matches(secret: Searchable, key: str, value: str) -> bool:
    if value[:1] == "!":
        return not naively_matches_plainly(secret, key, value[1:])
    return naively_matches_plainly(secret, key, value)


def naively_matches_plainly(secret: Searchable, key: str, value: str) -> bool:
    tag_keys, tag_values = list(secret.tags.keys()), list(secret.tags.values())
    by_prefix = {
        "name": [secret.name],
        "tag-key": tag_keys,
        "tag-value": tag_values,
        "primary-region": [secret.primary_region],
    }
    if key in by_prefix:
        return any(text[: len(value)] == value for text in by_prefix[key])
    if key == "owning-service":
        return secret.owning_service[: len(value)].casefold() == value.casefold()
    texts = [secret.description] if key == "description" else [secret.name, secret.description, *tag_keys, *tag_values]
    wanted = [word.casefold() for word in naive_words(value)]
    for text in texts:
        present = [word.casefold() for word in naive_words(text)]
        if wanted and all(any(word[: len(one)] == one for word in present) for one in wanted):
            return True
    return False


@given(SECRETS, FILTERS)
@settings(max_examples=500)
def test_a_filter_finds_what_a_naive_reading_finds(secret: Searchable, filters: list[Mapping[str, Any]]) -> None:
    assert compile_filters(filters)(secret) == naively_found(secret, filters)


@dataclass
class Known:
    """A secret as the test knows it."""

    number: int
    name: str
    arn: str
    created: datetime
    changed: datetime
    accessed: datetime | None = None
    is_deleted: bool = False
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)

    def is_in(self, filters: list[Mapping[str, Any]], *, with_deleted: bool) -> bool:
        return (with_deleted or not self.is_deleted) and naively_found(
            Searchable(self.name, self.description, self.tags), filters
        )


SORT_KEYS: dict[str, Callable[[Known], Any]] = {
    "name": lambda secret: secret.name,
    "created-date": lambda secret: (secret.created, secret.number),
    "last-changed-date": lambda secret: (secret.changed, secret.number),
    "last-accessed-date": lambda secret: (secret.accessed is not None, str(secret.accessed), secret.number),
}
SHOWN_KEYS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "name": lambda entry: entry["Name"],
    "created-date": lambda entry: entry["CreatedDate"],
    "last-changed-date": lambda entry: entry["LastChangedDate"],
    "last-accessed-date": lambda entry: str(entry.get("LastAccessedDate", "")),
}


@dataclass
class Reading:
    """A list that is being read.

    Attributes:
        expected: Numbers of the secrets it held when it began, in its order.
        always: Those that belonged to it at every moment since.
    """

    question: dict[str, Any]
    began_at: datetime
    expected: list[int]
    always: set[int]
    entries: list[Mapping[str, Any]] = field(default_factory=list)
    token: str | None = None

    @property
    def moves(self) -> bool:
        return str(self.question["SortBy"]).startswith("last-")

    def holds(self, secret: Known) -> bool:
        return secret.is_in(self.question["Filters"], with_deleted=bool(self.question["IncludePlannedDeletion"]))


class ListingMachine(RuleBasedStateMachine):
    """Several readers of long lists, and everybody else at work between their pages."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        directory = self.closing.enter_context(tempfile.TemporaryDirectory(dir=MEMORY))
        self.bench = self.closing.enter_context(open_bench(Path(directory)))
        with self.bench.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, self.bench.caller.arn, "all", ALLOW_ALL)
        # So few at once that the searches of these small lists take every turn that those of long ones do.
        for name, number in {"_MOST_LOOKED_AT": 6, "_LOOKED_AT_ONCE": 3, "_MOST_CHARACTERS": 30, "_FEW": 2}.items():
            self.closing.enter_context(mock.patch.object(search, name, number))
        self.secrets: dict[int, Known] = {}
        self.made = 0
        self.readings: list[Reading] = []

    def teardown(self) -> None:
        for reading in list(self.readings):
            while reading in self.readings:
                self.read_on(reading)
        self.closing.close()

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("secretsmanager", name, **request)

    def pick(self, number: int) -> Known:
        return self.secrets[sorted(self.secrets)[number % len(self.secrets)]]

    def changed(self) -> None:
        """See which secrets no longer belong to the lists that are being read."""
        for reading in self.readings:
            reading.always &= {number for number, secret in self.secrets.items() if reading.holds(secret)}

    @initialize(
        lists=st.lists(
            st.tuples(st.sampled_from(["last-accessed-date", "last-changed-date"]), st.sampled_from(["asc", "desc"])),
            min_size=2,
            max_size=2,
        )
    )
    def create_some(self, lists: list[tuple[str, str]]) -> None:
        for number in range(12):
            name = "aAbB/-"[number % 6] * (1 + number // 6)
            self.create(name, ("a", "A b", "", "bA")[number % 4], {name: "aB"} if number % 3 else {})
            self.wait(number % 2)
        self.read_values([0, 1, 2], by_batch=True, store=True)
        self.wait_until_just_before_midnight()
        for sort_by, sort_order in lists:
            self.begin(sort_by, sort_order, with_deleted=False, filters=[], size=3)

    @rule(name=NAMES, description=TEXTS, tags=TAGS)
    def create(self, name: str, description: str, tags: dict[str, str]) -> None:
        if any(secret.name == name for secret in self.secrets.values()):
            return
        self.made += 1
        made = self.call(
            "CreateSecret",
            Name=name,
            SecretString="x",
            ClientRequestToken=f"{self.made:032}",
            Description=description,
            Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        )
        now = self.bench.clock.now()
        self.secrets[self.made] = Known(
            self.made, name, made["ARN"], now, now, description=description, tags=dict(tags)
        )

    @rule(number=st.integers(0, 50))
    def erase(self, number: int) -> None:
        if number >= len(self.secrets):
            return
        secret = self.pick(number)
        self.call("DeleteSecret", SecretId=secret.arn, ForceDeleteWithoutRecovery=True)
        del self.secrets[secret.number]
        self.changed()

    @rule(number=st.integers(0, 50))
    def delete_or_restore(self, number: int) -> None:
        if number >= len(self.secrets):
            return
        secret = self.pick(number)
        self.call("RestoreSecret" if secret.is_deleted else "DeleteSecret", SecretId=secret.arn)
        if not secret.is_deleted:
            secret.changed = self.bench.clock.now()
        secret.is_deleted = not secret.is_deleted
        self.changed()

    @precondition(lambda self: self.secrets)
    @rule(numbers=st.lists(st.integers(0, 100), min_size=1, max_size=6), by_batch=st.booleans(), store=st.booleans())
    def read_values(self, numbers: list[int], by_batch: bool, store: bool) -> None:
        alive = [secret for secret in map(self.pick, numbers) if not secret.is_deleted]
        if alive and by_batch:
            assert not self.call("BatchGetSecretValue", SecretIdList=[secret.arn for secret in alive])["Errors"]
        for secret in alive:
            if not by_batch:
                self.call("GetSecretValue", SecretId=secret.arn)
            secret.accessed = self.bench.clock.now().replace(hour=0, minute=0, second=0, microsecond=0)
        if store:
            self.schedule()

    @precondition(lambda self: self.secrets)
    @rule(numbers=st.lists(st.integers(0, 100), min_size=1, max_size=6), description=st.none() | TEXTS)
    def change(self, numbers: list[int], description: str | None) -> None:
        for secret in map(self.pick, numbers):
            if secret.is_deleted:
                continue
            self.made += 1
            if description is None:
                self.call(
                    "PutSecretValue", SecretId=secret.arn, SecretString="y", ClientRequestToken=f"{self.made:032}"
                )
            else:
                self.call("UpdateSecret", SecretId=secret.arn, Description=description)
                secret.description = description
            secret.changed = self.bench.clock.now()
            self.wait(1)
        self.changed()

    @rule(seconds=st.sampled_from([1, 1, 60, 60, 1_000, 86_400]))
    def wait(self, seconds: int) -> None:
        self.bench.clock.advance(timedelta(seconds=seconds))

    @rule()
    def wait_until_just_before_midnight(self) -> None:
        now = self.bench.clock.now()
        self.bench.clock.advance(now.replace(hour=23, minute=59, second=57) - now)

    @rule()
    def step_back(self) -> None:
        """The clock is set right, by less than takes it to another day."""
        now = self.bench.clock.now()
        self.bench.clock.advance(max(-timedelta(seconds=2), now.replace(hour=0, minute=0, second=0) - now))

    @rule()
    def schedule(self) -> None:
        """Do what the scheduler does now and then."""
        kit = self.bench.kit
        kit.accesses.store(kit.state)
        secret_lists.forget_moves(kit.state, self.bench.clock.now() - 2 * search.LIST_LIFETIME)

    @rule(
        sort_by=st.sampled_from(sorted(SORT_KEYS)),
        sort_order=st.sampled_from(["asc", "desc"]),
        with_deleted=st.booleans(),
        filters=st.just([]) | FILTERS,
        size=st.integers(1, 5),
    )
    def begin(self, sort_by: str, sort_order: str, with_deleted: bool, filters: Any, size: int) -> None:
        question = {
            "SortBy": sort_by,
            "SortOrder": sort_order,
            "IncludePlannedDeletion": with_deleted,
            "Filters": filters,
            "MaxResults": size,
        }
        reading = Reading(question, self.bench.clock.now(), [], set())
        found = sorted(filter(reading.holds, self.secrets.values()), key=SORT_KEYS[sort_by])
        reading.expected = [secret.number for secret in (found[::-1] if sort_order == "desc" else found)]
        reading.always = set(reading.expected)
        self.readings.append(reading)
        self.read_on(reading)

    @precondition(lambda self: self.readings)
    @rule(number=st.integers(0, 100), pages=st.integers(1, 4))
    def go_on(self, number: int, pages: int) -> None:
        reading = self.readings[number % len(self.readings)]
        for _ in range(pages):
            if reading in self.readings:
                self.read_on(reading)

    def read_on(self, reading: Reading) -> None:
        token = {} if reading.token is None else {"NextToken": reading.token}
        is_over = self.bench.clock.now() - reading.began_at > search.LIST_LIFETIME
        if token and reading.moves and is_over:
            with pytest.raises(InvalidNextTokenException):
                self.call("ListSecrets", **reading.question, **token)
            self.readings.remove(reading)
            return
        page = self.call("ListSecrets", **reading.question, **token)
        numbers = {secret.arn: secret for secret in self.secrets.values()}
        assert len(page["SecretList"]) <= reading.question["MaxResults"]
        assert all(reading.holds(numbers[entry["ARN"]]) for entry in page["SecretList"])
        reading.entries += page["SecretList"]
        reading.token = page.get("NextToken")
        if reading.token is None:
            self.readings.remove(reading)
            self.check(reading)

    def check(self, reading: Reading) -> None:
        arns = [entry["ARN"] for entry in reading.entries]
        assert len(set(arns)) == len(arns), "a secret is listed twice"
        numbers = {secret.arn: secret.number for secret in self.secrets.values()}
        listed = [numbers[arn] for arn in arns if arn in numbers]
        assert [number for number in listed if number in reading.always] == [
            number for number in reading.expected if number in reading.always
        ]
        shown = [SHOWN_KEYS[reading.question["SortBy"]](entry) for entry in reading.entries]
        assert shown == sorted(shown, reverse=reading.question["SortOrder"] == "desc")


ListingMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=40)
TestListing = ListingMachine.TestCase
