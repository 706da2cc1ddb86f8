"""The guide's chapter on connectivity: rotation is configured, and the password does not rotate.

The function runs in a VPC, in a network of its own, and reaches a real PostgreSQL at an address of that VPC, which the
server's setting ``network_map`` maps to this machine's 127.0.0.1. What blocks it is what the guide names, and what
mends it is what the guide says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .test_main_job import FIVE_ACTIONS, Job
from .vpc import ALL, Vpc

# Of the rotation function: what is blocked lasts until then.
TIMEOUT_SECONDS = 3
FOUND = "Found credentials in environment variables."
TIMED_OUT = f"Task timed out after {TIMEOUT_SECONDS}.00 seconds"
NUMBERS = iter(range(1, 100))


class Attached(Job):
    """A rotation whose function is in a VPC of its own, and whose database is at an address there."""

    def __init__(self, server: ServerProcess, database: PostgresqlServer, name: str) -> None:
        number = next(NUMBERS)
        self.vpc = Vpc(server.client("ec2"), server.region, database.port, number)
        # In the subnet data_a.
        self.address = f"{self.vpc.block}.3.15"
        super().__init__(server, database, name, more={"host": self.address})
        self.vpc.interface_of(self.address)
        interfaces = ["CreateNetworkInterface", "DescribeNetworkInterfaces", "DeleteNetworkInterface"]
        statements = [
            {"Effect": "Allow", "Action": [f"secretsmanager:{each}" for each in FIVE_ACTIONS], "Resource": "*"},
            {"Effect": "Allow", "Action": [f"ec2:{each}" for each in interfaces], "Resource": "*"},
        ]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        server.client("iam").put_role_policy(RoleName=name, PolicyName="rotate", PolicyDocument=document)
        self.move("private_a")

    def move(self, *subnets: str, of: Vpc | None = None) -> None:
        """Put the function into subnets."""
        self.server.client("lambda").update_function_configuration(
            FunctionName=self.name, Timeout=TIMEOUT_SECONDS, VpcConfig=(of or self.vpc).in_subnets(*subnets)
        )

    def log(self) -> list[str]:
        events = self.server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{self.name}")["events"]
        return [event["message"].rstrip("\n") for event in events]

    def last_words(self) -> list[str]:
        """The lines of the last invocation that ended, without those that only count."""
        lines = self.log()
        ends = [number for number, line in enumerate(lines) if line.startswith("END RequestId")]
        starts = [number for number, line in enumerate(lines[: ends[-1]]) if line.startswith("START RequestId")]
        return lines[starts[-1] + 1 : ends[-1]]

    def fails(self) -> str:
        """Rotate, see it fail, and return the version that waits."""
        version_id = self.rotate()
        wait_until(lambda: self.events("RotationFailed"), "the failure", self.server)
        assert self.accepts(self.first_password)
        return version_id

    def succeeds(self, version_id: str) -> None:
        """See the same version become current by itself."""
        wait_until(lambda: self.is_current(version_id), "the rotation", self.server)
        assert self.accepts(self.password())
        assert not self.accepts(self.first_password)


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    maps = [f"--network-map=10.{number}.3.15=127.0.0.1" for number in range(1, 40)]
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"), *maps)
    process.start()
    yield process
    assert process.stop() == 0, process.log()


def is_silent_at_the_endpoint(job: Attached) -> None:
    """The log stops where the guide says, and the timeout ends it."""
    words = [line for line in job.last_words() if line]
    assert [words[0].endswith(FOUND), words[1].endswith(TIMED_OUT), len(words)] == [True, True, 2], words
    assert job.events("RotationFailed")[0]["errorMessage"].endswith("during createSecret step")


def is_silent_at_the_database(job: Attached) -> None:
    words = job.last_words()
    assert words[-1].endswith(TIMED_OUT), words
    assert job.events("RotationFailed")[0]["errorMessage"].endswith("during setSecret step")


def test_a_function_in_the_databases_vpc_rotates_through_a_nat_gateway(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Attached(server, postgresql, "nat")
    job.succeeds(job.rotate())

    # Outside the endpoint's network, the service sees the gateway's public address.
    [address] = server.client("ec2").describe_nat_gateways(NatGatewayIds=[job.vpc.nat])["NatGateways"][0][
        "NatGatewayAddresses"
    ]
    put = job.events("PutSecretValue")[-1]
    assert put["sourceIPAddress"] == address["PublicIp"]
    assert "vpcEndpointId" not in put


def mended_by_a_nat_gateway(job: Attached) -> None:
    job.vpc.route_to_nat()


def mended_by_an_endpoint(job: Attached) -> None:
    job.vpc.route_to_nat()
    job.vpc.endpoint()


@pytest.mark.parametrize("mended", [mended_by_a_nat_gateway, mended_by_an_endpoint])
def test_without_a_way_to_the_endpoint_the_log_stops_and_the_function_times_out(
    server: ServerProcess, postgresql: PostgresqlServer, mended: Callable[[Attached], None]
) -> None:
    job = Attached(server, postgresql, mended.__name__)
    job.vpc.unroute()

    version_id = job.fails()

    is_silent_at_the_endpoint(job)
    mended(job)
    job.succeeds(version_id)
    if mended is mended_by_an_endpoint:
        put = job.events("PutSecretValue")[-1]
        assert put["vpcEndpointId"].startswith("vpce-")
        assert put["sourceIPAddress"].startswith(f"{job.vpc.block}.0.")


def test_a_function_of_keyturns_with_time_enough_says_what_it_has_not_reached(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    """As docs/functions.md prints it."""
    job = Attached(server, postgresql, "patient")
    job.vpc.unroute()
    server.client("lambda").update_function_configuration(FunctionName=job.name, Timeout=30)

    job.fails()

    found, said, *_ = [line for line in job.last_words() if line]
    assert found.endswith(FOUND)
    assert said.startswith("[ERROR] ConnectTimeoutError: Connect timeout on endpoint URL: ")
    assert '"http://secretsmanager.us-east-1.amazonaws.com:443/"' in said


def test_an_internet_gateway_is_no_way_out_for_a_function(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = Attached(server, postgresql, "public_subnet")
    job.move("public")

    version_id = job.fails()

    is_silent_at_the_endpoint(job)
    job.move("private_a")
    job.succeeds(version_id)


def test_without_a_way_to_the_database_it_times_out_until_the_function_is_in_the_databases_vpc(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Attached(server, postgresql, "elsewhere")
    other = Vpc(server.client("ec2"), server.region, postgresql.port, next(NUMBERS))
    job.move("private_a", of=other)

    version_id = job.fails()

    is_silent_at_the_database(job)
    job.move("private_a")
    job.succeeds(version_id)


def test_a_rule_of_the_databases_group_lets_the_function_in(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Attached(server, postgresql, "database_group")
    job.vpc.shut(job.vpc.database_group)

    version_id = job.fails()

    is_silent_at_the_database(job)
    job.vpc.let_in(job.vpc.database_group, postgresql.port, job.vpc.function_group)
    job.succeeds(version_id)


def test_the_endpoints_group_decides_who_comes_to_it(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = Attached(server, postgresql, "endpoint_group")
    job.vpc.endpoint()
    job.vpc.shut(job.vpc.endpoint_group)

    version_id = job.fails()

    is_silent_at_the_endpoint(job)
    job.vpc.let_in(job.vpc.endpoint_group, 443, job.vpc.function_group)
    job.succeeds(version_id)


def test_the_endpoints_policy_decides_what_is_asked_through_it(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Attached(server, postgresql, "endpoint_policy")
    reading = {"Effect": "Allow", "Principal": "*", "Action": ["secretsmanager:Describe*"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [reading]})
    endpoint_id = job.vpc.endpoint(PolicyDocument=document)

    version_id = job.fails()

    said = "because no VPC endpoint policy allows the secretsmanager:GetSecretValue action"
    assert any(said in line for line in job.log()), job.log()
    job.vpc.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_id, ResetPolicy=True)
    job.succeeds(version_id)


@pytest.mark.parametrize("answers", [False, True], ids=["packets out", "answers in"])
def test_a_network_acl_that_blocks_is_silent_in_either_direction(
    server: ServerProcess, postgresql: PostgresqlServer, *, answers: bool
) -> None:
    job = Attached(server, postgresql, f"acl_{str(answers).lower()}")
    acl_id = job.vpc.acl("private_a")
    rule = {"NetworkAclId": acl_id, "RuleNumber": 50, "Protocol": "6", "RuleAction": "deny", "CidrBlock": ALL}
    ports = (1024, 65535) if answers else (443, 443)
    egress = not answers
    job.vpc.ec2.create_network_acl_entry(**rule, Egress=egress, PortRange={"From": ports[0], "To": ports[1]})

    version_id = job.fails()

    is_silent_at_the_endpoint(job)
    job.vpc.ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=50, Egress=egress)
    job.succeeds(version_id)
