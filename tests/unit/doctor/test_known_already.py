"""What the doctor makes of what Keyturn knows already: the last pre-flight, and a rotation that waits or runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.contract.doctor.world import FUNCTION, NAME, NOW, SECRET, World, ago, diagnosed, refusal

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Change, Confidence, Finding, Report, Role, Section, Status, Verdict
from keyturn.doctor.own_policy import reading_policy
from keyturn.doctor.remedies import command, store_value
from keyturn.doctor.saved import Saved
from keyturn.doctor.subject import Options

KNOWS = ["keyturn:GetRotationPreflight", "keyturn:ListRotations"]


@pytest.fixture
def world() -> World:
    """A password was changed by hand, and the daily look has found it."""
    made = World()
    made.with_last_look("login.current:AuthenticationFailed", "drift:ChangedOutside")
    return made


def last(report: Report) -> Finding | None:
    return next((finding for finding in report.findings if finding.id == "preflight-found-last"), None)


def by_look(report: Report) -> list[Finding]:
    """Return what a look from inside the sandbox has found."""
    return [each for each in report.findings if each.cause.evidence[-1] == "keyturn:GetRotationPreflight"]


def status(report: Report, cause_id: str) -> tuple[Status, str]:
    return next((each.status, each.reason) for each in report.outcomes if each.cause.id == cause_id)


def found(world: World, verdict: str, *causes: str) -> list[tuple[str, Role]]:
    """Return what the doctor makes of a pre-flight that has found this."""
    world.with_last_look(*causes, verdict=verdict)
    return [(finding.id, finding.role) for finding in by_look(diagnosed(world))]


# The last pre-flight.


def test_what_was_found_last_is_a_likely_cause_with_its_age_its_remedy_and_the_way_to_look_again(world: World) -> None:
    report = diagnosed(world)

    assert report.verdict is Verdict.BROKEN
    assert report.summary == (
        "as was found 3 hours ago, the database refuses AWSCURRENT, so that who reads the secret does not get in:"
        " refused (AuthenticationFailed)."
    )
    [finding] = by_look(report)
    assert (finding.id, finding.role, finding.confidence) == ("preflight-login-refused", Role.CAUSE, Confidence.LIKELY)
    assert finding.remedy.text == (
        "Set that user's password to the stored one, or store the one that the database has. A look from inside the"
        " sandbox (--preflight) says whether it still holds."
    )
    assert finding.remedy.by_hand == (*store_value(SECRET), f"keyturn doctor {NAME} --preflight")
    assert [(each.excerpt, each.at) for each in finding.evidence] == [
        ("login.current AuthenticationFailed: refused", ago(hours=3))
    ]


def _deployed(world: World) -> None:
    world.configuration["LastModified"] = f"{ago(hours=2):%Y-%m-%dT%H:%M:%S}.000+0000"


def _aged(world: World) -> None:
    world.with_last_look("login.current:AuthenticationFailed", "drift:ChangedOutside", at=ago(hours=25))


@pytest.mark.parametrize(
    ("change", "since"),
    [
        (World.store, "another value has been stored since"),
        (_deployed, "the function has been changed since"),
        (_aged, "that is more than a day ago"),
    ],
)
def test_what_is_older_than_a_day_or_than_the_last_change_is_history(
    world: World, change: Callable[[World], None], since: str
) -> None:
    change(world)
    report = diagnosed(world)

    finding = last(report)
    assert finding is not None
    assert (finding.role, finding.is_history) == (Role.NOTE, True)
    assert finding.title.endswith(f"the password was changed outside of rotation; {since}")
    assert report.verdict is Verdict.HEALTHY


def test_behind_a_good_rotation_nothing_is_said_of_it(world: World) -> None:
    world.secret["LastRotatedDate"] = ago(hours=2)

    assert by_look(diagnosed(world)) == []


@pytest.mark.parametrize(
    ("verdict", "causes", "told"),
    [
        (
            "will fail",
            ["login.superuser:AuthenticationFailed"],
            [("preflight-superuser-login-refused", Role.CAUSE)],
        ),
        ("will fail", ["database.resolve:HostNotFound"], [("preflight-database-unreachable", Role.CAUSE)]),
        ("will fail", ["function.import:Runtime.ImportModuleError"], [("preflight-function-start", Role.CAUSE)]),
        ("ready", ["drift:PendingIsInDatabase"], [("drift-pending-in-database", Role.CAUSE)]),
        ("ready", ["drift:PreviousStillAccepted"], [("drift-previous-still-accepted", Role.RISK)]),
        # What the doctor sees itself is as it says now.
        ("will fail", ["doctor:role-missing-secret-actions"], []),
        ("will fail", ["secret.read:AccessDeniedException", "function.invoke:notInvoked"], []),
        # It may pass by itself, and is looked at again.
        ("unknown", ["database.connect:ConnectionRefused"], []),
    ],
)
def test_it_counts_as_far_as_the_doctor_does_not_see_it_itself(
    world: World, verdict: str, causes: list[str], told: list[tuple[str, Role]]
) -> None:
    assert found(world, verdict, *causes) == told


@pytest.mark.parametrize("verdict", ["ready", "unknown"])
def test_health_and_what_could_not_be_looked_at_is_not_told(world: World, verdict: str) -> None:
    assert found(world, verdict) == []
    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_beside_a_cause_that_is_seen_now_it_is_a_second_one(world: World) -> None:
    world.function_policy = None

    assert [finding.id for finding in diagnosed(world).causes] == [
        "invoke-permission-missing",
        "preflight-login-refused",
    ]


def test_where_a_rotation_has_failed_since_it_is_the_cause_only_if_nothing_else_is(world: World) -> None:
    world.fail("setSecret", at=ago(hours=1))
    world.run("[ERROR] Exception: what nobody knows", at=ago(hours=1))
    finding = last(diagnosed(world))
    assert finding is not None
    assert finding.role is Role.CONSEQUENCE
    assert finding.title.startswith("as was found 3 hours ago, the database refuses every labelled version: ")

    world.deny("logs:FilterLogEvents", "logs:DescribeLogGroups")
    assert [each.id for each in diagnosed(world).causes] == ["preflight-found-last"]


@pytest.mark.parametrize(
    ("code", "http_status"),
    [
        ("NotImplementedException", 400),
        ("UnknownOperationException", 404),
        ("500", 500),
        ("404", 404),
        ("ResourceNotFoundException", 400),
    ],
)
def test_where_nobody_knows_of_it_the_verdict_is_the_same(code: str, http_status: int) -> None:
    world = World()
    world.options = Options(may_be_keyturn=True)
    for action in KNOWS:
        world.replies[action] = refusal(action.partition(":")[2], code, status=http_status)

    assert replace(diagnosed(world), outcomes=()) == replace(diagnosed(World()), outcomes=())
    world.secret.pop("LastRotatedDate")
    world.trail.clear()
    first = World()
    first.secret.pop("LastRotatedDate")
    first.trail.clear()
    assert diagnosed(world).verdict is diagnosed(first).verdict


@pytest.mark.parametrize("reply", [{}, {"Verdict": 1}])
def test_a_reply_of_something_else_is_none(reply: dict[str, object]) -> None:
    world = World()
    world.options = Options(may_be_keyturn=True)
    world.replies |= dict.fromkeys(KNOWS, reply)

    assert diagnosed(world).verdict is Verdict.HEALTHY


def test_who_may_not_ask_for_it_is_told_what_to_allow_on_the_secret(world: World) -> None:
    world.deny(*KNOWS)
    report = diagnosed(world)

    assert report.verdict is Verdict.INCONCLUSIVE
    assert [(spot.action, spot.resource) for spot in report.blind] == [("keyturn:GetRotationPreflight", SECRET)]


def test_aws_is_not_asked_and_neither_is_keyturn_when_it_looks_now(world: World) -> None:
    aws = World()
    diagnosed(aws)
    assert not [action for action in aws.asked if action.startswith("keyturn:")]

    world.options = Options(preflight=True, may_be_keyturn=True)
    diagnosed(world)
    assert [action for action in world.asked if action.startswith("keyturn:")] == [
        "keyturn:ListRotations",
        "keyturn:PreflightRotation",
    ]


def test_it_can_be_diagnosed_elsewhere(world: World, tmp_path: Path) -> None:
    facts = Facts(world.ask)
    case = collect(facts, SECRET, NOW, world.options)
    Saved(facts, (SECRET,), NOW, world.options, "http://keyturn").write(tmp_path / "facts")
    (there,) = Saved.read(tmp_path / "facts").cases()
    assert there.last_preflight == case.last_preflight

    document = json.loads((tmp_path / "facts").read_text())
    del document["may_be_keyturn"]
    (tmp_path / "older").write_text(json.dumps(document))
    (older,) = Saved.read(tmp_path / "older").cases()
    assert older.last_preflight is None


# A rotation runs.


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("A rotation of this secret is running just now: ask again when it has ended.", "a rotation is running"),
        ("Too many pre-flights run just now: ask again in a moment.", "too many pre-flights run"),
    ],
)
def test_a_look_that_cannot_be_made_just_now_lacks_no_permission(message: str, told: str) -> None:
    world = World()
    world.options = Options(preflight=True, may_be_keyturn=True)
    world.lose("keyturn:PreflightRotation", "InvalidRequestException", message)
    report = diagnosed(world)

    assert status(report, "preflight-login-refused") == (Status.SKIPPED, f"{told}; ask again in a moment")
    assert report.blind == ()
    # Who asked for it does not learn that all is well.
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.summary == (
        f"Found nothing. From inside the function's sandbox it could not be looked at: {told}; ask again in a moment."
    )
    world.function_policy = None
    assert diagnosed(world).summary.endswith(f"could not be looked at: {told}; ask again in a moment.")


def test_a_look_that_is_refused_otherwise_is_blind_on_the_secret() -> None:
    world = World()
    world.options = Options(preflight=True)
    world.deny("keyturn:PreflightRotation")

    assert [(spot.action, spot.resource) for spot in diagnosed(world).blind] == [("keyturn:PreflightRotation", SECRET)]


# An attempt waits.

RETRY = f"keyturn rotation retry {NAME} --wait"
ROTATE = f"aws secretsmanager rotate-secret --secret-id {SECRET}"
IN_40_SECONDS = NOW + timedelta(seconds=40)


@pytest.mark.parametrize(
    ("rotation", "line", "told"),
    [
        ({"Status": "pending", "DueAt": IN_40_SECONDS}, "attempt 3 of 5 begins in 40 seconds", RETRY),
        ({"Status": "pending", "DueAt": ago(seconds=1)}, "attempt 3 of 5 is due", RETRY),
        (
            {"Status": "pending", "DueAt": IN_40_SECONDS, "Attempt": 6},
            "attempt 6, of the database only, begins in 40 seconds",
            RETRY,
        ),
        ({"Status": "parked", "DueAt": NOW + timedelta(days=3)}, "out of attempts, goes on in 3 days", RETRY),
        ({"Status": "parked"}, "out of attempts", RETRY),
        ({"Status": "running"}, "attempt 3 of 5 runs", f"keyturn rotation show {NAME}"),
        ({"Status": "failed"}, "", ROTATE),
        ({"Status": "succeeded"}, "", ROTATE),
    ],
)
def test_a_rotation_that_waits_is_told_and_begun_by_retry(rotation: dict[str, object], line: str, told: str) -> None:
    world = World()
    world.options = Options(may_be_keyturn=True)
    world.replies["keyturn:GetRotationPreflight"] = refusal("GetRotationPreflight", "ResourceNotFoundException")
    world.replies["keyturn:ListRotations"] = {
        "Rotations": [{"Attempt": 3, "Attempts": 5, **rotation}, {"Status": "succeeded"}]
    }
    report = diagnosed(world)

    assert report.facts[Section.ROTATION].endswith(f", {line}" if line else "in 18 days")
    assert report.next_attempt is not None
    assert report.next_attempt.command == told


def test_while_an_attempt_runs_nothing_is_said_of_what_it_is_at() -> None:
    world = World()
    world.options = Options(may_be_keyturn=True)
    world.replies["keyturn:GetRotationPreflight"] = refusal("GetRotationPreflight", "ResourceNotFoundException")
    world.fail("setSecret")

    def told(state: str) -> set[str]:
        world.replies["keyturn:ListRotations"] = {"Rotations": [{"Status": state}]}
        return {each.id for each in diagnosed(world).findings} & {"pending-stuck", "schedule-not-due"}

    assert told("parked") == {"pending-stuck", "schedule-not-due"}
    assert told("running") == set()


def test_on_a_page_no_option_of_the_command_line_is_named(world: World) -> None:
    world.in_vpc()

    def told(options: Options) -> str:
        world.options = options
        report = diagnosed(world)
        said = [*report.facts.values(), *(each.reason for each in report.outcomes), report.summary]
        return " ".join([*said, *(each.remedy.text for each in report.findings)])

    assert {"--preflight", "--read-value", "--db-host"} <= set(
        re.findall(r"--[a-z-]+", told(Options(may_be_keyturn=True)))
    )
    assert "--" not in told(Options(may_be_keyturn=True, is_on_page=True))


def test_rotate_secret_is_the_advice_where_rotation_is_off_or_nobody_tells_what_waits() -> None:
    world = World()
    world.options = Options(may_be_keyturn=True)
    world.secret["RotationEnabled"] = False
    world.replies["keyturn:ListRotations"] = {"Rotations": [{"Status": "pending"}]}
    for options in (world.options, Options()):
        world.options = options
        told = diagnosed(world).next_attempt
        assert told is not None
        assert (told.text, told.command) == ("Turn rotation on again, and rotate it now", ROTATE)


def test_nothing_rotates_a_secret_without_a_function_a_deleted_one_or_a_replica() -> None:
    for members in ({"RotationLambdaARN": None}, {"DeletedDate": NOW}, {"PrimaryRegion": "eu-central-1"}):
        world = World()
        world.secret |= members
        assert diagnosed(world).next_attempt is None, members


def test_a_retry_is_a_command_of_keyturn() -> None:
    assert command(Change("keyturn", "RetryRotation", {"SecretId": "a b"}), " --region r") == (
        "keyturn rotation retry 'a b' --wait --region r"
    )


# What it has to be allowed.


def test_the_policy_names_the_functions_log_group_and_keyturn_only_where_it_is_asked() -> None:
    world = World()
    world.configuration["LoggingConfig"] = {"LogGroup": "/rotation/all"}
    case = collect(Facts(world.ask), SECRET, NOW)
    region, account = FUNCTION.split(":")[3:5]
    group = f"arn:aws:logs:{region}:{account}:log-group:/rotation/all:*"

    def granted(action: str, **options: bool) -> object:
        statements = reading_policy(case, **options)["Statement"]
        assert isinstance(statements, list)
        return next((each["Resource"] for each in statements if action in each["Action"]), None)

    assert granted("logs:FilterLogEvents") == group
    assert granted("logs:DescribeLogGroups") == "*"
    assert granted("keyturn:GetRotationPreflight") is None
    assert granted("keyturn:GetRotationPreflight", may_be_keyturn=True) == SECRET
    assert "logs:FilterLogEvents" in json.dumps(reading_policy())
    # What a user's inline policies may have together.
    assert len(json.dumps(reading_policy(case, may_be_keyturn=True), separators=(",", ":"))) < 1950
