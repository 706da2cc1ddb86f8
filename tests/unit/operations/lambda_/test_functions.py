from __future__ import annotations

import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
)
from keyturn.operations.lambda_.configuration import ARCHITECTURE
from keyturn.operations.lambda_.specs import spec_of
from keyturn.storage import functions
from keyturn.testing.functions import zip_package
from keyturn.testing.handlers import user

from .conftest import ARN, PACKAGE, ROLE, RUNTIME, LambdaBench

OTHER_PACKAGE = zip_package({"lambda_function.py": "x = 1\n"})


def refusal(bench: LambdaBench, **request: Any) -> str:
    with pytest.raises(InvalidParameterValueException) as refused:
        bench.create(**request)
    return refused.value.message


def test_a_new_function_has_lambdas_defaults_and_can_be_invoked_at_once(bench: LambdaBench) -> None:
    created = bench.create()

    revision_id = created.pop("RevisionId")
    assert len(revision_id) == 36
    assert created == {
        "FunctionName": "rotate",
        "FunctionArn": ARN,
        "Runtime": RUNTIME,
        "Role": ROLE,
        "Handler": "lambda_function.lambda_handler",
        "CodeSize": len(PACKAGE),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2026-01-02T03:04:05.000+0000",
        "CodeSha256": base64.b64encode(hashlib.sha256(PACKAGE).digest()).decode(),
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [ARCHITECTURE],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "RuntimeVersionConfig": {"RuntimeVersionArn": f"arn:aws:lambda:us-east-1::runtime:{RUNTIME}"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/rotate"},
    }
    assert bench.call("GetFunctionConfiguration", FunctionName="rotate") == {**created, "RevisionId": revision_id}


def test_what_the_request_sets_is_shown_again(bench: LambdaBench) -> None:
    bench.create(
        Timeout=900,
        MemorySize=10240,
        EphemeralStorage={"Size": 1024},
        Description="turns keys",
        Environment={"Variables": {"TABLE": "users"}},
        Tags={"team": "a"},
    )

    shown = bench.call("GetFunction", FunctionName=ARN)
    configuration = shown["Configuration"]
    assert (configuration["Timeout"], configuration["MemorySize"]) == (900, 10240)
    assert configuration["EphemeralStorage"] == {"Size": 1024}
    assert configuration["Description"] == "turns keys"
    assert configuration["Environment"] == {"Variables": {"TABLE": "users"}}
    assert shown["Tags"] == {"team": "a"}
    assert shown["Code"] == {"RepositoryType": "S3", "Location": f"/{configuration['CodeSha256']}"}


def test_environment_variables_are_sealed_in_the_database_and_open_for_the_runtime(bench: LambdaBench) -> None:
    bench.create(Environment={"Variables": {"TOKEN": "canary-4711"}})

    kit = bench.handlers.kit
    with kit.state.read() as connection:
        record = functions.load_function(connection, ARN)
    assert record is not None
    assert record.sealed is not None
    assert b"canary" not in record.sealed
    spec = spec_of(kit, record)
    assert spec.environment == {"TOKEN": "canary-4711"}
    assert "canary" not in repr(spec)
    assert (spec.arn, spec.version, spec.log_group) == (ARN, "$LATEST", "/aws/lambda/rotate")


def test_a_name_is_given_once(bench: LambdaBench) -> None:
    bench.create()

    with pytest.raises(ResourceConflictException) as refused:
        bench.create()
    assert refused.value.message == "Function already exist: rotate"


def test_a_name_may_have_64_characters(bench: LambdaBench) -> None:
    bench.create("n" * 64)
    with pytest.raises(ValidationFailed, match="Member must have length less than or equal to 64"):
        bench.create("n" * 65)


@pytest.mark.parametrize("name", ["rotate:$LATEST", "rotate:7", "111111111111:function:rotate"])
def test_a_new_function_has_no_qualifier_and_no_other_account(bench: LambdaBench, name: str) -> None:
    assert "without a qualifier" in refusal(bench, name=name)


def test_a_role_that_does_not_exist_cannot_be_assumed(bench: LambdaBench) -> None:
    message = refusal(bench, Role="arn:aws:iam::000000000000:role/nobody")

    assert message == "The role defined for the function cannot be assumed by Lambda."


def test_a_role_of_another_account_cannot_be_passed(bench: LambdaBench) -> None:
    with pytest.raises(AccessDenied, match="Cross-account pass role is not allowed"):
        bench.create(Role="arn:aws:iam::111111111111:role/runner")


def test_a_role_that_does_not_trust_lambda_cannot_be_assumed(bench: LambdaBench) -> None:
    bench.make_role("machine", "ec2.amazonaws.com")

    message = refusal(bench, Role="arn:aws:iam::000000000000:role/machine")

    assert message == "The role defined for the function cannot be assumed by Lambda."


def test_a_role_must_be_passed_and_not_only_named(bench: LambdaBench) -> None:
    bench.handlers.call("iam", "CreateUser", UserName="ada")
    bench.allow("ada", Effect="Allow", Action="lambda:*", Resource="*")
    bench.handlers.caller = user("ada")

    with pytest.raises(AccessDenied, match=r"is not authorized to perform: iam:PassRole on resource: .*role/runner"):
        bench.create()
    bench.allow(
        "ada",
        Effect="Allow",
        Action=["iam:PassRole"],
        Resource=ROLE,
        Condition={"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}},
    )
    bench.create()


def test_a_runtime_this_machine_lacks_is_named_with_those_it_has(bench: LambdaBench) -> None:
    message = refusal(bench, Runtime="nodejs22.x")

    assert "nodejs22.x" in message
    assert RUNTIME in message


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({}, "Please provide a source for function code."),
        ({"S3Bucket": "b", "S3Key": "k"}, "ZipFile only"),
        ({"ImageUri": "x"}, "ZipFile only"),
        ({"ZipFile": b"no zip"}, "Could not unzip uploaded file."),
    ],
)
def test_code_comes_as_a_zip_file(bench: LambdaBench, code: dict[str, Any], message: str) -> None:
    assert message in refusal(bench, Code=code)


@pytest.mark.parametrize(
    "members",
    [
        {"PackageType": "Image"},
        {"PublishTo": "LATEST_PUBLISHED"},
        {"KMSKeyArn": "arn:aws:kms:us-east-1:000000000000:key/1"},
        {"TracingConfig": {"Mode": "Active"}},
        {"Architectures": ["riscv"]},
    ],
)
def test_what_keyturn_cannot_honour_is_refused_and_not_ignored(bench: LambdaBench, members: dict[str, Any]) -> None:
    message = refusal(bench, **members)

    assert message.startswith("Keyturn does not offer this value of ")
    assert next(iter(members)) in message


def test_values_that_ask_for_nothing_are_taken(bench: LambdaBench) -> None:
    bench.create(
        PackageType="Zip",
        Publish=False,
        Layers=[],
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        TracingConfig={"Mode": "PassThrough"},
        KMSKeyArn="",
        SnapStart={"ApplyOn": "None"},
        LoggingConfig={"LogFormat": "Text", "LogGroup": "/aws/lambda/rotate"},
        Architectures=[ARCHITECTURE],
    )


def test_reserved_variables_cannot_be_set(bench: LambdaBench) -> None:
    message = refusal(bench, Environment={"Variables": {"AWS_REGION": "x", "MINE": "y"}})

    assert message == (
        "Lambda was unable to configure your environment variables because the environment variables you have provided"
        " contains reserved keys that are currently not supported for modification. Reserved keys used in this"
        " request: AWS_REGION"
    )


def test_variables_beyond_4_kb_are_refused_without_repeating_them(bench: LambdaBench) -> None:
    # {"V":"…"} adds eight characters to the value.
    bench.create(Environment={"Variables": {"V": "x" * 4088}})
    message = refusal(bench, name="other", Environment={"Variables": {"V": "canary" + "x" * 4083}})

    assert "exceeded the 4KB limit" in message
    assert "canary" not in message


def test_a_qualifier_appears_in_the_arn_that_is_shown(bench: LambdaBench) -> None:
    bench.create()

    assert (
        bench.call("GetFunctionConfiguration", FunctionName="rotate", Qualifier="$LATEST")["FunctionArn"]
        == f"{ARN}:$LATEST"
    )
    with pytest.raises(ResourceNotFoundException) as refused:
        bench.call("GetFunction", FunctionName="rotate:7")
    assert refused.value.message == f"Function not found: {ARN}:7"


def test_functions_are_listed_by_name_in_pages(bench: LambdaBench) -> None:
    for name in ("c", "a", "b"):
        bench.create(name)

    first = bench.call("ListFunctions", MaxItems=2)
    second = bench.call("ListFunctions", MaxItems=2, Marker=first["NextMarker"])

    assert [shown["FunctionName"] for shown in first["Functions"] + second["Functions"]] == ["a", "b", "c"]
    assert "NextMarker" not in second
    with pytest.raises(InvalidParameterValueException, match="Invalid Marker"):
        bench.call("ListFunctions", Marker="made-up")


def test_new_code_changes_checksum_and_revision_and_ends_warm_environments(bench: LambdaBench) -> None:
    before = bench.create()
    bench.handlers.clock.advance(timedelta(seconds=1.5))

    after = bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=OTHER_PACKAGE)

    assert after["CodeSize"] == len(OTHER_PACKAGE)
    assert after["CodeSha256"] != before["CodeSha256"]
    assert after["RevisionId"] != before["RevisionId"]
    assert after["LastModified"] == "2026-01-02T03:04:06.500+0000"
    assert bench.runtime.discarded == [ARN]
    with bench.handlers.kit.state.read() as connection:
        assert functions.load_package(connection, before["CodeSha256"]) is None
        assert functions.load_package(connection, after["CodeSha256"]) == OTHER_PACKAGE


def test_a_dry_run_checks_and_changes_nothing(bench: LambdaBench) -> None:
    before = bench.create()

    bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=OTHER_PACKAGE, DryRun=True)

    assert bench.call("GetFunctionConfiguration", FunctionName="rotate") == before
    with pytest.raises(InvalidParameterValueException, match="Could not unzip"):
        bench.call("UpdateFunctionCode", FunctionName="rotate", ZipFile=b"no zip", DryRun=True)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("UpdateFunctionCode", {"ZipFile": OTHER_PACKAGE}),
        ("UpdateFunctionCode", {"ZipFile": OTHER_PACKAGE, "DryRun": True}),
        ("UpdateFunctionConfiguration", {"Timeout": 9}),
    ],
)
def test_an_update_of_an_older_revision_is_refused(
    bench: LambdaBench, operation: str, request_: dict[str, Any]
) -> None:
    created = bench.create()

    with pytest.raises(PreconditionFailedException):
        bench.call(operation, FunctionName="rotate", RevisionId="older", **request_)
    assert bench.call("GetFunctionConfiguration", FunctionName="rotate") == created
    bench.call(operation, FunctionName="rotate", RevisionId=created["RevisionId"], **request_)


def test_an_update_of_the_configuration_leaves_the_rest(bench: LambdaBench) -> None:
    bench.create(Description="old", Environment={"Variables": {"A": "1", "B": "2"}})

    updated = bench.call(
        "UpdateFunctionConfiguration",
        FunctionName="rotate",
        Timeout=30,
        MemorySize=256,
        EphemeralStorage={"Size": 600},
        Handler="a.b",
        Runtime=RUNTIME,
        Role=ROLE,
        Environment={"Variables": {"B": "3"}},
    )

    assert (updated["Timeout"], updated["MemorySize"], updated["Handler"]) == (30, 256, "a.b")
    assert updated["EphemeralStorage"] == {"Size": 600}
    assert updated["Description"] == "old"
    assert updated["Environment"] == {"Variables": {"B": "3"}}
    assert bench.runtime.discarded == [ARN]
    emptied = bench.call("UpdateFunctionConfiguration", FunctionName="rotate", Environment={"Variables": {}})
    assert "Environment" not in emptied


def test_a_deleted_function_is_gone_with_its_package(bench: LambdaBench) -> None:
    sha = bench.create()["CodeSha256"]

    assert bench.call("DeleteFunction", FunctionName="rotate") == {}

    assert bench.runtime.discarded == [ARN]
    with pytest.raises(ResourceNotFoundException) as refused:
        bench.call("GetFunction", FunctionName="rotate")
    assert refused.value.message == f"Function not found: {ARN}"
    with bench.handlers.kit.state.read() as connection:
        assert functions.load_package(connection, sha) is None


def test_latest_cannot_be_deleted_alone(bench: LambdaBench) -> None:
    bench.create()

    with pytest.raises(InvalidParameterValueException, match="cannot be deleted without deleting the function"):
        bench.call("DeleteFunction", FunctionName="rotate", Qualifier="$LATEST")


def test_account_settings_count_functions_and_their_code(bench: LambdaBench) -> None:
    bench.create("a")
    bench.create("b")

    usage = bench.call("GetAccountSettings")["AccountUsage"]
    assert usage == {"TotalCodeSize": 2 * len(PACKAGE), "FunctionCount": 2}


def test_tags_are_added_replaced_and_removed(bench: LambdaBench) -> None:
    bench.create(Tags={"a": "1"})

    bench.call("TagResource", Resource=ARN, Tags={"a": "2", "b": "3"})
    assert bench.call("ListTags", Resource=ARN) == {"Tags": {"a": "2", "b": "3"}}
    bench.call("UntagResource", Resource=ARN, TagKeys=["a", "never"])
    assert bench.call("ListTags", Resource=ARN) == {"Tags": {"b": "3"}}
    with pytest.raises(InvalidParameterValueException, match="tag limit"):
        bench.call("TagResource", Resource=ARN, Tags={f"key-{number}": "" for number in range(50)})
