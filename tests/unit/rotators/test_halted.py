"""A function that was halted for longer than its rotation lasted must not put the password back when it goes on."""

from __future__ import annotations

import json

import pytest

from keyturn.rotators import alternating_users, single_user
from keyturn.rotators.handler import Strategy
from keyturn.testing.secretsmanager import FakeSecretsManager, FakeVersion

from .fakes import TOKEN, VALUE, FakeEngine, event, rotator

SUPERUSER = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:superuser-AbCdEf"


@pytest.mark.parametrize(
    ("strategy", "halted"),
    [
        (single_user.Strategy(), "before set_password"),
        (alternating_users.Strategy(), "before create_user_like"),
    ],
    ids=["single user", "alternating users"],
)
def test_a_password_is_not_set_once_a_later_rotation_has_set_another(strategy: Strategy, halted: str) -> None:
    def rotate_elsewhere(moment: str) -> None:
        if moment == halted:
            service.versions[TOKEN].labels = {"AWSPREVIOUS"}
            later = json.dumps({**VALUE, "password": "later"})
            service.versions["later"] = FakeVersion({"AWSCURRENT", "AWSPENDING"}, later)
            engine.passwords |= {"app": "later", "app_clone": "later"}

    service, engine = FakeSecretsManager({**VALUE, "masterarn": SUPERUSER}), FakeEngine(rotate_elsewhere)
    service.others[SUPERUSER] = {**VALUE, "username": "root", "password": "root"}
    engine.passwords["root"] = "root"
    service.begin_rotation(TOKEN)
    handler = rotator(engine, service, strategy)
    handler(event("createSecret"), None)
    with pytest.raises(ValueError, match=f"Secret version {TOKEN} not set as AWSPENDING for rotation"):
        handler(event("setSecret"), None)

    assert (engine.passwords["app"], engine.passwords["app_clone"]) == ("later", "later")
