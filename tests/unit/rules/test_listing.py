from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.listing import Searchable, compile_filters, sort_key, words

SECRET = Searchable(
    name="prod/AppDatabase",
    description="The main Credentials of billing",
    tags={"team": "Payments", "stage": "prod-1"},
    primary_region="us-east-1",
    owning_service="rds",
)


def _found(key: str, *values: str, secret: Searchable = SECRET) -> bool:
    return compile_filters([{"Key": key, "Values": list(values)}])(secret)


@pytest.mark.parametrize(
    ("key", "values", "expected"),
    [
        ("name", ["prod"], True),
        ("name", ["Prod"], False),
        ("name", ["App"], False),
        ("name", ["test", "prod/"], True),
        ("name", ["!prod"], False),
        ("name", ["!/"], True),
        ("name", ["prod/AppDatabase one"], False),
        ("tag-key", ["tea"], True),
        ("tag-key", ["!tea"], False),
        ("tag-value", ["Pay"], True),
        ("tag-value", ["pay"], False),
        ("primary-region", ["us-"], True),
        ("owning-service", ["RDS"], True),
        ("description", ["credentials"], True),
        ("description", ["main bill"], True),
        ("description", ["bill main"], True),
        ("description", ["main other"], False),
        ("description", ["ain"], False),
        ("description", ["!main"], True),
        ("all", ["database"], True),
        ("all", ["appDatabase"], True),
        ("all", ["payments"], True),
        ("all", ["stage"], True),
        ("all", ["main payments"], False),
        ("all", ["/"], False),
        ("all", ["!database"], False),
    ],
)
def test_a_filter_finds(key: str, values: list[str], expected: bool) -> None:
    assert _found(key, *values) is expected


def test_filters_are_joined_by_and_values_by_or() -> None:
    both = [{"Key": "name", "Values": ["prod"]}, {"Key": "name", "Values": ["prod/App"]}]
    assert compile_filters(both)(SECRET)
    assert not compile_filters([*both, {"Key": "tag-key", "Values": ["none", "other"]}])(SECRET)
    assert compile_filters([])(SECRET)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("credsDatabase", ["creds", "Database"]),
        ("COMPANYthings", ["COMPAN", "Ythings"]),
        ("prod-AppBeta", ["prod", "App", "Beta"]),
        ("prod-AppBeta/x", ["prod-AppBeta/x"]),
        ("one two", ["one", "two"]),
        ("/", []),
        ("", []),
    ],
)
def test_a_text_is_cut_into_words_as_measured(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@pytest.mark.parametrize("entry", [{"Values": ["a"]}, {"Key": "size", "Values": ["a"]}, {"Key": "name"}])
def test_half_a_filter_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(InvalidParameterException, match=r"^Invalid filter"):
        compile_filters([entry])


@dataclass(frozen=True)
class Stored:
    name: str
    created_at: datetime
    last_changed_at: datetime
    last_accessed_at: datetime | None


def _day(day: int) -> datetime:
    return datetime(2026, 1, day, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sort_by", "expected"),
    [
        (None, "bac"),
        ("created-date", "bac"),
        ("name", "abc"),
        ("last-changed-date", "cab"),
        ("last-accessed-date", "acb"),
    ],
)
def test_secrets_are_sorted_by(sort_by: str | None, expected: str) -> None:
    stored = [
        Stored("c", _day(3), _day(3), _day(4)),
        Stored("b", _day(1), _day(5), _day(5)),
        Stored("a", _day(2), _day(4), None),
    ]
    assert "".join(secret.name for secret in sorted(stored, key=sort_key(sort_by))) == expected
