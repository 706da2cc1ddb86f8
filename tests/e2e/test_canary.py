"""Marked values go in everywhere a secret can; afterwards nothing that is kept, logged or told holds a mark.

Every operation is called, at log level debug. A mark is looked for as it is and in Base64, in every file of the data
directory, in the server's output, in the audit trail and where its sinks deliver it, in what notifiers are told and on
the page of metrics, in every reply that must not hold it, and on command lines. Then every operation that is offered is
called with marks in all that its model calls sensitive, in ways that fail.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError, ParamValidationError
from tests.contract.receivers import StreamReceiver
from tests.contract.told import WebhookReceiver

from keyturn.operations import registry
from keyturn.testing.functions import zip_package

from .conftest import Credentials, ServerProcess, wait_until
from .every_policy_operation import use_policies
from .raw_http import ask, signed

FUNCTION = """
import os

import boto3


def lambda_handler(event, context):
    if "Step" not in event:
        return {name: os.environ[name] for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")}
    client, version = boto3.client("secretsmanager"), event["ClientRequestToken"]
    if event["Step"] == "createSecret":
        put = {
            "SecretId": event["SecretId"],
            "ClientRequestToken": version,
            "SecretString": os.environ["MARK"] + "-rotated",
            "VersionStages": ["AWSPENDING"],
        }
        try:
            client.put_secret_value(RotationToken=os.environ["MARK"] + "-rotation-token", **put)
        except client.exceptions.InvalidParameterException:
            client.put_secret_value(RotationToken=event["RotationToken"], **put)
    if event["Step"] == "finishSecret":
        stages = client.describe_secret(SecretId=event["SecretId"])["VersionIdsToStages"]
        (current,) = [name for name, labels in stages.items() if "AWSCURRENT" in labels]
        client.update_secret_version_stage(
            SecretId=event["SecretId"],
            VersionStage="AWSCURRENT",
            MoveToVersionId=version,
            RemoveFromVersionId=current,
        )
"""
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})

ELSEWHERE = "eu-west-1"
METRICS_TOKEN = "token-of-metrics"
RESOURCE_POLICY = POLICY.replace('"Action"', '"Principal": {"AWS": "000000000000"}, "Action"')


def trust(**principal: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Marks:
    """Everything that must not be found, with what it is."""

    def __init__(self) -> None:
        # By their first characters: the marks made here are many, and begin alike.
        self._forms: defaultdict[bytes, dict[bytes, str]] = defaultdict(dict)

    def new(self, what: str) -> str:
        """Make a value that is like no other."""
        mark = f"CANARY{secrets.token_hex(12)}"
        self.add(what, mark)
        return mark

    def add(self, what: str, value: str) -> None:
        """Look for a value that the server has made."""
        for form in _forms(value):
            self._forms[form[:5]][form] = what

    def in_(self, text: bytes) -> set[str]:
        """Say what is found."""
        begun = [forms for start, forms in self._forms.items() if start in text]
        return {what for forms in begun for form, what in forms.items() if form in text}


def _forms(mark: str) -> Iterator[bytes]:
    """The mark, and what it looks like somewhere within something in Base64, at each of the three offsets."""
    plain = mark.encode()
    yield plain
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + plain)
        yield encoded[4 if offset else 0 : -4]
    yield plain.hex().encode()


class Caller:
    """boto3 clients whose calls are counted and whose replies are looked through."""

    # What these answer may hold what was put in: that is what they are for.
    ANSWER_SECRETS = frozenset(
        {
            "GetSecretValue",
            "Decrypt",
            "GenerateDataKey",
            "BatchGetSecretValue",
            "GetRandomPassword",
            "CreateAccessKey",
            "AssumeRole",
            "CreateFunction",
            "GetFunction",
            "GetFunctionConfiguration",
            "UpdateFunctionCode",
            "UpdateFunctionConfiguration",
            "ListFunctions",
            "ListVersionsByFunction",
            "PublishVersion",
            "Invoke",
            "GetLogEvents",
            "FilterLogEvents",
        }
    )

    def __init__(self, server: ServerProcess, marks: Marks) -> None:
        self.server = server
        self.called: set[tuple[str, str]] = set()
        self.leaks: dict[str, set[str]] = {}
        self._marks = marks

    def client(self, service: str, credentials: Credentials | None = None, *, region: str = "") -> Any:
        made = self.server.client(service, credentials, region=region, parameter_validation=False)

        def look(http_response: Any, model: Any, **_: Any) -> None:
            self.called.add((service, model.name))
            if http_response.status_code >= 400 or model.name not in self.ANSWER_SECRETS:
                self.look(f"reply of {model.name}", http_response.content)

        made.meta.events.register("after-call", look)
        return made

    def look(self, where: str, content: bytes) -> None:
        if found := self._marks.in_(content):
            self.leaks[where] = found


@pytest.fixture
def receiver() -> Iterator[StreamReceiver]:
    """Where the syslog sink delivers to."""
    opened = StreamReceiver()
    yield opened
    opened.stop()


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[WebhookReceiver]:
    """Who is told of everything."""
    opened = WebhookReceiver(tmp_path)
    yield opened
    opened.stop()


@pytest.fixture
def server(tmp_path: Path, receiver: StreamReceiver, hook: WebhookReceiver) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path, "--log-level", "debug", forked=False)
    sinks = f"json-lines:{tmp_path}/audit.jsonl {receiver.url}"
    token_file = tmp_path / "metrics.token"
    token_file.write_text(METRICS_TOKEN)
    token_file.chmod(0o600)
    (process.data_dir / "keyturn.toml").write_text(
        f'audit_sinks = "{sinks}"\nnotify = "{hook.setting}&events=all"\nmetrics_token_file = "{token_file}"\n'
    )
    process.start()
    yield process
    if process._process is not None:
        process.stop()


def test_no_secret_is_kept_logged_or_told_where_it_should_not_be(
    server: ServerProcess, receiver: StreamReceiver, hook: WebhookReceiver
) -> None:
    marks = Marks()
    caller = Caller(server, marks)
    marks.add("secret access key of the administrator", server.admin.secret_access_key)

    session = use_identities(caller, marks)
    use_secrets(caller, marks, session)
    use_keys(caller, marks)
    use_replicas(caller, marks)
    use_functions(caller, marks)
    use_logs(caller)
    use_server(caller, hook)
    send_nonsense(caller, marks)
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            caller.look("command line", command_line.read_bytes())
    look_through_audit_trail(caller)
    look_through_what_is_told(caller, hook)
    # Once as it is in the middle of things, with its write-ahead logs, and once when the server has ended.
    look_through_files(caller)
    remove_everything(caller)
    call_everything_in_vain(caller, marks)
    look_through_audit_trail(caller)
    server.stop()
    look_through_files(caller)
    look_through_sinks(caller, receiver)
    caller.look("log", server.log().encode())

    assert caller.leaks == {}
    registry.discover()
    assert caller.called == {(operation.service, operation.name) for operation in registry.all_operations()}


def use_identities(caller: Caller, marks: Marks) -> Credentials:
    iam, sts, organizations = caller.client("iam"), caller.client("sts"), caller.client("organizations")
    made = organizations.create_account(AccountName="canary", Email="canary@example.com")["CreateAccountStatus"]
    organizations.describe_create_account_status(CreateAccountRequestId=made["Id"])
    organizations.describe_account(AccountId=made["AccountId"])
    organizations.list_accounts()
    organizations.describe_organization()
    iam.create_user(UserName="canary")
    iam.put_user_policy(UserName="canary", PolicyName="all", PolicyDocument=POLICY)
    key = iam.create_access_key(UserName="canary")["AccessKey"]
    marks.add("secret access key of a user", key["SecretAccessKey"])
    iam.update_access_key(UserName="canary", AccessKeyId=key["AccessKeyId"], Status="Active")
    for service in ("AWS", "Service"):
        principal = {"AWS": caller.server.account_id, "Service": "lambda.amazonaws.com"}[service]
        role = iam.create_role(RoleName=service, AssumeRolePolicyDocument=trust(**{service: principal}))["Role"]
        iam.put_role_policy(RoleName=service, PolicyName="all", PolicyDocument=POLICY)
        iam.update_assume_role_policy(RoleName=service, PolicyDocument=trust(**{service: principal}))
        iam.update_role(RoleName=service, Description="changed")
        iam.tag_role(RoleName=service, Tags=[{"Key": "a", "Value": "b"}])
        iam.untag_role(RoleName=service, TagKeys=["a"])
        if service == "AWS":
            made = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="canary")["Credentials"]
    marks.add("secret access key of a session", made["SecretAccessKey"])
    marks.add("session token", made["SessionToken"])
    session = Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    for client in (iam, caller.client("iam", session)):
        for read in (
            "get_user", "get_user_policy", "list_access_keys", "list_attached_user_policies", "list_user_policies",
            "list_users", "get_role", "get_role_policy", "list_attached_role_policies",
            "list_instance_profiles_for_role", "list_role_policies", "list_role_tags", "list_roles",
        ):  # fmt: skip
            request = {"UserName": "canary"} if "user" in read or "keys" in read else {"RoleName": "AWS"}
            if read.endswith("_policy"):
                request["PolicyName"] = "all"
            getattr(client, read)(**({} if read in ("list_users", "list_roles") else request))
    simulate_policies(iam, caller.server.account_id)
    use_policies(iam, "canary", "AWS", key["AccessKeyId"], POLICY)
    caller.client("sts", session).get_caller_identity()
    use_own_session(caller, marks, Credentials(key["AccessKeyId"], key["SecretAccessKey"]))
    return session


def simulate_policies(iam: Any, account_id: str) -> None:
    source = f"arn:aws:iam::{account_id}:user/canary"
    iam.simulate_principal_policy(PolicySourceArn=source, ActionNames=["secretsmanager:GetSecretValue"])
    iam.simulate_custom_policy(PolicyInputList=[POLICY], ActionNames=["secretsmanager:GetSecretValue"])
    iam.get_context_keys_for_principal_policy(PolicySourceArn=source)
    iam.get_context_keys_for_custom_policy(PolicyInputList=[POLICY])


def use_own_session(caller: Caller, marks: Marks, user: Credentials) -> None:
    """A user's own temporary credentials, and what STS says about keys and refusals."""
    sts = caller.client("sts", user)
    made = sts.get_session_token()["Credentials"]
    marks.add("secret access key of a user's session", made["SecretAccessKey"])
    marks.add("session token of a user", made["SessionToken"])
    sts.get_access_key_info(AccessKeyId=user.access_key_id)
    with suppress(ClientError):
        sts.decode_authorization_message(EncodedMessage="none of ours")


def use_secrets(caller: Caller, marks: Marks, session: Credentials) -> None:
    client = caller.client("secretsmanager")
    text, binary, other = (marks.new(what) for what in ("secret string", "secret binary", "another secret string"))
    client.create_secret(Name="canary", SecretString=json.dumps({"password": text}), Tags=[{"Key": "a", "Value": "b"}])
    client.put_secret_value(SecretId="canary", SecretBinary=binary.encode() * 3, VersionStages=["BINARY"])
    client.update_secret(SecretId="canary", SecretString=other, Description="a canary")
    by_session = caller.client("secretsmanager", session)
    for stage in ("AWSCURRENT", "AWSPREVIOUS", "BINARY"):
        by_session.get_secret_value(SecretId="canary", VersionStage=stage)
    client.describe_secret(SecretId="canary")
    client.list_secrets()
    client.batch_get_secret_value(SecretIdList=["canary", "no/such"])
    version_id = client.list_secret_version_ids(SecretId="canary", IncludeDeprecated=True)["Versions"][1]["VersionId"]
    client.update_secret_version_stage(SecretId="canary", VersionStage="BINARY", RemoveFromVersionId=version_id)
    client.tag_resource(SecretId="canary", Tags=[{"Key": "c", "Value": "d"}])
    client.untag_resource(SecretId="canary", TagKeys=["c"])
    client.validate_resource_policy(SecretId="canary", ResourcePolicy=RESOURCE_POLICY)
    client.put_resource_policy(SecretId="canary", ResourcePolicy=RESOURCE_POLICY)
    by_session.get_resource_policy(SecretId="canary")
    client.list_resource_policies(SecretId="canary")
    client.delete_resource_policy(SecretId="canary")
    marks.add("random password", client.get_random_password(PasswordLength=64)["RandomPassword"])
    client.delete_secret(SecretId="canary")
    client.restore_secret(SecretId="canary")


def use_keys(caller: Caller, marks: Marks) -> None:
    client, secretsmanager = caller.client("kms"), caller.client("secretsmanager")
    key, other = (client.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    client.create_alias(AliasName="alias/canary", TargetKeyId=other)
    client.update_alias(AliasName="alias/canary", TargetKeyId=key)
    client.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}])
    client.untag_resource(KeyId=key, TagKeys=["a"])
    client.update_key_description(KeyId=key, Description="a canary")
    policy = client.get_key_policy(KeyId=key)["Policy"]
    client.put_key_policy(KeyId=key, Policy=policy)
    for read in ("describe_key", "list_resource_tags", "list_key_policies", "list_aliases"):
        getattr(client, read)(KeyId=key)
    client.list_keys()
    plain, context = marks.new("plaintext for KMS").encode(), {"a": "b"}
    blob = client.encrypt(KeyId=key, Plaintext=plain, EncryptionContext=context)["CiphertextBlob"]
    moved = client.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext=context, DestinationKeyId=other)
    for ciphertext, of in ((blob, context), (moved["CiphertextBlob"], {})):
        assert client.decrypt(CiphertextBlob=ciphertext, EncryptionContext=of)["Plaintext"] == plain
    client.enable_key_rotation(KeyId=key)
    client.rotate_key_on_demand(KeyId=key)
    assert client.decrypt(CiphertextBlob=blob, EncryptionContext=context)["Plaintext"] == plain
    client.list_key_rotations(KeyId=key)
    client.get_key_rotation_status(KeyId=key)
    client.disable_key_rotation(KeyId=key)
    data_key = client.generate_data_key(KeyId=key, NumberOfBytes=24)["Plaintext"]
    marks.add("data key", base64.b64encode(data_key).decode())
    client.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256")
    random = client.generate_random(NumberOfBytes=24)["Plaintext"]
    marks.add("random bytes", base64.b64encode(random).decode())
    grant_keys(caller, marks, key)
    value = marks.new("value under a customer's key")
    secretsmanager.create_secret(Name="sealed", SecretString=value, KmsKeyId="alias/canary")
    secretsmanager.update_secret(SecretId="sealed", KmsKeyId=other)
    assert secretsmanager.get_secret_value(SecretId="sealed")["SecretString"] == value
    for state in ("disable_key", "enable_key"):
        getattr(client, state)(KeyId=key)
    # Refused at every step, each with a plaintext.
    for request in (
        {"KeyId": "alias/none", "Plaintext": marks.new("plaintext for no key")},
        {"KeyId": key, "Plaintext": marks.new("plaintext that is too long") * 200},
        {"KeyId": key, "Plaintext": marks.new("plaintext with a bad context"), "EncryptionContext": {"a": 1}},
        {"KeyId": key, "Plaintext": marks.new("plaintext of a dry run"), "DryRun": True},
    ):
        with pytest.raises(ClientError):
            client.encrypt(**request)


def grant_keys(caller: Caller, marks: Marks, key: str) -> None:
    client = caller.client("kms")
    arn = caller.client("sts").get_caller_identity()["Arn"]
    request = {"KeyId": key, "GranteePrincipal": arn, "RetiringPrincipal": arn, "Operations": ["Encrypt", "Decrypt"]}
    first, second = (client.create_grant(**request) for _ in range(2))
    for number, made in enumerate([first, second]):
        marks.add(f"grant token {number}", made["GrantToken"])
    client.list_grants(KeyId=key)
    client.list_retirable_grants(RetiringPrincipal=arn)
    client.encrypt(KeyId=key, Plaintext=marks.new("plaintext by a grant"), GrantTokens=[first["GrantToken"]])
    client.retire_grant(GrantToken=first["GrantToken"])
    client.revoke_grant(KeyId=key, GrantId=second["GrantId"])
    # Refused, with a token.
    with pytest.raises(ClientError):
        client.retire_grant(GrantToken=first["GrantToken"])


def use_replicas(caller: Caller, marks: Marks) -> None:
    client = caller.client("secretsmanager")
    there = caller.client("secretsmanager", region=ELSEWHERE)
    value, changed = marks.new("value of a primary"), marks.new("changed value of a primary")
    client.create_secret(Name="wide", SecretString=value)
    client.replicate_secret_to_regions(SecretId="wide", AddReplicaRegions=[{"Region": ELSEWHERE}])
    client.put_secret_value(SecretId="wide", SecretString=changed)
    assert there.get_secret_value(SecretId="wide", VersionStage="AWSPREVIOUS")["SecretString"] == value
    assert there.get_secret_value(SecretId="wide")["SecretString"] == changed
    there.stop_replication_to_replica(SecretId="wide")
    client.replicate_secret_to_regions(SecretId="wide", AddReplicaRegions=[{"Region": "eu-west-3"}])
    client.remove_regions_from_replication(SecretId="wide", RemoveReplicaRegions=["eu-west-3"])

    other = caller.server.create_account("canary replicas")
    marks.add("secret access key of another account's administrator", other.admin.secret_access_key)
    theirs, their_kms = (caller.client(service, other.admin) for service in ("secretsmanager", "kms"))
    key = their_kms.create_key()["KeyMetadata"]["Arn"]
    their_kms.put_key_policy(
        KeyId=key, Policy=POLICY.replace('"Action": "*"', '"Action": "kms:*", "Principal": {"AWS": "*"}')
    )
    value = marks.new("value for another account")
    primary = client.create_secret(Name="shared", SecretString=value, KmsKeyId="alias/canary")["ARN"]
    replica = theirs.create_secret(Name="copied", KmsKeyId=key, CrossAccountPrimaryARN=primary)["ARN"]
    client.associate_cross_account_replica(SecretId=primary, CrossAccountReplicaARN=replica)
    assert theirs.get_secret_value(SecretId=replica)["SecretString"] == value
    client.disassociate_cross_account_replica(SecretId=primary, CrossAccountReplicaARN=replica)


def use_functions(caller: Caller, marks: Marks) -> None:
    client, secretsmanager = caller.client("lambda"), caller.client("secretsmanager")
    mark, changed = marks.new("environment variable"), marks.new("changed environment variable")
    package = zip_package({"lambda_function.py": FUNCTION})
    arn = client.create_function(
        FunctionName="canary",
        Runtime=f"python3.{sys.version_info.minor}",
        Role=f"arn:aws:iam::{caller.server.account_id}:role/Service",
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": package},
        Timeout=60,
        Environment={"Variables": {"MARK": mark}},
    )["FunctionArn"]
    client.update_function_configuration(FunctionName="canary", Environment={"Variables": {"MARK": changed}})
    client.update_function_code(FunctionName="canary", ZipFile=package)
    client.get_function(FunctionName="canary")
    client.get_function_configuration(FunctionName="canary")
    client.list_functions()
    client.publish_version(FunctionName="canary")
    client.list_versions_by_function(FunctionName="canary")
    client.create_alias(FunctionName="canary", Name="live", FunctionVersion="1")
    client.update_alias(FunctionName="canary", Name="live", FunctionVersion="$LATEST")
    client.get_alias(FunctionName="canary", Name="live")
    client.list_aliases(FunctionName="canary")
    client.get_account_settings()
    client.put_function_concurrency(FunctionName="canary", ReservedConcurrentExecutions=5)
    client.get_function_concurrency(FunctionName="canary")
    client.delete_function_concurrency(FunctionName="canary")
    client.list_provisioned_concurrency_configs(FunctionName="canary")
    with pytest.raises(client.exceptions.ProvisionedConcurrencyConfigNotFoundException):
        client.get_provisioned_concurrency_config(FunctionName="canary", Qualifier="1")
    client.tag_resource(Resource=arn, Tags={"a": "b"})
    client.list_tags(Resource=arn)
    client.untag_resource(Resource=arn, TagKeys=["a"])
    client.add_permission(
        FunctionName="canary",
        StatementId="rotation",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
    )
    client.get_policy(FunctionName="canary")
    payload = json.dumps({"secret": marks.new("payload of an invocation")})
    answer = client.invoke(FunctionName="canary", Payload=payload, LogType="Tail")
    for name, value in json.loads(answer["Payload"].read()).items():
        marks.add(f"{name} of a function", value)
    secretsmanager.create_secret(Name="rotated", SecretString=marks.new("value before rotation"))
    version_id = secretsmanager.rotate_secret(SecretId="rotated", RotationLambdaARN=arn)["VersionId"]
    wait_until(
        lambda: secretsmanager.get_secret_value(SecretId="rotated")["VersionId"] == version_id, "rotated", caller.server
    )
    assert secretsmanager.get_secret_value(SecretId="rotated")["SecretString"] == f"{changed}-rotated"
    # The rotation itself ends a moment after its last step has moved the label.
    wait_until(
        lambda: "LastRotatedDate" in secretsmanager.describe_secret(SecretId="rotated"), "it ended", caller.server
    )
    use_rotations(caller)
    secretsmanager.cancel_rotate_secret(SecretId="rotated")


def use_rotations(caller: Caller) -> None:
    client = caller.client("keyturn")
    (rotation,) = client.list_rotations(SecretId="rotated")["Rotations"]
    told = client.get_rotation(SecretId="rotated", VersionId=rotation["VersionId"])
    assert {"log", "call", "label", "step-ended"} <= {entry["Kind"] for entry in told["Timeline"]}
    with pytest.raises(ClientError, match="no unfinished rotation"):
        client.retry_rotation(SecretId="rotated")
    with pytest.raises(ClientError, match="has not offered"):
        client.resolve_rotation(SecretId="rotated")


def use_logs(caller: Caller) -> None:
    client = caller.client("logs")
    client.create_log_group(logGroupName="canary")
    client.create_log_stream(logGroupName="canary", logStreamName="a")
    client.put_log_events(
        logGroupName="canary", logStreamName="a", logEvents=[{"timestamp": time.time_ns() // 10**6, "message": "a"}]
    )
    client.put_retention_policy(logGroupName="canary", retentionInDays=1)
    client.delete_retention_policy(logGroupName="canary")
    client.describe_log_groups()
    (stream,) = client.describe_log_streams(logGroupName="/aws/lambda/canary", limit=1)["logStreams"]
    events = client.get_log_events(logGroupName="/aws/lambda/canary", logStreamName=stream["logStreamName"])
    assert events["events"]
    client.filter_log_events(logGroupName="/aws/lambda/canary")


def use_server(caller: Caller, hook: WebhookReceiver) -> None:
    """What is told of the server and its trail holds no secret, and nothing of what is set but what is harmless."""
    client = caller.client("keyturn")
    told = json.dumps(
        [client.get_server_status(), client.get_audit_trail_status(), client.lookup_denied_events()], default=str
    )
    caller.look("status of the server", told.encode())
    for hidden in (METRICS_TOKEN, hook.setting, str(caller.server.data_dir)):
        assert hidden not in told


def send_nonsense(caller: Caller, marks: Marks) -> None:
    """Requests that fail at every step of the pipeline, each with a mark in it."""
    client = caller.client("secretsmanager")
    requests: list[dict[str, Any]] = [
        {"SecretString": marks.new("value that is too long") * 3000},
        {"SecretString": marks.new("value for no secret"), "SecretId": "no/such"},
        {"SecretString": marks.new("value with a bad token"), "ClientRequestToken": "short"},
        {"SecretString": marks.new("value with a bad label"), "VersionStages": [""]},
        {"SecretString": marks.new("one of two values"), "SecretBinary": marks.new("other of two values").encode()},
    ]
    for request in requests:
        with pytest.raises(ClientError):
            client.put_secret_value(**{"SecretId": "canary", **request})
    put = "secretsmanager.PutSecretValue"
    server = caller.server
    for body in (
        b'{"SecretId": "canary", "SecretString": "%s"',
        b'{"SecretId": "canary", "SecretString": ["%s"]}',
        b'{"SecretId": "canary", "SecretString": {"password": "%s"}}',
        b'{"SecretId": "canary", "SecretBinary": "%s!"}',
        b'{"SecretId": "canary", "SecretStrin": "%s"}',
        b'{"SecretId": "no/such", "ClientRequestToken": "1234567890123456789012345678901234", "RotationToken": "%s"}',
        b'["%s"]',
        b"%s",
    ):
        whole = body % marks.new(f"mark in {body!r}").encode()
        for credentials in (server.admin, Credentials(server.admin.access_key_id, "A" * 40)):
            reply = ask(server, signed(server, whole, action=put, credentials=credentials))
            assert 400 <= reply.status < 500, body
            caller.look(f"reply to {body!r}", reply.body)
    stolen = Credentials(server.admin.access_key_id, server.admin.secret_access_key, marks.new("token of nobody"))
    with pytest.raises(ClientError):
        caller.client("sts", stolen).get_caller_identity()


def call_everything_in_vain(caller: Caller, marks: Marks) -> None:
    """Call every operation with marks wherever its model says that something is sensitive, in ways that fail."""
    iam = caller.client("iam")
    iam.create_user(UserName="nobody")
    key = iam.create_access_key(UserName="nobody")["AccessKey"]
    marks.add("secret access key of nobody", key["SecretAccessKey"])
    nobody = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    registry.discover()
    for operation in registry.all_operations():
        clients = [caller.client(operation.service, who) for who in (None, nobody)]
        model = clients[0].meta.service_model.operation_model(operation.name)
        for wrong in ("nothing", "a type", "a missing member", "too much"):
            mark = marks.new(f"{operation.name} with {wrong} wrong")
            request = filled(model.input_shape, mark, wrong) if model.input_shape else {}
            for client in clients:
                # What boto3 itself cannot send fails there, which is as good.
                with suppress(ClientError, ParamValidationError, TypeError, ValueError, AttributeError, KeyError):
                    getattr(client, xform_name(operation.name))(**request)


def filled(shape: Any, mark: str, wrong: str) -> Any:
    """A value of a shape in which everything sensitive holds a mark, and something is wrong."""
    is_sensitive = shape.metadata.get("sensitive") or shape.type_name == "blob"
    if is_sensitive and shape.type_name in ("string", "blob"):
        text = {"a type": [mark], "too much": mark * 4000}.get(wrong, mark)
        return text.encode() if shape.type_name == "blob" and isinstance(text, str) else text
    if shape.type_name == "structure":
        members = [
            name for name, member in shape.members.items() if name in shape.required_members or holds_secrets(member)
        ]
        if wrong == "a missing member" and shape.required_members:
            members.remove(shape.required_members[0])
        return {name: filled(shape.members[name], mark, wrong) for name in members}
    if shape.type_name == "list":
        return [filled(shape.member, mark, wrong)]
    if shape.type_name == "map":
        return {mark if shape.key.metadata.get("sensitive") else "canary": filled(shape.value, mark, wrong)}
    plain = {"integer": 1, "long": 1, "boolean": False, "timestamp": 1, "double": 1.0, "float": 1.0}
    return shape.enum[0] if getattr(shape, "enum", None) else plain.get(shape.type_name, "canary")


def holds_secrets(shape: Any, depth: int = 6) -> bool:
    """Whether something within a shape is sensitive."""
    if shape.metadata.get("sensitive") or shape.type_name == "blob":
        return True
    members: list[Any] = []
    if shape.type_name == "structure":
        members = list(shape.members.values())
    elif shape.type_name in ("list", "map"):
        members = [shape.member if shape.type_name == "list" else shape.value]
    return depth > 0 and any(holds_secrets(member, depth - 1) for member in members)


def look_through_sinks(caller: Caller, receiver: StreamReceiver) -> None:
    """Look at what left the database: all of it, record by record."""
    lines = (caller.server.home / "audit.jsonl").read_bytes().splitlines()
    receiver.wait_for(len(lines))
    assert len(lines) > 500
    for line in [*lines, *receiver.messages]:
        caller.look("sink", line)


def look_through_what_is_told(caller: Caller, hook: WebhookReceiver) -> None:
    """Look at what notifiers were told, and at the metrics."""
    hook.wait_for(lambda posts: {"RotationSucceeded", "ReplicationSucceeded"} <= {p.document["event"] for p in posts})
    for post in hook.posts:
        caller.look("notification", post.body + str(post.headers).encode())
    url = f"{caller.server.endpoint_url}/metrics"
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {METRICS_TOKEN}"})
    with urllib.request.urlopen(request) as reply:
        page = reply.read()
    assert b"keyturn_rotations_succeeded_total" in page
    caller.look("metrics", page)


def look_through_audit_trail(caller: Caller) -> None:
    client = caller.client("cloudtrail")
    pages = list(client.get_paginator("lookup_events").paginate())
    records = [event["CloudTrailEvent"] for page in pages for event in page["Events"]]
    assert len(records) > 100
    for record in records:
        caller.look(f"audit event {json.loads(record)['eventName']}", record.encode())


def look_through_files(caller: Caller) -> None:
    looked_at = 0
    for path in caller.server.data_dir.rglob("*"):
        if path.is_file():
            with suppress(FileNotFoundError):
                caller.look(f"file {path.name}", path.read_bytes())
                looked_at += 1
    assert looked_at >= 3


def remove_everything(caller: Caller) -> None:
    secretsmanager, functions = caller.client("secretsmanager"), caller.client("lambda")
    logs, iam = caller.client("logs"), caller.client("iam")
    for name in ("canary", "rotated", "sealed", "wide", "shared"):
        secretsmanager.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    kms = caller.client("kms")
    kms.delete_alias(AliasName="alias/canary")
    for key in kms.list_keys()["Keys"]:
        if kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeyManager"] == "CUSTOMER":
            kms.schedule_key_deletion(KeyId=key["KeyId"], PendingWindowInDays=7)
            kms.cancel_key_deletion(KeyId=key["KeyId"])
    functions.remove_permission(FunctionName="canary", StatementId="rotation")
    functions.delete_alias(FunctionName="canary", Name="live")
    functions.delete_function(FunctionName="canary")
    logs.delete_log_stream(logGroupName="canary", logStreamName="a")
    logs.delete_log_group(logGroupName="canary")
    for role in ("AWS", "Service"):
        iam.delete_role_policy(RoleName=role, PolicyName="all")
        iam.delete_role(RoleName=role)
    (key,) = iam.list_access_keys(UserName="canary")["AccessKeyMetadata"]
    iam.delete_access_key(UserName="canary", AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName="canary", PolicyName="all")
    iam.delete_user(UserName="canary")


def test_a_mark_would_be_found() -> None:
    marks = Marks()
    mark = marks.new("a mark").encode()

    assert marks.in_(b"before " + mark + b" behind") == {"a mark"}
    for offset in range(3):
        assert marks.in_(base64.b64encode(b"x" * (7 + offset) + mark + b"tail")) == {"a mark"}
    assert marks.in_(mark.hex().encode()) == {"a mark"}
    assert marks.in_(b"CANARY") == set()
