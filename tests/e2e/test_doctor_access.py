"""A healthy rotation is broken by what may not be done; the doctor names the cause, and what it says mends it.

Each case is a patient (``patients.py``): its remedy is applied by --fix, or by the printed command in a shell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from . import patients
from .callers import allow, deny, document
from .conftest import ServerProcess
from .doctor import DoctorHere, rotate_well, run_in_shell
from .patients import Ailment, Courses, treat, treated
from .test_main_job import FIVE_ACTIONS, TRUST

OF_SECRET = [f"secretsmanager:{action}" for action in FIVE_ACTIONS if action != "GetRandomPassword"]
PASSWORD = "secretsmanager:GetRandomPassword"


class Patient(patients.Patient):
    """A rotation whose role may do what it needs, and nothing else.

    Attributes:
        key: Of the secret, if it is under one of its own.
        superuser: The superuser secret, if it has one.
        superuser_key: The key of that.
    """

    database: PostgresqlServer
    key = ""
    superuser = ""
    superuser_key = ""

    @property
    def arn(self) -> str:
        arn: str = self.secret["ARN"]
        return arn

    @property
    def iam(self) -> Any:
        return self.client("iam")

    @property
    def kms(self) -> Any:
        return self.client("kms")

    def may(self, *statements: dict[str, Any]) -> None:
        """Let the role do this, and nothing else."""
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

    def may_not_use(self, resource: str) -> None:
        """Let the role do everything but what is about this."""
        self.may(*(each for each in self.healthy_statements() if each["Resource"] != resource))

    def seal(self) -> None:
        """Put the secret under a key of its own."""
        self.key = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.secrets.update_secret(SecretId=self.name, KmsKeyId=self.key)

    def name_superuser(self, arn: str | None) -> None:
        """Store the current value anew, with another masterarn or none."""
        value = json.loads(self.secrets.get_secret_value(SecretId=self.name)["SecretString"])
        value = {key: each for key, each in value.items() if key != "masterarn"} | ({"masterarn": arn} if arn else {})
        self.secrets.put_secret_value(SecretId=self.name, SecretString=json.dumps(value))


# What the role's policies say.


def without(action: str) -> Callable[[Patient], object]:
    """Allow all but one action."""

    def breaks(patient: Patient) -> None:
        of_secret = [each for each in OF_SECRET if each != f"secretsmanager:{action}"]
        patient.may(allow(of_secret, patient.arn), *([] if PASSWORD.endswith(action) else [allow(PASSWORD)]))

    return breaks


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


# What narrows them, and the role itself.


def boundary(patient: Patient) -> None:
    text = document(allow("logs:*"), allow("secretsmanager:Describe*"))
    made = patient.iam.create_policy(PolicyName="boundary", PolicyDocument=text)["Policy"]["Arn"]
    patient.iam.put_role_permissions_boundary(RoleName=patient.name, PermissionsBoundary=made)


def deny_in_secret_policy(patient: Patient) -> None:
    admin = f"arn:aws:iam::{patient.server.account_id}:user/admin"
    spared = {"StringNotEquals": {"aws:PrincipalArn": admin}}
    statement = deny("secretsmanager:PutSecretValue", Principal="*", Condition=spared)
    patient.secrets.put_resource_policy(SecretId=patient.name, ResourcePolicy=document(statement))


def trusts_another_service(patient: Patient) -> None:
    other = json.dumps(TRUST).replace("lambda.amazonaws.com", "ec2.amazonaws.com")
    patient.iam.update_assume_role_policy(RoleName=patient.name, PolicyDocument=other)
    # The next step starts anew.
    patient.client("lambda").update_function_configuration(FunctionName=patient.name, Description="changed")


def delete_role(patient: Patient) -> None:
    patient.iam.delete_role_policy(RoleName=patient.name, PolicyName="rotate")
    patient.iam.delete_role(RoleName=patient.name)


def make_role_anew(patient: Patient) -> None:
    [first, *_] = patient.doctor.diagnose(patient.name)["findings"]
    for command in first["remedy"]["by_hand"]:
        if command.startswith("aws "):
            run_in_shell([command], patient.server)
    # What it allowed is for people to know.
    patient.may(*patient.healthy_statements())


# Keys.


def without_key(patient: Patient) -> None:
    patient.may_not_use(patient.key)


def write_only(patient: Patient) -> None:
    patient.may_not_use(patient.key)
    patient.iam.put_role_policy(
        RoleName=patient.name, PolicyName="half", PolicyDocument=document(allow("kms:GenerateDataKey", patient.key))
    )


def disabled_key(patient: Patient) -> None:
    patient.kms.disable_key(KeyId=patient.key)


def doomed_key(patient: Patient) -> None:
    patient.kms.schedule_key_deletion(KeyId=patient.key)


def key_for_somebody_else(patient: Patient) -> None:
    admin = patient.client("sts").get_caller_identity()["Arn"]
    statement = allow("kms:*", Principal={"AWS": admin})
    patient.kms.put_key_policy(KeyId=patient.key, Policy=document(statement))


# The superuser secret.


def superuser_not_read(patient: Patient) -> None:
    patient.may_not_use(patient.superuser)


def superuser_key_not_used(patient: Patient) -> None:
    patient.may_not_use(patient.superuser_key)


def superuser_marked_for_deletion(patient: Patient) -> None:
    patient.secrets.delete_secret(SecretId=patient.superuser)


def nowhere(patient: Patient) -> str:
    return f"{patient.superuser[:-6]}AbCdEf"


def superuser_elsewhere(patient: Patient) -> None:
    patient.name_superuser(nowhere(patient))
    patient.may(*patient.healthy_statements(), allow("secretsmanager:GetSecretValue", nowhere(patient)))


def right_superuser_anew(patient: Patient) -> None:
    # The right ARN is for people to write; the attempt that holds the wrong one is given up.
    patient.take_off_pending()
    right_superuser(patient)


def right_superuser(patient: Patient) -> None:
    # A value that is stored while a rotation waits ends it.
    patient.name_superuser(patient.superuser)


def no_superuser(patient: Patient) -> None:
    patient.name_superuser(None)


_of_role = partial(Ailment[Patient], step="createSecret", read_value=True)
_of_superuser = partial(Ailment[Patient], step="setSecret", read_value=True)
FIX, FOLLOW = Patient.fix, Patient.follow
MISSING = "role-missing-secret-actions"
AILMENTS: dict[str, Ailment[Patient]] = {
    "no_describe": _of_role(MISSING, without("DescribeSecret"), FIX, "may not call DescribeSecret"),
    "no_password": _of_role(MISSING, without("GetRandomPassword"), FIX, "may not call GetRandomPassword"),
    "no_get": _of_role(MISSING, without("GetSecretValue"), FIX, "may not call GetSecretValue"),
    "no_put": _of_role(MISSING, without("PutSecretValue"), FIX, "may not call PutSecretValue"),
    "no_update": _of_role(
        MISSING,
        without("UpdateSecretVersionStage"),
        FIX,
        "may not call UpdateSecretVersionStage",
        step="finishSecret",
        # Keyturn moves the label itself.
        ends="RotationResolved",
    ),
    "scoped_password": _of_role("role-getrandompassword-scoped", scoped_password, FIX, "it has no resource"),
    "wrong_arn": _of_role("role-wrong-secret-arn", wrong_arn, FIX, "lacks the hyphen and the six characters"),
    "namesake": _of_role("role-wrong-secret-arn", deleted_namesake, FIX, "six characters of another secret"),
    "other_region": _of_role("role-wrong-secret-arn", other_region, FIX, "in region eu-central-1"),
    "other_function": _of_role("role-rotation-lambda-condition", other_function, FOLLOW, "another function rotates"),
    "explicit_deny": _of_role("role-explicit-deny", explicit_deny, FOLLOW, "PutSecretValue"),
    "boundary": _of_role("role-boundary-blocks", boundary, FOLLOW, "boundary"),
    "secret_policy": _of_role("secret-policy-denies", deny_in_secret_policy, FOLLOW, "PutSecretValue"),
    "not_trusted": _of_role("role-cannot-be-assumed", trusts_another_service, FOLLOW, "not_trusted", step=None),
    "no_role": _of_role("role-cannot-be-assumed", delete_role, make_role_anew, "no_role", step=None),
    "after_another": _of_role("role-wrong-secret-arn", wrong_arn, FIX, "lacks the hyphen and the six characters"),
    "key_denied": _of_role("kms-role-denied", without_key, FIX, "key"),
    "key_write_only": _of_role("kms-role-denied", write_only, FIX, "key"),
    "key_disabled": _of_role("kms-key-disabled", disabled_key, FIX, "key"),
    "key_doomed": _of_role("kms-key-pending-deletion", doomed_key, FIX, "key"),
    "key_elsewhose": _of_role("kms-key-policy-denies", key_for_somebody_else, FOLLOW, "key"),
    "superuser_denied": _of_superuser(
        "master-secret-read-denied", superuser_not_read, Patient.fix_by_value, "superuser_denied"
    ),
    "superuser_key": _of_superuser("master-secret-kms-denied", superuser_key_not_used, FOLLOW, "superuser"),
    "superuser_doomed": _of_superuser("master-secret-not-found", superuser_marked_for_deletion, FOLLOW, "superuser"),
    "superuser_nowhere": _of_superuser(
        "master-secret-not-found", superuser_elsewhere, right_superuser_anew, "superuser_nowhere/superuser-AbCdEf"
    ),
    "superuser_unnamed": _of_superuser(
        "master-secret-arn-missing", no_superuser, right_superuser, "masterarn", step="createSecret"
    ),
}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


def healthy(postgresql: PostgresqlServer, doctor: DoctorHere, name: str) -> Patient:
    """A patient whose role may do just enough, and whose rotation has gone well once."""
    superuser, key, more = "", "", dict[str, Any]()
    if name.startswith("superuser"):
        value = json.dumps({**postgresql.superuser_value(), "ssl": False})
        key = doctor.clients["kms"].create_key()["KeyMetadata"]["Arn"]
        superuser = doctor.clients["secretsmanager"].create_secret(
            Name=f"{name}/superuser", SecretString=value, KmsKeyId=key
        )["ARN"]
        more = {"strategy": "alternating_users", "more": {"masterarn": superuser}}
    patient = Patient(doctor, postgresql, name, AILMENTS[name].cause_id, **more)
    patient.superuser, patient.superuser_key = superuser, key
    if name.startswith("key"):
        patient.seal()
    patient.may(*patient.healthy_statements())
    rotate_well(patient)
    if name == "after_another":
        patient.cause_id = AILMENTS["no_get"].cause_id
        treat(patient, AILMENTS["no_get"]).assert_right(AILMENTS["no_get"])
        patient.cause_id = AILMENTS[name].cause_id
    return patient


@pytest.fixture(scope="module")
def courses(server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest) -> Iterator[Courses]:
    with treated(request, server, AILMENTS, partial(healthy, postgresql)) as found:
        yield found


@pytest.mark.parametrize("name", AILMENTS)
def test_what_may_not_be_done_is_named_and_what_is_said_mends_it(courses: Courses, name: str) -> None:
    ailment, course = AILMENTS[name], courses[name].result()

    course.assert_right(ailment)
    first = course.ill["findings"][0]
    assert first["confidence"] == "certain"
    assert first["remedy"]["fixable"] is (ailment.mends in {Patient.fix, Patient.fix_by_value})


@pytest.mark.parametrize("name", [name for name, each in AILMENTS.items() if each.cause_id == MISSING])
def test_a_missing_action_is_shown_by_policies_and_by_what_was_refused(courses: Courses, name: str) -> None:
    evidence = courses[name].result().ill["findings"][0]["evidence"]

    # What Keyturn has finished itself lies before a rotation that has ended well.
    texts = set() if name == "no_update" else {"logs:FilterLogEvents", "cloudtrail:LookupEvents"}
    assert {each["source"] for each in evidence} == {"iam:ListRolePolicies", *texts}


@pytest.mark.parametrize("name", ["superuser_denied"])
def test_a_superuser_secret_that_may_not_be_read_is_allowed_with_the_guides_statement(
    courses: Courses, name: str
) -> None:
    [statement] = courses[name].result().ill["findings"][0]["remedy"]["policy"]["Statement"]

    resource = statement.pop("Resource")
    assert f":secret:{name}/superuser-" in resource
    assert statement == {
        "Sid": "AllowAccessToMasterSecret",
        "Effect": "Allow",
        "Action": "secretsmanager:GetSecretValue",
    }
