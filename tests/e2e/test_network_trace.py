"""keyturn network trace on a real server: what is read and what is tried, of a real PostgreSQL in a VPC.

The one real address that anything leads to is this machine's 127.0.0.1.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .callers import Caller, allow
from .conftest import ServerProcess, run_keyturn
from .functions_in_vpcs import Vpc, create_function, make_vpc

DATABASE = "10.0.2.15"
SECRETS_MANAGER = "secretsmanager.us-east-1.amazonaws.com"
FUNCTION = "rotate-orders"
SOURCE = "raise RuntimeError('the function itself is not run')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"), "--network-map", f"{DATABASE}=127.0.0.1")
    process.start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@dataclass
class Place:
    """A function in one subnet of a VPC, and a database's interface in another, whose group lets nobody in."""

    server: ServerProcess
    vpc: Vpc
    database_group: str

    @property
    def ec2(self) -> Any:
        return self.server.client("ec2")

    def let_in(self, port: int) -> None:
        """Let the function's group in at the database."""
        pair = {"GroupId": self.vpc.group_id}
        rule = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "UserIdGroupPairs": [pair]}
        self.ec2.authorize_security_group_ingress(GroupId=self.database_group, IpPermissions=[rule])

    def shut_out(self) -> None:
        """Let nobody in."""
        [group] = self.ec2.describe_security_groups(GroupIds=[self.database_group])["SecurityGroups"]
        if group["IpPermissions"]:
            self.ec2.revoke_security_group_ingress(GroupId=self.database_group, IpPermissions=group["IpPermissions"])


@pytest.fixture(scope="module")
def whole(server: ServerProcess) -> Place:
    ec2 = server.client("ec2")
    vpc = make_vpc(server, "10.0.1.0/24")
    ec2.modify_vpc_attribute(VpcId=vpc.vpc_id, EnableDnsHostnames={"Value": True})
    data = ec2.create_subnet(VpcId=vpc.vpc_id, CidrBlock="10.0.2.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="database", Description="database", VpcId=vpc.vpc_id)["GroupId"]
    ec2.create_network_interface(SubnetId=data, PrivateIpAddress=DATABASE, Groups=[group])
    create_function(server, FUNCTION, vpc, SOURCE)
    return Place(server, vpc, group)


@pytest.fixture
def place(whole: Place) -> Place:
    whole.shut_out()
    return whole


def trace(server: ServerProcess, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {**server.environ(), "COLUMNS": "80", **environ}
    return run_keyturn("network", "trace", *words, home=server.home, check=False, environ=env)


def document(server: ServerProcess, *words: str, **environ: str) -> Any:
    done = trace(server, *words, "--output", "json", **environ)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    statuses = {"passes": 0, "blocks": 1, "fails": 1, "disputed": 1, "unknown": 3}
    assert done.returncode == statuses[told["verdict"]]
    return told


def one(told: Any) -> Any:
    [way] = told["ways"]
    return way


def test_a_missing_rule_blocks_and_the_probe_agrees_until_the_rule_is_there(
    place: Place, postgresql: PostgresqlServer
) -> None:
    to = f"{DATABASE}:{postgresql.port}"

    shut = trace(place.server, FUNCTION, to)

    assert shut.returncode == 1, shut.stdout + shut.stderr
    told = " ".join(shut.stdout.split())
    assert shut.stdout.startswith(f"blocks: {FUNCTION} does not reach {to}: network interface's")
    assert f"✗ network interface's security group {place.database_group}: has no rule that lets" in told
    assert "its rules: none" in told
    assert "Probe: no answer, timed out after" in told
    assert "The trace says the same." in told
    assert max(map(len, shut.stdout.splitlines())) <= 80

    place.let_in(postgresql.port)
    way = one(document(place.server, FUNCTION, to))

    assert (way["reading"], way["verdict"]) == ("passes", "passes")
    assert (way["probe"]["outcome"], way["probe"]["agrees"]) == ("connected", True)
    assert [hop["why"] for hop in way["hops"]][-1] == "is 127.0.0.1 in the real network"
    assert way["source"].startswith("10.0.1.")


def test_a_port_at_which_nothing_listens_is_refused_and_explained(place: Place) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        place.let_in(port)
        done = trace(place.server, FUNCTION, f"{DATABASE}:{port}")

    assert done.returncode == 1
    assert done.stdout.startswith(f"fails: {FUNCTION} does not reach {DATABASE}:{port}: refused\n")
    assert "Is the server running, and is it this port?" in " ".join(done.stdout.split())


def test_an_address_that_no_network_map_leads_to_is_told(place: Place) -> None:
    way = one(document(place.server, FUNCTION, "10.0.2.16:5432"))

    assert (way["verdict"], way["probe"]["outcome"], way["probe"]["agrees"]) == ("blocks", "timeout", True)
    [hop] = [hop for hop in way["hops"] if hop["passage"] == "blocks"]
    assert hop["kind"] == "network map"
    assert "--network-map 10.0.2.16=ADDRESS" in hop["why"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_functions_own_loopback_is_told_with_the_address_of_the_machine(
    place: Place, postgresql: PostgresqlServer, host: str
) -> None:
    done = trace(place.server, FUNCTION, f"{host}:{postgresql.port}")

    told = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert told.startswith(f"blocks: {FUNCTION} does not reach {host}:{postgresql.port}: loopback 127.0.0.1: is the")
    assert f"by the network map that machine is {DATABASE}: use that address" in told
    assert "Probe: refused after" in told
    assert "The trace says the same." in told


def test_an_endpoint_that_the_name_does_not_lead_to_is_the_first_line(place: Place) -> None:
    made = place.ec2.create_vpc_endpoint(
        VpcId=place.vpc.vpc_id,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.secretsmanager",
        SubnetIds=place.vpc.subnet_ids,
        SecurityGroupIds=[place.vpc.group_id],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]
    try:
        told = document(place.server, FUNCTION, f"https://{SECRETS_MANAGER}:443/")
        assert (one(told)["verdict"], one(told)["probe"]["agrees"]) == ("blocks", True)
        assert told["summary"].endswith(
            f"private DNS {made['VpcEndpointId']}: has no private DNS, so that {SECRETS_MANAGER} does not lead to it"
        )
        place.ec2.modify_vpc_endpoint(VpcEndpointId=made["VpcEndpointId"], PrivateDnsEnabled=True)
        place.ec2.modify_vpc_attribute(VpcId=place.vpc.vpc_id, EnableDnsHostnames={"Value": False})
        told = document(place.server, FUNCTION, f"{SECRETS_MANAGER}:443")
        assert "has enableDnsHostnames off, which private DNS needs: there is an endpoint" in told["summary"]
    finally:
        place.ec2.modify_vpc_attribute(VpcId=place.vpc.vpc_id, EnableDnsHostnames={"Value": True})
        place.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])


def test_a_server_that_cannot_run_functions_in_networks_says_so_first(
    own_server: ServerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.start()
    create_function(own_server, FUNCTION, make_vpc(own_server, "10.0.1.0/24"), SOURCE)
    own_server.stop()
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "bwrap").symlink_to(str(shutil.which("bwrap")))
    monkeypatch.setenv("PATH", str(programs))
    own_server.start()
    monkeypatch.undo()

    done = trace(own_server, FUNCTION, "10.0.1.99:5432")

    told = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert told.startswith(f"fails: {FUNCTION} does not reach 10.0.1.99:5432: the function cannot be run: ")
    assert "slirp4netns is not installed. The function itself cannot be run either" in told
    assert ".." not in told


def test_secrets_manager_is_reached_through_an_endpoint_and_not_without(place: Place) -> None:
    to = f"{SECRETS_MANAGER}:443"

    way = one(document(place.server, FUNCTION, to))
    assert (way["address"], way["verdict"], way["probe"]["agrees"]) == ("203.0.113.10", "blocks", True)
    assert [hop["kind"] for hop in way["hops"] if hop["passage"] == "blocks"] == ["route"]

    made = place.ec2.create_vpc_endpoint(
        VpcId=place.vpc.vpc_id,
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.secretsmanager",
        SubnetIds=place.vpc.subnet_ids,
        SecurityGroupIds=[place.vpc.group_id],
        PrivateDnsEnabled=True,
    )["VpcEndpoint"]
    try:
        way = one(document(place.server, FUNCTION, to))
        assert (way["verdict"], way["probe"]["outcome"], way["probe"]["agrees"]) == ("passes", "connected", True)
        assert way["address"].startswith("10.0.1.")
        assert way["hops"][-1]["why"] == "leads to Keyturn"
        unprobed = one(document(place.server, FUNCTION, to, "--no-probe"))
        assert (unprobed["address"], unprobed["verdict"], unprobed["probe"]) == (way["address"], "passes", None)
    finally:
        place.ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])


def test_a_vpc_without_dns_resolves_nothing_and_the_probe_agrees(place: Place) -> None:
    place.ec2.modify_vpc_attribute(VpcId=place.vpc.vpc_id, EnableDnsSupport={"Value": False})
    try:
        way = one(document(place.server, FUNCTION, f"{SECRETS_MANAGER}:443"))
        assert (way["verdict"], way["probe"]["outcome"], way["probe"]["agrees"]) == ("blocks", "name-timeout", True)
    finally:
        place.ec2.modify_vpc_attribute(VpcId=place.vpc.vpc_id, EnableDnsSupport={"Value": True})


def test_who_may_not_probe_reads_all_the_same_and_learns_what_to_ask_for(place: Place) -> None:
    caller = Caller(place.server, "user")
    caller.may(allow("lambda:GetFunctionConfiguration"), allow("ec2:Describe*"))
    key = {"AWS_ACCESS_KEY_ID": caller.credentials.access_key_id}
    key["AWS_SECRET_ACCESS_KEY"] = caller.credentials.secret_access_key

    way = one(document(place.server, FUNCTION, f"{DATABASE}:5432", **key))

    assert (way["verdict"], way["probe"]) == ("blocks", None)
    assert "keyturn:ProbeFunctionNetwork" in way["unprobed"]


def test_a_function_in_no_vpc_is_tried_with_the_machines_network(place: Place, postgresql: PostgresqlServer) -> None:
    create_function(place.server, "elsewhere", place.vpc, SOURCE)
    nothing: dict[str, list[str]] = {"SubnetIds": [], "SecurityGroupIds": []}
    place.server.client("lambda").update_function_configuration(FunctionName="elsewhere", VpcConfig=nothing)

    told = document(place.server, "elsewhere", f"127.0.0.1:{postgresql.port}")

    assert (told["verdict"], told["vpcId"], one(told)["subnetId"]) == ("passes", None, None)


def test_it_stands_in_the_trail_and_is_no_invocation(place: Place) -> None:
    client = place.server.client("keyturn")
    found = client.probe_function_network(FunctionName=FUNCTION, Host=DATABASE, Port=5432, TimeoutSeconds=1)

    assert found["Probes"][0]["Outcome"] == "timeout"
    looked = place.server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "ProbeFunctionNetwork"}]
    )
    event = json.loads(looked["Events"][0]["CloudTrailEvent"])
    assert event["eventSource"] == "keyturn.amazonaws.com"
    assert event["requestParameters"] == {
        "functionName": FUNCTION,
        "host": DATABASE,
        "port": 5432,
        "timeoutSeconds": 1,
    }
    groups = place.server.client("logs").describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{FUNCTION}")["logGroups"]
    assert groups == []


def test_wrong_usage_has_a_status_of_its_own(place: Place) -> None:
    missing = trace(place.server, "no-such", f"{DATABASE}:5432")
    elsewhere = trace(place.server, FUNCTION, f"{DATABASE}:5432", "--subnet", "subnet-0")

    assert (missing.returncode, elsewhere.returncode) == (4, 4)
    assert "There is no function no-such." in missing.stderr
    assert f"It is in {place.vpc.subnet_ids[0]}." in elsewhere.stderr
