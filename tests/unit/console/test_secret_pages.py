"""Rules of the pages of secrets: what is searched for, how versions are drawn, how it stands, which tags change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keyturn.console.pages.secrets import filters
from keyturn.console.secret_health import health_of
from keyturn.console.secret_tags import UnclearTags, changes, filled_tags
from keyturn.console.secret_versions import drawn
from keyturn.console.visit import Form
from keyturn.rules.listing import Searchable, compile_filters

NOW = datetime(2026, 11, 28, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("search", "key", "asked"),
    [
        ("", "name", []),
        ("orders", "", [{"Key": "all", "Values": ["orders"]}]),
        ("prod/app", "", [{"Key": "name", "Values": ["prod/app"]}]),
        ("prod/app", "description", [{"Key": "description", "Values": ["prod/app"]}]),
    ],
)
def test_what_is_typed_becomes_a_filter(search: str, key: str, asked: list[dict[str, Any]]) -> None:
    assert filters(search, key) == asked


@pytest.mark.parametrize("typed", ["prod", "prod/", "prod/a", "prod/app-", "prod/app-db"])
def test_a_name_is_found_all_the_way_while_it_is_typed(typed: str) -> None:
    assert compile_filters(filters(typed, ""))(Searchable("prod/app-db"))


def test_versions_are_drawn_newest_first_and_labels_in_the_order_that_counts() -> None:
    def entry(version_id: str, age: int) -> dict[str, Any]:
        return {"VersionId": version_id, "CreatedDate": NOW - timedelta(days=age)}

    stages = {"b": ["custom", "AWSPREVIOUS", "AWSCURRENT"], "p": ["AWSPENDING"]}
    picture = drawn([entry("a", 3), entry("b", 2), entry("c", 1)], stages)

    assert [each.version_id for each in picture.labelled] == ["p", "b"]
    assert picture.labelled[1].labels == ("AWSCURRENT", "AWSPREVIOUS", "custom")
    assert [each.version_id for each in picture.others] == ["c", "a"]
    # A rotation has labelled it, and its function has not filled it yet.
    assert [each.has_value for each in picture.labelled] == [False, True]
    assert picture.current_id == "b"
    assert picture.find("a") == picture.others[1]
    assert picture.find("z") is None
    # Who may not list versions still sees those with labels.
    assert [each.has_value for each in drawn([], {"b": ["AWSCURRENT"]}).labelled] == [True]


# What the last pre-flight has found, beside when what is found there is overtaken by a rotation, or another value.
PREFLIGHTS: dict[str, dict[str, Any]] = {
    "–": {},
    "ready": {"Verdict": "ready"},
    "drift": {"Verdict": "ready", "Heartbeat": "drift"},
    "drift before": {"Verdict": "ready", "Heartbeat": "drift", "CountedFrom": NOW + timedelta(1)},
    "unknown": {"Verdict": "unknown"},
    "unknown before": {"Verdict": "unknown", "CountedFrom": NOW + timedelta(1)},
    "will fail": {"Verdict": "will fail", "PreflightCauses": ["y"]},
    "will fail before": {"Verdict": "will fail", "PreflightCauses": ["y"], "CountedFrom": NOW + timedelta(1)},
}
STATES: dict[str, dict[str, Any]] = {
    "planned": {"State": "planned"},
    "unplanned": {"State": "unplanned"},
    "running": {"State": "running"},
    "pending": {"State": "pending"},
    "running, has failed": {"State": "running", "Cause": "x"},
    "pending, has failed": {"State": "pending", "Cause": "x"},
    "parked": {"State": "parked", "Cause": "x"},
    "failed": {"State": "failed", "Cause": "x", "FailedAt": NOW + timedelta(1)},
    "failed before the look": {"State": "failed", "Cause": "x", "FailedAt": NOW - timedelta(1)},
}
_AS_FOUND: list[str | None] = [
    None,
    "ready",
    "drift",
    "looked at soon",
    "unknown",
    "looked at soon",
    "will fail",
    "looked at soon",
]
_FAILING: list[str | None] = [
    "tries again",
    "tries again",
    "drift",
    "tries again",
    "tries again",
    "tries again",
    "will fail",
]
STANDS: dict[str, list[str | None]] = {
    "planned": _AS_FOUND,
    "unplanned": _AS_FOUND,
    "running": _AS_FOUND,
    "pending": _AS_FOUND,
    "running, has failed": [*_FAILING, "tries again"],
    "pending, has failed": [*_FAILING, "tries again"],
    "parked": ["rotation failed"] * 8,
    "failed": ["rotation failed"] * 8,
    "failed before the look": ["rotation failed"] * 8,
}
KINDS: dict[str | None, str | None] = {
    None: None,
    "ready": "good",
    "unknown": "warn",
    "tries again": "warn",
    "drift": "bad",
    "will fail": "bad",
    "rotation failed": "bad",
    "looked at soon": "",
}


@pytest.mark.parametrize("state", STATES)
def test_how_it_stands_in_a_word_for_each_state_and_each_preflight(state: str) -> None:
    plans = [{**STATES[state], "CheckedAt": NOW, **found} for found in PREFLIGHTS.values()]
    found = [health_of(plan) for plan in plans]

    assert dict(zip(PREFLIGHTS, [each and each.word for each in found], strict=True)) == dict(
        zip(PREFLIGHTS, STANDS[state], strict=True)
    )
    assert [each and each.kind for each in found] == [KINDS[word] for word in STANDS[state]]


def test_what_failed_is_never_called_ready() -> None:
    for state in STATES.values():
        for found in PREFLIGHTS.values():
            health = health_of({**state, "CheckedAt": NOW, **found})
            assert "Cause" not in state or (health is not None and health.kind in ("bad", "warn"))


def test_only_tags_that_were_changed_change() -> None:
    put, taken_off = changes({"same": "1", "other": "2", "gone": "3"}, {"same": "1", "other": "4", "new": ""})
    assert (put, taken_off) == ({"other": "4", "new": ""}, ["gone"])


@pytest.mark.parametrize(("keys", "values"), [(["", "a"], ["x", "1"]), (["a", " a "], ["1", "2"])])
def test_rows_that_name_no_tag_are_refused(keys: list[str], values: list[str]) -> None:
    with pytest.raises(UnclearTags):
        filled_tags(Form({"tag_key": keys, "tag_value": values}))
    assert filled_tags(Form({"tag_key": ["a", ""], "tag_value": [" 1 ", " "]})) == {"a": "1"}
