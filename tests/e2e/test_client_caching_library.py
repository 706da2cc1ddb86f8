"""AWS's caching library for Python: what it keeps, when it asks again, and what it makes of refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo
from typing import Any

import pytest
from aws_secretsmanager_caching import InjectKeywordedSecretString, InjectSecretString, SecretCache, SecretCacheConfig
from aws_secretsmanager_caching.cache import items

from .conftest import ServerProcess, wait_until
from .rotation_function import create_rotation_function


@pytest.fixture
def client(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


@pytest.fixture
def asked(client: Any) -> list[str]:
    """Names of the operations that the client under the cache has called."""
    names: list[str] = []
    client.meta.events.register("before-call.secrets-manager", lambda model, **_: names.append(model.name))
    return names


@pytest.fixture
def name(client: Any, asked: list[str], request: pytest.FixtureRequest) -> str:
    """A secret of the test's own."""
    made: str = client.create_secret(Name=request.node.name, SecretString="first")["Name"]
    asked.clear()
    return made


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the library's clock forward by so many seconds."""

    def pass_time(seconds: int) -> None:
        class Later(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return datetime.now(tz) + timedelta(seconds=seconds)

        monkeypatch.setattr(items, "datetime", Later)

    return pass_time


def test_a_value_is_asked_for_once(client: Any, name: str, asked: list[str]) -> None:
    cache = SecretCache(client=client)

    assert [cache.get_secret_string(name) for _ in range(5)] == ["first"] * 5
    assert asked == ["DescribeSecret", "GetSecretValue"]


def test_many_threads_ask_once_between_them(client: Any, name: str, asked: list[str]) -> None:
    cache = SecretCache(client=client)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(cache.get_secret_string, [name] * 32)) == {"first"}
    assert asked == ["DescribeSecret", "GetSecretValue"]


def test_a_new_value_is_seen_when_the_interval_has_passed_and_a_version_is_read_once(
    client: Any, name: str, asked: list[str], pass_time: Callable[[int], None]
) -> None:
    cache = SecretCache(SecretCacheConfig(secret_refresh_interval=3600), client)
    assert cache.get_secret_string(name) == "first"
    client.put_secret_value(SecretId=name, SecretString="second")
    asked.clear()

    assert cache.get_secret_string(name) == "first"
    pass_time(1799)
    assert cache.get_secret_string(name) == "first"
    assert asked == []
    pass_time(3601)
    assert cache.get_secret_string(name) == "second"
    # The previous version is still the one that it has read.
    assert cache.get_secret_string(name, "AWSPREVIOUS") == "first"
    assert asked == ["DescribeSecret", "GetSecretValue"]


def test_labels_that_move_back_cost_no_second_read(
    client: Any, name: str, asked: list[str], pass_time: Callable[[int], None]
) -> None:
    cache = SecretCache(client=client)
    first = client.get_secret_value(SecretId=name)["VersionId"]
    second = client.put_secret_value(SecretId=name, SecretString="second")["VersionId"]
    assert cache.get_secret_string(name, "AWSPREVIOUS") == "first"
    assert cache.get_secret_string(name) == "second"
    client.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", MoveToVersionId=first, RemoveFromVersionId=second
    )
    asked.clear()

    pass_time(3601)
    assert cache.get_secret_string(name) == "first"
    assert cache.get_secret_string(name, "AWSPREVIOUS") == "second"
    assert asked == ["DescribeSecret"]


def test_a_rotation_is_seen_by_a_refresh_that_is_asked_for(
    server: ServerProcess, client: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would spread refreshes of many processes over some seconds.
    monkeypatch.setattr(items.SecretCacheObject, "FORCE_REFRESH_JITTER_SLEEP", 0)
    cache = SecretCache(client=client)
    assert cache.get_secret_string(name) == "first"
    rotated = client.rotate_secret(SecretId=name, RotationLambdaARN=create_rotation_function(server))["VersionId"]
    wait_until(
        lambda: "AWSCURRENT" in client.describe_secret(SecretId=name)["VersionIdsToStages"][rotated], "rotation", server
    )

    assert cache.get_secret_string(name) == "first"
    assert cache.refresh_secret_now(name) is True
    assert cache.get_secret_string(name) == "rotated"
    assert cache.get_secret_string(name, "AWSPREVIOUS") == "first"


def test_a_binary_value(client: Any, name: str) -> None:
    client.put_secret_value(SecretId=name, SecretBinary=bytes(range(256)))
    cache = SecretCache(client=client)

    assert cache.get_secret_binary(name) == bytes(range(256))
    assert cache.get_secret_string(name) is None


def test_other_labels(client: Any, name: str) -> None:
    client.put_secret_value(SecretId=name, SecretString="next", VersionStages=["AWSPENDING", "blue"])
    cache = SecretCache(SecretCacheConfig(default_version_stage="blue"), client)

    assert cache.get_secret_string(name) == "next"
    assert cache.get_secret_string(name, version_stage="AWSPENDING") == "next"
    assert cache.get_secret_string(name, version_stage="AWSCURRENT") == "first"
    assert cache.get_secret_string(name, version_stage="green") is None


def test_by_arn_with_and_without_its_suffix(client: Any, name: str) -> None:
    arn = client.describe_secret(SecretId=name)["ARN"]
    cache = SecretCache(client=client)

    assert [cache.get_secret_string(each) for each in (name, arn, arn[:-7])] == ["first"] * 3


def test_a_secret_without_a_value_is_none(client: Any, name: str) -> None:
    client.create_secret(Name=f"{name}/empty")

    assert SecretCache(client=client).get_secret_string(f"{name}/empty") is None


def test_a_refusal_is_kept_for_a_while_and_then_asked_about_again(
    client: Any, name: str, asked: list[str], pass_time: Callable[[int], None]
) -> None:
    cache = SecretCache(SecretCacheConfig(exception_retry_delay_base=10), client)
    late = f"{name}/late"

    for _ in range(3):
        with pytest.raises(client.exceptions.ResourceNotFoundException, match="can't find the specified secret"):
            cache.get_secret_string(late)
    assert asked == ["DescribeSecret"]

    client.create_secret(Name=late, SecretString="here")
    pass_time(11)
    assert cache.get_secret_string(late) == "here"


def test_a_value_that_was_read_outlives_a_server_that_refuses(
    client: Any, name: str, asked: list[str], pass_time: Callable[[int], None]
) -> None:
    cache = SecretCache(client=client)
    assert cache.get_secret_string(name) == "first"
    client.delete_secret(SecretId=name)

    # A secret that is marked for deletion can still be described, and its version was read before.
    pass_time(3601)
    assert cache.get_secret_string(name) == "first"
    with pytest.raises(client.exceptions.InvalidRequestException, match="marked for deletion"):
        SecretCache(client=client).get_secret_string(name)

    client.delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
    pass_time(7202)
    assert cache.get_secret_string(name) == "first"


def test_functions_get_their_secrets_from_decorators(client: Any, name: str) -> None:
    cache = SecretCache(client=client)
    client.put_secret_value(SecretId=name, SecretString=json.dumps({"username": "app", "password": "pä$$"}))

    @InjectSecretString(name, cache)  # type: ignore[untyped-decorator]  # the library has no types
    def whole(secret: str, suffix: str) -> str:
        return secret + suffix

    @InjectKeywordedSecretString(secret_id=name, cache=cache, user="username", password="password")  # type: ignore[untyped-decorator]  # likewise
    def parts(user: str, password: str, host: str) -> str:
        return f"{user}:{password}@{host}"

    @InjectKeywordedSecretString(secret_id=name, cache=cache, user="user")  # type: ignore[untyped-decorator]  # likewise
    def unknown_key(user: str) -> str:
        return user

    assert json.loads(whole("\n"))["username"] == "app"
    assert parts(host="db") == "app:pä$$@db"
    with pytest.raises(RuntimeError, match="does not contain key user"):
        unknown_key()


def test_without_a_client_it_finds_the_server_by_itself(
    server: ServerProcess, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in server.environ().items():
        monkeypatch.setenv(variable, value)

    assert SecretCache().get_secret_string(name) == "first"
