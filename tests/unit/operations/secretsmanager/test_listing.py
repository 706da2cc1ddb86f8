from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.errors.secretsmanager import InvalidNextTokenException
from keyturn.operations import registry
from keyturn.operations.secretsmanager import search
from keyturn.storage import inline_policies, secret_versions
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench

MOVING = ("last-changed-date", "last-accessed-date")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        yield opened


@pytest.fixture
def call(bench: HandlerBench) -> Callable[..., Any]:
    return lambda name, **request: bench.call("secretsmanager", name, **request)


def make(call: Callable[..., Any], *names: str, **request: Any) -> None:
    for number, name in enumerate(names):
        call("CreateSecret", Name=name, SecretString="x", ClientRequestToken=f"{number:032}", **request)


def names(page: Any) -> list[str]:
    return [entry["Name"] for entry in page["SecretList"]]


def ask(bench: HandlerBench, place: Place, name: str, **request: Any) -> Any:
    """Run an operation without a subject as somebody who works elsewhere."""
    operation = registry.find("secretsmanager", name)
    assert operation is not None
    call: Call = bench.as_(bench.caller)._replace(place=place)
    return operation.handle(bench.kit, call, request, None)


@pytest.mark.parametrize(
    "place", [replace(PLACE, account_id="111111111111"), replace(PLACE, region="eu-west-1")], ids=["account", "region"]
)
def test_a_token_is_of_no_use_in_another_account_or_region(
    bench: HandlerBench, call: Callable[..., Any], place: Place
) -> None:
    make(call, "a", "b")
    token = call("ListSecrets", MaxResults=1)["NextToken"]

    with pytest.raises(InvalidNextTokenException, match=r"^Invalid token$"):
        ask(bench, place, "ListSecrets", MaxResults=1, NextToken=token)
    assert names(ask(bench, PLACE, "ListSecrets", MaxResults=1, NextToken=token)) == ["b"]


FILTERS = [{"Key": "name", "Values": ["a"]}]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("ListSecrets", {"SortBy": "name"}),
        ("ListSecrets", {"SortOrder": "desc"}),
        ("ListSecrets", {"IncludePlannedDeletion": True}),
        ("ListSecrets", {"Filters": [*FILTERS, *FILTERS]}),
        ("BatchGetSecretValue", {}),
        ("ListSecretVersionIds", {"SecretId": "a1"}),
    ],
)
def test_a_token_answers_only_its_own_question(
    bench: HandlerBench, call: Callable[..., Any], name: str, other: dict[str, Any]
) -> None:
    make(call, "a1", "a2")
    question: dict[str, Any] = {"Filters": FILTERS, "MaxResults": 1}
    token = call("ListSecrets", **question)["NextToken"]
    # What means the same, and how many are wanted, is no other question.
    assert names(call("ListSecrets", Filters=FILTERS, SortBy="created-date", SortOrder="asc", NextToken=token)) == [
        "a2"
    ]

    with bench.kit.state.write() as transaction:
        inline_policies.put_inline_policy(transaction, bench.caller.arn, "all", ALLOW_ALL)
    if name == "ListSecretVersionIds":
        question = {}
    with pytest.raises(InvalidNextTokenException, match=r"^Invalid token$"):
        call(name, **{**question, **other, "NextToken": token})


def test_tokens_of_other_makings_are_refused(bench: HandlerBench, call: Callable[..., Any]) -> None:
    make(call, "a", "b")
    token = call("ListSecrets", MaxResults=1)["NextToken"]
    tokens = bench.kit.page_tokens
    position = tokens.open(token)
    altered = token[:-1] + ("A" if token[-1] != "A" else "B")
    # As an earlier version wrote them.
    old = tokens.seal(
        {"listing": f"ListSecrets {position['listing'].rpartition(' ')[2]}", "sorted_by": "a", "name": "a"}
    )
    foreign = bench.kit.session_tokens.seal(position)

    for other in (altered, old, foreign, "made up", "é", token + "\n", token * 2):
        with pytest.raises(InvalidNextTokenException):
            call("ListSecrets", MaxResults=1, NextToken=other)


def test_a_token_of_the_longest_name_is_as_long_as_one_may_be_sent(call: Callable[..., Any]) -> None:
    make(call, "a" * 512, "b" * 512)

    token = call("ListSecrets", SortBy="name", MaxResults=1)["NextToken"]

    assert len(token) <= 4096
    assert "a" * 10 not in token
    assert names(call("ListSecrets", SortBy="name", NextToken=token)) == ["b" * 512]


@pytest.mark.parametrize("sort_by", MOVING)
def test_a_list_by_a_date_that_moves_is_not_read_for_ever(
    bench: HandlerBench, call: Callable[..., Any], sort_by: str
) -> None:
    make(call, "a", "b")
    token = call("ListSecrets", SortBy=sort_by, MaxResults=1)["NextToken"]

    bench.clock.advance(search.LIST_LIFETIME)
    assert names(call("ListSecrets", SortBy=sort_by, MaxResults=1, NextToken=token)) == ["b"]
    bench.clock.advance(timedelta(seconds=1))
    with pytest.raises(InvalidNextTokenException):
        call("ListSecrets", SortBy=sort_by, MaxResults=1, NextToken=token)


@pytest.mark.parametrize("sort_by", ["name", "created-date"])
def test_a_list_by_what_does_not_move_is_read_on_at_any_time(
    bench: HandlerBench, call: Callable[..., Any], sort_by: str
) -> None:
    make(call, "a", "b")
    token = call("ListSecrets", SortBy=sort_by, MaxResults=1)["NextToken"]

    bench.clock.advance(timedelta(days=400))

    assert names(call("ListSecrets", SortBy=sort_by, MaxResults=1, NextToken=token)) == ["b"]


def test_a_list_by_access_shows_the_dates_it_is_sorted_by(bench: HandlerBench, call: Callable[..., Any]) -> None:
    make(call, "a", "b", "c")
    today = datetime(2026, 1, 2, tzinfo=UTC)
    call("GetSecretValue", SecretId="a")
    first = call("ListSecrets", SortBy="last-accessed-date", MaxResults=1)
    # Read while the list is being read.
    call("GetSecretValue", SecretId="c")
    rest = call("ListSecrets", SortBy="last-accessed-date", NextToken=first["NextToken"])

    entries = first["SecretList"] + rest["SecretList"]
    assert [(entry["Name"], entry.get("LastAccessedDate")) for entry in entries] == [
        ("b", None),
        ("c", None),
        ("a", today),
    ]
    assert call("DescribeSecret", SecretId="c")["LastAccessedDate"] == today
    (entry,) = call("ListSecrets", Filters=[{"Key": "name", "Values": ["c"]}])["SecretList"]
    assert entry["LastAccessedDate"] == today


def test_the_date_of_a_read_is_shown_on_the_days_after(bench: HandlerBench, call: Callable[..., Any]) -> None:
    make(call, "a", "b")
    read_on = bench.clock.now().replace(hour=0, minute=0, second=0)
    call("DescribeSecret", SecretId="a")
    call("GetSecretValue", SecretId="a")
    bench.kit.accesses.store(bench.kit.state)
    bench.clock.advance(timedelta(days=1))
    # The first read of another day.
    call("GetSecretValue", SecretId="b")

    assert call("DescribeSecret", SecretId="a")["LastAccessedDate"] == read_on
    assert call("ListSecretVersionIds", SecretId="a")["Versions"][0]["LastAccessedDate"] == read_on
    assert [entry["LastAccessedDate"] for entry in call("ListSecrets")["SecretList"]] == [
        read_on,
        read_on + timedelta(days=1),
    ]


def test_a_read_just_before_midnight_is_of_that_day(bench: HandlerBench, call: Callable[..., Any]) -> None:
    make(call, "a", "b")
    read_on = bench.clock.now().replace(hour=0, minute=0, second=0)
    call("GetSecretValue", SecretId="a")
    bench.clock.advance(timedelta(days=1))
    call("GetSecretValue", SecretId="b")

    entries = call("ListSecrets", SortBy="last-accessed-date")["SecretList"]

    assert [entry["LastAccessedDate"] for entry in entries] == [read_on, read_on + timedelta(days=1)]


def test_reads_that_cannot_be_stored_are_remembered(bench: HandlerBench, call: Callable[..., Any]) -> None:
    make(call, "a")
    call("GetSecretValue", SecretId="a")
    accesses, state = bench.kit.accesses, bench.kit.state
    with pytest.MonkeyPatch.context() as patch:

        def fail() -> None:
            raise OSError

        patch.setattr(state, "write", fail)
        with pytest.raises(OSError):  # noqa: PT011 - the one above
            accesses.store(state)

    accesses.store(state)

    with state.read() as connection:
        assert (
            connection.exec_driver_sql("SELECT count(*) FROM secrets WHERE last_accessed_at IS NOT NULL").scalar() == 1
        )


def test_one_call_looks_at_so_many_secrets_and_no_more(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_MOST_LOOKED_AT", 4)
    monkeypatch.setattr(search, "_LOOKED_AT_ONCE", 2)
    make(call, *"abcdefg", Description="common")
    call("TagResource", SecretId="g", Tags=[{"Key": "rare", "Value": "x"}])
    rare = [{"Key": "tag-key", "Values": ["rare"]}]

    first = call("ListSecrets", Filters=rare)
    second = call("ListSecrets", Filters=rare, NextToken=first["NextToken"])

    assert (names(first), names(second)) == ([], ["g"])
    assert "NextToken" not in second


def test_a_filter_by_name_looks_only_where_the_name_can_be(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_MOST_LOOKED_AT", 2)
    monkeypatch.setattr(search, "_LOOKED_AT_ONCE", 2)
    make(call, *"abcdef", "z1", "z2", "z3")
    by_z = [{"Key": "name", "Values": ["z"]}]

    # Few of a name are found at once, in whatever order,
    monkeypatch.setattr(search, "_FEW", 3)
    assert names(call("ListSecrets", Filters=by_z, SortOrder="desc", MaxResults=2)) == ["z3", "z2"]
    # many at least in the order of names.
    monkeypatch.setattr(search, "_FEW", 1)
    assert names(call("ListSecrets", Filters=by_z, SortBy="name", MaxResults=1)) == ["z1"]
    assert names(call("ListSecrets", Filters=by_z)) == []


@pytest.mark.parametrize("gone", [False, True])
def test_versions_go_on_behind_the_one_that_a_token_names_be_it_there_or_not(
    bench: HandlerBench, call: Callable[..., Any], gone: bool
) -> None:
    make(call, "a")
    for number in range(1, 5):
        bench.clock.advance(timedelta(seconds=number % 2))
        call("PutSecretValue", SecretId="a", SecretString="x", ClientRequestToken=f"{number:032}")
    question = {"SecretId": "a", "IncludeDeprecated": True, "MaxResults": 2}
    first = call("ListSecretVersionIds", **question)
    if gone:
        with bench.kit.state.write() as transaction:
            secret_versions.delete_versions(transaction, 1, [version["VersionId"] for version in first["Versions"]])

    second = call("ListSecretVersionIds", **question, NextToken=first["NextToken"])
    third = call("ListSecretVersionIds", **question, NextToken=second["NextToken"])

    versions = first["Versions"] + second["Versions"] + third["Versions"]
    assert [version["VersionId"] for version in versions] == [f"{number:032}" for number in range(5)]
    assert [version.get("VersionStages") for version in versions] == [None] * 3 + [["AWSPREVIOUS"], ["AWSCURRENT"]]
    assert "NextToken" not in third


@pytest.mark.parametrize("other", [{"SecretId": "b"}, {"IncludeDeprecated": False}, {"NextToken": "made up"}])
def test_a_token_of_versions_is_of_one_secret_and_question(call: Callable[..., Any], other: dict[str, Any]) -> None:
    make(call, "a", "b")
    call("PutSecretValue", SecretId="a", SecretString="x", ClientRequestToken="1" * 32)
    question = {"SecretId": "a", "IncludeDeprecated": True}
    token = call("ListSecretVersionIds", **question, MaxResults=1)["NextToken"]

    with pytest.raises(InvalidNextTokenException, match=r"^Invalid token$"):
        call("ListSecretVersionIds", **{**question, "NextToken": token, **other})


def test_a_token_of_versions_as_an_earlier_release_wrote_it_is_refused(
    bench: HandlerBench, call: Callable[..., Any]
) -> None:
    make(call, "a")
    arn = call("DescribeSecret", SecretId="a")["ARN"]
    token = bench.kit.page_tokens.seal({"listing": f"ListSecretVersionIds {arn}", "after": "0" * 32})

    with pytest.raises(InvalidNextTokenException):
        call("ListSecretVersionIds", SecretId="a", NextToken=token)
