"""The template that keyturn function package writes: made on Keyturn as CloudFormation would, it rotates a password."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from keyturn.testing.functions import zip_package
from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, run_keyturn, wait_until

NOTHING = object()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


class Stack:
    """A template's resources, made one after the other; as much of CloudFormation as these templates use."""

    def __init__(self, server: ServerProcess, folder: Path, name: str, **parameters: str) -> None:
        self.server, self.folder, self.name = server, folder, name
        self.template = yaml.safe_load((folder / "template.yaml").read_text())
        given = {key: parameters.get(key, parameter.get("Default")) for key, parameter in self.parameters.items()}
        assert None not in given.values()
        assert set(parameters) <= set(given)
        self.values: dict[str, Any] = {
            **{key: value.split(",") if self.parameters[key]["Type"] == "CommaDelimitedList" else value
               for key, value in given.items()},
            "AWS::NoValue": NOTHING, "AWS::Partition": "aws", "AWS::Region": server.region,
            "AWS::AccountId": server.account_id,
        }  # fmt: skip
        self.arns: dict[str, str] = {}

    @property
    def parameters(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.template["Parameters"]
        return found

    def make(self) -> None:
        waiting = dict(self.template["Resources"])
        while waiting:
            free = [name for name, resource in waiting.items() if not self.needs(resource) & set(waiting)]
            assert free, f"these wait for each other: {set(waiting)}"
            for name in free:
                resource = waiting.pop(name)
                kind = resource["Type"].rpartition("::")[2]
                getattr(self, f"make_{kind}")(name, self.resolved(resource["Properties"]))

    def needs(self, resource: Any) -> set[str]:
        text = json.dumps(resource)
        named = re.findall(r'"(?:Ref|Fn::GetAtt)": \[?"(\w+)"|\$\{(\w+)\}', text)
        return {name for pair in named for name in pair} | set(resource.get("DependsOn", []))

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [item for item in map(self.resolved, value) if item is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function == "Ref":
                return self.values[argument]
            if function == "Fn::GetAtt":
                return self.arns[argument[0]]
            if function == "Fn::Sub":
                return re.sub(r"\$\{([\w:]+)\}", lambda match: str(self.values[match[1]]), argument)
            if function == "Fn::Join":
                return argument[0].join(self.resolved(argument[1]))
            if function == "Fn::Equals":
                return self.resolved(argument[0]) == self.resolved(argument[1])
            if function == "Fn::Not":
                return not self.resolved(argument[0])
            if function == "Fn::If":
                is_so = self.resolved(self.template["Conditions"][argument[0]])
                return self.resolved(argument[1 if is_so else 2])
        members = {key: self.resolved(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member is not NOTHING}

    def make_Role(self, name: str, properties: Any) -> None:  # noqa: N802 - CloudFormation's names
        assert properties.pop("ManagedPolicyArns") == []
        trust = json.dumps(properties.pop("AssumeRolePolicyDocument"))
        role = self.server.client("iam").create_role(RoleName=self.name, AssumeRolePolicyDocument=trust)["Role"]
        self.values[name], self.arns[name] = self.name, role["Arn"]
        assert properties == {}

    def make_Function(self, name: str, properties: Any) -> None:  # noqa: N802
        code = {"ZipFile": (self.folder / properties.pop("Code")).read_bytes()}
        made = self.server.client("lambda").create_function(FunctionName=self.name, Code=code, **properties)
        self.values[name], self.arns[name] = self.name, made["FunctionArn"]

    def make_Policy(self, name: str, properties: Any) -> None:  # noqa: N802
        [role] = properties["Roles"]
        document = json.dumps(properties["PolicyDocument"])
        self.server.client("iam").put_role_policy(
            RoleName=role, PolicyName=properties["PolicyName"], PolicyDocument=document
        )

    def make_LogGroup(self, name: str, properties: Any) -> None:  # noqa: N802
        logs, group = self.server.client("logs"), properties["LogGroupName"]
        logs.create_log_group(logGroupName=group)
        logs.put_retention_policy(logGroupName=group, retentionInDays=int(properties["RetentionInDays"]))
        self.values[name] = group

    def make_Permission(self, name: str, properties: Any) -> None:  # noqa: N802
        self.server.client("lambda").add_permission(StatementId=name, **properties)

    def make_RotationSchedule(self, name: str, properties: Any) -> None:  # noqa: N802
        self.server.client("secretsmanager").rotate_secret(
            SecretId=properties["SecretId"],
            RotationLambdaARN=properties["RotationLambdaARN"],
            RotationRules=properties["RotationRules"],
            RotateImmediately=json.loads(properties["RotateImmediatelyOnUpdate"]),
        )


@pytest.mark.parametrize("with_key", [False, True], ids=["default key", "customer keys"])
@pytest.mark.parametrize("strategy", ["single-user", "alternating-users"])
def test_what_the_template_makes_rotates(
    server: ServerProcess, postgresql: PostgresqlServer, tmp_path: Path, strategy: str, with_key: bool
) -> None:
    name = f"stack_{strategy[:6]}_{with_key}".lower()
    secrets, parameters, sealed = server.client("secretsmanager"), {}, {}
    postgresql.create_user(name, "first")
    value = {**postgresql.secret_value(name, "first"), "ssl": False}
    if with_key:
        sealed["KmsKeyId"] = server.client("kms").create_key()["KeyMetadata"]["Arn"]
        parameters["KmsKeyArn"] = sealed["KmsKeyId"]
    if strategy == "alternating-users":
        root = json.dumps({**postgresql.superuser_value(), "ssl": False})
        value["masterarn"] = secrets.create_secret(Name=f"root_{name}", SecretString=root, **sealed)["ARN"]
        parameters["SuperuserSecretArn"] = value["masterarn"]
        if with_key:
            parameters["SuperuserKmsKeyArn"] = sealed["KmsKeyId"]
    parameters["SecretArn"] = secrets.create_secret(Name=name, SecretString=json.dumps(value), **sealed)["ARN"]
    arguments = ("function", "package", "postgresql", "--strategy", strategy, "--directory", str(tmp_path))
    run_keyturn(*arguments, home=server.home)

    Stack(server, tmp_path, name, **parameters).make()

    def rotated() -> bool:
        return "LastRotatedDate" in secrets.describe_secret(SecretId=name)

    wait_until(rotated, "the rotation", server)
    current = json.loads(secrets.get_secret_value(SecretId=name)["SecretString"])
    assert postgresql.accepts(current["username"], current["password"])
    assert current["password"] != "first"


def test_parameters_reach_the_function_and_its_log_and_a_bundle_in_the_zip_is_what_ssl_true_trusts(
    server: ServerProcess, tmp_path: Path
) -> None:
    with PostgresqlServer.start(tls=True) as database:
        database.create_user("trusting", "first")
        value = {**database.secret_value("trusting", "first"), "host": "localhost", "ssl": True}
        arn = server.client("secretsmanager").create_secret(Name="trusting", SecretString=json.dumps(value))["ARN"]
        run_keyturn("function", "package", "postgres", "--directory", str(tmp_path), home=server.home)
        with zipfile.ZipFile(tmp_path / "postgresql_single_user.zip", "a") as package:
            package.write(database.certificate_path, "authorities.pem")
        layer = server.client("lambda").publish_layer_version(
            LayerName="empty", Content={"ZipFile": zip_package({"python/nothing.py": ""})}
        )["LayerVersionArn"]
        # The working directory of a function is where its package lies.
        Stack(
            server, tmp_path, "trusting", SecretArn=arn, CaBundle="authorities.pem", PasswordLength="45",
            ExcludeCharacters="abc/@", Layers=layer, LogRetentionInDays="30",
        ).make()  # fmt: skip

        def rotated() -> bool:
            return "LastRotatedDate" in server.client("secretsmanager").describe_secret(SecretId="trusting")

        wait_until(rotated, "the rotation over TLS", server)
        current = json.loads(server.client("secretsmanager").get_secret_value(SecretId="trusting")["SecretString"])
        assert database.accepts("trusting", current["password"])
        assert len(current["password"]) == 45
        assert not set(current["password"]) & set("abc/@")
        [group] = server.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/trusting")["logGroups"]
        assert group["retentionInDays"] == 30
        made = server.client("lambda").get_function_configuration(FunctionName="trusting")
        assert [each["Arn"] for each in made["Layers"]] == [layer]
        assert "SECRETS_MANAGER_ENDPOINT" not in made["Environment"]["Variables"]
