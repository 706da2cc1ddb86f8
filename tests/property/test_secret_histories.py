"""The server against the model, over long random histories of one secret.

Two machines: a real server through boto3, one server for all histories; and the handlers with a clock that can be
moved, where versions grow old and are cleaned up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis.stateful import run_state_machine_as_test
from tests.e2e.conftest import ServerProcess
from tests.e2e.idle_function import function_that_never_runs

from keyturn.errors.base import AwsError
from keyturn.operations.accesses import Accesses
from keyturn.operations.secretsmanager import rotation
from keyturn.testing.clock import FakeClock
from keyturn.testing.handlers import HandlerBench, open_bench

from .histories import histories
from .secret_machine import SecretMachine, Server
from .secret_model import Refused

# Of a server whose moments are its own, and of any.
_MOMENTS = ("CreatedDate", "LastChangedDate", "LastRotatedDate")
_BESIDE = ("ResponseMetadata", "LastAccessedDate", "DeletedDate", "DeletionDate", "RotationLambdaARN", "KmsKeyIds")


def _shown(answer: dict[str, Any], *unknown: str) -> dict[str, Any]:
    """What of an answer the model knows."""
    shown = {name: value for name, value in answer.items() if name not in (*unknown, *_BESIDE)}
    if "Versions" in shown:
        versions = [_shown(version, *unknown) for version in shown["Versions"]]
        shown["Versions"] = sorted(versions, key=lambda version: version["VersionId"])
    return shown


def _with_all_pages(call: Callable[..., Any], request: dict[str, Any]) -> Any:
    """The answer, with the versions of all its pages."""
    answer = call(**request)
    while "NextToken" in answer:
        page = call(**request, NextToken=answer.pop("NextToken"))
        answer = {**page, "Versions": [*answer["Versions"], *page["Versions"]]}
    return answer


def _machine_on(server: Server) -> type[SecretMachine]:
    class Machine(SecretMachine):
        def __init__(self) -> None:
            super().__init__(server)

    return Machine


class _Boto3:
    """A real server. Its clock is its own, and its scheduler may end a rotation at any moment."""

    clock: FakeClock | None = None

    def __init__(self, server: ServerProcess, function_arn: str) -> None:
        self._client = server.client("secretsmanager", parameter_validation=False)
        self._function_arn = function_arn

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "RotateSecret":
            request["RotationLambdaARN"] = self._function_arn
        method = getattr(self._client, _SNAKE[operation])
        try:
            return _shown(_with_all_pages(method, request), *_MOMENTS)
        except ClientError as error:
            said: Any = error.response["Error"]
            raise Refused(said["Code"], said["Message"]) from None


_SNAKE = {
    "CreateSecret": "create_secret",
    "PutSecretValue": "put_secret_value",
    "UpdateSecret": "update_secret",
    "UpdateSecretVersionStage": "update_secret_version_stage",
    "RotateSecret": "rotate_secret",
    "CancelRotateSecret": "cancel_rotate_secret",
    "DeleteSecret": "delete_secret",
    "RestoreSecret": "restore_secret",
    "DescribeSecret": "describe_secret",
    "ListSecretVersionIds": "list_secret_version_ids",
    "GetSecretValue": "get_secret_value",
}


class _Handlers:
    """The operations on a workbench; nobody drives the rotations that they begin."""

    def __init__(self, bench: HandlerBench) -> None:
        bench.kit = replace(bench.kit, accesses=Accesses(), wake_scheduler=lambda: None)
        self.clock: FakeClock | None = bench.clock
        self._bench = bench

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "RotateSecret":
            request["RotationLambdaARN"] = "arn:aws:lambda:us-east-1:000000000000:function:rotate"
        try:
            answer = _with_all_pages(partial(self._bench.call, "secretsmanager", operation), request)
        except AwsError as error:
            raise Refused(error.shape_name(), error.message) from None
        return _shown(answer)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"))
    process.start()
    yield process
    assert process.stop() == 0, process.log()


def test_a_real_server_does_what_the_model_does(server: ServerProcess) -> None:
    machine = _machine_on(_Boto3(server, function_that_never_runs(server)))
    run_state_machine_as_test(machine, settings=histories(10, 30))


@pytest.fixture
def handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Handlers]:
    monkeypatch.setattr(rotation, "check_function", lambda *_: None)
    with open_bench(tmp_path) as bench:
        yield _Handlers(bench)


def test_the_handlers_do_what_the_model_does_also_when_time_passes(handlers: _Handlers) -> None:
    run_state_machine_as_test(_machine_on(handlers), settings=histories(40, 40))


def test_beyond_a_hundred_versions_those_of_the_day_before_go(handlers: _Handlers) -> None:
    history = SecretMachine(handlers)
    history.begin(None, {"SecretString": "a"})
    history.put(None, {"SecretString": "a"}, ["BLUE"])
    for _ in range(110):
        history.put(None, {"SecretString": "a"}, None)
    history.everything_looks_the_same()
    assert len(history.model.known) == 112

    history.time_passes(23)
    history.put(None, {"SecretString": "a"}, None)
    assert len(history.model.known) == 113
    history.time_passes(1)
    history.put(None, {"SecretString": "a"}, None)
    assert len(history.model.known) == 100
    history.put(None, {"SecretString": "a"}, ["GREEN"])
    history.rotate(None)
    history.everything_looks_the_same()
    # What is labelled stays, and so does what is a day old when nothing has to go.
    secret = history.model.secret
    assert secret is not None
    assert {"BLUE", "AWSPREVIOUS", "AWSPENDING"} < secret.labels
    history.time_passes(24)
    history.take_off(0)
    history.everything_looks_the_same()
