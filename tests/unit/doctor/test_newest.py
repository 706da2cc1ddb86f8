"""Of two looks the newer one is the truth: a look from inside, an attempt, a change of value or function."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.contract.doctor.world import NAME, NOW, SECRET, World, ago, diagnosed

from keyturn.doctor.model import Finding, Report, Role, Verdict
from keyturn.doctor.remedies import store_value
from keyturn.doctor.subject import Options

REFUSED = "[ERROR] AuthenticationFailed: The database refuses all stored passwords of user orders"
LOOKED_AT = "2026-11-27 11:30:00 UTC"


def failed(line: str = REFUSED, at: datetime | None = None) -> World:
    """A rotation has failed an hour ago, and the log says why."""
    world = World()
    world.fail("setSecret", at=at or ago(hours=1))
    world.run(f"{line}\nTraceback (most recent call last):", at=at or ago(hours=1))
    return world


def look_now(world: World, *accepted: str, **failing: str) -> Report:
    """Look from inside the sandbox, where these items are in order and those are not."""
    world.options = Options(preflight=True, may_be_keyturn=True)
    world.replies["keyturn:ListRotations"] = {"Rotations": []}
    world.replies["keyturn:PreflightRotation"] = {
        "CheckedAt": NOW,
        "Causes": [],
        "Items": [
            *({"Item": name, "Status": "ok", "Code": "Accepted", "Reason": "user orders"} for name in accepted),
            *(
                {"Item": name.replace("_", "."), "Status": "failed", "Code": code, "Reason": "it said so"}
                for name, code in failing.items()
            ),
        ],
    }
    return diagnosed(world)


def of(report: Report, cause_id: str) -> Finding:
    return next(finding for finding in report.findings if finding.id == cause_id)


def test_a_login_that_is_accepted_now_makes_a_refused_one_history() -> None:
    world = failed()
    assert [cause.id for cause in diagnosed(world).causes] == ["db-login-failed"]

    report = look_now(world, "login.current")

    told = of(report, "db-login-failed")
    assert (told.role, told.is_history) == (Role.NOTE, True)
    assert told.title.endswith(" at 2026-11-27 11:00:00 UTC; the database accepts AWSCURRENT now")
    assert told.evidence[-1].excerpt == "login.current Accepted: user orders"
    assert report.verdict is Verdict.HEALTHY
    assert report.summary == (
        "What failed is mended, by a look from inside the sandbox: rotate now, or let the schedule do it."
    )


@pytest.mark.parametrize(
    ("line", "cause_id", "tried"),
    [
        ("[ERROR] NotAdmitted: role orders is not permitted to log in", "db-not-admitted", ["login.current"]),
        ("[ERROR] HostNotFound: db.internal: Name or service not known", "db-host-gone", ["database.resolve"]),
        ("[ERROR] ConnectionRefused: host db, port 5432: refused", "db-connection-refused", ["database.connect"]),
        ("[ERROR] ConnectionTimedOut: host db, port 5432: no answer", "db-unreachable", ["database.connect"]),
        ("[ERROR] DatabaseMissing: no database orders", "db-database-missing", ["login.current"]),
        ("[ERROR] Runtime.ImportModuleError: No module named 'pg'", "lambda-import-error", ["function.import"]),
    ],
)
def test_what_was_tried_since_and_is_in_order_is_over(line: str, cause_id: str, tried: list[str]) -> None:
    world = failed(line)
    assert [cause.id for cause in diagnosed(world).causes] == [cause_id]

    assert of(look_now(world, *tried), cause_id).is_history
    assert look_now(world, *tried).verdict is Verdict.HEALTHY


def test_tls_is_tried_only_for_functions_with_the_driver_of_keyturn() -> None:
    world = failed("[ERROR] TlsFailed: Unable to establish SSL/TLS handshake")
    tried = ("database.tls", "login.current")
    assert look_now(world, *tried).verdict is Verdict.BROKEN

    world.configuration["Handler"] = "postgresql_single_user.lambda_handler"
    assert look_now(world, *tried).verdict is Verdict.HEALTHY


@pytest.mark.parametrize("line", ["[ERROR] MissingGrant: may not alter", "[ERROR] LockTimedOut: too long"])
def test_what_no_look_tries_stands(line: str) -> None:
    report = look_now(failed(line), "login.current", "database.connect")

    assert report.verdict is Verdict.BROKEN


def test_an_attempt_that_failed_after_the_look_is_the_truth() -> None:
    world = failed(at=ago(minutes=10))
    world.with_last_look(verdict="ready", at=ago(minutes=30), accepted=("login.current",))

    assert [cause.id for cause in diagnosed(world).causes] == ["db-login-failed"]


def test_the_last_look_overrules_an_attempt_before_it_and_says_when() -> None:
    world = failed()
    world.with_last_look(verdict="ready", at=ago(minutes=30), accepted=("login.current",))

    report = diagnosed(world)

    assert report.verdict is Verdict.HEALTHY
    assert of(report, "db-login-failed").title.endswith(f"; the database accepts AWSCURRENT at {LOOKED_AT}")


def test_what_the_last_look_has_found_behind_a_change_is_the_cause_with_its_remedy() -> None:
    world = failed("[ERROR] HostNotFound: first.internal: Name or service not known")
    world.store(ago(minutes=40))
    assert diagnosed(world).verdict is Verdict.INCONCLUSIVE

    world.with_last_look("database.resolve:HostNotFound", at=ago(minutes=30))
    report = diagnosed(world)

    assert report.verdict is Verdict.BROKEN
    assert report.findings[0].id == "preflight-database-unreachable"
    assert report.findings[0].remedy.by_hand == (*store_value(SECRET), f"keyturn doctor {NAME} --preflight")


def test_a_value_that_was_stored_and_tried_is_a_mend() -> None:
    world = failed()
    world.store(ago(minutes=40))
    report = diagnosed(world)
    assert report.verdict is Verdict.INCONCLUSIVE

    assert look_now(world, "login.current").verdict is Verdict.HEALTHY
    # Nobody has logged in with it.
    assert look_now(world, "secret.read").verdict is Verdict.INCONCLUSIVE


def test_what_does_not_mend_what_failed_leaves_it_open() -> None:
    world = failed("[ERROR] LockTimedOut: too long")
    world.store(ago(minutes=40))

    assert look_now(world, "login.current").verdict is Verdict.INCONCLUSIVE


def test_another_fault_that_is_found_now_is_the_only_cause() -> None:
    report = look_now(failed(), "login.current", login_superuser="AuthenticationFailed")

    assert [cause.id for cause in report.causes] == ["preflight-superuser-login-refused"]
