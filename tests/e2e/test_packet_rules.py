"""A namespace's rules, loaded by the real ``nft`` and tried with real sockets in namespaces of the test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from keyturn.rules.network.maps import maps_of
from keyturn.rules.network.packet_rules import InnerPorts, ruleset
from keyturn.rules.network.plan import KEYTURN_PUBLIC_ADDRESS, Door, NetworkPlan, Permit, Resolver
from keyturn.rules.network.traffic import ALL_PORTS, HTTPS, Ports

UNSHARE = ["unshare", "--user", "--map-root-user", "--net"]
AGENT = Path(__file__).with_name("namespace_agent.py")


def lacking() -> str:
    """What a namespace with packet rules lacks here; empty if nothing."""
    if shutil.which("nft") is None or shutil.which("ip") is None:
        return "nft or ip is not installed"
    tried = subprocess.run(
        [*UNSHARE, "sh", "-c", "nft list ruleset && ip link add name a type veth peer name b"], capture_output=True
    )
    return tried.stderr.decode() if tried.returncode else ""


LACKING = lacking()
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"no namespace with packet rules: {LACKING}")

# Who answers at all answers at once: it is this machine. How long silence lasts, nobody can say.
PATIENCE_SECONDS, SILENCE_SECONDS = 10, 0.3
POSTGRESQL = Ports(5432, 5432)


def permit(network: str, ports: Ports, protocol: str = "tcp") -> Permit:
    return Permit(IPv4Network(network), protocol, ports)


PLAN = NetworkPlan(
    vpc_id="vpc-1",
    subnet_id="subnet-1",
    address="10.0.1.7",
    public_source="",
    networks=(IPv4Network("10.0.0.0/16"), IPv4Network("11.0.0.0/16")),
    permits=(
        permit("10.0.1.50", HTTPS),
        permit("10.0.2.0/24", POSTGRESQL),
        permit("10.0.2.0/24", Ports(9000, 9000), "udp"),
        permit("10.0.3.0/24", ALL_PORTS),
        permit("10.0.4.0/24", POSTGRESQL),
        permit("11.0.0.0/16", ALL_PORTS),
        permit("52.0.0.0/8", HTTPS),
        permit("203.0.113.10", ALL_PORTS),
    ),
    doors=(
        Door(("10.0.1.50",), "vpce-open", "vpc-1"),
        Door(("10.0.2.130",), "vpce-shut", "vpc-1"),
        Door((KEYTURN_PUBLIC_ADDRESS,), "", ""),
    ),
    resolver=Resolver(("10.0.0.2", "169.254.169.253"), answers=True, names=()),
)
MAPS = maps_of(["10.0.2.15=127.0.0.1", "10.0.2.128/25=192.168.7.128/25", "10.0.4.0/24", "52.9.9.9=127.0.0.1"])
INNER = InnerPorts({"vpce-open": 4001, "vpce-shut": 4002, "": 4003}, resolver=4053)
HOST = "169.254.76.2"


class Namespaces:
    """A function's namespace, and all the world outside of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        world = self._tell("inside", "begin")
        for command in (
            "ip link set lo up",
            "ip link add name eth0 type veth peer name wire",
            f"ip link set wire netns {world}",
            "ip address add 169.254.76.100/23 dev eth0",
            "ip address add fd00::100/64 dev eth0 nodad",
            "ip link set eth0 up",
            f"ip route add default via {HOST}",
        ):
            self.inside("run", *command.split())
        for command in (
            "ip link set lo up",
            f"ip address add {HOST}/23 dev wire",
            "ip address add fd00::2/64 dev wire nodad",
            "ip link set wire up",
            # Every address there may be is this world's own.
            "ip route add local 0.0.0.0/0 dev lo",
        ):
            self.outside("run", *command.split())
        # What arrives is written down.
        rules = (
            "table ip seen {\n set arrived {\n type ipv4_addr . inet_service\n size 65535\n flags dynamic\n }\n"
            " chain entering {\n type filter hook prerouting priority -300;\n"
            " meta l4proto { tcp, udp } add @arrived { ip daddr . th dport }\n }\n}\n"
        )
        assert self.outside("load", rules) == ""
        for port in (53, 80, 443, 5432, 5433):
            self.outside("listen", "tcp", "0.0.0.0", port, "outside")
        for port in (53, 9000, 9001):
            self.outside("listen", "udp", "0.0.0.0", port, "outside")
        self.outside("listen", "tcp", "fd00::2", 5432, "outside")

    def _tell(self, *line: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([*line[:2], line[2:]]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def inside(self, *line: object) -> Any:
        return self._tell("inside", *line)

    def outside(self, *line: object) -> Any:
        return self._tell("outside", *line)

    def arrived(self) -> set[tuple[str, int]]:
        """Where packets went that came out."""
        listed = json.loads(self.outside("run", "nft", "-j", "list", "set", "ip", "seen", "arrived"))
        elements = next(each["set"] for each in listed["nftables"] if "set" in each).get("elem", [])
        return {tuple(each["elem"]["val"]["concat"] if "elem" in each else each["concat"]) for each in elements}


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    with subprocess.Popen(
        [*UNSHARE, sys.executable, str(AGENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        found = Namespaces(process)
        assert found.inside("load", ruleset(PLAN, ports=INNER, maps=MAPS)) == ""
        for name, port in INNER.doors.items():
            found.inside("listen", "tcp", "127.0.0.1", port, f"door {name or 'public'}")
        for protocol in ("tcp", "udp"):
            found.inside("listen", protocol, "127.0.0.1", INNER.resolver, "resolver")
        found.inside("listen", "tcp", "127.0.0.1", 8000, "runtime api")
        found.inside("listen", "tcp", "::1", 8000, "own")
        yield found
        process.stdin.close() if process.stdin else None


@pytest.mark.parametrize(
    ("protocol", "address", "port", "answer"),
    [
        ("tcp", "10.0.1.50", 443, "door vpce-open 127.0.0.1"),
        ("tcp", "203.0.113.10", 443, "door public 127.0.0.1"),
        ("tcp", "10.0.0.2", 53, "resolver 127.0.0.1"),
        ("udp", "10.0.0.2", 53, "resolver"),
        ("udp", "169.254.169.253", 53, "resolver"),
        ("tcp", "127.0.0.1", 8000, "runtime api 127.0.0.1"),
        ("tcp", "::ffff:10.0.2.200", 5432, "outside 192.168.7.200"),
        ("tcp", "::1", 8000, "own ::1"),
        ("tcp", "10.0.2.15", 5432, f"outside {HOST}"),
        ("udp", "10.0.2.15", 9000, "outside"),
        ("tcp", "10.0.2.200", 5432, "outside 192.168.7.200"),
        ("tcp", "10.0.4.7", 5432, "outside 10.0.4.7"),
        ("tcp", "52.1.2.3", 443, "outside 52.1.2.3"),
        ("tcp", "52.9.9.9", 443, f"outside {HOST}"),
    ],
)
def test_what_is_permitted_gets_where_it_leads(
    namespaces: Namespaces, protocol: str, address: str, port: int, answer: str
) -> None:
    assert namespaces.inside("reach", protocol, address, port, PATIENCE_SECONDS) == answer


@pytest.mark.parametrize(
    ("protocol", "address", "port"),
    [
        pytest.param("tcp", "10.0.2.130", 443, id="a door without a permit"),
        pytest.param("tcp", "10.0.2.130", 5432, id="a door's other port, in a mapped network"),
        pytest.param("tcp", "203.0.113.10", 80, id="the public door's other port"),
        pytest.param("tcp", "127.0.0.1", 4001, id="a door from behind"),
        pytest.param("tcp", "127.0.0.1", 4002, id="a shut door from behind"),
        pytest.param("tcp", "127.9.9.9", 4001, id="a door from behind, by another name"),
        pytest.param("tcp", "0.0.0.0", 4001, id="a door from behind, by no address"),
        pytest.param("tcp", "::ffff:127.0.0.1", 4001, id="a door from behind, by IPv6's name for it"),
        pytest.param("tcp", "::ffff:10.0.2.16", 5432, id="an address that is not mapped, by IPv6's name for it"),
        pytest.param("tcp", "169.254.76.100", 8000, id="the function's own address on the wire"),
        pytest.param("tcp", "127.0.0.1", 4053, id="the resolver from behind"),
        pytest.param("tcp", "10.0.2.15", 5433, id="a mapped host's other port"),
        pytest.param("tcp", "10.0.2.16", 5432, id="an address that is not mapped"),
        pytest.param("tcp", "10.0.3.7", 443, id="a network that is not mapped"),
        pytest.param("tcp", "11.0.0.7", 443, id="a public network of the VPC that is not mapped"),
        pytest.param("tcp", "192.168.7.200", 5432, id="a real network by its own address"),
        pytest.param("tcp", HOST, 5432, id="the machine by slirp's address"),
        pytest.param("tcp", "169.254.169.254", 80, id="a cloud's metadata"),
        pytest.param("tcp", "10.0.0.2", 443, id="the resolver's other port"),
        pytest.param("tcp", "52.1.2.3", 80, id="a public host's other port"),
        pytest.param("tcp", "53.1.2.3", 443, id="another public host"),
        pytest.param("tcp", "fd00::2", 5432, id="IPv6"),
    ],
)
def test_what_is_not_permitted_is_lost_in_silence(
    namespaces: Namespaces, protocol: str, address: str, port: int
) -> None:
    before = namespaces.arrived()

    assert namespaces.inside("reach", protocol, address, port, SILENCE_SECONDS) == "silence"
    assert namespaces.arrived() == before


@pytest.mark.parametrize(("address", "port"), [("10.0.2.15", 9001), ("127.0.0.1", 4053), ("53.1.2.3", 9000)])
def test_a_datagram_that_is_not_permitted_goes_nowhere_and_linux_tells_its_sender(
    namespaces: Namespaces, address: str, port: int
) -> None:
    before = namespaces.arrived()

    assert namespaces.inside("reach", "udp", address, port, PATIENCE_SECONDS) == "PermissionError"
    assert namespaces.arrived() == before


@pytest.mark.parametrize(
    ("protocol", "address", "port"),
    [
        pytest.param("tcp", "127.0.0.1", 5432, id="a port of the machine's own loopback"),
        pytest.param("udp", "127.9.9.9", 9000, id="the same by a datagram"),
        pytest.param("tcp", "10.0.1.50", 443, id="a door, translated to a port of the machine's loopback"),
        pytest.param("udp", "10.0.0.2", 53, id="the resolver, likewise"),
    ],
)
def test_what_is_the_namespaces_own_does_not_leave_it_by_its_wire(
    namespaces: Namespaces, protocol: str, address: str, port: int
) -> None:
    """slirp4netns takes 127.0.0.0/8 for the machine's."""
    before = namespaces.arrived()

    assert namespaces.inside("reach", protocol, address, port, SILENCE_SECONDS, "eth0") != "outside"
    assert namespaces.arrived() == before


def test_a_conversation_with_the_resolver_does_not_leave_by_the_wire_later(namespaces: Namespaces) -> None:
    before = namespaces.arrived()

    assert namespaces.inside("reach", "udp", "10.0.0.2", 53, SILENCE_SECONDS, "", "eth0") != "outside"
    assert namespaces.arrived() == before


def test_the_world_outside_would_have_answered(namespaces: Namespaces) -> None:
    """It answers at every address there is: the silence is the rules' doing."""
    with subprocess.Popen(
        [*UNSHARE, sys.executable, str(AGENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        open_ = Namespaces(process)
        for address in ("10.0.2.16", "10.0.3.7", "11.0.0.7", "192.168.7.200", HOST, "169.254.169.254", "53.1.2.3"):
            for port in (80, 443, 5432):
                assert open_.inside("reach", "tcp", address, port, PATIENCE_SECONDS) == f"outside {address}"
        assert open_.inside("reach", "tcp", "fd00::2", 5432, PATIENCE_SECONDS) == "outside fd00::2"
        assert ("53.1.2.3", 443) in open_.arrived()
        process.stdin.close() if process.stdin else None
