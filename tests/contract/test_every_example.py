"""Each of botocore's example inputs of Secrets Manager, run against a real server, answers what AWS answers.

The examples are of 2018; members that AWS has added to its answers since then are named in ``SINCE``. What an example
takes for granted is made by the function of its operation in ``BEFORE``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from botocore.loaders import Loader

from keyturn.operations import registry

from .violations import MODEL, SHAPES
from .world import World

registry.discover()
EXAMPLES: Mapping[str, Any] = Loader().load_data("secretsmanager/2017-10-17/examples-1")["examples"]
CASES = [
    pytest.param(operation, example, id=f"{operation}.{number}")
    for operation, examples in EXAMPLES.items()
    if registry.find("secretsmanager", operation)
    for number, example in enumerate(examples)
]

NAME = "MyTestDatabaseSecret"
FIRST, SECOND = "EXAMPLE1-90ab-cdef-fedc-ba987SECRET1", "EXAMPLE2-90ab-cdef-fedc-ba987SECRET2"
_NAMES = (NAME, "MyTestDatabaseSecret1", "MyExampleSecret")
_FUNCTIONS = ("MyTestDatabaseRotationLambda", "MyTestRotationLambda")
_TAGS = [{"Key": "FirstTag", "Value": "SomeValue"}, {"Key": "SecondTag", "Value": "AnotherValue"}]
_RULES = {"Duration": "2h", "ScheduleExpression": "cron(0 16 1,15 * ? *)"}

# Members of today's answers that the examples do not show yet, by structure. Those of secrets and versions are recorded
# (tests/recorded); PolicyName is younger than every recording.
SINCE: Mapping[str, frozenset[str]] = {
    "DeleteResourcePolicyResponse": frozenset({"PolicyName"}),
    "DescribeSecretResponse": frozenset({"CreatedDate", "NextRotationDate"}),
    "GetResourcePolicyResponse": frozenset({"PolicyName"}),
    "PutResourcePolicyResponse": frozenset({"PolicyName"}),
    "SecretListEntry": frozenset({"CreatedDate"}),
    "SecretVersionsListEntry": frozenset({"KmsKeyIds"}),
}


class Stage:
    """The example's account: its names are free, its functions and its key exist."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, world.client
        self.arns = {name: world.function(name) for name in _FUNCTIONS}
        self.key = world.server.client("kms").create_key()["KeyMetadata"]["Arn"]

    def clear(self) -> None:
        for name in _NAMES:
            self.client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)

    def meant(self, example: Any) -> Any:
        """The example with this server's region and account for its own, and with a key that exists."""
        server = self.world.server
        text = json.dumps(example).replace("us-west-2", server.region).replace("123456789012", server.account_id)
        for key in ("EXAMPLE1-90ab-cdef-fedc-ba987KMSKEY1", "EXAMPLE2-90ab-cdef-fedc-ba987EXAMPLE"):
            text = text.replace(f"arn:aws:kms:{server.region}:{server.account_id}:key/{key}", self.key)
        return json.loads(text)

    def make(self, name: str = NAME, **members: Any) -> None:
        self.client.create_secret(**{"Name": name, "SecretString": "value", "ClientRequestToken": FIRST, **members})

    def rotate(self, **request: Any) -> None:
        token = self.client.rotate_secret(SecretId=NAME, **request)["VersionId"]
        self.world.wait_for_rotation(NAME, token)


@pytest.fixture(scope="module")
def stage(world: World) -> Stage:
    return Stage(world)


def _nothing(_stage: Stage) -> None:
    """The example begins with nothing."""


def _secret(stage: Stage) -> None:
    stage.make()


def _other_secret(stage: Stage) -> None:
    stage.make("MyExampleSecret")


def _tagged(stage: Stage) -> None:
    stage.make(Tags=_TAGS)


def _rotating(stage: Stage) -> None:
    stage.make()
    stage.rotate(RotationLambdaARN=stage.arns["MyTestRotationLambda"], RotationRules=_RULES)


def _everything(stage: Stage) -> None:
    """A secret that has all that the example of DescribeSecret shows."""
    stage.make(Description="My test database secret", Tags=_TAGS, KmsKeyId=stage.key)
    stage.client.get_secret_value(SecretId=NAME)
    stage.rotate(RotationLambdaARN=stage.arns["MyTestRotationLambda"], RotationRules=_RULES)


def _deletable(stage: Stage) -> None:
    stage.make("MyTestDatabaseSecret1")


def _deleted(stage: Stage) -> None:
    stage.make()
    stage.client.delete_secret(SecretId=NAME)


def _two_secrets(stage: Stage) -> None:
    for name in _NAMES[:2]:
        stage.make(name, Description="My test database secret")


def _three_versions(stage: Stage) -> None:
    stage.make()
    for number in (2, 3):
        stage.client.put_secret_value(SecretId=NAME, SecretString=f"value {number}")


def _two_versions(stage: Stage) -> None:
    stage.make()
    stage.client.put_secret_value(
        SecretId=NAME, SecretString="value 2", ClientRequestToken=SECOND, VersionStages=["AWSPENDING"]
    )


def _labelled(stage: Stage) -> None:
    stage.make()
    stage.client.update_secret_version_stage(SecretId=NAME, VersionStage="STAGINGLABEL1", MoveToVersionId=FIRST)


def _with_policy(stage: Stage) -> None:
    stage.make()
    example = stage.meant(EXAMPLES["PutResourcePolicy"][0]["input"])
    stage.world.call("PutResourcePolicy", **example)


# Operation to what is there before each of its examples.
BEFORE: Mapping[str, tuple[Callable[[Stage], None], ...]] = {
    "CancelRotateSecret": (_rotating,),
    "CreateSecret": (_nothing,),
    "DeleteResourcePolicy": (_with_policy,),
    "DeleteSecret": (_deletable,),
    "DescribeSecret": (_everything,),
    "GetRandomPassword": (_nothing,),
    "GetResourcePolicy": (_with_policy,),
    "GetSecretValue": (_secret,),
    "ListSecretVersionIds": (_three_versions,),
    "ListSecrets": (_two_secrets,),
    "PutResourcePolicy": (_secret,),
    "PutSecretValue": (_secret,),
    "RestoreSecret": (_deleted,),
    "RotateSecret": (_secret, _rotating),
    "TagResource": (_other_secret,),
    "UntagResource": (_tagged,),
    "UpdateSecret": (_secret, _secret, _secret),
    "UpdateSecretVersionStage": (_secret, _labelled, _two_versions),
    "ValidateResourcePolicy": (_secret,),
}


def test_every_example_has_its_stage() -> None:
    assert {name: len(examples) for name, examples in EXAMPLES.items()} == {
        name: len(before) for name, before in BEFORE.items()
    }


@pytest.mark.parametrize(("operation", "example"), CASES)
def test_an_example_succeeds_and_is_answered_with_awss_members(
    stage: Stage, operation: str, example: dict[str, Any]
) -> None:
    sent, shown = stage.meant(example.get("input", {})), example.get("output", {})
    stage.clear()
    BEFORE[operation][EXAMPLES[operation].index(example)](stage)

    answer = stage.world.call(operation, **sent)

    assert answer.pop("ResponseMetadata")["HTTPStatusCode"] == 200
    output = MODEL["operations"][operation].get("output")
    assert not shown or output
    if output:
        assert _members(output["shape"], answer) == _members(output["shape"], shown, shown_long_ago=True)
    for member in ("Name", "VersionId"):
        given = sent.get("SecretId" if member == "Name" else "ClientRequestToken", sent.get(member))
        if member in answer and given:
            assert answer[member] == given


def _members(shape_name: str, value: Any, *, shown_long_ago: bool = False) -> Any:
    """The members of a structure and of what it holds; of a list, those that any of its elements has."""
    shape = SHAPES[shape_name]
    if shape["type"] == "structure":
        names = set(value) | (SINCE.get(shape_name, frozenset()) if shown_long_ago else frozenset())
        inner = {name: shape["members"][name]["shape"] for name in names}
        return {
            name: _members(inner[name], value[name], shown_long_ago=shown_long_ago) if name in value else None
            for name in sorted(names)
        }
    if shape["type"] == "list" and SHAPES[shape["member"]["shape"]]["type"] == "structure":
        elements = [_members(shape["member"]["shape"], one, shown_long_ago=shown_long_ago) for one in value]
        return {name: inner for element in elements for name, inner in element.items()}
    return None
