"""The superuser secret and its key: which one it is, and what keeps the function from it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.contract.doctor import superuser
from tests.contract.doctor.world import KEY, OTHER_KEY, OTHER_SECRET, SUPERUSER, World, ago, diagnosed, policy, refusal

from keyturn.doctor.model import Confidence, Role, Section, Status, Verdict

from .test_access import causes, finding, outcome

READ = "secretsmanager:GetSecretValue"
GONE = refusal("DescribeSecret", "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")


def test_the_statement_is_the_guides() -> None:
    world = World()
    superuser.master_secret_read_denied(world)
    found = diagnosed(world).findings[0]
    assert (found.remedy.policy or {})["Statement"] == [
        {"Sid": "AllowAccessToMasterSecret", "Effect": "Allow", "Action": READ, "Resource": SUPERUSER}
    ]
    [change] = found.remedy.changes
    assert change.parameters["PolicyName"] == "keyturn-master-secret-read-denied"


def test_the_value_names_it_before_anything_was_tried() -> None:
    world = World()
    world.with_superuser()
    del world.role_policies["superuser"]
    world.with_value()
    found = diagnosed(world).findings[0]
    assert (found.id, found.confidence, found.step) == ("master-secret-read-denied", Confidence.CERTAIN, "setSecret")


def test_a_namesake_of_it_in_the_policy_is_shown() -> None:
    world = World()
    superuser.master_secret_read_denied(world)
    namesake = {"Effect": "Allow", "Action": READ, "Resource": SUPERUSER[:-7]}
    world.role_policies["superuser"] = policy(namesake)
    found = diagnosed(world).findings[0]
    assert found.evidence[0].excerpt == namesake
    assert found.title.endswith("the ARN in its policy lacks the hyphen and the six characters at its end")


def test_the_trail_names_it_where_there_is_no_log() -> None:
    world = World()
    superuser.master_secret_read_denied(world)
    world.log.clear()
    assert causes(diagnosed(world)) == ["master-secret-read-denied"]


def test_whom_another_secret_was_denied_is_not_asked_about() -> None:
    world = World()
    world.denied(READ, SUPERUSER, f"because no identity-based policy allows the {READ} action")
    # The line names this secret; let it be another's.
    for line in world.log:
        line["message"] = line["message"].replace("svc/orders/db-AbCdEf", "svc/other/db-GhIjKl")
    world.fail("setSecret", secret=OTHER_SECRET)
    report = diagnosed(world)
    assert (causes(report), report.verdict) == ([], Verdict.HEALTHY)


def test_its_own_policy_can_deny_and_that_is_not_fixed_by_the_roles() -> None:
    world = World()
    world.with_superuser()
    world.with_value()

    def policies(parameters: Any) -> dict[str, Any]:
        deny = policy({"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"})
        return {"ResourcePolicy": json.dumps(deny)} if parameters["SecretId"] == SUPERUSER else {}

    world.replies["secretsmanager:GetResourcePolicy"] = policies
    found = diagnosed(world).findings[0]
    assert found.id == "master-secret-read-denied"
    assert "by the resource-based policy" in found.title
    assert not found.is_fixable


def test_what_was_denied_and_is_allowed_now_is_history() -> None:
    world = World()
    superuser.master_secret_read_denied(world)
    world.with_superuser()
    report = diagnosed(world)
    assert causes(report) == []
    assert finding(report, "master-secret-read-denied").is_history


def test_a_secret_that_only_a_policy_names_is_no_cause_where_it_is_gone() -> None:
    world = World()
    world.with_superuser()
    world.superuser = GONE
    assert causes(diagnosed(world)) == []


def test_the_value_can_name_one_that_is_gone() -> None:
    world = World()
    world.with_superuser()
    world.with_value()
    world.superuser = GONE
    found = diagnosed(world).findings[0]
    assert (found.id, found.confidence) == ("master-secret-not-found", Confidence.CERTAIN)
    assert found.remedy.by_hand == ("aws secretsmanager list-secrets --filters Key=name,Values=svc/superuser",)


def test_one_that_is_marked_for_deletion_is_restored() -> None:
    world = World()
    world.with_superuser()
    world.with_value()
    assert isinstance(world.superuser, dict)
    world.superuser["DeletedDate"] = ago(days=1)
    found = diagnosed(world).findings[0]
    assert found.id == "master-secret-not-found"
    assert [change.operation for change in found.remedy.changes] == ["RestoreSecret"]


@pytest.mark.parametrize("state", ["Disabled", "PendingDeletion"])
def test_a_key_of_its_own_can_be_switched_off(state: str) -> None:
    world = World()
    superuser.master_secret_kms_denied(world)
    world.role_policies["theirs"] = policy({"Effect": "Allow", "Action": "kms:Decrypt", "Resource": OTHER_KEY})
    described: Any = world.replies["kms:DescribeKey"]
    world.replies["kms:DescribeKey"] = lambda parameters: {
        "KeyMetadata": {**described(parameters)["KeyMetadata"], "KeyState": state}
    }
    found = diagnosed(world).findings[0]
    assert found.id == "master-secret-kms-denied"
    assert state in found.title
    assert found.remedy.changes[-1].operation == "EnableKey"


def test_with_the_secrets_own_key_there_is_nothing_more_to_say() -> None:
    world = World()
    superuser.master_secret_kms_denied(world)
    world.secret["KmsKeyId"] = OTHER_KEY
    world.log.clear()
    report = diagnosed(world)
    assert causes(report) == ["kms-role-denied"]
    assert outcome(report, "master-secret-kms-denied").status is Status.PASS


def test_the_refused_key_of_the_superuser_is_not_the_secrets_own() -> None:
    world = World()
    superuser.master_secret_kms_denied(world)
    world.secret["KmsKeyId"] = KEY
    report = diagnosed(world)
    assert causes(report) == ["master-secret-kms-denied"]
    assert not [each for each in report.findings if each.id == "kms-role-denied"]


def test_a_key_whose_policy_names_others_is_printed_a_statement_for() -> None:
    world = World()
    superuser.master_secret_kms_denied(world)
    nobody = policy(
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:role/a"},
            "Action": "kms:*",
            "Resource": "*",
        }
    )
    world.replies["kms:GetKeyPolicy"] = {"Policy": json.dumps(nobody)}
    found = diagnosed(world).findings[0]
    assert (found.id, found.remedy.changes) == ("master-secret-kms-denied", ())
    assert (found.remedy.policy or {})["Principal"] == {"AWS": "arn:aws:iam::123456789012:role/rotator"}


def test_masterarn_that_is_there_now_is_history() -> None:
    world = World()
    superuser.master_secret_arn_missing(world)
    world.with_superuser()
    world.with_value()
    report = diagnosed(world)
    assert finding(report, "master-secret-arn-missing").is_history
    assert "master-secret-arn-missing" not in causes(report)


def test_only_the_newest_failed_invocation_tells() -> None:
    world = World()
    world.run("[ERROR] KeyError: 'masterarn'", at=ago(hours=5))
    world.run("[ERROR] ValueError: something else")
    world.fail()
    assert "master-secret-arn-missing" not in causes(diagnosed(world))


def test_a_login_that_took_long_is_possible_only() -> None:
    world = World()
    superuser._says(
        world, f"setSecret: Unable to log into database using credentials in master secret {SUPERUSER}", 9000
    )
    found = diagnosed(world).findings[0]
    assert (found.id, found.confidence) == ("master-login-failed", Confidence.POSSIBLE)
    assert "network" in found.title


def test_the_api_that_may_be_asked_now_is_history() -> None:
    world = World()
    superuser.master_rds_api_denied(world)
    world.role_policies["rds"] = policy({"Effect": "Allow", "Action": "rds:Describe*", "Resource": "*"})
    found = finding(diagnosed(world), "master-rds-api-denied")
    assert (found.role, found.is_history) == (Role.NOTE, True)


def test_where_no_superuser_secret_is_known_nothing_about_one_applies() -> None:
    outcomes = [each for each in diagnosed(World()).outcomes if each.cause.section is Section.SUPERUSER]

    assert {each.status for each in outcomes} == {Status.SKIPPED}
    assert not any(each.is_unasked for each in outcomes)
