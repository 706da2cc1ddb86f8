from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.secretsmanager import InvalidNextTokenException, InvalidParameterException
from keyturn.storage import inline_policies
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, open_bench

BOTH_OR_NEITHER = "Either 'SecretIdList' or 'Filters' must be provided, but not both."
NO_FILTERS = "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided."
FILTERS = [{"Key": "name", "Values": ["a"]}]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        with opened.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "all", ALLOW_ALL)
        yield opened


@pytest.fixture
def call(bench: HandlerBench) -> Callable[..., Any]:
    return lambda name, **request: bench.call("secretsmanager", name, **request)


# Collected by moto, tests/test_secretsmanager/test_secretsmanager.py.
@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({}, BOTH_OR_NEITHER),
        ({"Filters": []}, BOTH_OR_NEITHER),
        ({"SecretIdList": ["a"], "Filters": FILTERS}, BOTH_OR_NEITHER),
        ({"SecretIdList": ["a"], "Filters": FILTERS, "MaxResults": 1}, BOTH_OR_NEITHER),
        ({"SecretIdList": ["a"], "MaxResults": 1}, NO_FILTERS),
        ({"MaxResults": 1}, NO_FILTERS),
        ({"Filters": [{"Values": ["a"]}]}, "Invalid filter key"),
    ],
)
def test_a_question_that_cannot_be_asked(call: Callable[..., Any], request_: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidParameterException) as refused:
        call("BatchGetSecretValue", **request_)

    assert refused.value.message == text


def test_secrets_that_are_named_have_no_pages(call: Callable[..., Any]) -> None:
    call("CreateSecret", Name="a", SecretString="x", ClientRequestToken="0" * 32)
    call("CreateSecret", Name="ab", SecretString="x", ClientRequestToken="0" * 32)
    token = call("BatchGetSecretValue", Filters=FILTERS, MaxResults=1)["NextToken"]

    with pytest.raises(InvalidNextTokenException, match=r"^Invalid token$"):
        call("BatchGetSecretValue", SecretIdList=["a"], NextToken=token)


def test_the_events_of_single_reads_are_stored_with_that_of_the_call(
    bench: HandlerBench, call: Callable[..., Any]
) -> None:
    call("CreateSecret", Name="a", SecretString="x", ClientRequestToken="0" * 32)
    reader = bench.as_(bench.caller)

    bench.call_as(reader, "secretsmanager", "BatchGetSecretValue", SecretIdList=["a", "no/such"])

    # What is in this list is stored by the pipeline before the reply leaves, or else there is no reply.
    assert [(event["eventName"], event["requestParameters"]) for event in reader.further_events or ()] == [
        ("GetSecretValue", {"secretId": "a"}),
        ("GetSecretValue", {"secretId": "no/such"}),
    ]


def test_the_answer_of_a_filter_has_at_most_twenty_secrets(call: Callable[..., Any]) -> None:
    for number in range(21):
        call("CreateSecret", Name=f"a{number:02}", SecretString="x", ClientRequestToken="0" * 32)

    first = call("BatchGetSecretValue", Filters=FILTERS)
    rest = call("BatchGetSecretValue", Filters=FILTERS, NextToken=first["NextToken"])

    names = [value["Name"] for value in first["SecretValues"]]
    assert names == [f"a{number:02}" for number in range(20)]
    assert [value["Name"] for value in rest["SecretValues"]] == ["a20"]
    assert "NextToken" not in rest
