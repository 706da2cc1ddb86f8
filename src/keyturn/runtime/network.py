"""The network of one execution environment: a namespace of its own, what leads out of it, the server's sockets in it.

    1. bubblewrap makes the namespace, with a loopback interface and nothing else, and ``launcher.py`` waits in it.
    2. ``network_setup.py`` joins it, loads the packet rules, and sends back the sockets in which the server listens
       there: the Runtime API, the VPC's resolver, and a door to Keyturn's APIs for each way to them.
    3. For a function in a VPC slirp4netns connects it to the machine. Only what the rules let pass gets that far.
    4. The launcher goes on, and becomes the function.

All of it ends with the process, and with the server however that ends: bubblewrap dies with its parent, slirp4netns
when a pipe of the server's closes, and a namespace, its rules and its sockets with the last who holds them. There is
nothing to clean up, and nothing on the machine's own network is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from ipaddress import IPv4Address
from pathlib import Path
from typing import BinaryIO, Self
from urllib.parse import urlsplit

from keyturn.arn import Place
from keyturn.errors.base import KeyturnError
from keyturn.rules.network.packet_rules import InnerPorts, ruleset
from keyturn.rules.network.plan import Door, NetworkPlan
from keyturn.runtime import proc
from keyturn.runtime.api import ApiLoop, RuntimeApi
from keyturn.runtime.resolver import Resolver
from keyturn.runtime.sandbox import Joined
from keyturn.runtime.spec import OpenDoor, RuntimeSettings

_SETUP = Path(__file__).with_name("network_setup.py")
_TUN = Path("/dev/net/tun")
# What a function sees of its network in Lambda, too.
_LINK = "169.254.76.0/23"
_HOST_LOOPBACK = "169.254.76.2"
_INTERFACE = "eth0"
_RUNTIME_PORT = 9001
_RESOLVER_PORT = 9053
_DOOR_PORT = 9443
_SECONDS = 10.0
# Source: unix(7), SCM_MAX_FD.
_MOST_SOCKETS = 253
# Source: ioctl_ns(2).
_NS_GET_USERNS = 0xB701
_HTTPS = 443
# Each takes slirp4netns a descriptor, and a quarter of a megabyte that does not count as the function's.
_MOST_CONNECTIONS = 256


class Network:
    """The network of one process tree, from before its start until its end.

    Args:
        plan: What the function's VPC lets it reach; None for one in no VPC, which reaches Keyturn and nothing else.
        settings: This server's.
        api_loop: Where the resolver lives.
        open_door: Serves Keyturn's APIs on a socket.
        place: The function's.
    """

    def __init__(
        self,
        plan: NetworkPlan | None,
        settings: RuntimeSettings,
        api_loop: ApiLoop,
        open_door: OpenDoor,
        *,
        place: Place,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._api_loop = api_loop
        self._open_door = open_door
        self._place = place
        self._doors: tuple[Door | None, ...] = (None,) if plan is None else plan.doors
        self._held = ExitStack()
        self._slirp: _Slirp | None = None

    @property
    def is_connected(self) -> bool:
        """Whether what leads out of it is still there."""
        return self._slirp is None or self._slirp.is_running

    @property
    def runtime_api(self) -> str:
        """``host:port`` of the Runtime API, as the function reaches it."""
        return f"127.0.0.1:{_RUNTIME_PORT}"

    def endpoints(self) -> Mapping[str, str]:
        """The variables that tell the SDKs where Keyturn's APIs are, as the function reaches them."""
        if self._plan is None:
            url = f"http://127.0.0.1:{_DOOR_PORT}"
            return {"AWS_ENDPOINT_URL": url, "SECRETS_MANAGER_ENDPOINT": url}
        urls = {
            f"AWS_ENDPOINT_URL_{service}": f"http://{host.format(region=self._place.region)}:{_HTTPS}"
            for service, host in _HOSTS.items()
        }
        public = next(door.addresses[0] for door in self._plan.doors if not door.endpoint_id)
        return {
            **urls,
            "AWS_ENDPOINT_URL": f"http://{public}:{_HTTPS}",
            "SECRETS_MANAGER_ENDPOINT": urls["AWS_ENDPOINT_URL_SECRETS_MANAGER"],
        }

    def _files(self) -> Mapping[str, str]:
        """What stands in the files by which names are found: this network's, not the machine's."""
        servers = () if self._plan is None else self._plan.resolver.addresses[:1]
        return {
            "/etc/hosts": "127.0.0.1 localhost\n",
            "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
            "/etc/resolv.conf": "".join(f"nameserver {each}\n" for each in servers),
        }

    def start(self, spawn: Callable[[Joined], subprocess.Popen[bytes]], api: RuntimeApi) -> subprocess.Popen[bytes]:
        """Start bubblewrap, and let it go on when the network is there.

        Raises:
            KeyturnError: The network cannot be made; nothing is left of it.
        """
        said, says = os.pipe()
        waits, releases = os.pipe()
        # Begun first: a Python takes as long to start as bubblewrap does.
        with _Setup() as setup, os.fdopen(said, "rb") as launcher, os.fdopen(releases, "wb", buffering=0) as release:
            try:
                process = spawn(Joined(says, waits, self._files()))
            finally:
                os.close(says)
                os.close(waits)
            try:
                _await(launcher)
                with _namespaces(process) as join:
                    self._connect(setup, join, api)
                release.write(b"1")
            except BaseException:
                process.kill()
                process.wait()
                self.close()
                raise
        return process

    def close(self) -> None:
        """End what serves the namespace."""
        self._held.close()

    def _connect(self, setup: _Setup, join: Sequence[int], api: RuntimeApi) -> None:
        if self._plan is not None:
            reaches_host = any(each.is_this_machine for each in self._settings.network_maps)
            self._slirp = self._held.enter_context(_Slirp(join, reaches_host=reaches_host))
        runtime, *others = setup.sockets(join, self._wanted())
        api.adopt(runtime)
        if self._plan is not None:
            resolver = Resolver(self._plan.resolver, self._settings.network_maps, others[:2])
            self._held.callback(self._api_loop.run(resolver.serve()))
            others = others[2:]
        for opened, door in zip(others, self._doors, strict=True):
            self._held.callback(self._open_door(opened, self._place, self._plan, door))
        if self._slirp is not None:
            self._slirp.wait()

    def _wanted(self) -> Mapping[str, object]:
        """What is to be prepared, as ``network_setup.py`` reads it."""
        doors = [_DOOR_PORT + position for position in range(len(self._doors))]
        listen = [("tcp", _RUNTIME_PORT)]
        rules = ""
        if self._plan is not None:
            inner = {door.endpoint_id: port for door, port in zip(self._plan.doors, doors, strict=True)}
            ports = InnerPorts(doors=inner, resolver=_RESOLVER_PORT)
            maps = self._settings.network_maps
            server = _seen_from_namespaces(self._settings.endpoint_url)
            rules = ruleset(self._plan, ports=ports, maps=maps, host_loopback=_HOST_LOOPBACK, server=server)
            listen += [("udp", _RESOLVER_PORT), ("tcp", _RESOLVER_PORT)]
        return {"listen": [*listen, *(("tcp", port) for port in doors)], "rules": rules}


# AWS's names of the services that a function may call, by the variable that says where they are.
# Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints"; AWS General Reference, "Service endpoints".
_HOSTS = {
    "CLOUDTRAIL": "cloudtrail.{region}.amazonaws.com",
    "CLOUDWATCH_LOGS": "logs.{region}.amazonaws.com",
    "EC2": "ec2.{region}.amazonaws.com",
    "IAM": "iam.amazonaws.com",
    "KMS": "kms.{region}.amazonaws.com",
    "LAMBDA": "lambda.{region}.amazonaws.com",
    "SECRETS_MANAGER": "secretsmanager.{region}.amazonaws.com",
    "STS": "sts.{region}.amazonaws.com",
}
SERVICES = tuple(host.partition(".")[0] for host in _HOSTS.values())
"""The first labels of these names."""


@functools.cache
def network_problem() -> str | None:
    """Why functions cannot have a network of a VPC's on this machine; None if nothing stands in the way."""
    if shutil.which("slirp4netns") is None:
        return "slirp4netns is not installed"
    if not _has_nft():
        return "nftables (its library libnftables.so.1) is not installed"
    try:
        os.close(os.open(_TUN, os.O_RDWR))
    except OSError as error:
        return f"{_TUN} cannot be opened ({error.strerror})"
    return None


def _seen_from_namespaces(url: str) -> tuple[str, int]:
    """Return the address and the port of a server of this machine, as slirp4netns is asked for them."""
    parts = urlsplit(url)
    try:
        address = IPv4Address(parts.hostname or "")
    except ValueError:
        # A name, or IPv6's: as far as it is known, on all addresses.
        address = IPv4Address("127.0.0.1")
    return _HOST_LOOPBACK if address.is_loopback else str(address), parts.port or _HTTPS


def _has_nft() -> bool:
    # Asked of another process: what it loads would stay in this one.
    program = "import ctypes; ctypes.CDLL('libnftables.so.1')"
    command = [sys.executable, "-I", "-S", "-c", program]
    return subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS).returncode == 0  # noqa: S603 - this Python


def _await(launcher: BinaryIO) -> None:
    """Wait until the launcher says that its namespaces are made."""
    if not _said(launcher.fileno()):
        raise KeyturnError("The function's sandbox ended before its network was made, or took too long.")


def _said(pipe: int) -> bytes:
    """Return the byte that comes through a pipe; nothing if it ends, or if it takes too long."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return os.read(pipe, 1) if poll.poll(_SECONDS * 1000) else b""


@contextlib.contextmanager
def _namespaces(bubblewrap: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Open a function's network namespace, behind the user namespace that owns it if that is not this process's.

    Raises:
        KeyturnError: It has none of its own. Rules that were loaded into the machine's would silence the machine.
    """
    # The process itself may be in another user namespace below that one: bubblewrap forbids further ones that way.
    with ExitStack() as opened:
        pid = proc.children(bubblewrap.pid)[0]
        network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        opened.callback(os.close, network)
        if _is_own(network, "net"):
            raise KeyturnError("The function's sandbox has no network of its own.")
        owner = fcntl.ioctl(network, _NS_GET_USERNS)
        opened.callback(os.close, owner)
        yield [network] if _is_own(owner, "user") else [owner, network]


def _is_own(namespace: int, kind: str) -> bool:
    """Whether a namespace is this process's."""
    return os.path.samestat(Path(f"/proc/self/ns/{kind}").stat(), os.fstat(namespace))


class _Setup:
    """``network_setup.py``, which waits to be told what to prepare."""

    def __enter__(self) -> Self:
        self._server, program = socket.socketpair()
        self._server.settimeout(_SECONDS)
        with program:
            self._process = subprocess.Popen(  # noqa: S603 - this Python and a file of this package
                [sys.executable, "-I", "-S", str(_SETUP), str(program.fileno())],
                pass_fds=[program.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={},
            )
        return self

    def __exit__(self, *_: object) -> None:
        # It ends when it has answered, or when nobody tells it anything any more.
        self._server.close()
        _wait_for(self._process)

    def sockets(self, join: Sequence[int], wanted: Mapping[str, object]) -> list[socket.socket]:
        """Return what it was asked to open.

        Raises:
            KeyturnError: It cannot prepare the network.
        """
        try:
            # A descriptor needs at least one byte to go with; JSON does not mind this one.
            socket.send_fds(self._server, [b" "], join)
            self._server.sendall(json.dumps(wanted).encode())
            self._server.shutdown(socket.SHUT_WR)
            said, descriptors, _, _ = socket.recv_fds(self._server, 4096, _MOST_SOCKETS)
        except OSError as error:
            said, descriptors = str(error).encode(), []
        if said != b"1":
            why = said.decode(errors="replace").strip() or "the program that prepares it ended"
            raise KeyturnError(f"A function's network cannot be prepared: {why}.")
        return [socket.socket(fileno=each) for each in descriptors]


class _Slirp:
    """slirp4netns, which connects a namespace to the machine until the context ends, or this process.

    Args:
        join: The namespaces, of which the last is a network's.
        reaches_host: Whether the machine's own 127.0.0.1 is to be reached.
    """

    def __init__(self, join: Sequence[int], *, reaches_host: bool) -> None:
        goes_on, self._ends = os.pipe()
        self._is_ready, says_ready = os.pipe()
        options = ["--configure", "--enable-seccomp", "--disable-dns", "--cidr", _LINK]
        options += [] if reaches_host else ["--disable-host-loopback"]
        options += ["--exit-fd", str(goes_on), "--ready-fd", str(says_ready), "--netns-type", "path"]
        *owner, network = (f"/proc/self/fd/{descriptor}" for descriptor in join)
        # Its sandbox wants to be root in the namespace, which an ordinary user's function is not.
        options += [f"--userns-path={each}" for each in owner] or ["--enable-sandbox"]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the context ends
        try:
            self._process = subprocess.Popen(  # noqa: S603 - no part of the command comes from a function
                [shutil.which("slirp4netns") or "slirp4netns", *options, network, _INTERFACE],
                pass_fds=[goes_on, says_ready, *join],
                # It reads what a function writes: it must not know what the server's variables say.
                env={},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
            )
            resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (_MOST_CONNECTIONS, _MOST_CONNECTIONS))
        except OSError:
            self._close()
            raise
        finally:
            os.close(goes_on)
            os.close(says_ready)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()
        _wait_for(self._process)

    def _close(self) -> None:
        os.close(self._is_ready)
        os.close(self._ends)
        self._output.close()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until the namespace is connected.

        Raises:
            KeyturnError: It cannot be.
        """
        if not _said(self._is_ready):
            self._output.seek(0)
            said = self._output.read().decode(errors="replace").splitlines()
            why = next((line for line in reversed(said) if line and not line.startswith("WARNING")), "no word of it")
            raise KeyturnError(f"A function's network cannot be connected: slirp4netns: {why}.")


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
