"""What a function cannot do to the machine, to other functions and to the server's log. Real processes, no server."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from keyturn.runtime import FunctionSpec, RuntimeSettings
from keyturn.runtime.spec import SandboxChoice
from keyturn.testing.functions import FunctionBench

DEADLINE_SECONDS = 20


def new_bench(directory: Path, sandbox: SandboxChoice = "auto") -> FunctionBench:
    return FunctionBench(
        RuntimeSettings(
            directory=directory / "runtime",
            endpoint_url="http://127.0.0.1:9",
            sandbox=sandbox,
            log_limit_bytes=256 * 1024,
            hidden=(directory,),
        )
    )


@pytest.fixture(scope="module")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    (directory / "root.key").write_text("the root key")
    return directory


@pytest.fixture(scope="module", params=["auto", "none"])
def any_bench(data_directory: Path, request: pytest.FixtureRequest) -> Iterator[FunctionBench]:
    bench = new_bench(data_directory / request.param, request.param)
    yield bench
    bench.runtime.close()


@pytest.fixture(scope="module")
def bench(data_directory: Path) -> Iterator[FunctionBench]:
    bench = new_bench(data_directory)
    if "bubblewrap" not in bench.runtime.sandbox_description:
        bench.runtime.close()
        pytest.skip("needs a working bubblewrap")
    yield bench
    bench.runtime.close()


def answer(bench: FunctionBench, spec: FunctionSpec, event: object = None) -> Any:
    invocation = bench.invoke(spec, event)
    assert invocation.function_error is None, invocation.payload
    return json.loads(invocation.payload)


def wait_for(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


def test_a_function_sees_only_its_own_files(bench: FunctionBench, data_directory: Path) -> None:
    look = bench.function(
        "import os\n"
        "def handler(event, context):\n"
        "    found = {}\n"
        "    for path in event:\n"
        "        try: found[path] = os.listdir(path) if os.path.isdir(path) else open(path).read()\n"
        "        except OSError as error: found[path] = type(error).__name__\n"
        "    return found",
        files={"own.txt": "mine"},
    )
    runtime = data_directory / "runtime"
    paths = [str(path) for path in (data_directory, data_directory / "root.key", runtime / "packages")]
    found = answer(bench, look, [*paths, "/etc/shadow", "/home", "/root/.ssh", "/run", "/sys", "/var/task/own.txt"])
    assert found.pop("/var/task/own.txt") == "mine"
    assert set(found.values()) == {"FileNotFoundError"}
    listing = answer(bench, look, ["/var", "/var/runtime"])
    assert sorted(listing["/var"]) == ["runtime", "task"]
    assert {"awslambdaric", "boto3", "botocore"} <= set(listing["/var/runtime"])
    assert not {"keyturn", "sqlalchemy", "cryptography", "psycopg"} & set(listing["/var/runtime"])


def test_a_function_cannot_import_what_lambda_does_not_have(bench: FunctionBench) -> None:
    spec = bench.function(
        "import importlib.util\n"
        "def handler(event, context): return [name for name in event if importlib.util.find_spec(name)]"
    )
    assert answer(bench, spec, ["boto3", "keyturn", "sqlalchemy", "pip", "uvicorn"]) == ["boto3"]


def test_a_function_can_write_to_tmp_alone_and_only_so_much(bench: FunctionBench) -> None:
    spec = bench.function(
        "import os\n"
        "def attempt(path, size=1):\n"
        "    try:\n"
        "        with open(path, 'wb') as file:\n"
        "            while size > 0: size -= file.write(b'x' * min(size, 1 << 20))\n"
        "    except OSError as error: return type(error).__name__ + str(error.errno)\n"
        "    return 'written'\n"
        "def handler(event, context):\n"
        "    places = ['/x', '/var/task/x', '/var/runtime/x', '/usr/x', '/etc/x', '/dev/x', '/dev/shm/x', '/tmp/x']\n"
        "    return [attempt(p) for p in places] + [attempt(f'/tmp/{n}', 60 << 20) for n in range(3)]",
        ephemeral_storage_mb=100,
    )
    outcomes = answer(bench, spec)
    assert "written" not in outcomes[:7]
    assert outcomes[7:9] == ["written", "written"]
    assert outcomes[9].startswith("OSError")


def test_functions_do_not_see_each_other_nor_the_machines_processes(bench: FunctionBench) -> None:
    source = "import os\ndef handler(event, context): return [p for p in os.listdir('/proc') if p.isdigit()]"
    one, two = bench.function(source), bench.function(source)
    assert len(answer(bench, one)) <= 3
    assert len(answer(bench, two)) <= 3


def test_a_function_has_no_privileges(bench: FunctionBench) -> None:
    spec = bench.function(
        "import os, socket, getpass\n"
        "def handler(event, context):\n"
        "    status = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())\n"
        "    return [os.getuid(), status['CapEff'].strip(), status['NoNewPrivs'].strip(), getpass.getuser(),\n"
        "            [e for e in os.listdir('/proc/self/fd') if 'memfd' in (os.path.realpath('/proc/self/fd/' + e))]]"
    )
    uid, capabilities, no_new_privileges, name, leaked = answer(bench, spec)
    assert uid != 0
    assert (int(capabilities, 16), no_new_privileges, name, leaked) == (0, "1", "sbx_user1051", [])


def test_a_fork_bomb_ends_with_its_invocation(bench: FunctionBench) -> None:
    spec = bench.function(
        "import os, time\n"
        "def handler(event, context):\n"
        "    while True:\n"
        "        try: os.fork()\n"
        "        except OSError: time.sleep(0.2)",
        timeout_seconds=2,
    )
    bystander = bench.function("def handler(event, context): return 'fine'")
    thread = threading.Thread(target=bench.invoke, args=(spec,))
    thread.start()
    assert answer(bench, bystander) == "fine"
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert len(_function_processes()) <= 8


def test_a_function_has_a_bounded_number_of_processes(bench: FunctionBench) -> None:
    spec = bench.function(
        "import os, time\n"
        "def handler(event, context):\n"
        "    for count in range(2000):\n"
        "        try: child = os.fork()\n"
        "        except BlockingIOError: return count\n"
        "        if not child:\n"
        "            os.close(1); os.close(2); time.sleep(60)",
        memory_mb=4096,
    )
    assert 50 < answer(bench, spec) <= 256
    bench.runtime.discard(spec.arn)


def _function_processes() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if "awslambdaric" in process.cmdline():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_a_function_that_takes_too_much_memory_is_killed(any_bench: FunctionBench) -> None:
    spec = any_bench.function(
        "import time\n"
        "def handler(event, context):\n"
        "    kept = []\n"
        "    while True:\n"
        "        kept.append(bytearray(b'x' * (8 << 20))); time.sleep(0.01)",
        memory_mb=128,
    )
    invocation = any_bench.invoke(spec, request_id="5f3c")
    assert json.loads(invocation.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": "RequestId: 5f3c Error: Runtime exited with error: signal: killed",
    }
    (stream,) = [s for s, lines in any_bench.logs.items() if any("OutOfMemory" in line.message for line in lines)]
    report = any_bench.logs[stream][-1].message
    assert "Max Memory Used: 128 MB" in report
    assert "Status: error\tError Type: Runtime.OutOfMemory" in report


def test_a_flood_of_output_is_cut_and_says_so(any_bench: FunctionBench) -> None:
    any_bench.logs.clear()
    spec = any_bench.function(
        "import logging\n"
        "def handler(event, context):\n"
        "    print('first')\n"
        "    for _ in range(1500): print('x' * 99_999)\n"
        "    logging.getLogger().warning('lost')"
    )
    assert any_bench.invoke(spec).function_error is None
    messages = any_bench.messages()
    assert "first\n" in messages
    assert sum(map(len, messages)) < 300 * 1024
    (closing,) = [message for message in messages if message.startswith("KEYTURN")]
    match = re.search(r"exceeds 262144 bytes; (\d+) bytes", closing)
    assert match
    assert int(match[1]) > 149_000_000
    assert messages[-1].startswith("REPORT")
    any_bench.logs.clear()
    quiet = any_bench.function("def handler(event, context): print('x' * 300_000)")
    any_bench.invoke(quiet)
    assert not any(message.startswith("x") and len(message) > 256 * 1024 for message in any_bench.messages())


def test_processes_left_behind_end_with_the_environment(any_bench: FunctionBench) -> None:
    spec = any_bench.function(
        "import subprocess\n"
        "def handler(event, context):\n"
        "    subprocess.Popen(['sleep', '987654'], start_new_session=True)\n"
        "    subprocess.Popen(['sh', '-c', 'sleep 987655 & sleep 987655'], start_new_session=True)"
    )
    any_bench.invoke(spec)
    wait_for(lambda: len(_sleepers("98765")) >= 3, "the sleepers never began")
    any_bench.runtime.discard(spec.arn)
    wait_for(lambda: not _sleepers("98765"), "sleepers outlived their environment")


def _sleepers(prefix: str) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        arguments = process.info["cmdline"] or []
        if arguments[:1] == ["sleep"] and arguments[1].startswith(prefix):
            found.append(process.pid)
    return found


def test_strangers_are_not_answered_by_the_runtime_api(any_bench: FunctionBench) -> None:
    spec = any_bench.function("import os\ndef handler(event, context): return os.environ['AWS_LAMBDA_RUNTIME_API']")
    host, port = answer(any_bench, spec).split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE_SECONDS) as stranger:
        stranger.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert stranger.recv(100) == b""
    spy = any_bench.function(
        "import http.client\n"
        "def handler(event, context):\n"
        "    try:\n"
        "        connection = http.client.HTTPConnection(event, timeout=5)\n"
        "        connection.request('GET', '/2018-06-01/runtime/invocation/next')\n"
        "        return connection.getresponse().status\n"
        "    except (OSError, http.client.HTTPException) as error: return 'refused'"
    )
    assert answer(any_bench, spy, f"{host}:{port}") == "refused"
    assert answer(any_bench, spec) == f"{host}:{port}"


def test_an_answer_for_another_invocation_is_refused(any_bench: FunctionBench) -> None:
    spec = any_bench.function(
        "import http.client, os\n"
        "def handler(event, context):\n"
        "    codes = []\n"
        "    for method, path in event:\n"
        "        connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'], timeout=5)\n"
        "        connection.request(method, '/2018-06-01/runtime/' + path, b'{}' if method == 'POST' else None)\n"
        "        codes.append(connection.getresponse().status)\n"
        "    return codes"
    )
    event = [
        ("POST", "invocation/other/response"),
        ("GET", "invocation/next"),
        ("POST", "init/error"),
        ("GET", "elsewhere"),
    ]
    assert answer(any_bench, spec, event) == [400, 403, 403, 404]


@pytest.mark.parametrize("sandbox", ["auto", "none"])
def test_no_function_survives_a_server_that_is_killed(tmp_path: Path, sandbox: str) -> None:
    number = {"auto": "876543", "none": "876544"}[sandbox]
    program = textwrap.dedent(
        f"""
        from pathlib import Path
        from keyturn.runtime import RuntimeSettings
        from keyturn.testing.functions import FunctionBench
        directory = Path({str(tmp_path)!r})
        settings = RuntimeSettings(directory, "http://127.0.0.1:9", sandbox={sandbox!r})
        bench = FunctionBench(settings)
        spec = bench.function('''
        import subprocess, time
        def handler(event, context):
            subprocess.Popen(["sleep", "{number}"], start_new_session=True)
            time.sleep(60)
        '''.replace(chr(10) + " " * 8, chr(10)), timeout_seconds=60)
        bench.invoke(spec)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    server = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        wait_for(lambda: len(_sleepers(number)) == 1, "the function never began")
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    wait_for(lambda: not _sleepers(number), "a function outlived the server")
