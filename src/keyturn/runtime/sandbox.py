"""What a function may see and use: file system, users, limits.

Three strengths, the first that works here is taken:

1. **bubblewrap**: a read-only system, the function's code at ``/var/task``, awslambdaric and boto3 at ``/var/runtime``,
   its layers at ``/opt``, a ``/tmp`` of its own and limited size, no other process in sight, no way to the data
   directory. Works for root, who gives each environment a user of its own, and for ordinary users, where the kernel
   lets them make user namespaces.
2. **user**: without bubblewrap, root still gives each environment a user of its own that owns nothing.
3. **limits**: resource limits only. The function can read what the server's user can read, and the operator is warned.

All start ``launcher.py``, which sets limits and user from inside.
"""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from keyturn.errors.base import KeyturnError
from keyturn.runtime.interpreters import Interpreter
from keyturn.runtime.proc import thread_count
from keyturn.runtime.seccomp import filter_program
from keyturn.runtime.spec import RuntimeSettings

_LAUNCHER = Path(__file__).with_name("launcher.py")
_TASK_ROOT = Path("/var/task")
_LAYERS = Path("/opt")
_RUNTIME_DIRECTORY = Path("/var/runtime")
# Beside an interpreter that lives in the same place each is a mount of its own. bubblewrap takes some thousands of
# arguments, three for each mount, and seconds long before that; real layers have a handful of entries.
_ENTRIES_BESIDE_PYTHON = 500
_CERTIFICATES = Path("/etc/pki/tls/cert.pem")
_MIB = 1024 * 1024
# Lambda allows 1,024 processes and threads; a fork bomb should not get that far on a machine with other work to do.
_PROCESSES = 256
_OPEN_FILES = 1024
# Memory is watched by sampling; this is the wall for one that allocates faster. It leaves room for stacks of threads.
_DATA_HEADROOM_BYTES = 1024 * _MIB
_PROBE_TIMEOUT_SECONDS = 20
# The user and group of Lambda's own sandbox.
_SANDBOX_USER, _SANDBOX_GROUP = 993, 990
# A range that neither distributions nor containers hand out. Source: systemd, "Users, Groups, UIDs and GIDs".
_FIRST_USER = 2_000_000_000
_SYSTEM = tuple(
    Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
)
_ETC = (
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "gai.conf",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki/ca-trust",
    "protocols",
    "resolv.conf",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a function finds things, as it sees them."""

    task_root: Path
    layers: Path
    runtime_directory: Path
    temporary: Path
    ca_bundle: Path | None


@dataclass(frozen=True, slots=True)
class Enclosure:
    """What one execution environment is given.

    Attributes:
        slot: Small number that no other living environment has; decides its user.
        code: Directory of the unpacked package.
        scratch: A directory of its own, for sandboxes that cannot give it a ``/tmp``.
        interpreter: The Python it runs.
        memory_bytes: Its memory limit.
        storage_bytes: Size of its ``/tmp``.
        layers: Directory of its layers, laid over each other; None if it has none.
    """

    slot: int
    code: Path
    scratch: Path
    interpreter: Interpreter
    memory_bytes: int
    storage_bytes: int
    layers: Path | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """A network that is made for a process while it waits.

    Attributes:
        says: Descriptor on which the launcher says that the namespaces are made.
        waits: Descriptor on which it waits.
        files: What files have in place of the machine's, by path.
    """

    says: int
    waits: int
    files: Mapping[str, str]


class Sandbox(Protocol):
    """A way to start a process with less than this process has."""

    description: str
    warning: str | None
    has_networks: bool

    def layout(self, enclosure: Enclosure) -> Layout:
        """Where the function will find things."""
        ...

    def start(
        self,
        enclosure: Enclosure,
        environment: Mapping[str, str],
        argv: list[str],
        log_fd: int,
        joined: Joined | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start ``argv`` under the function's interpreter; ``log_fd`` becomes its standard output and error.

        Raises:
            KeyturnError: It is to have a network of its own, which this sandbox cannot give it.
        """
        ...


def choose_sandbox(settings: RuntimeSettings, interpreter: Interpreter) -> Sandbox:
    """Return the strongest sandbox that works on this machine and that the settings allow.

    Raises:
        KeyturnError: The settings insist on bubblewrap, and it does not work here.
    """
    if settings.sandbox == "none":
        return ProcessSandbox(settings, None, "The settings ask for no sandbox")
    refusal = "bubblewrap (the program bwrap) is not installed"
    if executable := shutil.which("bwrap"):
        bubblewrap = Bubblewrap(settings, executable)
        problem = _probe(bubblewrap, settings, interpreter)
        if problem is None:
            return bubblewrap
        refusal = f"bubblewrap does not work here ({problem})"
    if settings.sandbox == "bubblewrap":
        raise KeyturnError(
            f"Functions cannot be sandboxed: {refusal}.",
            "Install the package bubblewrap, version 0.7 or later.",
            "In a container, allow user namespaces or add the capability SYS_ADMIN.",
        )
    if (
        os.geteuid() == 0
        and _probe(separate := ProcessSandbox(settings, _FIRST_USER, refusal), settings, interpreter) is None
    ):
        return separate
    return ProcessSandbox(settings, None, refusal)


def _probe(sandbox: Sandbox, settings: RuntimeSettings, interpreter: Interpreter) -> str | None:
    """Start a program that imports what every function needs; return what went wrong, or None."""
    with (
        tempfile.TemporaryDirectory(prefix="probe-", dir=settings.directory) as name,
        tempfile.TemporaryFile() as output,
    ):
        directory = Path(name)
        directory.chmod(0o755)
        enclosure = Enclosure(0, directory, directory, interpreter, 256 * _MIB, 16 * _MIB)
        layout = sandbox.layout(enclosure)
        environment = {"PYTHONPATH": str(layout.runtime_directory)}
        program = (
            "import sys, os, awslambdaric, runtime_client; os.listdir('.'); open(sys.argv[1] + '/probe', 'w').close()"
        )
        try:
            process = sandbox.start(enclosure, environment, ["-c", program, str(layout.temporary)], output.fileno())
        except OSError as error:
            return str(error.strerror)
        try:
            status = process.wait(_PROBE_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "it did not start in time"
        finally:
            if process.stdin:
                process.stdin.close()
        output.seek(0)
        lines = output.read().decode(errors="replace").strip().splitlines() or [f"exit status {status}"]
        return None if status == 0 else lines[-1]


def _limits(enclosure: Enclosure, processes: int | None) -> dict[str, int]:
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_DATA": enclosure.memory_bytes + _DATA_HEADROOM_BYTES,
        "RLIMIT_FSIZE": enclosure.storage_bytes,
        "RLIMIT_NOFILE": _OPEN_FILES,
    }
    return limits if processes is None else {**limits, "RLIMIT_NPROC": processes}


def _ca_bundle(settings: RuntimeSettings) -> Path | None:
    candidates = [settings.ca_bundle, ssl.get_default_verify_paths().cafile, *_CA_BUNDLES]
    return next((Path(path).resolve() for path in candidates if path and Path(path).is_file()), None)


def _memory_file(stack: ExitStack, content: str | bytes) -> int:
    """A descriptor of a file that exists in memory only, closed with ``stack``."""
    descriptor = os.memfd_create("keyturn", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    os.write(descriptor, content.encode() if isinstance(content, str) else content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _knows(executable: str, option: str) -> bool:
    """Whether this version of bubblewrap has an option."""
    text = subprocess.run([executable, "--help"], capture_output=True, check=False, timeout=_PROBE_TIMEOUT_SECONDS)  # noqa: S603 - found on PATH
    return option.encode() in text.stdout + text.stderr


class Bubblewrap:
    """Namespaces, read-only mounts and a tmpfs, made by ``bwrap``."""

    warning: str | None = None
    has_networks = True

    def __init__(self, settings: RuntimeSettings, executable: str) -> None:
        self._settings = settings
        self._executable = executable
        self._is_root = os.geteuid() == 0
        self._disable_userns = not self._is_root and _knows(executable, "--disable-userns")
        self._ca_bundle = _ca_bundle(settings)
        self._filter = filter_program()
        self.description = (
            "bubblewrap, a user for each environment" if self._is_root else "bubblewrap, own user namespace"
        )

    def layout(self, enclosure: Enclosure) -> Layout:
        """Lambda's own places, the same for every function."""
        del enclosure
        asked = _CERTIFICATES if self._settings.ca_bundle else None
        return Layout(_TASK_ROOT, _LAYERS, _RUNTIME_DIRECTORY, Path("/tmp"), asked)  # noqa: S108 - a tmpfs that only this function sees

    def start(
        self,
        enclosure: Enclosure,
        environment: Mapping[str, str],
        argv: list[str],
        log_fd: int,
        joined: Joined | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start the launcher inside new namespaces."""
        user = _FIRST_USER + enclosure.slot if self._is_root else None
        python = str(enclosure.interpreter.executable)
        instructions = {
            "argv": [python, *argv],
            "environment": dict(environment),
            "directory": str(_TASK_ROOT),
            "limits": _limits(enclosure, _PROCESSES),
            "user": user,
            "supervise": False,
            "log_fd": log_fd,
            "network": None if joined is None else (joined.says, joined.waits),
        }
        shown_user, shown_group = (_SANDBOX_USER, _SANDBOX_GROUP) if user is None else (user, user)
        with ExitStack() as stack:
            passwd = _memory_file(stack, f"sbx_user1051:x:{shown_user}:{shown_group}::/tmp:/sbin/nologin\n")
            group = _memory_file(stack, f"sbx_user1051:x:{shown_group}:\n")
            launcher = _memory_file(stack, json.dumps(instructions))
            descriptors = [log_fd, passwd, group, launcher]
            command = [self._executable, *self._namespaces()]
            if joined is not None:
                descriptors += [joined.says, joined.waits]
                command.append("--unshare-net")
            if self._filter is not None:
                descriptors.append(_memory_file(stack, self._filter))
                command += ["--seccomp", str(descriptors[-1])]
            command += [
                *self._system(enclosure.interpreter),
                *["--perms", "0444", "--ro-bind-data", str(passwd), "/etc/passwd"],
                *["--perms", "0444", "--ro-bind-data", str(group), "/etc/group"],
                *self._files(joined, stack, descriptors),
                *["--perms", "1777", "--size", str(enclosure.storage_bytes), "--tmpfs", "/tmp"],  # noqa: S108 - see layout
                *["--ro-bind", str(enclosure.code), str(_TASK_ROOT)],
                *_layers_of(enclosure),
                # Writable places beside /tmp would be memory that nobody counts.
                *["--remount-ro", "/dev", "--remount-ro", "/"],
                *["--", python, "-I", "-S", str(_RUNTIME_DIRECTORY / _LAUNCHER.name), str(launcher)],
            ]
            return subprocess.Popen(  # noqa: S603 - a fixed program; no part of the command comes from a function
                command,
                env={"LANG": "C.UTF-8"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log_fd,
                stderr=log_fd,
                pass_fds=descriptors,
            )

    @staticmethod
    def _files(joined: Joined | None, stack: ExitStack, descriptors: list[int]) -> list[str]:
        """Arguments for files of another content than the machine's; those come before, and are hidden by these."""
        arguments: list[str] = []
        for path, content in ({} if joined is None else joined.files).items():
            descriptors.append(_memory_file(stack, content))
            arguments += ["--perms", "0444", "--ro-bind-data", str(descriptors[-1]), path]
        return arguments

    def _namespaces(self) -> list[str]:
        flags = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "localhost"]
        flags += ["--new-session", "--die-with-parent", "--cap-drop", "ALL"]
        if self._is_root:
            # The launcher needs these two to become the environment's user, and loses them by that.
            return [*flags, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        flags += ["--unshare-user", "--uid", str(_SANDBOX_USER), "--gid", str(_SANDBOX_GROUP)]
        return [*flags, "--disable-userns"] if self._disable_userns else flags

    def _system(self, interpreter: Interpreter) -> list[str]:
        """Arguments for what every function sees, its code and ``/tmp`` aside."""
        binds: dict[Path, Path] = {}
        arguments: list[str] = []
        for path in _SYSTEM:
            if path.is_symlink():
                arguments += ["--symlink", str(path.readlink()), str(path)]
            elif path.is_dir():
                binds[path] = path
        if not _is_below(interpreter.prefix, binds):
            binds[interpreter.prefix] = interpreter.prefix
        visible = tuple(binds)
        binds |= {path: path.resolve() for path in (Path("/etc") / name for name in _ETC) if path.exists()}
        if self._ca_bundle:
            binds |= dict.fromkeys((_CERTIFICATES, _CERTIFICATES.with_name("certs") / "ca-bundle.crt"), self._ca_bundle)
        binds |= {_RUNTIME_DIRECTORY / path.name: path for path in (_LAUNCHER, *interpreter.libraries)}
        # bubblewrap makes missing parents for its own user alone.
        parents = {
            parent for target in (*binds, _TASK_ROOT) for parent in target.parents if not _is_below(parent, visible)
        }
        for parent in sorted(parents - {Path("/")}):
            arguments += ["--dir", str(parent)]
        for target, source in binds.items():
            arguments += ["--ro-bind", str(source), str(target)]
        hidden = [path.resolve() for path in (self._settings.directory, *self._settings.hidden)]
        for path in (*interpreter.sites, *hidden):
            if path.is_dir() and _is_below(path, visible):
                arguments += ["--tmpfs", str(path), "--remount-ro", str(path)]
        return [*arguments, "--proc", "/proc", "--dev", "/dev"]


def _layers_of(enclosure: Enclosure) -> list[str]:
    """Arguments that put the layers at ``/opt``; one by one if they lie beside an interpreter that lives there too.

    Raises:
        KeyturnError: A layer has a directory in which this machine has its interpreter, or there is too much to show.
    """
    if enclosure.layers is None:
        return []
    if not _is_below(enclosure.interpreter.prefix, [_LAYERS]):
        return ["--ro-bind", str(enclosure.layers), str(_LAYERS)]
    arguments: list[str] = []
    entries = sorted(enclosure.layers.iterdir())
    if len(entries) > _ENTRIES_BESIDE_PYTHON:
        raise KeyturnError(
            f"A function's layers have more than {_ENTRIES_BESIDE_PYTHON} files and directories at their top.",
            f"Install Python elsewhere than in {_LAYERS}, or put the layers' files into directories.",
        )
    for entry in entries:
        target = _LAYERS / entry.name
        if _is_below(enclosure.interpreter.prefix, [target]):
            raise KeyturnError(
                f"A layer would hide the Python that runs the function: both are in {target}.",
                f"Install Python elsewhere than in {target}, or give the layer's files another directory.",
            )
        arguments += ["--ro-bind", str(entry), str(target)]
    return arguments


def _is_below(path: Path, roots: Iterable[Path]) -> bool:
    return any(path.is_relative_to(root) for root in roots)


class ProcessSandbox:
    """Resource limits, and a user of its own if ``first_user`` is given; no namespaces."""

    has_networks = False

    def __init__(self, settings: RuntimeSettings, first_user: int | None, reason: str) -> None:
        self._settings = settings
        self._first_user = first_user
        if first_user is None:
            self.description = "process limits only"
            self.warning: str | None = (
                f"{reason}: functions run as the user of this server and can read its files, the root key included."
            )
        else:
            self.description = "a user for each environment, no namespaces"
            self.warning = f"{reason}: functions see the machine's file system, as users that own nothing in it."

    def layout(self, enclosure: Enclosure) -> Layout:
        """The real places on this machine."""
        libraries = self._settings.directory / "libraries" / enclosure.interpreter.runtime
        libraries.mkdir(parents=True, exist_ok=True)
        for library in enclosure.interpreter.libraries:
            link = libraries / library.name
            if not link.is_symlink():
                link.symlink_to(library)
        ca_bundle = _ca_bundle(self._settings) if self._settings.ca_bundle else None
        return Layout(enclosure.code, enclosure.layers or _LAYERS, libraries, enclosure.scratch, ca_bundle)

    def start(
        self,
        enclosure: Enclosure,
        environment: Mapping[str, str],
        argv: list[str],
        log_fd: int,
        joined: Joined | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start the launcher as a supervisor in a session of its own."""
        if joined is not None:
            raise KeyturnError(
                "A function cannot have a network of its own without bubblewrap.",
                "Install the package bubblewrap, and let Keyturn use it (--sandbox auto).",
            )
        python = str(enclosure.interpreter.executable)
        user = None if self._first_user is None else self._first_user + enclosure.slot
        enclosure.scratch.mkdir(exist_ok=True, mode=0o700)
        if user is not None:
            os.chown(enclosure.scratch, user, user)
        instructions = {
            "argv": [python, "-s", *argv],
            "environment": dict(environment),
            "directory": str(enclosure.code),
            "limits": _limits(enclosure, _PROCESSES if user is not None else _process_limit()),
            "user": user,
            "supervise": True,
            "log_fd": log_fd,
            "network": None,
        }
        with ExitStack() as stack:
            launcher = _memory_file(stack, json.dumps(instructions))
            return subprocess.Popen(  # noqa: S603 - a fixed program; no part of the command comes from a function
                [python, "-I", "-S", str(_LAUNCHER), str(launcher)],
                env={"LANG": "C.UTF-8"},
                cwd="/",
                # The supervisor watches this pipe: it ends when this process does.
                stdin=subprocess.PIPE,
                stdout=log_fd,
                stderr=log_fd,
                pass_fds=(log_fd, launcher),
                start_new_session=True,
            )


def _process_limit() -> int:
    """The kernel counts all processes of a user, so those that run already are allowed for."""
    return _PROCESSES + thread_count(os.geteuid())
