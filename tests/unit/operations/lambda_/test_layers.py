"""Layers: their versions, who may use them, and what functions keep of them. Texts as recorded by localstack."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.lambda_.specs import spec_of
from keyturn.runtime import package
from keyturn.storage import functions
from keyturn.testing.functions import zip_package
from keyturn.testing.handlers import user

from .conftest import ARN as FUNCTION_ARN
from .conftest import LambdaBench

LAYER = "arn:aws:lambda:us-east-1:000000000000:layer:drivers"
CONTENT = zip_package({"python/driver.py": "x = 1\n"})
OTHER_CONTENT = zip_package({"python/driver.py": "x = 2\n"})


def publish(bench: LambdaBench, name: str = "drivers", content: bytes = CONTENT, **request: Any) -> Any:
    return bench.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": content}, **request)


def get(bench: LambdaBench, version: int = 1, name: str = "drivers") -> Any:
    return bench.call("GetLayerVersion", LayerName=name, VersionNumber=version)


def drop(bench: LambdaBench, version: int = 1) -> None:
    assert bench.call("DeleteLayerVersion", LayerName="drivers", VersionNumber=version) == {}


def listed(bench: LambdaBench, **request: Any) -> list[int]:
    found = bench.call("ListLayerVersions", LayerName="drivers", **request)["LayerVersions"]
    return [version["Version"] for version in found]


def configure(bench: LambdaBench, *layers: str) -> Any:
    return bench.call("UpdateFunctionConfiguration", FunctionName="rotate", Layers=list(layers))


def refusal(error: type[AwsError], bench: LambdaBench, operation: str, **request: Any) -> str:
    with pytest.raises(error) as refused:
        bench.call(operation, **request)
    return refused.value.message


def is_stored(bench: LambdaBench, content: bytes) -> bool:
    with bench.handlers.kit.state.read() as connection:
        return functions.load_package(connection, package.code_sha256(content)) is not None


def test_a_version_shows_what_was_said_of_it_and_leads_to_its_archive(bench: LambdaBench) -> None:
    said: dict[str, Any] = {
        "Description": "all drivers",
        "LicenseInfo": "MIT",
        "CompatibleRuntimes": ["python3.11"],
        "CompatibleArchitectures": ["x86_64"],
    }
    made = publish(bench, **said)

    sha256 = package.code_sha256(CONTENT)
    of_version = {
        **said,
        "LayerVersionArn": f"{LAYER}:1",
        "Version": 1,
        "CreatedDate": "2026-01-02T03:04:05.000+0000",
    }
    content = {"CodeSha256": sha256, "CodeSize": len(CONTENT), "Location": f"/{sha256}"}
    assert made == {**of_version, "LayerArn": LAYER, "Content": content}
    assert get(bench) == get(bench, name=LAYER) == made
    assert bench.call("GetLayerVersionByArn", Arn=f"{LAYER}:1") == made
    assert bench.call("ListLayerVersions", LayerName=LAYER) == {"LayerVersions": [of_version]}
    assert bench.call("ListLayers") == {
        "Layers": [{"LayerName": "drivers", "LayerArn": LAYER, "LatestMatchingVersion": of_version}]
    }


def test_what_was_not_said_is_not_shown_and_what_was_said_to_be_nothing_is(bench: LambdaBench) -> None:
    plain = publish(bench)
    empty = publish(bench, CompatibleRuntimes=[], CompatibleArchitectures=[])

    assert not {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"} & plain.keys()
    assert plain["Description"] == ""
    assert (empty["CompatibleRuntimes"], empty["CompatibleArchitectures"]) == ([], [])


def test_a_number_is_never_given_again(bench: LambdaBench) -> None:
    assert [publish(bench)["Version"] for _ in range(2)] == [1, 2]
    assert listed(bench) == [2, 1]
    drop(bench, 1)
    drop(bench, 2)
    drop(bench, 2)

    assert listed(bench) == []
    assert bench.call("ListLayers") == {"Layers": []}
    assert publish(bench)["Version"] == 3


def test_lists_come_in_pages_and_by_what_a_version_is_said_to_run(bench: LambdaBench) -> None:
    publish(bench, CompatibleRuntimes=["python3.11"])
    publish(bench, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["arm64"])
    publish(bench)
    publish(bench, "another")

    assert listed(bench, CompatibleRuntime="python3.11") == [1]
    assert listed(bench, CompatibleArchitecture="arm64") == [2]
    first = bench.call("ListLayerVersions", LayerName="drivers", MaxItems=2)
    assert [version["Version"] for version in first["LayerVersions"]] == [3, 2]
    assert listed(bench, Marker=first["NextMarker"]) == [1]
    page = bench.call("ListLayers", MaxItems=1)
    rest = bench.call("ListLayers", Marker=page["NextMarker"])
    assert [one["LayerName"] for one in (*page["Layers"], *rest["Layers"])] == ["another", "drivers"]
    only = bench.call("ListLayers", CompatibleRuntime="python3.11")["Layers"]
    assert [(one["LayerName"], one["LatestMatchingVersion"]["Version"]) for one in only] == [("drivers", 1)]


def test_what_does_not_exist_is_told_in_lambdas_words(bench: LambdaBench) -> None:
    publish(bench)
    for version, name in ((2, "drivers"), (1, "nothing")):
        missing = {"LayerName": name, "VersionNumber": version}
        message = refusal(ResourceNotFoundException, bench, "GetLayerVersion", **missing)
        assert message == "The resource you requested does not exist."
    for operation in ("GetLayerVersion", "DeleteLayerVersion"):
        message = refusal(InvalidParameterValueException, bench, operation, LayerName="drivers", VersionNumber=0)
        assert message == "Layer Version Cannot be less than 1"
    message = refusal(ResourceNotFoundException, bench, "GetLayerVersionByArn", Arn=f"{LAYER}:9")
    assert message == "The resource you requested does not exist."
    assert bench.call("ListLayerVersions", LayerName="nothing") == {"LayerVersions": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"ZipFile": b"no zip"}, "Could not unzip uploaded file."),
        ({"S3Bucket": "b", "S3Key": "k"}, "Keyturn takes a layer's content as ZipFile only"),
        ({}, "Please provide a source"),
    ],
)
def test_a_layer_is_a_zip_file(bench: LambdaBench, content: dict[str, Any], message: str) -> None:
    found = refusal(InvalidParameterValueException, bench, "PublishLayerVersion", LayerName="drivers", Content=content)

    assert message in found


def test_a_layer_is_published_and_listed_in_ones_own_account(bench: LambdaBench) -> None:
    foreign = LAYER.replace("000000000000", "111111111111")
    for operation, request in (("PublishLayerVersion", {"Content": {"ZipFile": CONTENT}}), ("ListLayerVersions", {})):
        message = refusal(InvalidParameterValueException, bench, operation, LayerName=foreign, **request)
        assert "own account and region" in message


def test_a_function_shows_its_layers_and_runs_with_them_in_order(bench: LambdaBench) -> None:
    first = publish(bench)["LayerVersionArn"]
    second = publish(bench, "more", OTHER_CONTENT)["LayerVersionArn"]

    made = bench.create(Layers=[second, first])

    sizes = [{"Arn": second, "CodeSize": len(OTHER_CONTENT)}, {"Arn": first, "CodeSize": len(CONTENT)}]
    assert made["Layers"] == sizes
    assert bench.call("GetFunctionConfiguration", FunctionName="rotate")["Layers"] == sizes
    with bench.handlers.kit.state.read() as connection:
        record = functions.load_function(connection, FUNCTION_ARN)
    assert record is not None
    assert spec_of(bench.handlers.kit, record).layers == tuple(
        package.code_sha256(content) for content in (OTHER_CONTENT, CONTENT)
    )
    assert bench.call("GetAccountSettings")["AccountUsage"]["TotalCodeSize"] == (
        made["CodeSize"] + len(CONTENT) + len(OTHER_CONTENT)
    )


def test_layers_are_replaced_as_a_whole_and_an_empty_list_takes_them_away(bench: LambdaBench) -> None:
    first, second = (publish(bench, name)["LayerVersionArn"] for name in ("one", "two"))
    bench.create(Layers=[first])

    assert [layer["Arn"] for layer in configure(bench, second)["Layers"]] == [second]
    assert "Layers" in bench.call("UpdateFunctionConfiguration", FunctionName="rotate", Timeout=9)
    assert "Layers" not in configure(bench)


def test_functions_and_their_versions_keep_a_layer_that_is_deleted(bench: LambdaBench) -> None:
    arn = publish(bench)["LayerVersionArn"]
    bench.create(Layers=[arn])
    bench.call("PublishVersion", FunctionName="rotate")
    drop(bench)

    assert configure(bench).get("Layers") is None
    version = bench.call("GetFunctionConfiguration", FunctionName="rotate", Qualifier="1")
    assert version["Layers"] == [{"Arn": arn, "CodeSize": len(CONTENT)}]
    assert is_stored(bench, CONTENT)
    assert refusal(ResourceNotFoundException, bench, "GetLayerVersionByArn", Arn=arn)

    bench.call("DeleteFunction", FunctionName="rotate", Qualifier="1")
    assert not is_stored(bench, CONTENT)


def test_an_archive_goes_with_whoever_used_it_last(bench: LambdaBench) -> None:
    arn = publish(bench)["LayerVersionArn"]
    publish(bench, "same")
    bench.create(Layers=[arn])

    drop(bench)
    bench.call("DeleteLayerVersion", LayerName="same", VersionNumber=1)
    assert is_stored(bench, CONTENT)
    bench.call("DeleteFunction", FunctionName="rotate")
    assert not is_stored(bench, CONTENT)


def test_an_archive_stays_while_another_layer_or_function_has_it(bench: LambdaBench) -> None:
    arn = publish(bench)["LayerVersionArn"]
    bench.create(Layers=[arn])
    configure(bench)
    assert is_stored(bench, CONTENT)
    drop(bench)
    assert not is_stored(bench, CONTENT)


@pytest.mark.parametrize("operation", ["CreateFunction", "UpdateFunctionConfiguration"])
def test_layers_that_cannot_be_are_refused_in_lambdas_words(bench: LambdaBench, operation: str) -> None:
    for _ in range(2):
        publish(bench)
    many = [publish(bench, f"layer-{number}")["LayerVersionArn"] for number in range(6)]
    if operation == "UpdateFunctionConfiguration":
        bench.create()

    def message(*layers: str) -> str:
        change = bench.create if operation == "CreateFunction" else partial(bench.call, operation)
        with pytest.raises(InvalidParameterValueException) as refused:
            change(FunctionName="rotate", Layers=list(layers))
        return refused.value.message

    assert message(*many) == "Cannot reference more than 5 layers."
    assert message(f"{LAYER}:9") == f"Layer version {LAYER}:9 does not exist."
    for first, second in ((1, 2), (1, 1)):
        assert message(f"{LAYER}:{first}", f"{LAYER}:{second}") == (
            "Two different versions of the same layer are not allowed to be referenced in the same function."
            f" {LAYER}:{first} and {LAYER}:{second} are versions of the same layer."
        )
    assert message(f"{LAYER.replace('us-east-1', 'eu-west-1')}:1") == (
        "Layers are not in the same region as the function. Layers are expected to be in region us-east-1."
    )


def test_code_and_layers_together_may_be_as_large_as_code_alone(
    bench: LambdaBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, large = zip_package({"f.py": "x" * 100}), zip_package({"f.py": "x" * 101})
    arn = publish(bench, content=zip_package({"a": "x" * 900}))["LayerVersionArn"]
    monkeypatch.setattr(package, "UNZIPPED_LIMIT_BYTES", 1000)
    too_large = (
        "Function code combined with layers exceeds the maximum allowed size of 1000 bytes. The actual size is 1001"
        " bytes."
    )

    with pytest.raises(InvalidParameterValueException) as refused:
        bench.create(Layers=[arn], Code={"ZipFile": large})
    assert refused.value.message == too_large
    bench.create(Layers=[arn], Code={"ZipFile": small})
    updated = {"FunctionName": "rotate", "ZipFile": large}
    assert refusal(InvalidParameterValueException, bench, "UpdateFunctionCode", **updated) == too_large
    configure(bench)
    bench.call("UpdateFunctionCode", **updated)
    with pytest.raises(InvalidParameterValueException, match="combined with layers"):
        configure(bench, arn)


def test_whoever_gives_a_function_a_layer_must_be_allowed_to_get_it(bench: LambdaBench) -> None:
    arn = publish(bench)["LayerVersionArn"]
    bench.create()
    bench.handlers.call("iam", "CreateUser", UserName="ada")
    bench.allow("ada", Effect="Allow", Action="lambda:UpdateFunctionConfiguration", Resource="*")
    bench.handlers.caller = user("ada")

    with pytest.raises(AccessDenied, match=rf"is not authorized to perform: lambda:GetLayerVersion on .*{arn}"):
        configure(bench, arn)
    bench.allow("ada", Effect="Allow", Action=["lambda:Update*", "lambda:GetLayerVersion"], Resource="*")
    configure(bench, arn)


def test_policies_can_say_which_layers_a_function_may_have(bench: LambdaBench) -> None:
    known, other = (publish(bench, name)["LayerVersionArn"] for name in ("known", "other"))
    bench.create()
    bench.handlers.call("iam", "CreateUser", UserName="ada")
    condition = {"ForAllValues:StringLike": {"lambda:Layer": "arn:aws:lambda:*:*:layer:known:*"}}
    bench.allow("ada", Effect="Allow", Action="lambda:*", Resource="*", Condition=condition)
    ada = partial(bench.handlers.call_as, bench.handlers.as_(user("ada")), "lambda", FunctionName="rotate")

    ada("UpdateFunctionConfiguration", Layers=[known])
    with pytest.raises(AccessDenied, match="lambda:UpdateFunctionConfiguration"):
        ada("UpdateFunctionConfiguration", Layers=[known, other])


def permit(bench: LambdaBench, statement_id: str = "s1", **request: Any) -> Any:
    whole = {
        "LayerName": "drivers",
        "VersionNumber": 1,
        "StatementId": statement_id,
        "Action": "lambda:GetLayerVersion",
        "Principal": "*",
    }
    return bench.call("AddLayerVersionPermission", **{**whole, **request})


def test_a_version_has_a_policy_of_its_own(bench: LambdaBench) -> None:
    publish(bench)
    version = {"LayerName": "drivers", "VersionNumber": 1}
    first = permit(bench)
    second = permit(bench, "s2", Principal="111111111111", OrganizationId="o-abcdefghij")

    shown = bench.call("GetLayerVersionPolicy", **version)
    assert shown["RevisionId"] == second["RevisionId"] != first["RevisionId"]
    assert json.loads(shown["Policy"]) == {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [json.loads(first["Statement"]), json.loads(second["Statement"])],
    }
    assert first["Statement"] == (
        f'{{"Sid":"s1","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"{LAYER}:1"}}'
    )
    assert json.loads(second["Statement"])["Principal"] == {"AWS": "arn:aws:iam::111111111111:root"}
    assert json.loads(second["Statement"])["Condition"] == {"StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"}}

    assert bench.call("RemoveLayerVersionPermission", **version, StatementId="s1") == {}
    assert [
        one["Sid"] for one in json.loads(bench.call("GetLayerVersionPolicy", **version)["Policy"])["Statement"]
    ] == ["s2"]


def test_what_is_wrong_with_a_permission_is_told_in_lambdas_words(bench: LambdaBench) -> None:
    publish(bench)
    version = {"LayerName": "drivers", "VersionNumber": 1}
    message = refusal(ResourceNotFoundException, bench, "GetLayerVersionPolicy", **version)
    assert message == "No policy is associated with the given resource."
    permit(bench)

    with pytest.raises(ResourceConflictException, match=r"The statement id \(s1\) provided already exists"):
        permit(bench)
    with pytest.raises(PreconditionFailedException, match="Call the GetLayerPolicy API"):
        permit(bench, "s2", RevisionId="wrong")
    removed = {**version, "StatementId": "other"}
    message = refusal(ResourceNotFoundException, bench, "RemoveLayerVersionPermission", **removed)
    assert message == "Statement other is not found in resource policy."
    removed = {**version, "StatementId": "s1", "RevisionId": "wrong"}
    assert refusal(PreconditionFailedException, bench, "RemoveLayerVersionPermission", **removed)
    for operation in ("AddLayerVersionPermission", "GetLayerVersionPolicy", "RemoveLayerVersionPermission"):
        more: dict[str, Any] = {} if operation.startswith("Get") else {"StatementId": "s"}
        if operation.startswith("Add"):
            more |= {"Action": "lambda:GetLayerVersion", "Principal": "*"}
        message = refusal(ResourceNotFoundException, bench, operation, **{**version, "VersionNumber": 2}, **more)
        assert message == f"Layer version {LAYER}:2 does not exist."
