"""The client: where it goes, how long it waits, what its log must not show."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest

from keyturn.rotators import secret


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("SECRETS_MANAGER_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    level = logging.getLogger("botocore").level
    secret.client.cache_clear()
    made = cast("Any", secret.client())
    yield made
    made.close()
    secret.client.cache_clear()
    logging.getLogger("botocore").setLevel(level)


def test_the_client_goes_to_the_endpoint_in_the_environment(client: Any) -> None:
    assert client.meta.endpoint_url == "http://127.0.0.1:1"


def test_the_client_gives_up_before_a_function_of_thirty_seconds_does(client: Any) -> None:
    config = client.meta.config
    assert config.retries["total_max_attempts"] * config.read_timeout < 30


def test_the_client_is_made_once(client: Any) -> None:
    assert secret.client() is client


def test_botocore_does_not_log_requests_even_at_debug_level(client: Any) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    try:
        assert not logging.getLogger("botocore.endpoint").isEnabledFor(logging.DEBUG)
        assert not logging.getLogger("botocore.parsers").isEnabledFor(logging.DEBUG)
    finally:
        logging.getLogger().setLevel(logging.WARNING)
