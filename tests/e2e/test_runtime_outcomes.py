"""What a function's caller and its log get to know, for every way an invocation can end.

Real processes, the real awslambdaric, no server.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from keyturn.errors.base import KeyturnError
from keyturn.errors.lambda_ import (
    InvalidParameterValueException,
    RequestTooLargeException,
    TooManyRequestsException,
)
from keyturn.runtime import Invocation, RuntimeSettings
from keyturn.runtime.pool import RuntimeClosed
from keyturn.testing.clock import FakeClock
from keyturn.testing.functions import FunctionBench, zip_package

DEADLINE_SECONDS = 20


@pytest.fixture(scope="module")
def shared_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FunctionBench]:
    settings = RuntimeSettings(
        directory=tmp_path_factory.mktemp("runtime"),
        endpoint_url="http://127.0.0.1:9",
        max_environments_per_function=2,
    )
    bench = FunctionBench(settings, FakeClock())
    yield bench
    bench.runtime.close()


@pytest.fixture
def bench(shared_bench: FunctionBench) -> FunctionBench:
    shared_bench.logs.clear()
    return shared_bench


def body(invocation: Invocation) -> dict[str, str]:
    answer = json.loads(invocation.payload)
    assert isinstance(answer, dict)
    return answer


def wait_for(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


def last_report(bench: FunctionBench) -> str:
    return [message for message in bench.messages() if message.startswith("REPORT")][-1]


def test_an_answer_comes_back_with_the_log_lambda_writes(bench: FunctionBench) -> None:
    spec = bench.function("def handler(event, context):\n    print('hällo', event)\n    return {'wört': event}")
    invocation = bench.invoke(spec, "☃", request_id="5f3c")
    assert (invocation.function_error, body(invocation)) == (None, {"wört": "☃"})
    assert invocation.executed_version == "$LATEST"
    (stream,) = bench.logs
    assert re.fullmatch(r"2026/01/02/\[\$LATEST\][0-9a-f]{32}", stream)
    messages = bench.messages()
    assert messages[0].startswith("INIT_START Runtime Version: python:3.")
    assert messages[1:4] == ["START RequestId: 5f3c Version: $LATEST\n", "hällo ☃\n", "END RequestId: 5f3c\n"]
    assert re.fullmatch(
        r"REPORT RequestId: 5f3c\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
        r"Max Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms\t\n",
        messages[4],
    )
    assert invocation.log_tail.decode() == "".join(messages[1:]) or invocation.log_tail.decode() == "".join(messages)


def test_prints_records_and_child_processes_keep_their_order(bench: FunctionBench) -> None:
    spec = bench.function(
        "import logging, os\n"
        "def handler(event, context):\n"
        "    for number in range(40):\n"
        "        print('print', number)\n"
        "        logging.getLogger().warning('record %d\\nsecond line', number)\n"
        "        os.system(f'echo child {number}') if number < 3 else None\n"
        "    print('no line feed', end='')\n"
    )
    bench.invoke(spec, request_id="5f3c")
    said = [m for m in bench.messages() if not re.match("INIT_START|START|END|REPORT", m)]
    expected = []
    for number in range(40):
        expected += [f"print {number}\n", f"[WARNING]\tTIME\t5f3c\trecord {number}\nsecond line\n"]
        expected += [f"child {number}\n"] if number < 3 else []
    assert [re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", m) for m in said] == [*expected, "no line feed"]


JSON_LOGGING = """
import logging, sys
def handler(event, context):
    log = logging.getLogger()
    log.debug("debug")
    log.info("info")
    log.warning("warn %s", {"a": 1})
    print("printed")
    print('{"level": "debug", "msg": "printed debug"}')
    print('{"level": "error", "msg": "printed error"}')
    try:
        raise ValueError("böse")
    except ValueError:
        log.exception("caught")
    if event == "fail":
        raise KeyError("missing")
    if event == "hang":
        import time
        time.sleep(60)
    if event == "exit":
        sys.exit(3)
"""


def test_json_logs_are_one_object_a_line_as_lambdas(bench: FunctionBench) -> None:
    spec = bench.function(JSON_LOGGING, log_format="JSON", system_log_level="DEBUG", log_group="app")
    assert bench.invoke(spec, "fail", request_id="5f3c").function_error == "Unhandled"
    (stream,) = bench.logs
    assert re.fullmatch(rf"2026/01/02/{spec.name}\[\$LATEST\][0-9a-f]{{32}}", stream)

    messages = bench.messages()
    events = [json.loads(message) for message in messages if message != "printed\n"]
    assert messages.count("printed\n") == 1
    assert [event["type"] for event in events if "type" in event] == [
        f"platform.{name}" for name in ("initStart", "initRuntimeDone", "initReport", "start", "runtimeDone", "report")
    ]
    own = [event for event in events if "type" not in event]
    assert [(event["level"], event.get("message", event.get("msg"))) for event in own] == [
        ("INFO", "info"),
        ("WARNING", "warn {'a': 1}"),
        ("error", "printed error"),
        ("ERROR", "caught"),
        ("ERROR", None),
    ]
    caught, failed = own[3:]
    assert (caught["errorType"], caught["errorMessage"], caught["requestId"]) == ("ValueError", "böse", "5f3c")
    assert "line 12, in handler" in caught["stackTrace"][0]
    assert (failed["errorType"], failed["requestId"]) == ("KeyError", "5f3c")
    assert events[-1]["record"]["status"] == "error"


@pytest.mark.parametrize(
    ("event", "status", "error_type"),
    [("hang", "timeout", None), ("exit", "error", "Runtime.ExitError")],
)
def test_levels_of_json_logs_leave_out_what_is_below_them(
    bench: FunctionBench, event: str, status: str, error_type: str | None
) -> None:
    spec = replace(
        bench.function(JSON_LOGGING, log_format="JSON", timeout_seconds=3),
        application_log_level="ERROR",
        system_log_level="WARN",
    )

    bench.invoke(spec, "well", request_id="5f3c")
    bench.invoke(spec, event, request_id="6a1b")

    events = [json.loads(message) for message in bench.messages()]
    printed = [("error", "printed error"), ("ERROR", "caught")]
    assert [(e["level"], e.get("message", e.get("msg"))) for e in events if "level" in e] == printed * 2
    system = [event for event in events if "type" in event]
    assert [event["type"] for event in system] == ["platform.runtimeDone", "platform.report"]
    for told in system:
        assert told["record"]["requestId"] == "6a1b"
        assert (told["record"]["status"], told["record"].get("errorType")) == (status, error_type)


def test_a_warm_environment_keeps_globals_its_stream_and_its_process(bench: FunctionBench) -> None:
    spec = bench.function("n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n")
    assert [bench.invoke(spec).payload for _ in range(3)] == [b"1", b"2", b"3"]
    assert len(bench.logs) == 1
    assert sum("Init Duration" in message for message in bench.messages()) == 1


def test_an_exception_is_an_unhandled_error_with_its_traceback_in_one_event(bench: FunctionBench) -> None:
    spec = bench.function("def handler(event, context):\n    raise ValueError('böse')")
    invocation = bench.invoke(spec, request_id="5f3c")
    assert invocation.function_error == "Unhandled"
    answer = body(invocation)
    assert (answer["errorMessage"], answer["errorType"], answer["requestId"]) == ("böse", "ValueError", "5f3c")
    assert 'lambda_function.py", line 2, in handler' in answer["stackTrace"][0]
    (event,) = [message for message in bench.messages() if message.startswith("[ERROR]")]
    assert event.startswith("[ERROR] ValueError: böse\nTraceback (most recent call last):\n\xa0\xa0File ")
    assert "Status" not in last_report(bench)
    assert bench.invoke(spec).function_error == "Unhandled"
    assert len(bench.logs) == 1, "an exception must not end the environment"


@pytest.mark.parametrize(
    ("source", "handler", "error_type", "message"),
    [
        ("import absent", "lambda_function.handler", "Runtime.ImportModuleError", "No module named 'absent'"),
        ("x = 1", "lambda_function.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module"),
        ("def handler(:", "lambda_function.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module"),
        ("x = 1", "elsewhere.handler", "Runtime.ImportModuleError", "Unable to import module 'elsewhere'"),
        ("raise RuntimeError('early')", "lambda_function.handler", "RuntimeError", "early"),
    ],
)
def test_a_function_that_cannot_be_loaded_says_why(
    bench: FunctionBench, source: str, handler: str, error_type: str, message: str
) -> None:
    invocation = bench.invoke(bench.function(source, handler=handler))
    assert (invocation.function_error, body(invocation)["errorType"]) == ("Unhandled", error_type)
    assert message in body(invocation)["errorMessage"]
    messages = bench.messages()
    (report,) = [m for m in messages if m.startswith("INIT_REPORT")]
    assert report.endswith(f"Phase: init\tStatus: error\tError Type: {error_type}\n")
    assert any(message in m for m in messages if m.startswith("[ERROR]"))
    assert f"Status: error\tError Type: {error_type}" in last_report(bench)


def test_a_function_that_takes_too_long_is_ended_and_starts_afresh(bench: FunctionBench) -> None:
    spec = bench.function(
        "n = 0\n"
        "def handler(event, context):\n"
        "    global n\n    n += 1\n"
        "    print('begun', 0 < context.get_remaining_time_in_millis() <= 1000)\n"
        "    while event: pass\n"
        "    return n",
        timeout_seconds=1,
    )
    assert bench.invoke(spec, event=False).payload == b"1"
    invocation = bench.invoke(spec, event=True, request_id="5f3c")
    assert body(invocation) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: 5f3c Error: Task timed out after 1.00 seconds",
    }
    assert "2026-01-02T03:04:05.000Z 5f3c Task timed out after 1.00 seconds\n" in bench.messages()
    assert bench.messages().count("begun True\n") == 2
    assert re.search(r"Duration: 1000\.00 ms\t.*\tStatus: timeout\n$", last_report(bench))
    assert bench.invoke(spec, event=False).payload == b"1", "globals must be lost"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("os._exit(0)", "Runtime exited without providing a reason"),
        ("os._exit(7)", "Runtime exited with error: exit status 7"),
        ("os.kill(os.getpid(), 11)", "Runtime exited with error: signal: segmentation fault"),
        ("sys.exit(3)", "Runtime exited with error: exit status 3"),
    ],
)
def test_a_process_that_ends_is_an_exit_error(bench: FunctionBench, call: str, reason: str) -> None:
    spec = bench.function(f"import os, sys\ndef handler(event, context):\n    print('last words')\n    {call}")
    invocation = bench.invoke(spec, request_id="5f3c")
    assert invocation.function_error == "Unhandled"
    assert body(invocation) == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: 5f3c Error: {reason}"}
    assert "last words\n" in bench.messages()
    assert "Status: error\tError Type: Runtime.ExitError\n" in last_report(bench)


def test_a_process_that_ends_while_it_is_loaded_is_an_exit_error(bench: FunctionBench) -> None:
    invocation = bench.invoke(bench.function("import os\nos._exit(9)"), request_id="5f3c")
    assert body(invocation)["errorMessage"] == "RequestId: 5f3c Error: Runtime exited with error: exit status 9"
    assert any("Phase: init\tStatus: error\tError Type: Runtime.ExitError" in m for m in bench.messages())


def test_payloads_up_to_six_megabytes_pass_and_larger_ones_do_not(bench: FunctionBench) -> None:
    spec = bench.function("def handler(event, context):\n    return 'x' * event", memory_mb=512)
    large = 6 * 1024 * 1024
    assert len(bench.invoke(spec, large).payload) == large + 2
    invocation = bench.invoke(spec, large + 1000)
    assert body(invocation) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }
    assert bench.invoke(spec, 1).payload == b'"x"'
    echo = bench.function("def handler(event, context):\n    return len(event)", memory_mb=512)
    assert bench.invoke(echo, "x" * (large - 2)).payload == str(large - 2).encode()
    with pytest.raises(RequestTooLargeException):
        bench.invoke(echo, "x" * large)


def test_an_answer_that_is_not_json_is_the_functions_error(bench: FunctionBench) -> None:
    invocation = bench.invoke(bench.function("def handler(event, context):\n    return object()"))
    assert (invocation.function_error, body(invocation)["errorType"]) == ("Unhandled", "Runtime.MarshalError")
    assert bench.invoke(bench.function("def handler(event, context): pass")).payload == b"null"


def test_the_environment_is_lambdas(bench: FunctionBench) -> None:
    spec = bench.function(
        "import os, sys\n"
        "def handler(event, context):\n"
        "    return {'variables': dict(os.environ), 'cwd': os.getcwd(), 'name': context.function_name,\n"
        "            'custom': context.client_context.custom, 'memory': context.memory_limit_in_mb,\n"
        "            'arn': context.invoked_function_arn, 'stream': context.log_stream_name}",
        environment={"OWN": "wört", "AWS_REGION": "ignored", "SECRETS_MANAGER_ENDPOINT": "https://elsewhere"},
        arn="arn:aws:lambda:eu-central-1:000000000000:function:elsewhere",
    )
    answer = json.loads(bench.invoke(spec, client_context='{"custom": {"a": "b"}}').payload)
    assert (answer["name"], answer["memory"], answer["arn"]) == (spec.name, "128", spec.arn)
    assert answer["custom"] == {"a": "b"}
    assert [answer["stream"]] == list(bench.logs)
    variables = answer["variables"]
    assert answer["cwd"] == variables["LAMBDA_TASK_ROOT"]
    assert variables["OWN"] == "wört"
    assert variables["AWS_REGION"] == variables["AWS_DEFAULT_REGION"] == "eu-central-1"
    assert variables["SECRETS_MANAGER_ENDPOINT"] == "https://elsewhere"
    assert variables["AWS_ENDPOINT_URL"] == "http://127.0.0.1:9"
    assert variables["AWS_ACCESS_KEY_ID"] == "ASIAEXAMPLE"
    assert variables["AWS_SECRET_ACCESS_KEY"] == f"secret-{bench.sessions}"
    assert variables["AWS_SESSION_TOKEN"] == f"token-{bench.sessions}"
    assert variables["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{spec.runtime}"
    assert variables["_HANDLER"] == "lambda_function.handler"
    assert variables["TZ"] == ":UTC"
    assert not {"HOME", "KEYTURN_HOME", "PYTEST_CURRENT_TEST"} & set(variables)


def test_boto3_signs_with_the_roles_session(bench: FunctionBench) -> None:
    spec = bench.function(
        "import boto3\n"
        "def handler(event, context):\n"
        "    client = boto3.client('secretsmanager')\n"
        "    return [client.meta.endpoint_url, boto3.Session().get_credentials().token]"
    )
    assert json.loads(bench.invoke(spec).payload) == ["http://127.0.0.1:9", f"token-{bench.sessions}"]


def test_a_new_revision_is_never_served_by_an_old_environment(bench: FunctionBench) -> None:
    old = bench.function("def handler(event, context): return 'old'")
    new = bench.function("def handler(event, context): return 'new'", arn=old.arn, name=old.name)
    assert [bench.invoke(old).payload, bench.invoke(new).payload] == [b'"old"', b'"new"']
    bench.runtime.discard(new.arn)
    bench.invoke(new)
    assert len(bench.logs) == 3


def test_an_environment_does_not_outlive_its_credentials(bench: FunctionBench) -> None:
    spec = bench.function("import os\ndef handler(event, context): return os.environ['AWS_SESSION_TOKEN']")
    first = bench.invoke(spec).payload
    assert bench.invoke(spec).payload == first
    assert isinstance(bench.clock, FakeClock)
    bench.clock.advance(timedelta(minutes=59))
    assert bench.invoke(spec).payload != first


def test_invocations_run_side_by_side_up_to_the_limit(bench: FunctionBench) -> None:
    spec = bench.function(
        "import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(event)\n    return event"
    )
    outcomes: list[bytes] = []
    threads = [threading.Thread(target=lambda: outcomes.append(bench.invoke(spec, 1.5).payload)) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_for(lambda: bench.messages().count("begun\n") == 2, "the functions never began")
    with pytest.raises(TooManyRequestsException) as refusal:
        bench.invoke(spec, 0)
    assert refusal.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
    for thread in threads:
        thread.join()
    assert outcomes == [b"1.5", b"1.5"]
    assert bench.invoke(spec, 0).payload == b"0"


@pytest.mark.parametrize("reserved", [0, 1])
def test_no_more_invocations_run_at_once_than_are_reserved(bench: FunctionBench, reserved: int) -> None:
    spec = bench.function(
        "import time\ndef handler(event, context):\n    time.sleep(event)\n", reserved_concurrency=reserved
    )
    invocations = [threading.Thread(target=bench.invoke, args=(spec, 3)) for _ in range(reserved)]
    for invocation in invocations:
        invocation.start()
    wait_for(lambda: bench.runtime.occupancy()[0] == reserved, "the invocations did not begin")

    # Of all versions together: an idle or another environment is no way around it.
    for other in (spec, replace(spec, version="1")):
        with pytest.raises(TooManyRequestsException) as refused:
            bench.invoke(other, 0)
        assert (refused.value.message, refused.value.members["Reason"]) == (
            "Rate Exceeded.",
            "ReservedFunctionConcurrentInvocationLimitExceeded",
        )

    for invocation in invocations:
        invocation.join()
    assert bench.invoke(replace(spec, reserved_concurrency=None), 0).function_error is None
    bench.runtime.discard(spec.arn)


def test_closing_the_runtime_ends_an_invocation_under_way(tmp_path: Path) -> None:
    bench = FunctionBench(RuntimeSettings(tmp_path, "http://127.0.0.1:9"))
    spec = bench.function("import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(9)")
    outcomes: list[str | None] = []
    thread = threading.Thread(target=lambda: outcomes.append(bench.invoke(spec).function_error))
    thread.start()
    wait_for(lambda: "begun\n" in bench.messages(), "the function never began")
    bench.runtime.close()
    thread.join(DEADLINE_SECONDS)
    assert outcomes == ["Unhandled"]
    with pytest.raises(KeyturnError, match="closed"):
        bench.invoke(spec)


def test_a_process_that_ends_between_invocations_is_replaced(bench: FunctionBench) -> None:
    spec = bench.function("n = 0\ndef handler(event, context):\n    global n\n    n += 1\n    return n", name="doomed")
    for _ in range(5):
        assert bench.invoke(spec).payload == b"1"
        (process,) = _function_processes("doomed")
        process.kill()
        process.wait(DEADLINE_SECONDS)


def test_an_idle_environment_is_ended(tmp_path: Path) -> None:
    settings = RuntimeSettings(tmp_path, "http://127.0.0.1:9", idle_seconds=0.0)
    bench = FunctionBench(settings)
    bench.invoke(bench.function("def handler(event, context): pass", name="idle"))
    wait_for(lambda: not _function_processes("idle"), "the idle environment stayed")
    bench.runtime.close()


def _function_processes(name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if "awslambdaric" in process.cmdline() and process.environ().get("AWS_LAMBDA_FUNCTION_NAME") == name:
                found.append(process)
    return found


def test_an_unknown_runtime_names_the_available_ones(bench: FunctionBench) -> None:
    with pytest.raises(InvalidParameterValueException, match=r"python2\.7 is not available .* python3\."):
        bench.invoke(bench.function("", runtime="python2.7"))


def _layer(source: str) -> bytes:
    return zip_package({"python/looks.py": source, "beside.txt": "of the layer"})


def test_a_program_runs_in_a_functions_stead_with_its_code_and_variables(bench: FunctionBench) -> None:
    spec = bench.function("WORD = 'of the function'\ndef handler(event, context): return 1")
    layer = _layer(
        "import os, sys\n"
        "def look(event, context):\n"
        "    import lambda_function\n"
        "    print('nobody reads this')\n"
        "    path = os.path.join(os.path.dirname(os.path.dirname(__file__)), 'beside.txt')\n"
        "    return [lambda_function.WORD, os.environ['_HANDLER'], open(path).read(), context.aws_request_id, event]\n"
    )
    program, occupied = replace(spec, program="looks.look"), bench.runtime.occupancy()
    said = bench.runtime.run_beside(program, layer, b'"it"', request_id="7")

    assert json.loads(said.payload) == ["of the function", spec.handler, "of the layer", "7", "it"]
    assert bench.logs == {}
    assert bench.runtime.occupancy() == occupied


def test_programs_take_no_place_of_invocations_and_have_a_bound_of_their_own(bench: FunctionBench) -> None:
    pause = "import time\ndef handler(event, context): time.sleep(event)"
    spec = bench.function(pause)
    layer = _layer("import time\ndef look(event, context): time.sleep(event)")
    program = replace(spec, program="looks.look")
    refused: list[str] = []

    def run(seconds: float) -> None:
        try:
            bench.runtime.run_beside(program, layer, json.dumps(seconds).encode(), request_id="1")
        except TooManyRequestsException:
            refused.append("refused")

    busy = [threading.Thread(target=bench.invoke, args=(spec, 2)) for _ in range(2)]
    beside = [threading.Thread(target=run, args=(2,)) for _ in range(5)]
    for thread in (*busy, *beside):
        thread.start()
    wait_for(lambda: bench.runtime.occupancy()[0] == 2, "the function's places are taken")
    with pytest.raises(TooManyRequestsException):
        bench.invoke(spec, 0)
    for thread in (*busy, *beside):
        thread.join()

    assert refused == ["refused"]
    run(0)
    assert refused == ["refused"]


def test_a_program_ends_with_the_runtime(tmp_path: Path) -> None:
    bench = FunctionBench(RuntimeSettings(directory=tmp_path, endpoint_url="http://127.0.0.1:9"), FakeClock())
    spec = replace(bench.function("def handler(event, context): pass"), program="looks.look", timeout_seconds=60)
    layer = _layer("import time\ndef look(event, context): time.sleep(60)")
    ended: list[type[Exception]] = []

    def run() -> None:
        try:
            bench.runtime.run_beside(spec, layer, b"1", request_id="1")
        except KeyturnError as error:
            ended.append(type(error))

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: bool(bench.runtime._beside and bench.runtime._beside[0].environment), "the program runs")
    bench.runtime.close()
    thread.join(DEADLINE_SECONDS)

    assert ended == [RuntimeClosed]
