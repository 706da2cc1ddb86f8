"""The runtime: keeps execution environments, warm ones first, and bounds how many there are.

When all environments a function may have are busy, or as many of its invocations run as are reserved for it, its
invocation is refused at once, as Lambda does; callers retry. An idle environment of another function gives way. A warm
environment serves only while its credentials outlast the invocation.

Beside those places, a few environments run a program of Keyturn's own in a function's stead, once each: it sees what
the function sees (``rotators/preflight``).
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path

from keyturn.arn import Place
from keyturn.clock import Clock
from keyturn.errors.base import KeyturnError
from keyturn.errors.lambda_ import (
    EC2UnexpectedException,
    InvalidParameterValueException,
    RequestTooLargeException,
    TooManyRequestsException,
)
from keyturn.rules.network.maps import Map
from keyturn.rules.network.plan import Door, NetworkPlan
from keyturn.runtime import interpreters, package, removal, report
from keyturn.runtime.api import ApiLoop
from keyturn.runtime.application_level import ApplicationFilter
from keyturn.runtime.environment import Environment, EnvironmentEnded
from keyturn.runtime.logs import EnvironmentLog
from keyturn.runtime.network import Network, network_problem
from keyturn.runtime.sandbox import Enclosure, Sandbox, choose_sandbox
from keyturn.runtime.spec import (
    CredentialsFor,
    FunctionSpec,
    Invocation,
    LoadPackage,
    LogLine,
    Meter,
    OpenDoor,
    RuntimeSettings,
    WriteLog,
)

RESERVATION_USED_UP = "ReservedFunctionConcurrentInvocationLimitExceeded"
"""Why an invocation is throttled, in AWS's word."""
_MIB = 1024 * 1024
_CREDENTIALS_MARGIN = timedelta(minutes=1)
# Between two looks at the memory of environments, while one is busy and while none is.
_BUSY_LOOK_SECONDS = 0.1
# Programs that run in a function's stead at the same time.
_PROGRAMS = 4
_IDLE_LOOK_SECONDS = 2.0


class RuntimeClosed(KeyturnError):
    """The server ends, and its functions with it."""

    def __init__(self) -> None:
        super().__init__("The function runtime is closed.")


@dataclass(slots=True)
class _Place:
    """A place for one environment. ``environment`` is None while it is being made."""

    spec: FunctionSpec
    slot: int
    environment: Environment | None = None
    is_busy: bool = True
    is_discarded: bool = False
    idle_since: float = 0.0


class Runtime:
    """Runs Lambda functions. Thread-safe.

    Args:
        settings: How functions run on this server.
        clock: For dates in log lines and the expiry of credentials.
        load_package: Fetches a deployment package by its ``code_sha256``.
        credentials_for: Opens a session of a function's execution role.
        write_log: Stores log events.
        meter: Counts invocations, not those of programs.
        open_door: Serves this server's APIs inside a function's own network; needed only where functions have one.

    Raises:
        KeyturnError: No sandbox that the settings demand, or no interpreter that can run functions.
    """

    def __init__(
        self,
        *,
        settings: RuntimeSettings,
        clock: Clock,
        load_package: LoadPackage,
        credentials_for: CredentialsFor,
        write_log: WriteLog,
        meter: Meter,
        open_door: OpenDoor | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._load_package = load_package
        self._credentials_for = credentials_for
        self._write_log = write_log
        self._meter = meter
        self._open_door = open_door or _no_door
        self._packages = _empty_directory(settings.directory / "packages")
        self._scratch = _empty_directory(settings.directory / "scratch")
        self._sandbox: Sandbox = choose_sandbox(settings, _some_interpreter())
        if settings.isolate and not self._sandbox.has_networks:
            raise KeyturnError(
                f"Functions cannot be isolated: {self._sandbox.description}.",
                "Install the package bubblewrap, and let Keyturn use it (--sandbox auto).",
            )
        self._api_loop = ApiLoop()
        # One thread that stays: when the thread that started a process ends, the process gets the signal meant for the
        # end of its parent. Source: prctl(2), PR_SET_PDEATHSIG.
        self._spawner = ThreadPoolExecutor(1, thread_name_prefix="keyturn-spawner")
        self._lock = threading.Lock()
        self._places: list[_Place] = []
        # Of programs; they count as nobody's.
        self._beside: list[_Place] = []
        self._is_closed = False
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="keyturn-runtime-watcher", daemon=True)
        self._watcher.start()

    @property
    def sandbox_description(self) -> str:
        """How functions are enclosed on this machine."""
        return self._sandbox.description

    @property
    def sandbox_warning(self) -> str | None:
        """What a function can do here that it should not; None if nothing is known."""
        return self._sandbox.warning

    @property
    def network_maps(self) -> tuple[Map, ...]:
        """Which addresses of VPCs are which of the operator's."""
        return self._settings.network_maps

    @property
    def isolates(self) -> bool:
        """Whether functions that are in no VPC reach this server and nothing else."""
        return self._settings.isolate

    @property
    def vpc_problem(self) -> str | None:
        """Why functions cannot be in a VPC on this machine; None if they can."""
        return network_problem() if self._sandbox.has_networks else "bubblewrap is not used"

    @property
    def networks(self) -> str:
        """What functions reach: whether those in no VPC are isolated, and whether others can be in VPCs."""
        isolated = "functions in no VPC are isolated, " if self.isolates else ""
        problem = self.vpc_problem
        return isolated + ("functions can be in VPCs" if problem is None else f"functions cannot be in VPCs: {problem}")

    def occupancy(self) -> tuple[int, int, int]:
        """How many environments are busy, how many are idle, and how many there may be."""
        with self._lock:
            busy = sum(place.is_busy for place in self._places)
            return busy, len(self._places) - busy, self._settings.max_environments

    def available_runtimes(self) -> tuple[str, ...]:
        """Runtime identifiers this machine can serve."""
        return interpreters.available_runtimes()

    def invoke(
        self, spec: FunctionSpec, payload: bytes, *, request_id: str, client_context: str | None = None
    ) -> Invocation:
        """Run a function once and wait for its outcome; its log lines are stored when this returns.

        Args:
            spec: The function as it is now.
            payload: The event, JSON; empty counts as ``{}``.
            request_id: Appears in the function's context and log.
            client_context: JSON for the context object.

        Raises:
            TooManyRequestsException: Every environment is busy, or as many of the function as are reserved for it.
            RequestTooLargeException: The event exceeds 6 MB.
            InvalidParameterValueException: No interpreter here serves the function's runtime.
            KeyturnError: The package is missing or broken, or the runtime is closed.
        """
        if len(payload) > report.REQUEST_LIMIT_BYTES:
            raise RequestTooLargeException(
                f"Request must be smaller than {report.REQUEST_LIMIT_BYTES} bytes for the InvokeFunction operation"
            )
        began_at, invocation = self._clock.now(), None
        try:
            place = self._take_place(spec)
        except TooManyRequestsException:
            self._meter.throttled(spec, began_at)
            raise
        self._meter.began(spec, began_at)
        try:
            if place.environment is None:
                place.environment = self._new_environment(spec, place.slot)
            invocation = place.environment.invoke(
                payload, request_id=request_id, client_context=client_context, invoked_arn=spec.invoked_arn
            )
        except BaseException:
            place.is_discarded = True
            raise
        finally:
            self._meter.ended(spec, began_at, invocation)
            self._give_back(place)
        return invocation

    def run_beside(self, spec: FunctionSpec, layer: bytes, payload: bytes, *, request_id: str) -> Invocation:
        """Run a program once where the function would run, and wait for its outcome.

        It has the function's code, layers, variables, role and sandbox, and a fresh environment that takes none of the
        places of invocations. What it prints is kept nowhere.

        Args:
            spec: The function as it is now, with the program.
            layer: Archive of the layer that the program is in; it lies over the function's own.
            payload: The event, JSON.
            request_id: Appears in the program's context.

        Raises:
            TooManyRequestsException: Too many programs run.
            InvalidParameterValueException: No interpreter here serves the function's runtime.
            RuntimeClosed: The runtime is closed, or was meanwhile.
            KeyturnError: The package is missing or broken.
        """
        sha256 = package.code_sha256(layer)
        spec = replace(spec, layers=(*spec.layers, sha256))
        with self._lock:
            if self._is_closed:
                raise RuntimeClosed
            if len(self._beside) >= _PROGRAMS:
                raise _too_many()
            place = _Place(spec, self._free_slot([]))
            self._beside.append(place)
        self._wake.set()
        try:
            package.unpack(layer, expected_sha256=sha256, into=self._packages)
            place.environment = self._new_environment(spec, place.slot, _unwritten)
            said = place.environment.invoke(
                payload, request_id=request_id, client_context=None, invoked_arn=spec.invoked_arn
            )
        except EnvironmentEnded:
            raise RuntimeClosed from None
        finally:
            self._end([place])
            with self._lock:
                self._beside.remove(place)
        if place.is_discarded:
            raise RuntimeClosed
        return said

    def discard(self, arn: str) -> None:
        """End a function's environments; those that are busy end with their invocation."""
        with self._lock:
            concerned = [place for place in self._places if place.spec.arn == arn]
            for place in concerned:
                place.is_discarded = True
            idle = self._remove([place for place in concerned if not place.is_busy])
        self._end(idle)

    def kill(self, arn: str) -> None:
        """End a function's environments at once: invocations under way fail as if its process had crashed."""
        self.discard(arn)
        with self._lock:
            busy = [place.environment for place in (*self._places, *self._beside) if place.spec.arn == arn]
        for environment in busy:
            if environment is not None:
                environment.end()

    def close(self) -> None:
        """End every environment; invocations under way fail."""
        with self._lock:
            self._is_closed = True
            places = [*self._places, *self._beside]
            for place in places:
                place.is_discarded = True
        self._closing.set()
        self._wake.set()
        self._watcher.join()
        self._end(places)
        self._spawner.shutdown()
        self._api_loop.close()
        removal.remove(self._scratch)

    def _take_place(self, spec: FunctionSpec) -> _Place:
        """Return a warm environment's place, or make room for a new one."""
        with self._lock:
            if self._is_closed:
                raise RuntimeClosed
            self._check_reservation(spec)
            stale = [place for place in self._places if not place.is_busy and not self._is_usable(place)]
            stale += [p for p in self._places if not p.is_busy and p not in stale and _replaces(spec, p.spec)]
            ended = self._remove(stale)
            place = next((p for p in self._places if not p.is_busy and _serves(p.spec, spec)), None)
            if place is None:
                ended += self._make_room(spec)
                place = _Place(spec, self._free_slot(ended))
                self._places.append(place)
            place.is_busy = True
        self._wake.set()
        self._end(ended)
        return place

    def _check_reservation(self, spec: FunctionSpec) -> None:
        # Idle environments run nothing and do not count, whatever version they are of.
        running = sum(place.is_busy and place.spec.arn == spec.arn for place in self._places)
        if spec.reserved_concurrency is not None and running >= spec.reserved_concurrency:
            raise _too_many(RESERVATION_USED_UP)

    def _is_usable(self, place: _Place) -> bool:
        environment = place.environment
        if environment is None or not environment.is_alive:
            return False
        needed_until = self._clock.now() + timedelta(seconds=place.spec.timeout_seconds) + _CREDENTIALS_MARGIN
        return environment.expires_at > needed_until

    def _make_room(self, spec: FunctionSpec) -> list[_Place]:
        """Return the places that must be ended so that one more fits."""
        of_function = sum(place.spec.arn == spec.arn for place in self._places)
        if of_function >= self._settings.max_environments_per_function:
            raise _too_many()
        if len(self._places) < self._settings.max_environments:
            return []
        idle = [place for place in self._places if not place.is_busy]
        if not idle:
            raise _too_many()
        return self._remove([min(idle, key=lambda place: place.idle_since)])

    def _free_slot(self, ended: list[_Place]) -> int:
        # The processes of places that just ended may live a moment longer, and a slot is a user.
        taken = {place.slot for place in (*self._places, *self._beside, *ended)}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)

    def _remove(self, places: list[_Place]) -> list[_Place]:
        for place in places:
            self._places.remove(place)
        return places

    def _end(self, places: list[_Place]) -> None:
        for place in places:
            if place.environment is not None:
                place.environment.end()
                removal.remove(place.environment.enclosure.scratch)

    def _give_back(self, place: _Place) -> None:
        environment = place.environment
        with self._lock:
            if environment is not None and environment.is_alive and not place.is_discarded:
                place.is_busy = False
                place.idle_since = time.monotonic()
                return
        # Ended first, then removed: until its processes are gone nobody else may have its slot.
        self._end([place])
        with self._lock, contextlib.suppress(ValueError):
            self._places.remove(place)

    def _new_environment(self, spec: FunctionSpec, slot: int, write_log: WriteLog | None = None) -> Environment:
        interpreter = interpreters.find_interpreter(spec.runtime)
        code = self._unpacked(spec.code_sha256)
        layers = [self._unpacked(sha256) for sha256 in spec.layers]
        credentials = self._credentials_for(spec)
        enclosure = Enclosure(
            slot=slot,
            code=code,
            layers=package.merge(layers, into=self._packages) if layers else None,
            scratch=Path(tempfile.mkdtemp(dir=self._scratch)),
            interpreter=interpreter,
            memory_bytes=spec.memory_mb * _MIB,
            storage_bytes=spec.ephemeral_storage_mb * _MIB,
        )
        log = EnvironmentLog(
            partial(write_log or self._write_log, spec),
            self._clock,
            stream=report.stream_name(spec.version, self._clock.now(), spec.name if spec.shares_log_group else ""),
            limit_bytes=self._settings.log_limit_bytes,
            keeps=ApplicationFilter(spec.application_log_level if spec.log_format == "JSON" else None),
        )
        return Environment(
            spec,
            enclosure,
            credentials,
            settings=self._settings,
            sandbox=self._sandbox,
            api_loop=self._api_loop,
            new_network=partial(self._new_network, spec, slot),
            spawn=self._spawn,
            log=log,
            clock=self._clock,
        )

    def _new_network(self, spec: FunctionSpec, slot: int) -> Network | None:
        """Return a network for one process, in one of the function's subnets; None if it has the machine's.

        Raises:
            EC2UnexpectedException: This machine cannot give it one.
        """
        if not spec.networks and not self._settings.isolate:
            return None
        plan = spec.networks[slot % len(spec.networks)] if spec.networks else None
        if plan is not None and self.vpc_problem is not None:
            raise EC2UnexpectedException(
                f"This server cannot give a function the network of a VPC: {self.vpc_problem}.",
                EC2ErrorCode="Unavailable",
            )
        return Network(
            plan,
            self._settings,
            self._api_loop,
            self._open_door,
            place=spec.place,
        )

    def _unpacked(self, code_sha256: str) -> Path:
        directory = package.unpacked_path(code_sha256, into=self._packages)
        if directory.is_dir():
            return directory
        return package.unpack(self._load_package(code_sha256), expected_sha256=code_sha256, into=self._packages)

    def _spawn(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        return self._spawner.submit(start).result()

    def _watch(self) -> None:
        """Look after memory and idle environments until the runtime closes."""
        while True:
            self._wake.clear()
            with self._lock:
                if self._is_closed:
                    return
                places = [*self._places, *self._beside]
                oldest = time.monotonic() - self._settings.idle_seconds
                idle = self._remove([p for p in places if not p.is_busy and p.idle_since < oldest])
            self._end(idle)
            for place in places:
                if place.environment is not None:
                    place.environment.watch_memory()
            if any(place.is_busy for place in places):
                self._closing.wait(_BUSY_LOOK_SECONDS)
            else:
                self._wake.wait(_IDLE_LOOK_SECONDS if places else None)


def _no_door(listener: socket.socket, place: Place, plan: NetworkPlan | None, door: Door | None) -> Callable[[], None]:
    """Serve nothing: whoever connects waits."""
    del place, plan, door
    return listener.close


def _empty_directory(path: Path) -> Path:
    """A directory for what need not survive; functions' users may pass through it."""
    removal.remake(path)
    path.chmod(0o711)
    path.parent.chmod(0o711)
    return path


def _some_interpreter() -> interpreters.Interpreter:
    """The interpreter to try the sandbox with: our own if it can run functions; asking all others takes a second."""
    with contextlib.suppress(InvalidParameterValueException):
        return interpreters.find_interpreter(f"python3.{sys.version_info.minor}")
    if available := interpreters.available_runtimes():
        return interpreters.find_interpreter(available[-1])
    raise KeyturnError(
        "No Python on this machine can run functions.",
        "Install awslambdaric and boto3 for the Python that runs Keyturn.",
    )


def _unwritten(_spec: FunctionSpec, _stream: str, _lines: Sequence[LogLine], /) -> None:
    """Drop what a program prints."""


def _serves(warm: FunctionSpec, wanted: FunctionSpec) -> bool:
    return (warm.arn, warm.version) == (wanted.arn, wanted.version) and _is_same(warm, wanted)


def _replaces(new: FunctionSpec, old: FunctionSpec) -> bool:
    """Whether an environment of ``old`` is of no use any more when ``new`` is invoked."""
    return (new.arn, new.version) == (old.arn, old.version) and not _is_same(new, old)


def _is_same(one: FunctionSpec, other: FunctionSpec) -> bool:
    # A network changes without the function: any route or rule of its VPC is a part of it.
    return (one.revision_id, one.networks) == (other.revision_id, other.networks)


def _too_many(reason: str = "ConcurrentInvocationLimitExceeded") -> TooManyRequestsException:
    return TooManyRequestsException("Rate Exceeded.", Reason=reason, Type="User", retryAfterSeconds="1")
