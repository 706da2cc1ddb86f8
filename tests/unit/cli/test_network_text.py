"""What ``keyturn network trace`` prints."""

from __future__ import annotations

import io
import json

from rich.console import Console
from tests.contract.doctor.vpc import DATABASE_ADDRESS, DATABASE_GROUP, GATEWAY, PRIVATE_A, PRIVATE_TABLE, rule, table
from tests.contract.doctor.world import World, refusal
from tests.unit.doctor.test_tracing import answered, at, in_vpc, probed, traced

from keyturn.cli.network_text import document, print_trace
from keyturn.doctor.tracing import Trace
from keyturn.rules.network.agreement import CANNOT_RUN

WIDTH = 80


def printed(trace: Trace) -> str:
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, emoji=False)
    print_trace(console, trace)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO's
    assert isinstance(text, str)
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in text
    return text


def test_the_answer_comes_first_and_then_each_hop_with_what_decided() -> None:
    text = printed(traced(in_vpc(), DATABASE_ADDRESS, 5432))

    assert text == (
        "passes: rotate-orders may reach 10.0.4.15:5432: nothing on the way stops it\n"
        "\n"
        "subnet-0a (10.0.1.0/24) to 10.0.4.15:5432\n"
        "  ✓ function's security group sg-0f: lets tcp 5432 to 10.0.4.15 pass (all with\n"
        "    0.0.0.0/0)\n"
        "  ✓ network ACL acl-01: lets tcp 5432 to 10.0.4.15/32 pass (rule 100: allow)\n"
        "  ✓ route rtb-0a: leads to the VPC itself (10.0.0.0/16 to local)\n"
        "  ✓ network ACL acl-01: lets tcp 5432 from 10.0.1.0/24 pass (rule 100: allow)\n"
        "  ✓ network interface's security group sg-0d: lets tcp 5432 from the function at\n"
        "    10.0.1.0/24 pass (tcp 5432 with sg-0f)\n"
        "  ✓ network ACL acl-01: lets tcp 1024-65535 to 10.0.1.0/24 pass (rule 100:\n"
        "    allow)\n"
        "  ✓ network ACL acl-01: lets tcp 1024-65535 from 10.0.4.15/32 pass (rule 100:\n"
        "    allow)\n"
        "  Probe: none, as AWS lets nobody into a function's network: this is a reading\n"
        "         alone.\n"
    )


def test_where_a_rule_is_lacking_those_that_there_are_stand_beside_it() -> None:
    world = in_vpc()
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(3306, cidr="10.0.0.0/16")]

    text = printed(probed(world, DATABASE_ADDRESS, 5432, answered("timeout", at(DATABASE_ADDRESS))))

    assert text.startswith("blocks: rotate-orders does not reach 10.0.4.15:5432: network interface's")
    assert "  ✗ network interface's security group sg-0d: has no rule that lets tcp 5432\n" in text
    assert "    its rules: tcp 3306 with 10.0.0.0/16\n" in text
    assert "  Probe: no answer, timed out after 3 ms. The trace says the same.\n" in text


def test_refused_is_explained() -> None:
    text = printed(probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("refused", at(DATABASE_ADDRESS))))

    assert text.startswith("fails: rotate-orders does not reach 10.0.4.15:5432: refused\n")
    assert "  Probe: refused after 3 ms. The trace says the same.\n" in text
    assert "nothing listens" in " ".join(text.split())


def test_a_function_that_cannot_run_is_told_in_the_first_line_with_one_full_stop() -> None:
    why = refusal("ProbeFunctionNetwork", "InvalidRequestException", f"{CANNOT_RUN}slirp4netns is not installed.")
    text = printed(probed(in_vpc(), DATABASE_ADDRESS, 5432, why))

    first, _, rest = " ".join(text.split()).partition(" subnet-0a")
    assert first == (
        "fails: rotate-orders does not reach 10.0.4.15:5432: the function cannot be run: slirp4netns is not installed"
    )
    assert "slirp4netns is not installed. The function itself cannot be run either" in rest
    assert ".." not in text


def test_a_connection_is_told_in_a_line() -> None:
    there = at(DATABASE_ADDRESS, IsMapped=True, Destination="is 127.0.0.1 in the real network")
    text = printed(probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("connected", there)))

    assert text.startswith("passes: rotate-orders reaches 10.0.4.15:5432\n")
    assert "  ✓ network map 10.0.4.15: is 127.0.0.1 in the real network\n" in text
    assert text.endswith("  Probe: connected after 3 ms. The trace says the same.\n")


def test_of_several_subnets_the_one_that_is_shut_off_is_named() -> None:
    world = in_vpc()
    for group in (DATABASE_GROUP,):
        world.network.groups[group]["IpPermissions"] = [rule(5432, cidr="10.0.1.0/24")]

    text = printed(traced(world, DATABASE_ADDRESS, 5432, subnet_id=""))

    assert "10.0.4.15:5432 from subnet-0b: network" in text.partition("\n\n")[0]


def test_what_could_not_be_asked_is_told() -> None:
    world = in_vpc()
    world.deny("ec2:DescribeNetworkAcls")

    text = printed(traced(world, DATABASE_ADDRESS, 5432))

    assert text.startswith("unknown: whether rotate-orders reaches 10.0.4.15:5432 is not known: network ACL")
    assert text.endswith("\nWhat could not be asked:\n  ec2:DescribeNetworkAcls (AccessDeniedException)\n")


def test_a_function_in_no_vpc_is_told_without_a_subnet() -> None:
    text = printed(traced(World(), "52.94.1.1", 443, subnet_id=""))

    assert "rotate-orders to 52.94.1.1:443\n  ✓ rotate-orders is in no VPC, and reaches public addresses\n" in text


def test_what_others_wrote_moves_no_cursor() -> None:
    there = at(DATABASE_ADDRESS, IsMapped=True, Destination="is \x1b[31m127.0.0.1")
    text = printed(probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("failed", there) | {}))

    assert "\\x1b[31m" in text


def test_the_document_for_programs_says_the_same() -> None:
    found = probed(in_vpc(), DATABASE_ADDRESS, 5432, answered("refused", at(DATABASE_ADDRESS)))
    told = json.loads(json.dumps(document(found, "http://127.0.0.1:8080")))
    [way] = told["ways"]

    assert (told["schema"], told["verdict"], told["vpcId"]) == ("keyturn.network-trace/1", "fails", "vpc-01")
    assert (way["subnetId"], way["reading"], way["verdict"]) == (PRIVATE_A, "passes", "fails")
    assert way["probe"] == {"outcome": "refused", "error": "", "milliseconds": 3, "agrees": True}
    assert way["hops"][0]["passage"] == "passes"


def test_what_leads_to_an_internet_gateway_is_called_a_route() -> None:
    world = in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"GatewayId": GATEWAY}, main=True)
    text = printed(traced(world, "93.184.216.34", 443))

    assert f"route {PRIVATE_TABLE}: leads to an internet gateway" in " ".join(text.split())
    assert f"internet gateway {PRIVATE_TABLE}" not in text
