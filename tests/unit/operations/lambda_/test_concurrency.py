from __future__ import annotations

from typing import Any

import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    ProvisionedConcurrencyConfigNotFoundException,
    ResourceNotFoundException,
)

from .conftest import ARN, LambdaBench

MISSING = ARN.replace("rotate", "other")


def put(bench: LambdaBench, reserved: int, name: str = "rotate") -> Any:
    return bench.call("PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=reserved)


def unreserved(bench: LambdaBench) -> int:
    count: int = bench.call("GetAccountSettings")["AccountLimit"]["UnreservedConcurrentExecutions"]
    return count


def test_what_is_reserved_is_shown_wherever_aws_shows_it_and_can_be_taken_back(bench: LambdaBench) -> None:
    revision_id = bench.create()["RevisionId"]
    assert bench.call("GetFunctionConcurrency", FunctionName="rotate") == {}
    assert "Concurrency" not in bench.call("GetFunction", FunctionName="rotate")

    for reserved in (3, 0):
        assert put(bench, reserved) == {"ReservedConcurrentExecutions": reserved}
        assert bench.call("GetFunctionConcurrency", FunctionName=ARN) == {"ReservedConcurrentExecutions": reserved}
        shown = bench.call("GetFunction", FunctionName="rotate")
        assert shown["Concurrency"] == {"ReservedConcurrentExecutions": reserved}
        assert unreserved(bench) == 1000 - reserved

    assert bench.call("DeleteFunctionConcurrency", FunctionName="rotate") == {}
    assert bench.call("DeleteFunctionConcurrency", FunctionName="rotate") == {}
    assert bench.call("GetFunctionConcurrency", FunctionName="rotate") == {}
    # It is no part of what the function is: no environment has to end for it.
    assert bench.call("GetFunctionConfiguration", FunctionName="rotate")["RevisionId"] == revision_id
    assert bench.runtime.discarded == []


def test_a_hundred_stay_for_functions_that_reserve_nothing(bench: LambdaBench) -> None:
    bench.create()
    bench.create("other")
    put(bench, 600)
    put(bench, 300, "other")

    with pytest.raises(InvalidParameterValueException) as refused:
        put(bench, 301, "other")
    assert refused.value.message == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution"
        " below its minimum value of [100]."
    )
    assert unreserved(bench) == 100
    # What the function has reserved already is there for it.
    put(bench, 0)
    assert put(bench, 900, "other") == {"ReservedConcurrentExecutions": 900}
    bench.call("DeleteFunction", FunctionName="other")
    assert unreserved(bench) == 1000


def test_every_version_runs_under_the_functions_bound(bench: LambdaBench) -> None:
    bench.create(Publish=True)
    put(bench, 2)

    bench.call("Invoke", FunctionName="rotate:1")
    bench.call("Invoke", FunctionName="rotate")

    assert [(spec.version, spec.reserved_concurrency) for spec in bench.runtime.specs] == [("1", 2), ("$LATEST", 2)]


@pytest.mark.parametrize("operation", ["PutFunctionConcurrency", "DeleteFunctionConcurrency"])
def test_it_belongs_to_the_function_as_a_whole(bench: LambdaBench, operation: str) -> None:
    bench.create(Publish=True)
    more = {"ReservedConcurrentExecutions": 1} if operation.startswith("Put") else {}

    for name in ("rotate:1", f"{ARN}:$LATEST", "rotate:live"):
        with pytest.raises(InvalidParameterValueException) as refused:
            bench.call(operation, FunctionName=name, **more)
        assert refused.value.message == (
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation."
            " Please specify either a function name or an unqualified function ARN."
        )


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("PutFunctionConcurrency", {"ReservedConcurrentExecutions": 1}, f"Function not found: {MISSING}:$LATEST"),
        ("DeleteFunctionConcurrency", {}, f"Function not found: {MISSING}:$LATEST"),
        ("GetFunctionConcurrency", {}, f"Function not found: {MISSING}"),
        ("ListProvisionedConcurrencyConfigs", {}, f"Function not found: {MISSING}"),
        ("GetProvisionedConcurrencyConfig", {"Qualifier": "1"}, f"Function not found: {MISSING}:1"),
        ("GetProvisionedConcurrencyConfig", {"Qualifier": "live"}, f"Cannot find alias arn: {MISSING}:live"),
    ],
)
def test_a_function_that_is_not_there_has_none(
    bench: LambdaBench, operation: str, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResourceNotFoundException) as refused:
        bench.call(operation, FunctionName="other", **request_)
    assert refused.value.message == message


def test_nothing_is_kept_ready_for_a_function(bench: LambdaBench) -> None:
    bench.create(Publish=True)
    bench.call("CreateAlias", FunctionName="rotate", Name="live", FunctionVersion="1")
    assert bench.call("ListProvisionedConcurrencyConfigs", FunctionName="rotate") == {
        "ProvisionedConcurrencyConfigs": []
    }
    expected: list[tuple[str, type[AwsError], str]] = [
        (
            qualifier,
            ProvisionedConcurrencyConfigNotFoundException,
            "No Provisioned Concurrency Config found for this function",
        )
        for qualifier in ("1", "live")
    ]
    expected += [
        (
            "$LATEST",
            InvalidParameterValueException,
            "The function resource provided must be an alias or a published version.",
        ),
        ("7", ResourceNotFoundException, f"Function not found: {ARN}:7"),
        ("dead", ResourceNotFoundException, f"Cannot find alias arn: {ARN}:dead"),
    ]
    for qualifier, error, message in expected:
        with pytest.raises(error) as refused:
            bench.call("GetProvisionedConcurrencyConfig", FunctionName="rotate", Qualifier=qualifier)
        assert refused.value.message == message


def test_an_event_for_a_function_that_nobody_may_invoke_is_accepted_and_dropped(bench: LambdaBench) -> None:
    bench.create()
    put(bench, 0)

    assert bench.call("Invoke", FunctionName="rotate", InvocationType="Event") == {"StatusCode": 202}

    assert bench.events[0]() is True
    assert bench.runtime.specs == []
