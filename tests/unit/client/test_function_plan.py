"""What a function is called, and which secrets are refused before anything is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keyturn.client.function_plan import (
    Code,
    Plan,
    Secret,
    choose_code,
    function_name,
    is_scheduled_so,
    load_secret,
    make_plan,
)
from keyturn.errors.base import KeyturnError

ACCOUNT = "123456789012"
SECRET_NAMES = st.from_regex(r"[A-Za-z0-9/_+=.@-]{1,512}", fullmatch=True)


def secret(name: str, suffix: str = "AbCdEf", **described: Any) -> Secret:
    arn = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret:{name}-{suffix}"
    return Secret(name, arn, "version", {}, None, {"ARN": arn, "Name": name, **described})


class FakeClients:
    """Answers DescribeSecret and GetCallerIdentity; whoever goes on to the value has not been refused."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._described = described

    class exceptions:  # noqa: N801 - boto3's name
        class ResourceNotFoundException(Exception):
            pass

    def __getitem__(self, _service: str) -> Any:
        return self

    @property
    def meta(self) -> Any:
        return SimpleNamespace(
            service_model=SimpleNamespace(shape_for=lambda _: SimpleNamespace(enum=["python3.11", "nodejs22.x"]))
        )

    def describe_secret(self, **_request: object) -> Mapping[str, Any]:
        return self._described

    def get_caller_identity(self) -> dict[str, str]:
        return {"Account": ACCOUNT}


def test_a_plain_name_is_kept() -> None:
    assert function_name(secret("demo")) == "SecretsManager-demo"


@given(SECRET_NAMES)
def test_a_function_can_be_called_so(name: str) -> None:
    assert re.fullmatch(r"SecretsManager-[A-Za-z0-9_-]{1,49}", function_name(secret(name)))


@pytest.mark.parametrize(("one", "other"), [("a/b", "a-b"), ("a/b", "a.b"), ("a" * 60, "a" * 61)])
def test_two_secrets_have_two_functions(one: str, other: str) -> None:
    assert function_name(secret(one, "AbCdEf")) != function_name(secret(other, "GhIjKl"))


@pytest.mark.parametrize(
    ("described", "told", "hint"),
    [
        ({"PrimaryRegion": "us-east-1"}, "is a replica here", "--region us-east-1"),
        ({"DeletedDate": "today"}, "is marked for deletion", "restore-secret"),
        ({"OwningService": "rds"}, "is managed by rds", ""),
        (
            {"ARN": "arn:aws:secretsmanager:eu-central-1:999999999999:secret:demo-AbCdEf"},
            "belongs to account 999999999999",
            "--profile",
        ),
    ],
)
def test_a_secret_that_cannot_rotate_here_is_refused(described: dict[str, str], told: str, hint: str) -> None:
    clients: Any = FakeClients({**secret("demo").described, **described})
    with pytest.raises(KeyturnError) as caught:
        load_secret(clients, "demo")
    assert told in caught.value.message
    assert hint in "".join(caught.value.hints)


def test_a_secret_is_not_its_own_superuser_and_two_superusers_are_not_guessed_between() -> None:
    class WithValue(FakeClients):
        value = '{"engine": "postgres"}'

        def get_secret_value(self, **_request: object) -> dict[str, str]:
            return {"VersionId": "version", "SecretString": self.value}

    clients: Any = WithValue(secret("demo").described)
    with pytest.raises(KeyturnError, match="cannot be its own superuser secret"):
        make_plan(clients, "demo", "demo", runtime="python3.11")

    clients.value = '{"engine": "postgres", "masterarn": 5}'
    with pytest.raises(KeyturnError, match="host key is missing"):
        make_plan(clients, "demo", runtime="python3.11")

    clients.value = '{"engine": "postgres", "masterarn": "arn:one"}'
    clients.describe_secret = lambda SecretId: secret("demo" if SecretId == "demo" else "root").described  # noqa: N803 - boto3's
    with pytest.raises(KeyturnError, match="names another superuser secret"):
        make_plan(clients, "demo", "root", runtime="python3.11")


def test_a_runtime_that_lambda_does_not_know_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(KeyturnError, match=r"Lambda has no runtime python3\.99") as caught:
        make_plan(FakeClients({}), "demo", runtime="python3.99")
    assert caught.value.hints == ("Of Python it knows python3.11.",)


def test_a_strategy_and_what_it_takes_have_to_go_together() -> None:
    value = {"engine": "db2", "host": "h", "username": "u", "password": "p", "dbname": "d", "ssl": True}
    db2 = replace(secret("demo"), value=value)
    for strategy, said in (
        (None, "single-user-by-superuser takes a superuser secret"),
        ("alternating-users", "takes a superuser secret"),
        ("single-user", "There is no rotation function for db2 with the strategy single-user"),
        ("roulette", "There is no rotation strategy roulette"),
    ):
        with pytest.raises(KeyturnError, match=said):
            choose_code(db2, None, strategy)
    clients: Any = FakeClients(secret("demo").described)
    clients.get_secret_value = lambda **_: {"VersionId": "v", "SecretString": "{}"}
    with pytest.raises(KeyturnError, match="takes no superuser secret"):
        make_plan(clients, "demo", "root", runtime="python3.11", strategy="single-user")


@pytest.mark.parametrize(
    ("there", "asked", "is_so"),
    [
        ({"AutomaticallyAfterDays": 30}, {"AutomaticallyAfterDays": 30}, True),
        ({"AutomaticallyAfterDays": 30}, {"AutomaticallyAfterDays": 7}, False),
        ({"AutomaticallyAfterDays": 30}, {"ScheduleExpression": "rate(30 days)"}, False),
        ({"ScheduleExpression": "rate(7 days)", "AutomaticallyAfterDays": 7}, {"AutomaticallyAfterDays": 7}, False),
        (
            {"ScheduleExpression": "rate(7 days)", "AutomaticallyAfterDays": 7},
            {"ScheduleExpression": "rate(7 days)"},
            True,
        ),
    ],
)
def test_a_schedule_is_the_same_or_another(there: dict[str, Any], asked: dict[str, Any], is_so: bool) -> None:
    assert is_scheduled_so(secret("demo", RotationRules=there), asked) == is_so


def test_the_value_and_the_package_are_in_no_repr() -> None:
    plan = Plan(
        Secret("n", "arn:aws:secretsmanager:r:1:secret:n-AbCdEf", "v", {"password": "Hunter2"}, None, {}),
        None,
        Code(b"Hunter2", "handler", "title"),
        "name",
        "python3.11",
    )
    assert "Hunter2" not in repr(plan)
