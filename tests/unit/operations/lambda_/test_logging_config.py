from __future__ import annotations

from typing import Any

import pytest

from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.operations.lambda_.specs import spec_of
from keyturn.storage import functions

from .conftest import ARN, LambdaBench

PLAIN = {"LogFormat": "Text", "LogGroup": "/aws/lambda/rotate"}
INFO = {"LogFormat": "JSON", "LogGroup": "/aws/lambda/rotate", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}


def update(bench: LambdaBench, **logging: str) -> Any:
    answer = bench.call("UpdateFunctionConfiguration", FunctionName="rotate", LoggingConfig=logging)
    assert bench.call("GetFunctionConfiguration", FunctionName="rotate")["LoggingConfig"] == answer["LoggingConfig"]
    return answer["LoggingConfig"]


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, PLAIN),
        ({"LogFormat": "Text"}, PLAIN),
        ({"LogGroup": "app"}, {**PLAIN, "LogGroup": "app"}),
        ({"LogFormat": "JSON"}, INFO),
        ({"LogFormat": "JSON", "SystemLogLevel": "DEBUG"}, {**INFO, "SystemLogLevel": "DEBUG"}),
        ({"LogFormat": "JSON", "ApplicationLogLevel": "FATAL"}, {**INFO, "ApplicationLogLevel": "FATAL"}),
    ],
)
def test_what_is_left_out_is_lambdas_default(bench: LambdaBench, asked: dict[str, str], shown: dict[str, str]) -> None:
    assert bench.create(LoggingConfig=asked)["LoggingConfig"] == shown
    bench.create("other")
    bench.call("DeleteFunction", FunctionName="rotate")
    bench.create()
    assert update(bench, **asked) == shown


def test_a_change_keeps_what_it_leaves_out_and_plain_text_has_no_levels(bench: LambdaBench) -> None:
    bench.create(LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN", "LogGroup": "app"})

    assert update(bench, ApplicationLogLevel="ERROR") == {
        "LogFormat": "JSON",
        "LogGroup": "app",
        "ApplicationLogLevel": "ERROR",
        "SystemLogLevel": "WARN",
    }
    assert update(bench, LogFormat="Text") == {"LogFormat": "Text", "LogGroup": "app"}
    assert update(bench, LogFormat="JSON") == {**INFO, "LogGroup": "app"}


@pytest.mark.parametrize("level", [{"ApplicationLogLevel": "INFO"}, {"SystemLogLevel": "INFO"}])
@pytest.mark.parametrize("log_format", [{}, {"LogFormat": "Text"}])
def test_a_level_of_plain_text_is_refused(
    bench: LambdaBench, level: dict[str, str], log_format: dict[str, str]
) -> None:
    bench.create()
    logging = {**level, **log_format}
    refusal = (
        'LogLevel is not supported when LogFormat is set to "Text". Remove LogLevel from your request or change the'
        ' LogFormat to "JSON" and try again.'
    )
    with pytest.raises(InvalidParameterValueException) as created:
        bench.create("other", LoggingConfig=logging)
    with pytest.raises(InvalidParameterValueException) as updated:
        update(bench, **logging)
    assert created.value.message == updated.value.message == refusal


def test_a_version_logs_as_it_was_published_and_the_runtime_is_told(bench: LambdaBench) -> None:
    bench.create(LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN", "LogGroup": "app"}, Publish=True)
    update(bench, LogFormat="Text", LogGroup="/aws/lambda/rotate")

    for name in ("rotate:1", "rotate"):
        bench.call("Invoke", FunctionName=name)

    was, now = bench.runtime.specs
    assert (was.log_format, was.log_group, was.application_log_level, was.system_log_level) == (
        "JSON",
        "app",
        "INFO",
        "WARN",
    )
    assert was.shares_log_group
    assert (now.log_format, now.log_group, now.shares_log_group) == ("Text", "/aws/lambda/rotate", False)
    with bench.handlers.kit.state.read() as connection:
        record = functions.load_function(connection, ARN)
    assert record is not None
    assert spec_of(bench.handlers.kit, record).log_group == "/aws/lambda/rotate"
