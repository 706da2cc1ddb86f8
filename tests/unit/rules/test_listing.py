from __future__ import annotations

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules import listing
from keyturn.rules.listing import (
    ListOrder,
    Searchable,
    SortBy,
    compile_filters,
    list_order,
    name_spans,
    words,
)

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
        ("description", ["!main"], False),
        ("description", ["!other"], True),
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


@pytest.mark.parametrize(
    ("filters", "spans"),
    [
        ([("name", ["prod/", "a"])], [("prod/", "prod0"), ("a", "b")]),
        ([("description", ["x"]), ("name", ["z"])], [("z", "{")]),
        ([("name", ["prod/", "!a"])], []),
        ([("name", [""])], []),
        ([("all", ["prod"])], []),
        ([], []),
    ],
)
def test_filters_by_name_say_where_names_can_be(
    filters: list[tuple[str, list[str]]], spans: list[tuple[str, str]]
) -> None:
    assert name_spans([{"Key": key, "Values": values} for key, values in filters]) == spans


@pytest.mark.parametrize(
    ("sort_by", "sort_order", "expected"),
    [
        # Seen on AWS by moto, test_with_all_filter: what was created first is listed first.
        (None, None, ListOrder(SortBy.CREATED, descending=False)),
        ("name", "desc", ListOrder(SortBy.NAME, descending=True)),
        ("last-changed-date", "asc", ListOrder(SortBy.CHANGED, descending=False)),
        ("last-accessed-date", None, ListOrder(SortBy.ACCESSED, descending=False)),
    ],
)
def test_an_order_is_by_creation_and_ascends_unless_told_otherwise(
    sort_by: str | None, sort_order: str | None, expected: ListOrder
) -> None:
    assert list_order(sort_by, sort_order) == expected
    assert expected.moves is (expected.sort_by in (SortBy.CHANGED, SortBy.ACCESSED))


def found_by(filters: list[tuple[str, list[str]]], secrets: list[Searchable]) -> list[str]:
    matches = compile_filters([{"Key": key, "Values": values} for key, values in filters])
    return [secret.name for secret in secrets if matches(secret)]


# localstack, tests/aws/services/secretsmanager/test_secretsmanager.py, test_list_secrets_filtering: run against AWS.
LOCALSTACK = [
    Searchable("testing1/one-12345", "a secret"),
    Searchable("/testing2/two-12345", "an secret"),
    Searchable("testing3/three-12345", "asecret"),
    Searchable("/testing4/four-12345", "thesecret"),
]


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([("name", ["/"])], {2, 4}),
        ([("name", ["!/"])], {1, 3}),
        ([("name", ["testing1 one"])], set()),
        ([("description", ["a"])], {1, 2, 3}),
        ([("description", ["!a"])], {4}),
        ([("description", ["a secret"])], {1, 2}),
        ([("description", ["a"]), ("name", ["secret"])], set()),
        ([("description", ["a"]), ("name", ["an"])], set()),
        ([("description", ["!c"])], {1, 2, 3, 4}),
    ],
)
def test_what_localstack_saw_on_aws(filters: list[tuple[str, list[str]]], numbers: set[int]) -> None:
    assert found_by(filters, LOCALSTACK) == [LOCALSTACK[number - 1].name for number in sorted(numbers)]


# moto, tests/test_secretsmanager/test_list_secrets.py, the tests that say that they were verified on AWS.
ALL = [
    Searchable("SecretOne3fa2bc"),
    Searchable("SecretTwo3fa2bc", "DescTwo"),
    Searchable("Thirdsecret3fa2bc"),
    Searchable("SecretFTag3fa2bc", tags={"1": "foo"}),
    Searchable("SecretFValue3fa2bc", tags={"foo": "v"}),
    Searchable("none3fa2bc"),
]


@pytest.mark.parametrize(
    ("value", "numbers"),
    [
        ("SecretOne", [1]),
        ("foo", [4, 5]),
        ("Secret", [1, 2, 4, 5]),
        ("secret", [1, 2, 4, 5]),
        ("ret", []),
        ("sec", [1, 2, 4, 5]),
        ("SomeSecret", []),
        ("d", [2]),
        ("d t", [2]),
        ("t", [2, 3, 4]),
    ],
)
def test_what_moto_saw_on_aws_of_all(value: str, numbers: list[int]) -> None:
    """test_with_all_filter"""
    assert found_by([("all", [value])], ALL) == [ALL[number - 1].name for number in numbers]


SEVEN = [Searchable(f"prod{character}AppBeta{character}3fa2bc") for character in "/_+=.@-"]
MIXED, UPPER, PARTLY_UPPER = (
    Searchable("prod-AppBeta/3fa2bc"),
    Searchable("uat/COMPANY/3fa2bc"),
    Searchable("uat/COMPANYthings/3fa2bc"),
)
SPECIAL = [*SEVEN, MIXED, UPPER, PARTLY_UPPER]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["AppBeta"], SEVEN),
        (["Beta"], SEVEN),
        (["+"], []),
        (["3fa2bc"], [*SEVEN, UPPER, PARTLY_UPPER]),
        (["company"], [UPPER]),
        (["things"], []),
        (["Ythings"], [PARTLY_UPPER]),
        (["N"], []),
        (["pany"], []),
    ],
)
def test_what_moto_saw_on_aws_of_special_characters(values: list[str], expected: list[Searchable]) -> None:
    """test_with_all_filter_special_characters"""
    assert found_by([("all", values)], SPECIAL) == [secret.name for secret in expected]


def test_what_moto_saw_on_aws_of_two_values() -> None:
    """test_with_all_filter_special_characters; the mixed name was not made there, it begins with ``prod``."""
    assert found_by([("all", ["AppBeta", "prod"])], [*SEVEN, UPPER, PARTLY_UPPER]) == [one.name for one in SEVEN]


DESCRIBED = [
    Searchable("foo", "one two"),
    Searchable("bar", "one and two"),
    Searchable("baz", "one"),
    Searchable("qux", "two"),
    Searchable("none", "unrelated"),
]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ([("description", ["one two"])], ["foo", "bar"]),
        ([("description", ["o t"])], ["foo", "bar"]),
        ([("description", ["t"])], ["foo", "bar", "qux"]),
    ],
)
def test_what_moto_saw_on_aws_of_descriptions(filters: list[tuple[str, list[str]]], names: list[str]) -> None:
    """test_with_filter_with_value_with_multiple_words"""
    assert found_by(filters, DESCRIBED) == names


def test_what_moto_saw_on_aws_of_a_key_that_is_given_twice() -> None:
    """test_with_duplicate_filter_keys"""
    secrets = [
        Searchable("foo", "one two"),
        Searchable("bar", "one"),
        Searchable("baz", "two"),
        Searchable("qux", "unrelated"),
    ]
    assert found_by([("description", ["one"]), ("description", ["two"])], secrets) == ["foo"]


def test_a_tag_key_that_nobody_has_finds_everything_when_turned_round() -> None:
    # Stratus Red Team, aws.credential-access.secretsmanager-batch-retrieve-secrets: a catch-all filter.
    assert found_by([("tag-key", ["!tagKeyThatWillNeverExist"])], ALL) == [secret.name for secret in ALL]


def test_a_text_is_cut_once_for_all_values_of_all_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    matches = compile_filters(
        [{"Key": key, "Values": ["!" + "aB " * 160, "a", "!a b", *["b"] * 7]} for key in ["all", "description"] * 5]
    )
    cut: list[str] = []

    def counted(text: str) -> list[str]:
        cut.append(text)
        return words(text)

    monkeypatch.setattr(listing, "words", counted)
    assert matches(Searchable("b", "aB " * 600))
    assert len(cut) == len(set(cut)) <= 2


def test_the_size_of_a_secret_is_that_of_its_texts() -> None:
    assert Searchable("ab", "cde", {"f": "gh"}, "i", "j").size == 10
