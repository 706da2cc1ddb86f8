"""What holds for every operation that is offered; a new one is found by itself."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied
from keyturn.operations import registry
from keyturn.operations.registry import Operation
from keyturn.testing.handlers import HandlerBench, open_bench, user
from keyturn.wire import redact
from keyturn.wire.models import OperationModel, Shape, service

from .test_wire_against_botocore import example

registry.discover()
COMPATIBILITY = (Path(__file__).parents[2] / "docs" / "compatibility.md").read_text()
READING = ("Get", "List", "Describe", "Lookup", "Filter", "Count", "Validate", "BatchGet", "Simulate", "Decode")
# What KMS computes changes nothing; CloudTrail calls it reading.
COMPUTING = ("Encrypt", "Decrypt", "ReEncrypt", "Generate")
# What the model's limits alone do not make a name.
NAMES = {
    "Name": "no/such",
    "SecretId": "no/such",
    "RoleArn": "arn:aws:iam::000000000000:role/no-such",
    "PolicySourceArn": "arn:aws:iam::000000000000:role/no-such",
    "PolicyArn": "arn:aws:iam::000000000000:policy/no-such",
    "logGroupName": "no/such",
}
SERVICES = {
    "Organizations": "organizations",
    "EC2": "ec2",
    "Secrets Manager": "secretsmanager",
    "Lambda": "lambda",
    "IAM": "iam",
    "STS": "sts",
    "CloudWatch Logs": "logs",
    "CloudTrail": "cloudtrail",
    "CloudWatch": "cloudwatch",
    "KMS": "kms",
    "Keyturn": "keyturn",
}


def _id(operation: Operation) -> str:
    return f"{operation.service}.{operation.name}"


every_operation = pytest.mark.parametrize("operation", registry.all_operations(), ids=_id)


def model_of(operation: Operation) -> OperationModel:
    return service(operation.service).operation(operation.name)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandlerBench]:
    with open_bench(tmp_path_factory.mktemp("bench")) as opened:
        yield opened


@every_operation
def test_it_is_an_operation_of_aws(operation: Operation) -> None:
    assert operation.name in service(operation.service).operation_names


@every_operation
def test_its_action_is_its_own(operation: Operation) -> None:
    # The only ones that are not named as their operations.
    others = {
        "GetLayerVersionByArn": "lambda:GetLayerVersion",
        "Invoke": "lambda:InvokeFunction",
        "ReEncrypt": "kms:ReEncryptFrom",
    }
    own = others.get(operation.name, f"{operation.service}:{operation.name}")
    assert operation.action in (own, "")


@every_operation
def test_its_types_are_generated(operation: Operation) -> None:
    module = importlib.import_module(
        f"keyturn.wire.types.{'lambda_' if operation.service == 'lambda' else operation.service}"
    )
    model = model_of(operation)

    for shape, suffix in ((model.input, "Request"), (model.output, "Response")):
        if shape is not None and shape.members:
            members = set(getattr(module, f"{operation.name}{suffix}").__annotations__)
            assert members == set(shape.members)


@every_operation
def test_it_says_what_it_does(operation: Operation) -> None:
    first = (operation.handle.__doc__ or "").partition("\n")[0]

    assert first.endswith("."), f"{operation.handle.__qualname__} has no docstring of one sentence"


@every_operation
def test_whether_it_reads_only_is_what_its_name_says(operation: Operation) -> None:
    reading = READING + COMPUTING if operation.service == "kms" else READING
    assert operation.read_only == operation.name.startswith(reading)


@pytest.mark.parametrize("operation", [one for one in registry.all_operations() if one.action], ids=_id)
def test_who_has_no_policy_is_refused_and_learns_nothing(operation: Operation, bench: HandlerBench) -> None:
    model = model_of(operation)
    request = example(model.input, full=False) if model.input is not None else {}
    request.update({name: value for name, value in NAMES.items() if model.input and name in model.input.members})
    call = bench.as_(user("nobody"))

    with pytest.raises(AccessDenied) as refused:
        bench.call_as(call, operation.service, operation.name, **request)

    assert f"is not authorized to perform: {operation.action}" in refused.value.message
    assert "arn:aws:iam::000000000000:user/nobody" in refused.value.message


MARK = "MARKED"


def marked(shape: Shape, *, is_secret: bool = False) -> Any:
    """A value with all members, in which whatever must not be seen holds a mark."""
    is_secret = is_secret or shape.sensitive
    match shape.kind:
        case "structure":
            return {name: marked(member, is_secret=is_secret) for name, member in shape.members.items()}
        case "list":
            return [marked(shape.member, is_secret=is_secret)]
        case "map":
            return {marked(shape.key, is_secret=is_secret): marked(shape.value, is_secret=is_secret)}
        case "blob":
            return MARK.encode()
        case "timestamp":
            return datetime(2026, 1, 2, tzinfo=UTC)
        case "boolean":
            return True
        case "string":
            return MARK if is_secret else "plain"
        case _:
            return 1


def sensitive_members(shape: Shape | None) -> set[str]:
    """Names of sensitive members at any depth."""
    if shape is None:
        return set()
    parts = {**shape.members} if shape.kind == "structure" else {}
    if shape.kind == "list":
        parts["member"] = shape.member
    if shape.kind == "map":
        parts["value"] = shape.value
    return {name for name, part in parts.items() if part.sensitive or part.kind == "blob"}.union(
        *(sensitive_members(part) for part in parts.values())
    )


@every_operation
def test_what_the_model_calls_sensitive_is_in_no_audit_event(operation: Operation) -> None:
    model = model_of(operation)
    for shape, show in ((model.input, redact.request_parameters), (model.output, redact.response_elements)):
        if shape is None:
            continue
        shown = json.dumps(show(model, marked(shape)))

        assert MARK not in shown
        if set(shape.members) - sensitive_members(shape):
            assert shown != "null", "everything was taken away"


def test_the_model_calls_sensitive_what_must_be() -> None:
    """The promise of the test above is worth as much as the model's traits."""
    expected = {
        ("secretsmanager", "CreateSecret"): {"SecretString", "SecretBinary"},
        ("secretsmanager", "PutSecretValue"): {"SecretString", "SecretBinary", "RotationToken"},
        ("secretsmanager", "UpdateSecret"): {"SecretString", "SecretBinary"},
        ("lambda", "CreateFunction"): {"Environment", "Variables", "ZipFile"},
        ("lambda", "Invoke"): {"Payload"},
    }
    for (service_name, name), members in expected.items():
        found = sensitive_members(service(service_name).operation(name).input)
        assert found & members, (name, found)
    assert "SecretAccessKey" in sensitive_members(service("iam").operation("CreateAccessKey").output)
    assert "SecretAccessKey" in sensitive_members(service("sts").operation("AssumeRole").output)
    assert "RandomPassword" in sensitive_members(service("secretsmanager").operation("GetRandomPassword").output)


def test_the_documentation_offers_exactly_these() -> None:
    table = COMPATIBILITY.partition("## Operations")[2].partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    offered = {(SERVICES[row[0].strip()], name.strip()) for row in rows for name in row[1].split(",")}

    assert offered == {(operation.service, operation.name) for operation in registry.all_operations()}
