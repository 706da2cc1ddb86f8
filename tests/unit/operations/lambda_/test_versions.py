"""Versions never change, aliases lead to them, and each name has a policy of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.testing.functions import zip_package

from .conftest import ARN, LambdaBench

OTHER_PACKAGE = zip_package({"lambda_function.py": "def lambda_handler(event, context):\n    return 'other'\n"})


@pytest.fixture(autouse=True)
def function(bench: LambdaBench) -> None:
    bench.create(Description="of the function", Environment={"Variables": {"A": "1"}})


def publish(bench: LambdaBench, **request: Any) -> Any:
    return bench.call("PublishVersion", FunctionName="rotate", **request)


def change(bench: LambdaBench, **request: Any) -> Any:
    return bench.call("UpdateFunctionConfiguration", FunctionName="rotate", **(request or {"Timeout": 9}))


def shown(bench: LambdaBench, qualifier: str) -> Any:
    return bench.call("GetFunctionConfiguration", FunctionName="rotate", Qualifier=qualifier)


def alias(bench: LambdaBench, name: str = "live", version: str = "1", **request: Any) -> Any:
    return bench.call("CreateAlias", FunctionName="rotate", Name=name, FunctionVersion=version, **request)


def versions(bench: LambdaBench) -> list[str]:
    listed = bench.call("ListVersionsByFunction", FunctionName="rotate")["Versions"]
    assert [version["FunctionArn"] for version in listed] == [f"{ARN}:{version['Version']}" for version in listed]
    return [version["Version"] for version in listed]


def refusal(error: type[AwsError], bench: LambdaBench, operation: str, **request: Any) -> str:
    with pytest.raises(error) as refused:
        bench.call(operation, **{"FunctionName": "rotate", **request})
    return refused.value.message


def test_a_version_is_what_the_function_was(bench: LambdaBench) -> None:
    made = publish(bench)
    bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=OTHER_PACKAGE)
    changed = change(bench, Timeout=9, Environment={"Variables": {"A": "2"}}, Description="later")

    assert (made["Version"], made["FunctionArn"]) == ("1", f"{ARN}:1")
    assert shown(bench, "1") == made
    assert (made["Timeout"], made["Environment"], made["Description"]) == (
        3, {"Variables": {"A": "1"}}, "of the function"
    )  # fmt: skip
    assert changed["CodeSha256"] != made["CodeSha256"]
    assert shown(bench, "$LATEST")["Timeout"] == 9
    assert versions(bench) == ["$LATEST", "1"]


def test_publishing_twice_without_a_change_gives_the_same_version(bench: LambdaBench) -> None:
    # Recorded by localstack: the description of the second call does not count.
    first = publish(bench, Description="first")
    assert publish(bench, Description="second") == first
    assert first["Description"] == "first"

    bench.call("TagResource", Resource=ARN, Tags={"a": "b"})
    bench.call("AddPermission", FunctionName="rotate", StatementId="s", Action="lambda:*", Principal="*")
    assert publish(bench)["Version"] == "1"
    change(bench)
    assert publish(bench)["Version"] == "2"


def test_a_version_number_is_never_given_again(bench: LambdaBench) -> None:
    publish(bench)
    bench.call("DeleteFunction", FunctionName="rotate", Qualifier="1")
    assert publish(bench)["Version"] == "2"
    assert versions(bench) == ["$LATEST", "2"]


def test_what_is_published_can_be_made_sure_of(bench: LambdaBench) -> None:
    latest = shown(bench, "$LATEST")
    assert refusal(InvalidParameterValueException, bench, "PublishVersion", CodeSha256="other") == (
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({latest['CodeSha256']}). Please try again"
        " with the CodeSHA256 in $LATEST."
    )
    assert refusal(PreconditionFailedException, bench, "PublishVersion", RevisionId="other") == (
        "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve"
        " the latest Revision Id"
    )
    publish(bench, CodeSha256=latest["CodeSha256"], RevisionId=latest["RevisionId"])
    assert shown(bench, "$LATEST")["RevisionId"] not in (latest["RevisionId"], shown(bench, "1")["RevisionId"])


def test_a_function_is_published_as_it_is_made_or_changed(bench: LambdaBench) -> None:
    made = bench.create("other", Publish=True)
    # Recorded by localstack: the ARN is that of the function, the version the new one.
    assert (made["Version"], made["FunctionArn"]) == ("1", ARN.replace("rotate", "other"))
    updated = bench.call("UpdateFunctionCode", FunctionName="other", ZipFile=OTHER_PACKAGE, Publish=True)
    assert (updated["Version"], updated["FunctionArn"]) == ("2", ARN.replace("rotate", "other") + ":2")


def test_versions_are_listed_in_pages(bench: LambdaBench) -> None:
    for timeout in range(1, 12):
        change(bench, Timeout=timeout)
        publish(bench)
    found: list[str] = []
    marker = None
    while marker != "":
        request: dict[str, Any] = {"Marker": marker} if marker else {}
        page = bench.call("ListVersionsByFunction", FunctionName="rotate", MaxItems=5, **request)
        found += [version["Version"] for version in page["Versions"]]
        marker = page.get("NextMarker", "")
    assert found == ["$LATEST", *map(str, range(1, 12))]
    assert refusal(InvalidParameterValueException, bench, "ListVersionsByFunction", Marker="other") == "Invalid Marker"


@pytest.mark.parametrize("name", ["rotate:1", f"{ARN}:1", "rotate:live"])
@pytest.mark.parametrize("operation", ["UpdateFunctionConfiguration", "UpdateFunctionCode"])
def test_a_version_cannot_be_changed(bench: LambdaBench, operation: str, name: str) -> None:
    publish(bench)
    alias(bench)
    more: dict[str, Any] = {"ZipFile": OTHER_PACKAGE} if operation == "UpdateFunctionCode" else {"Timeout": 9}
    before = shown(bench, "1"), shown(bench, "$LATEST")
    message = refusal(InvalidParameterValueException, bench, operation, FunctionName=name, **more)
    assert message == "A published version cannot be changed, nor what an alias names."
    assert (shown(bench, "1"), shown(bench, "$LATEST")) == before


def test_a_version_that_an_alias_names_stays(bench: LambdaBench) -> None:
    publish(bench)
    alias(bench, "live")
    alias(bench, "also")
    assert refusal(ResourceConflictException, bench, "DeleteFunction", Qualifier="1") == (
        "Unable to delete version because the following aliases reference it: [also, live]"
    )
    assert "1" in versions(bench)


def test_what_cannot_be_deleted_as_a_version_is_said(bench: LambdaBench) -> None:
    publish(bench)
    alias(bench)
    told = {
        q: refusal(InvalidParameterValueException, bench, "DeleteFunction", Qualifier=q) for q in ("$LATEST", "live")
    }
    assert told == {
        "$LATEST": "$LATEST version cannot be deleted without deleting the function.",
        "live": "Deletion of aliases is not currently supported.",
    }
    bench.call("DeleteFunction", FunctionName="rotate", Qualifier="7")
    bench.call("DeleteFunction", FunctionName="rotate", Qualifier="01")
    assert versions(bench) == ["$LATEST", "1"]
    message = refusal(ResourceNotFoundException, bench, "DeleteFunction", FunctionName="nobody", Qualifier="1")
    assert message == f"Function not found: {ARN.replace('rotate', 'nobody')}"


def test_an_alias_shows_the_version_it_leads_to(bench: LambdaBench) -> None:
    publish(bench)
    made = alias(bench, Description="what runs")
    assert made == {
        "AliasArn": f"{ARN}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "what runs",
        "RevisionId": made["RevisionId"],
    }
    assert bench.call("GetAlias", FunctionName="rotate", Name="live") == made
    assert (shown(bench, "live")["Version"], shown(bench, "live")["FunctionArn"]) == ("1", f"{ARN}:live")

    change(bench)
    publish(bench)
    moved = bench.call("UpdateAlias", FunctionName="rotate", Name="live", FunctionVersion="2")
    assert moved == {**made, "FunctionVersion": "2", "RevisionId": moved["RevisionId"]}
    assert moved["RevisionId"] != made["RevisionId"]
    assert (shown(bench, "live")["Version"], shown(bench, "live")["Timeout"]) == ("2", 9)


def test_an_alias_of_latest_follows_every_change(bench: LambdaBench) -> None:
    assert alias(bench, "tip", "$LATEST")["FunctionVersion"] == "$LATEST"
    change(bench)
    assert (shown(bench, "tip")["Version"], shown(bench, "tip")["Timeout"]) == ("$LATEST", 9)


def test_aliases_are_listed_by_name_and_version(bench: LambdaBench) -> None:
    publish(bench)
    change(bench)
    publish(bench)
    for name, version in (("b", "2"), ("a", "1"), ("c", "1"), ("d", "$LATEST")):
        alias(bench, name, version)

    def names(**request: Any) -> list[str]:
        return [each["Name"] for each in bench.call("ListAliases", FunctionName="rotate", **request)["Aliases"]]

    assert names() == ["a", "b", "c", "d"]
    assert names(FunctionVersion="1") == ["a", "c"]
    assert names(FunctionVersion="$LATEST") == ["d"]
    first = bench.call("ListAliases", FunctionName="rotate", MaxItems=3)
    assert names(Marker=first["NextMarker"]) == ["d"]
    assert refusal(InvalidParameterValueException, bench, "ListAliases", Marker="x") == "Invalid Marker"


def test_what_is_wrong_with_an_alias_is_said_as_in_lambda(bench: LambdaBench) -> None:
    # Recorded by localstack.
    publish(bench)
    alias(bench)
    missing = ResourceNotFoundException
    told = [
        refusal(ResourceConflictException, bench, "CreateAlias", Name="live", FunctionVersion="1"),
        refusal(missing, bench, "CreateAlias", Name="x", FunctionVersion="10"),
        refusal(missing, bench, "CreateAlias", FunctionName="nobody", Name="x", FunctionVersion="1"),
        refusal(missing, bench, "UpdateAlias", Name="live", FunctionVersion="10"),
        refusal(missing, bench, "UpdateAlias", Name="x"),
        refusal(missing, bench, "GetAlias", Name="x"),
        refusal(missing, bench, "GetFunction", Qualifier="x"),
        refusal(missing, bench, "Invoke", Qualifier="x"),
    ]
    assert told == [
        f"Alias already exists: {ARN}:live",
        f"Function not found: {ARN}:10",
        f"Function not found: {ARN.replace('rotate', 'nobody')}:1",
        f"Function not found: {ARN}:10",
        f"Alias not found: {ARN}:x",
        f"Cannot find alias arn: {ARN}:x",
        f"Function not found: {ARN}:x",
        f"Function not found: {ARN}:x",
    ]
    refusal(PreconditionFailedException, bench, "UpdateAlias", Name="live", RevisionId="other")


@pytest.mark.parametrize("operation", ["CreateAlias", "UpdateAlias"])
def test_weights_are_refused_by_name(bench: LambdaBench, operation: str) -> None:
    publish(bench)
    alias(bench)
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    request = {"Name": "live", "FunctionVersion": "1", "RoutingConfig": weights}
    assert "does not offer this value of RoutingConfig" in refusal(
        InvalidParameterValueException, bench, operation, **request
    )
    bench.call("UpdateAlias", FunctionName="rotate", Name="live", RoutingConfig={"AdditionalVersionWeights": {}})


def test_a_deleted_alias_takes_its_policy_along_and_may_be_deleted_twice(bench: LambdaBench) -> None:
    publish(bench)
    alias(bench)
    statement = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
    bench.call("AddPermission", FunctionName="rotate", Qualifier="live", **statement)
    for _ in range(2):
        bench.call("DeleteAlias", FunctionName="rotate", Name="live")
    alias(bench)
    refusal(ResourceNotFoundException, bench, "GetPolicy", Qualifier="live")


def test_each_name_has_a_policy_of_its_own(bench: LambdaBench) -> None:
    publish(bench)
    alias(bench)
    statement = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "secretsmanager.amazonaws.com"}
    for qualifier in ("", "1", "live"):
        more = {"Qualifier": qualifier} if qualifier else {}
        arn = f"{ARN}:{qualifier}" if qualifier else ARN
        assert refusal(ResourceNotFoundException, bench, "GetPolicy", **more)
        made = bench.call("AddPermission", FunctionName="rotate", **statement, **more)
        assert json.loads(made["Statement"])["Resource"] == arn
        refusal(ResourceConflictException, bench, "AddPermission", **statement, **more)
        got = bench.call("GetPolicy", FunctionName="rotate", **more)
        assert [each["Resource"] for each in json.loads(got["Policy"])["Statement"]] == [arn]
        assert bench.call("GetPolicy", FunctionName=arn) == got
    bench.call("RemovePermission", FunctionName="rotate", StatementId="s", Qualifier="1")
    refusal(ResourceNotFoundException, bench, "GetPolicy", Qualifier="1")
    bench.call("GetPolicy", FunctionName="rotate")
    bench.call("GetPolicy", FunctionName="rotate", Qualifier="live")


def test_a_change_of_a_policy_is_a_new_revision_of_its_holder_alone(bench: LambdaBench) -> None:
    publish(bench)
    alias(bench)
    statement = {"Action": "lambda:InvokeFunction", "Principal": "*"}

    def revisions() -> dict[str, str]:
        found = bench.call("GetAlias", FunctionName="rotate", Name="live")["RevisionId"]
        return {"live": found, **{name: shown(bench, name)["RevisionId"] for name in ("1", "$LATEST")}}

    for qualifier in ("live", "1"):
        before = revisions()
        message = refusal(
            PreconditionFailedException, bench, "AddPermission", Qualifier=qualifier, StatementId="s",
            RevisionId=before["$LATEST"], **statement,
        )  # fmt: skip
        assert message == (
            "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the"
            " latest Revision Id"
        )
        given = {"Qualifier": qualifier, "StatementId": "s", "RevisionId": before[qualifier]}
        bench.call("AddPermission", FunctionName="rotate", **given, **statement)
        after = revisions()
        assert {name for name in after if after[name] != before[name]} == {qualifier}
        policy = bench.call("GetPolicy", FunctionName="rotate", Qualifier=qualifier)
        assert policy["RevisionId"] == after[qualifier]


def test_what_is_missing_is_said_as_in_lambda(bench: LambdaBench) -> None:
    # Recorded by localstack.
    statement = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "*"}
    missing, nobody = ResourceNotFoundException, ARN.replace("rotate", "nobody")
    told = [
        refusal(missing, bench, "AddPermission", FunctionName="nobody", **statement),
        refusal(missing, bench, "AddPermission", Qualifier="x", **statement),
        refusal(missing, bench, "AddPermission", Qualifier="42", **statement),
        refusal(missing, bench, "AddPermission", Qualifier="valid-with-$-but", **statement),
        refusal(missing, bench, "GetPolicy", FunctionName="nobody"),
        refusal(missing, bench, "GetPolicy", Qualifier="42"),
        refusal(missing, bench, "RemovePermission", FunctionName="nobody", StatementId="s"),
        refusal(missing, bench, "RemovePermission", Qualifier="x", StatementId="s"),
        refusal(missing, bench, "RemovePermission", StatementId="s"),
    ]
    assert told == [
        f"Function not found: {nobody}",
        f"Cannot find alias arn: {ARN}:x",
        f"Function not found: {ARN}:42",
        f"Function not found: {ARN}:valid-with-$-but",
        "The resource you requested does not exist.",
        "The resource you requested does not exist.",
        f"No policy found for: {nobody}",
        f"Cannot find alias arn: {ARN}:x",
        "No policy is associated with the given resource.",
    ]


def test_tags_belong_to_the_function_alone(bench: LambdaBench) -> None:
    publish(bench)
    told = {
        refusal(InvalidParameterValueException, bench, operation, Resource=f"{ARN}:1", **more)
        for operation, more in (
            ("TagResource", {"Tags": {"a": "b"}}), ("UntagResource", {"TagKeys": ["a"]}), ("ListTags", {})
        )
    }  # fmt: skip
    assert told == {"Tags on function aliases and versions are not supported. Please specify a function ARN."}


def test_a_version_runs_as_it_was_published_under_the_name_it_is_called_by(bench: LambdaBench) -> None:
    publish(bench)
    change(bench, Timeout=9, Environment={"Variables": {"A": "2"}})
    alias(bench)
    for qualifier in ("", "$LATEST", "1", "live"):
        bench.call("Invoke", FunctionName="rotate", **({"Qualifier": qualifier} if qualifier else {}))
    ran = [(spec.version, spec.invoked_arn, spec.timeout_seconds, spec.environment) for spec in bench.runtime.specs]
    assert ran == [
        ("$LATEST", ARN, 9, {"A": "2"}),
        ("$LATEST", f"{ARN}:$LATEST", 9, {"A": "2"}),
        ("1", f"{ARN}:1", 3, {"A": "1"}),
        ("1", f"{ARN}:live", 3, {"A": "1"}),
    ]


def test_an_event_runs_what_its_alias_means_when_it_runs(bench: LambdaBench) -> None:
    publish(bench)
    change(bench)
    publish(bench)
    alias(bench)
    for _ in range(2):
        bench.call("Invoke", FunctionName="rotate", Qualifier="live", InvocationType="Event")
    bench.events[0]()
    bench.call("UpdateAlias", FunctionName="rotate", Name="live", FunctionVersion="2")
    bench.events[1]()
    assert [spec.version for spec in bench.runtime.specs] == ["1", "2"]
    bench.call("DeleteAlias", FunctionName="rotate", Name="live")
    assert bench.events[1]()
    assert len(bench.runtime.specs) == 2


def test_the_packages_of_versions_go_with_them(bench: LambdaBench) -> None:
    def packages() -> int:
        with bench.handlers.kit.state.read() as connection:
            found: int = connection.exec_driver_sql("select count(*) from packages").scalar_one()
        return found

    publish(bench)
    bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=OTHER_PACKAGE)
    assert packages() == 2
    bench.call("DeleteFunction", FunctionName="rotate", Qualifier="1")
    assert packages() == 1
    publish(bench)
    bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=zip_package({"m.py": "a = 1\n"}))
    bench.call("DeleteFunction", FunctionName="rotate")
    assert packages() == 0
