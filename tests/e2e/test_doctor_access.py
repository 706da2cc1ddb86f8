"""A healthy rotation is broken by what may not be done; the doctor names the cause, and what it says mends it.

Each time: the rotation is seen to fail, the doctor's first cause and status are right, its remedy is applied (by --fix,
or as the printed command in a shell), the same rotation is seen to succeed, and the doctor calls the secret healthy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from keyturn.testing.postgresql import PostgresqlServer

from .callers import allow, deny, document
from .conftest import ServerProcess, run_keyturn, wait_until
from .guide import FIVE_ACTIONS, Guide
from .test_main_job import TRUST, Job

OF_SECRET = [f"secretsmanager:{action}" for action in FIVE_ACTIONS if action != "GetRandomPassword"]
PASSWORD = "secretsmanager:GetRandomPassword"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


class Patient(Job):
    """A rotation that can be broken and is mended before each test."""

    key = ""
    superuser = ""
    superuser_key = ""
    last: Any = None

    @property
    def iam(self) -> Any:
        return self.server.client("iam")

    @property
    def kms(self) -> Any:
        return self.server.client("kms")

    @property
    def arn(self) -> str:
        arn: str = self.secret["ARN"]
        return arn

    def may(self, *statements: dict[str, Any]) -> None:
        self.iam.put_role_policy(RoleName=self.name, PolicyName="rotate", PolicyDocument=document(*statements))

    def healthy_statements(self) -> list[dict[str, Any]]:
        found = [allow(OF_SECRET, self.arn), allow(PASSWORD)]
        if self.key:
            found.append(allow(["kms:Decrypt", "kms:GenerateDataKey"], self.key))
        if self.superuser:
            found.append(allow("secretsmanager:GetSecretValue", self.superuser))
        if self.superuser_key:
            found.append(allow("kms:Decrypt", self.superuser_key))
        return found

    def without(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Keep the statements of which this holds."""
        self.may(*(each for each in self.healthy_statements() if wanted(each)))

    def heal(self) -> None:
        for name in self.iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
            self.iam.delete_role_policy(RoleName=self.name, PolicyName=name)
        self.may(*self.healthy_statements())
        if "PermissionsBoundary" in self.iam.get_role(RoleName=self.name)["Role"]:
            self.iam.delete_role_permissions_boundary(RoleName=self.name)
        self.secrets.delete_resource_policy(SecretId=self.name)

    def rotate_again(self) -> None:
        self.secrets.rotate_secret(SecretId=self.name)

    def end_environments(self) -> None:
        """Have the next step start anew."""
        functions = self.server.client("lambda")
        functions.update_function_configuration(FunctionName=self.name, Description=f"after {self.failures()}")

    def give_up_pending(self) -> None:
        """Take AWSPENDING off, as pending-stuck says."""
        pending = next(version for version, labels in self.stages().items() if labels == ["AWSPENDING"])
        self.secrets.update_secret_version_stage(
            SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=pending
        )

    def failures(self) -> int:
        return len(self.events("RotationFailed"))

    def diagnosis(self, *options: str) -> tuple[int, dict[str, Any]]:
        done = self.doctor("--output", "json", *options)
        found: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, found

    def doctor(self, *options: str) -> Any:
        given = ("--endpoint-url", self.server.endpoint_url, *options)
        return run_keyturn(
            "doctor", self.name, *given, home=self.server.home, environ=self.server.environ(), check=False
        )

    def printed(self) -> list[str]:
        """The commands of the AWS CLI that the doctor prints for its causes, as they are to be pasted."""
        return [line.strip() for line in self.doctor().stdout.splitlines() if line.startswith("        aws ")]

    def rotated_at(self) -> Any:
        return self.secrets.describe_secret(SecretId=self.name)["LastRotatedDate"]

    def break_and_rotate(self, breaks: Callable[[Patient], None]) -> None:
        self.last = self.rotated_at()
        before = self.failures()
        breaks(self)
        self.rotate_again()
        wait_until(lambda: self.failures() > before, "the rotation failed", self.server)

    def assert_named(self, cause_id: str, step: str | None = None) -> dict[str, Any]:
        status, report = self.diagnosis("--read-value")
        told = [(each["id"], each["role"], each["title"]) for each in report["findings"]]
        assert (status, report["verdict"]) == (1, "broken"), told
        finding: dict[str, Any] = report["findings"][0]
        assert finding["id"] == cause_id, told
        assert [each["id"] for each in report["findings"] if each["role"] == "cause"] == [cause_id], told
        assert finding["confidence"] == "certain"
        if step:
            assert finding["step"] == step
        return finding

    def fix(self, cause_id: str) -> None:
        done = self.doctor("--fix", cause_id, "--yes", "--read-value")
        assert f"fixed: {cause_id}" in done.stdout, done.stdout + done.stderr

    def follow(self, guide: Guide) -> None:
        """Run what is printed, in a shell."""
        commands = [each for each in self.printed() if " rotate-secret " not in each]
        assert commands
        for command in commands:
            assert f"--endpoint-url {self.server.endpoint_url}" in command
            done = guide.verbatim(command)
            assert done.returncode == 0, done.stderr

    def assert_mended(self) -> None:
        wait_until(self.is_rotated, "a rotation succeeded", self.server)
        status, report = self.diagnosis("--read-value")
        told = [(each["id"], each["role"], each["title"]) for each in report["findings"]]
        assert (status, report["verdict"]) == (0, "healthy"), (told, report["checks"])

    def is_rotated(self) -> bool:
        """Whether the rotation that failed has ended well; where it has given up, it is asked for again."""
        if self.rotated_at() > self.last:
            return True
        with suppress(ClientError):
            self.rotate_again()
        return False


@pytest.fixture(scope="module")
def guide(server: ServerProcess) -> Guide:
    return Guide.on(server)


@pytest.fixture(scope="module")
def healthy_single(server: ServerProcess, postgresql: PostgresqlServer) -> Patient:
    patient = Patient(server, postgresql, "single")
    first = patient.rotate()
    wait_until(lambda: patient.is_current(first), "the first rotation", server)
    return patient


@pytest.fixture
def single(healthy_single: Patient) -> Patient:
    healthy_single.heal()
    return healthy_single


def scoped_password(patient: Patient) -> None:
    patient.may(allow([*OF_SECRET, PASSWORD], patient.arn))


def wrong_arn(patient: Patient) -> None:
    patient.may(allow(OF_SECRET, patient.arn[:-7]), allow(PASSWORD))


def deleted_namesake(patient: Patient) -> None:
    patient.may(allow(OF_SECRET, f"{patient.arn[:-6]}AbCdEf"), allow(PASSWORD))


def other_region(patient: Patient) -> None:
    elsewhere = patient.arn.replace(patient.server.region, "eu-central-1")
    patient.may(allow(OF_SECRET, elsewhere), allow(PASSWORD))


def other_function(patient: Patient) -> None:
    condition = {"StringEquals": {"secretsmanager:resource/AllowRotationLambdaArn": f"{patient.function}-old"}}
    patient.may(allow(OF_SECRET, patient.arn, Condition=condition), allow(PASSWORD))


def explicit_deny(patient: Patient) -> None:
    patient.may(*patient.healthy_statements(), deny("secretsmanager:Put*"))


@pytest.mark.parametrize("action", FIVE_ACTIONS)
def test_an_action_is_missing(single: Patient, action: str) -> None:
    rest = [each for each in FIVE_ACTIONS if each != action]

    def breaks(patient: Patient) -> None:
        of_secret = [f"secretsmanager:{each}" for each in rest if each != "GetRandomPassword"]
        more = [allow(PASSWORD)] if "GetRandomPassword" in rest else []
        patient.may(allow(of_secret, patient.arn), *more)

    single.break_and_rotate(breaks)
    finding = single.assert_named("role-missing-secret-actions")
    assert f"may not call {action}" in finding["title"]
    is_repaired = action == "UpdateSecretVersionStage"
    # Keyturn moves the label itself, so that what was refused lies before a rotation that has ended well.
    texts = set() if is_repaired else {"logs:FilterLogEvents", "cloudtrail:LookupEvents"}
    assert {each["source"] for each in finding["evidence"]} == {"iam:ListRolePolicies", *texts}
    single.fix("role-missing-secret-actions")
    if is_repaired:
        single.last = single.rotated_at()
    single.assert_mended()


@pytest.mark.parametrize(
    ("breaks", "cause_id", "words"),
    [
        (scoped_password, "role-getrandompassword-scoped", "it has no resource"),
        (wrong_arn, "role-wrong-secret-arn", "lacks the hyphen and the six characters"),
        (deleted_namesake, "role-wrong-secret-arn", "six characters of another secret"),
        (other_region, "role-wrong-secret-arn", "in region eu-central-1"),
    ],
)
def test_a_statement_nearly_allows_it(
    single: Patient, breaks: Callable[[Patient], None], cause_id: str, words: str
) -> None:
    single.break_and_rotate(breaks)
    assert words in single.assert_named(cause_id, "createSecret")["title"]
    single.fix(cause_id)
    single.assert_mended()


@pytest.mark.parametrize(
    ("breaks", "cause_id"),
    [(other_function, "role-rotation-lambda-condition"), (explicit_deny, "role-explicit-deny")],
)
def test_a_policy_is_printed_with_what_is_wrong_set_right(
    single: Patient, guide: Guide, breaks: Callable[[Patient], None], cause_id: str
) -> None:
    single.break_and_rotate(breaks)
    assert not single.assert_named(cause_id, "createSecret")["remedy"]["fixable"]
    single.follow(guide)
    single.assert_mended()


def boundary(patient: Patient) -> None:
    text = document(allow("logs:*"), allow("secretsmanager:Describe*"))
    made = patient.iam.create_policy(PolicyName="boundary", PolicyDocument=text)["Policy"]["Arn"]
    patient.iam.put_role_permissions_boundary(RoleName=patient.name, PermissionsBoundary=made)


def deny_in_secret_policy(patient: Patient) -> None:
    admin = f"arn:aws:iam::{patient.server.account_id}:user/admin"
    spared = {"StringNotEquals": {"aws:PrincipalArn": admin}}
    statement = deny("secretsmanager:PutSecretValue", Principal="*", Condition=spared)
    patient.secrets.put_resource_policy(SecretId=patient.name, ResourcePolicy=document(statement))


@pytest.mark.parametrize(
    ("breaks", "cause_id"), [(boundary, "role-boundary-blocks"), (deny_in_secret_policy, "secret-policy-denies")]
)
def test_what_narrows_the_role_lets_it_through_again(
    single: Patient, guide: Guide, breaks: Callable[[Patient], None], cause_id: str
) -> None:
    single.break_and_rotate(breaks)
    assert not single.assert_named(cause_id, "createSecret")["remedy"]["fixable"]
    single.follow(guide)
    single.assert_mended()


def test_lambda_may_not_assume_the_role(single: Patient, guide: Guide) -> None:
    def breaks(patient: Patient) -> None:
        other = json.dumps(TRUST).replace("lambda.amazonaws.com", "ec2.amazonaws.com")
        patient.iam.update_assume_role_policy(RoleName=patient.name, PolicyDocument=other)
        patient.end_environments()

    single.break_and_rotate(breaks)
    single.assert_named("role-cannot-be-assumed")
    single.follow(guide)
    single.assert_mended()


def test_the_role_is_gone(single: Patient, guide: Guide) -> None:
    def breaks(patient: Patient) -> None:
        for name in patient.iam.list_role_policies(RoleName=patient.name)["PolicyNames"]:
            patient.iam.delete_role_policy(RoleName=patient.name, PolicyName=name)
        patient.iam.delete_role(RoleName=patient.name)

    single.break_and_rotate(breaks)
    remedy = single.assert_named("role-cannot-be-assumed")["remedy"]
    commands = [each for each in remedy["by_hand"] if each.startswith("aws ")]
    for command in commands:
        done = guide.verbatim(command)
        assert done.returncode == 0, done.stderr
        # What it allowed is for people to know.
        single.may(*single.healthy_statements())
    single.assert_mended()


# Keys.


@pytest.fixture(scope="module")
def healthy_sealed(server: ServerProcess, postgresql: PostgresqlServer) -> Patient:
    patient = Patient(server, postgresql, "sealed")
    patient.key = patient.kms.create_key()["KeyMetadata"]["Arn"]
    patient.secrets.update_secret(SecretId=patient.name, KmsKeyId=patient.key)
    patient.heal()
    first = patient.rotate()
    wait_until(lambda: patient.is_current(first), "the first rotation", server)
    return patient


@pytest.fixture
def sealed(healthy_sealed: Patient) -> Patient:
    healthy_sealed.heal()
    return healthy_sealed


def without_key(patient: Patient) -> None:
    patient.without(lambda each: each["Resource"] != patient.key)


def write_only(patient: Patient) -> None:
    patient.without(lambda each: each["Resource"] != patient.key)
    patient.iam.put_role_policy(
        RoleName=patient.name, PolicyName="half", PolicyDocument=document(allow("kms:GenerateDataKey", patient.key))
    )


def disabled_key(patient: Patient) -> None:
    patient.kms.disable_key(KeyId=patient.key)


def doomed_key(patient: Patient) -> None:
    patient.kms.schedule_key_deletion(KeyId=patient.key)


@pytest.mark.parametrize(
    ("breaks", "cause_id"),
    [
        (without_key, "kms-role-denied"),
        (write_only, "kms-role-denied"),
        (disabled_key, "kms-key-disabled"),
        (doomed_key, "kms-key-pending-deletion"),
    ],
)
def test_the_key_may_not_or_cannot_be_used(sealed: Patient, breaks: Callable[[Patient], None], cause_id: str) -> None:
    sealed.break_and_rotate(breaks)
    sealed.assert_named(cause_id, "createSecret")
    sealed.fix(cause_id)
    sealed.assert_mended()


def test_the_keys_policy_names_somebody_else(sealed: Patient, guide: Guide) -> None:
    def breaks(patient: Patient) -> None:
        admin = patient.server.client("sts").get_caller_identity()["Arn"]
        statement = allow("kms:*", Principal={"AWS": admin})
        patient.kms.put_key_policy(KeyId=patient.key, Policy=document(statement))

    sealed.break_and_rotate(breaks)
    sealed.assert_named("kms-key-policy-denies", "createSecret")
    sealed.follow(guide)
    sealed.assert_mended()


# The superuser secret.


@pytest.fixture(scope="module")
def healthy_pair(server: ServerProcess, postgresql: PostgresqlServer) -> Patient:
    value = json.dumps({**postgresql.superuser_value(), "ssl": False})
    key = server.client("kms").create_key()["KeyMetadata"]["Arn"]
    made = server.client("secretsmanager").create_secret(Name="superuser", SecretString=value, KmsKeyId=key)["ARN"]
    patient = Patient(server, postgresql, "pair", strategy="alternating_users", more={"masterarn": made})
    patient.superuser, patient.superuser_key = made, key
    patient.heal()
    first = patient.rotate()
    wait_until(lambda: patient.is_current(first), "the first rotation", server)
    return patient


@pytest.fixture
def pair(healthy_pair: Patient) -> Patient:
    healthy_pair.heal()
    return healthy_pair


def test_the_superuser_secret_may_not_be_read_and_the_guides_statement_mends_it(pair: Patient) -> None:
    pair.break_and_rotate(lambda one: one.without(lambda each: each["Resource"] != one.superuser))
    finding = pair.assert_named("master-secret-read-denied", "setSecret")
    assert finding["remedy"]["policy"]["Statement"] == [
        {
            "Sid": "AllowAccessToMasterSecret",
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": pair.superuser,
        }
    ]
    pair.fix("master-secret-read-denied")
    pair.assert_mended()


def test_the_superuser_secrets_key_may_not_be_used(pair: Patient, guide: Guide) -> None:
    pair.break_and_rotate(lambda one: one.without(lambda each: each["Resource"] != one.superuser_key))
    pair.assert_named("master-secret-kms-denied", "setSecret")
    pair.follow(guide)
    pair.assert_mended()


def test_the_superuser_secret_is_marked_for_deletion(pair: Patient, guide: Guide) -> None:
    pair.break_and_rotate(lambda one: one.secrets.delete_secret(SecretId=one.superuser))
    pair.assert_named("master-secret-not-found", "setSecret")
    pair.follow(guide)
    pair.assert_mended()


def with_superuser(patient: Patient, arn: str | None) -> None:
    """Store the current value anew, with another masterarn or none."""
    value = json.loads(patient.secrets.get_secret_value(SecretId=patient.name)["SecretString"])
    value = {key: each for key, each in value.items() if key != "masterarn"} | ({"masterarn": arn} if arn else {})
    patient.secrets.put_secret_value(SecretId=patient.name, SecretString=json.dumps(value))


def test_the_superuser_secret_does_not_exist(pair: Patient) -> None:
    nowhere = f"{pair.superuser[:-6]}AbCdEf"

    def breaks(patient: Patient) -> None:
        with_superuser(patient, nowhere)
        patient.may(*patient.healthy_statements(), allow("secretsmanager:GetSecretValue", nowhere))

    pair.break_and_rotate(breaks)
    finding = pair.assert_named("master-secret-not-found", "setSecret")
    assert nowhere in finding["title"]
    # The right ARN is for people to write; the attempt that holds the wrong one is given up.
    pair.give_up_pending()
    with_superuser(pair, pair.superuser)
    pair.assert_mended()


def test_the_value_names_no_superuser_secret(pair: Patient) -> None:
    pair.break_and_rotate(lambda one: with_superuser(one, None))
    pair.assert_named("master-secret-arn-missing", "createSecret")
    # A value that is stored while a rotation waits ends it.
    with_superuser(pair, pair.superuser)
    pair.assert_mended()
