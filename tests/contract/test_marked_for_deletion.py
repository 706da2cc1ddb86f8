"""What every operation answers for a secret that is marked for deletion; a new operation is asked by itself.

AWS's model is the rule: an operation refuses such a secret if it lists InvalidRequestException, the first cause of
which is "The secret is scheduled for deletion." The others could not say it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from keyturn.errors.common import AccessDenied
from keyturn.errors.secretsmanager import InvalidRequestException
from keyturn.ids import new_version_id
from keyturn.operations import registry
from keyturn.operations.accesses import Accesses
from keyturn.operations.registry import Operation
from keyturn.storage import inline_policies, schema
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench, open_bench, user
from keyturn.wire.models import OperationModel, service

from .test_wire_against_botocore import example

registry.discover()

# What saves it.
EXCEPT = {"RestoreSecret"}
POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::000000000000:root"},
                "Action": "secretsmanager:*",
                "Resource": "*",
            }
        ],
    }
)


def model_of(operation: Operation) -> OperationModel:
    return service("secretsmanager").operation(operation.name)


def about_a_secret(operation: Operation) -> bool:
    if operation.service != "secretsmanager":
        return False
    shape = model_of(operation).input
    return shape is not None and "SecretId" in shape.members


def refuses(operation: Operation) -> bool:
    return "InvalidRequestException" in model_of(operation).error_codes and operation.name not in EXCEPT


ALL = [operation for operation in registry.all_operations() if about_a_secret(operation)]
REFUSING = [operation for operation in ALL if refuses(operation)]
ANSWERING = [operation for operation in ALL if not refuses(operation)]


class Marked:
    """A secret of its own for each test, marked for deletion."""

    def __init__(self, bench: HandlerBench) -> None:
        self.bench = bench
        self.version_id, self.name = new_version_id(), f"marked/{new_version_id()}"
        self.arn = self.call("CreateSecret", Name=self.name, SecretString="x", ClientRequestToken=self.version_id)[
            "ARN"
        ]
        self.call("DeleteSecret", SecretId=self.name)

    def call(self, name: str, **request: Any) -> Any:
        return self.bench.call("secretsmanager", name, **request)

    def request(self, operation: Operation, secret_id: str) -> dict[str, Any]:
        """A request with which the operation would succeed for a living secret, as far as members can see to that."""
        shape = model_of(operation).input
        assert shape is not None
        values = {
            "SecretId": secret_id,
            "ClientRequestToken": new_version_id(),
            "SecretString": "new",
            "Description": "new",
            "VersionStage": "MINE",
            "MoveToVersionId": self.version_id,
            "ResourcePolicy": POLICY,
            "Tags": [{"Key": "a", "Value": "b"}],
            "TagKeys": ["a"],
        }
        if operation.name == "GetSecretValue":
            del values["VersionStage"]
        return {**example(shape, full=False), **{name: values[name] for name in values if name in shape.members}}

    def rows(self) -> list[Any]:
        """Everything that is stored about secrets."""
        tables = (schema.secrets, schema.secret_versions, schema.staging_labels, schema.rotations)
        with self.bench.kit.state.read() as connection:
            return [connection.execute(select(table)).all() for table in tables]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandlerBench]:
    with open_bench(tmp_path_factory.mktemp("bench")) as opened:
        opened.kit = replace(opened.kit, accesses=Accesses(), wake_scheduler=lambda: None)
        with opened.kit.state.write() as transaction:
            # Some ask for a second permission.
            inline_policies.put_inline_policy(transaction, opened.caller.arn, "everything", ALLOW_ALL)
        yield opened


@pytest.fixture
def marked(bench: HandlerBench) -> Marked:
    return Marked(bench)


@pytest.mark.parametrize("operation", REFUSING, ids=lambda operation: operation.name)
def test_it_is_refused_and_nothing_changes(operation: Operation, marked: Marked) -> None:
    before = marked.rows()

    for secret_id in (marked.name, marked.arn):
        with pytest.raises(InvalidRequestException) as refused:
            marked.call(operation.name, **marked.request(operation, secret_id))
        assert refused.value.message == (
            "You can't perform this operation on the secret because it was marked for deletion."
        )

    assert marked.rows() == before


@pytest.mark.parametrize("operation", ANSWERING, ids=lambda operation: operation.name)
def test_it_is_answered_as_ever(operation: Operation, marked: Marked) -> None:
    answer = marked.call(operation.name, **marked.request(operation, marked.name))

    assert (answer["ARN"], answer["Name"]) == (marked.arn, marked.name)


@pytest.mark.parametrize("operation", ALL, ids=lambda operation: operation.name)
def test_who_has_no_permission_does_not_learn_that_it_is_marked(operation: Operation, marked: Marked) -> None:
    call = marked.bench.as_(user("nobody"))

    with pytest.raises(AccessDenied):
        marked.bench.call_as(call, "secretsmanager", operation.name, **marked.request(operation, marked.name))


def test_the_rule_is_about_what_it_should_be() -> None:
    assert {"DescribeSecret", "ListSecretVersionIds", "RestoreSecret"} <= {operation.name for operation in ANSWERING}
    assert {"GetSecretValue", "DeleteSecret", "RotateSecret", "TagResource"} <= {
        operation.name for operation in REFUSING
    }


def test_only_by_force_it_is_deleted_once_more(marked: Marked) -> None:
    answer = marked.call("DeleteSecret", SecretId=marked.name, ForceDeleteWithoutRecovery=True)

    assert answer == {"ARN": marked.arn, "Name": marked.name, "DeletionDate": marked.bench.clock.now()}


def test_it_is_listed_only_to_those_who_ask(marked: Marked) -> None:
    def listed(**request: Any) -> dict[str, dict[str, Any]]:
        return {entry["ARN"]: entry for entry in marked.call("ListSecrets", **request)["SecretList"]}

    assert marked.arn not in listed()
    assert marked.arn not in listed(IncludePlannedDeletion=False)
    assert listed(IncludePlannedDeletion=True)[marked.arn]["DeletedDate"] == marked.bench.clock.now()


def test_its_name_is_not_free(marked: Marked) -> None:
    for request in ({"SecretString": "x", "ClientRequestToken": marked.version_id}, {}):
        with pytest.raises(InvalidRequestException) as refused:
            marked.call("CreateSecret", Name=marked.name, **request)
        assert refused.value.message == (
            "You can't create this secret because a secret with this name is already scheduled for deletion."
        )
