"""What a look from inside the function's sandbox says, by the codes of its items, and beside what is seen otherwise."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.contract.doctor.world import World, diagnosed

from keyturn.doctor.model import Finding
from keyturn.doctor.subject import Options


def looked(**items: tuple[str, str, str]) -> World:
    world = World()
    world.options = Options(preflight=True)
    found: Mapping[str, tuple[str, str, str]] = {
        "secret.value": ("ok", "Ok", "engine postgres"),
        **{name.replace("_", "."): item for name, item in items.items()},
    }
    world.replies["keyturn:PreflightRotation"] = {
        "Items": [
            {"Item": name, "Status": status, "Code": code, "Reason": reason}
            for name, (status, code, reason) in found.items()
        ],
        "Causes": [],
    }
    return world


def only_cause(world: World) -> Finding:
    [cause] = diagnosed(world).causes
    return cause


@pytest.mark.parametrize(
    ("code", "title", "remedy"),
    [
        ("AuthenticationFailed", "the database refuses AWSCURRENT, so that", "Set that user's password"),
        ("NotAdmitted", "the database does not let this user in from the function's address", "pg_hba.conf"),
        ("DatabaseMissing", "there is no database of that name on the server", "Set dbname"),
        ("UserMissing", "the user whose password is to be set does not exist", "Create the user"),
        ("NotReady", "the database has no connection left", "Wait, or raise"),
        ("Unexpected", "a login with AWSCURRENT fails", "Do what the reason names"),
    ],
)
def test_a_login_that_fails_is_told_by_its_code(code: str, title: str, remedy: str) -> None:
    cause = only_cause(looked(login_current=("failed", code, "it said so")))

    assert cause.id == "preflight-login-refused"
    assert cause.title.startswith(title)
    assert remedy in cause.remedy.text


def test_what_the_log_says_as_well_is_told_once() -> None:
    world = looked(login_current=("failed", "NotAdmitted", "no pg_hba.conf entry"))
    world.fail("setSecret")
    world.run("[ERROR] NotAdmitted: no pg_hba.conf entry\nTraceback (most recent call last):")

    assert only_cause(world).id == "preflight-login-refused"


def test_a_misspelt_handler_of_a_function_that_keyturn_has_made_is_told_as_it_was() -> None:
    world = looked(function_import=("failed", "Runtime.HandlerNotFound", "Handler 'lambda_handlr' missing"))
    world.configuration |= {
        "Handler": "postgresql_single_user.lambda_handlr",
        "Description": "Rotates a secret; made by keyturn function create.",
    }
    [change] = only_cause(world).remedy.changes

    assert change.parameters["Handler"] == "postgresql_single_user.lambda_handler"


def test_a_function_that_is_gone_is_told_once() -> None:
    world = looked(function_start=("failed", "ResourceNotFound", "Function not found"))
    world.lose("lambda:GetFunctionConfiguration", message="Function not found")

    assert only_cause(world).id == "function-missing"


def test_a_database_that_another_engine_does_not_reach_is_another_engine() -> None:
    world = looked(
        secret_value=("ok", "Ok", "engine mysql"), database_connect=("failed", "ConnectionLost", "it hung up")
    )
    world.configuration["Handler"] = "postgresql_single_user.lambda_handler"

    cause = only_cause(world)
    assert cause.id == "preflight-value-unusable"
    assert cause.title == "rotate-orders is for engine postgres, and the value of svc/orders/db says mysql"
