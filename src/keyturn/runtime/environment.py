"""One execution environment: a log stream, a process tree that stays warm, and the course of one invocation.

    1. INIT_START when the environment begins; the process loads the function's module.
    2. START, and the event goes to the process.
    3. Its answer, its failure, its end, or the end of its time.
    4. END and REPORT; every line is stored before the caller gets the outcome.

Where the function logs JSON these are events of the same meaning (``platform_events.py``).

After a timeout or a crash the environment is over; the next invocation begins a new one.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from keyturn.clock import Clock
from keyturn.errors.base import KeyturnError
from keyturn.runtime import report
from keyturn.runtime.api import ApiLoop, Event, RuntimeApi
from keyturn.runtime.logs import EnvironmentLog
from keyturn.runtime.network import Network
from keyturn.runtime.platform_events import platform_events
from keyturn.runtime.process import Answer, Exited, FunctionProcess, Gone, InitError, Ready, TimedOut, TooLarge
from keyturn.runtime.sandbox import Enclosure, Sandbox
from keyturn.runtime.spec import FunctionSpec, Invocation, RoleCredentials, RuntimeSettings
from keyturn.runtime.variables import function_environment


class EnvironmentEnded(KeyturnError):
    """The environment was ended before its process had begun."""

    def __init__(self) -> None:
        super().__init__("The function's execution environment was ended before it had begun.")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one invocation came to; ``error_type`` only if it is not the function's own answer."""

    payload: bytes
    failed: bool
    error_type: str | None = None


class Environment:
    """An execution environment. Belongs to one invocation at a time; the pool sees to that.

    Args:
        spec: The function it runs.
        enclosure: What it may see and use.
        credentials: Its session of the execution role.
        settings: This server's.
        sandbox: How its process is enclosed.
        api_loop: Where its Runtime API lives.
        new_network: Makes a network of its own for its process; returns None where it has the machine's.
        spawn: Runs a start function in a thread that outlives the environment.
        log: Its log stream.
        clock: For the lines that carry a date.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        enclosure: Enclosure,
        credentials: RoleCredentials,
        *,
        settings: RuntimeSettings,
        sandbox: Sandbox,
        api_loop: ApiLoop,
        new_network: Callable[[], Network | None],
        spawn: Callable[[Callable[[], subprocess.Popen[bytes]]], subprocess.Popen[bytes]],
        log: EnvironmentLog,
        clock: Clock,
    ) -> None:
        self.spec = spec
        self.enclosure = enclosure
        self.expires_at = credentials.expires_at
        self._credentials = credentials
        self._settings = settings
        self._sandbox = sandbox
        self._api_loop = api_loop
        self._new_network = new_network
        self._spawn = spawn
        self._log = log
        self._platform = platform_events(spec, log, clock)
        log.dropped_line = self._platform.dropped
        self._process: FunctionProcess | None = None
        self._ending = threading.Event()
        self._starting = threading.Lock()

    @property
    def is_alive(self) -> bool:
        """Whether it can take another invocation."""
        process = self._process
        return process is not None and process.is_alive and process.is_connected and not self._ending.is_set()

    def watch_memory(self) -> None:
        """Compare the memory it takes with its limit."""
        if self._process is not None:
            self._process.watch_memory()

    def end(self) -> None:
        """End its processes. An invocation that is under way ends as if the process had crashed."""
        self._ending.set()
        # What is being started is ended when it has been, and nothing is started any more.
        with self._starting:
            process = self._process
        if process is not None:
            process.end()

    def invoke(self, payload: bytes, *, request_id: str, client_context: str | None, invoked_arn: str) -> Invocation:
        """Run the function once, under the name by which it was invoked.

        Raises:
            EnvironmentEnded: It was ended meanwhile, and nothing has run.
        """
        self._log.begin_invocation()
        init_ms: float | None = None
        if self._process is None:
            init, init_ms = self._initialise()
        else:
            init = Ready()
        self._platform.started(request_id, invoked_arn)
        began = time.monotonic()
        deadline = began + self.spec.timeout_seconds
        if isinstance(init, TimedOut):
            # Loading gets a second chance, on the invocation's own time.
            # Source: AWS Lambda Developer Guide, "Init phase".
            self._running.end()
            init, init_ms = self._start().wait_until_ready(deadline), None
        outcome = self._outcome(init, payload, request_id, client_context, invoked_arn, deadline)
        duration_ms = min(time.monotonic() - began, float(self.spec.timeout_seconds)) * 1000
        self._finish(request_id, outcome, report.Measures(duration_ms, self.spec.memory_mb, 0, init_ms))
        return Invocation(
            payload=outcome.payload,
            function_error="Unhandled" if outcome.failed else None,
            log_tail=self._log.tail(),
            executed_version=self.spec.version,
            duration_ms=duration_ms,
        )

    @property
    def _running(self) -> FunctionProcess:
        if self._process is None:
            raise RuntimeError("The environment has no process.")
        return self._process

    def _initialise(self) -> tuple[Ready | InitError | Exited | TimedOut, float | None]:
        """Start the process and load the module; return how that went and, if it went well, how long it took."""
        self._platform.init_started(self.enclosure.interpreter, self.enclosure.memory_bytes)
        began = time.monotonic()
        process = self._start()
        init = process.wait_until_ready(began + self._settings.init_timeout_seconds)
        elapsed_ms = (time.monotonic() - began) * 1000
        process.drain()
        is_ready = isinstance(init, Ready)
        error_types = {InitError: getattr(init, "error_type", None), Exited: report.EXIT_ERROR}
        self._platform.init_ended(elapsed_ms, is_ready=is_ready, error_type=error_types.get(type(init)))
        return init, elapsed_ms if is_ready else None

    def _start(self) -> FunctionProcess:
        layout = self._sandbox.layout(self.enclosure)
        network = self._new_network()

        def start(api: RuntimeApi, log_fd: int) -> subprocess.Popen[bytes]:
            environment = function_environment(
                self.spec,
                self._settings,
                self._credentials,
                log_stream=self._log.stream,
                runtime_api=api.address if network is None else network.runtime_api,
                endpoints=None if network is None else network.endpoints(),
                task_root=layout.task_root,
                layers=layout.layers,
                runtime_directory=layout.runtime_directory,
                temporary=layout.temporary,
                ca_bundle=layout.ca_bundle,
            )
            environment["_LAMBDA_TELEMETRY_LOG_FD"] = str(log_fd)
            argv = ["-m", "awslambdaric", self.spec.program or self.spec.handler]
            spawn = partial(self._sandbox.start, self.enclosure, environment, argv, log_fd)
            if network is None:
                return self._spawn(spawn)
            return network.start(lambda joined: self._spawn(partial(spawn, joined)), api)

        with self._starting:
            if self._ending.is_set():
                raise EnvironmentEnded
            memory_bytes = self.enclosure.memory_bytes
            self._process = FunctionProcess(start, self._api_loop, self._log, memory_bytes, network)
            return self._process

    def _outcome(
        self,
        init: Ready | InitError | Exited | TimedOut,
        payload: bytes,
        request_id: str,
        client_context: str | None,
        invoked_arn: str,
        deadline: float,
    ) -> _Outcome:
        result: Answer | TooLarge | InitError | Exited | TimedOut | Ready = init
        if isinstance(init, Ready):
            event = self._event(payload, request_id, client_context, invoked_arn, deadline)
            result = self._running.call(event, deadline)
            if isinstance(result, Gone):
                # A warm process may end between two invocations, which is not this one's fault.
                result = self._start().wait_until_ready(deadline)
                result = self._running.call(event, deadline) if isinstance(result, Ready) else result
        if isinstance(result, InitError):
            return _Outcome(result.body, failed=True, error_type=result.error_type)
        if isinstance(result, Answer):
            return _Outcome(result.body, failed=result.failed)
        if isinstance(result, TooLarge):
            # awslambdaric takes the refusal of its answer for a reason to end.
            return _Outcome(report.too_large_payload(), failed=True, error_type=report.TOO_LARGE)
        if isinstance(result, Exited):
            error_type = report.OUT_OF_MEMORY if result.out_of_memory else report.EXIT_ERROR
            self._log.close_output()
            self._platform.exited(request_id, result.status)
            return _Outcome(report.exit_payload(request_id, result.status), failed=True, error_type=error_type)
        self._running.measure_peak()
        self._running.end()
        timeout_seconds = float(self.spec.timeout_seconds)
        self._log.close_output()
        self._platform.timed_out(request_id)
        return _Outcome(report.timeout_payload(request_id, timeout_seconds), failed=True, error_type=report.TIMED_OUT)

    def _event(
        self, payload: bytes, request_id: str, client_context: str | None, invoked_arn: str, deadline: float
    ) -> Event:
        # The function compares this with the machine's own clock, so no other clock will do.
        deadline_ms = int((time.time() + deadline - time.monotonic()) * 1000)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": request_id,
            "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": invoked_arn,
        }
        if client_context:
            # Written anew: the caller's text must not begin another header.
            headers["Lambda-Runtime-Client-Context"] = json.dumps(json.loads(client_context))
        return Event(request_id, payload or b"{}", headers)

    def _finish(self, request_id: str, outcome: _Outcome, measures: report.Measures) -> None:
        process = self._running
        process.measure_peak()
        process.drain()
        self._log.close_output()
        used = self.enclosure.memory_bytes if outcome.error_type == report.OUT_OF_MEMORY else process.peak_bytes
        measures = report.Measures(measures.duration_ms, measures.memory_mb, used, measures.init_ms)
        self._platform.ended(
            request_id,
            measures,
            answer_bytes=len(outcome.payload),
            is_failed=outcome.failed,
            error_type=outcome.error_type,
        )
        if outcome.error_type is not None:
            self.end()
        self._log.flush()
