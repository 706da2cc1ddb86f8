"""A healthy rotation in a VPC is broken by a call of EC2; the doctor names the cause, and what it says mends it.

Each case is a patient (``patients.py``) in a VPC of its own. The one real address that anything leads to is this
machine's 127.0.0.1: there is the database, at an address of the VPC.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from . import patients
from .conftest import ServerProcess
from .doctor import Doctor, DoctorHere, causes_of, rotate_well
from .functions_in_vpcs import NETWORK_POLICY
from .patients import Ailment, Courses, treat, treated
from .vpc import ALL, Vpc

TIMEOUT_SECONDS = 8
PRIVATE = ("private_a", "private_b")


def host_in(number: int) -> str:
    """The address of the database in a VPC: in one of its subnets for data."""
    return f"10.{number}.3.20"


class Patient(patients.Patient):
    """A rotation whose function is in private subnets of a VPC, and leaves them by a NAT gateway.

    Attributes:
        vpc: The VPC.
        port: Of the database.
    """

    vpc: Vpc
    port: int

    @property
    def ec2(self) -> Any:
        return self.client("ec2")

    def move(self, vpc: Vpc, *names: str) -> None:
        """Put the function into subnets; into no VPC for none."""
        self.client("lambda").update_function_configuration(FunctionName=self.name, VpcConfig=vpc.in_subnets(*names))

    def group(self, group_id: str) -> dict[str, Any]:
        [found] = self.ec2.describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
        return dict(found)

    def let_out_only(self, *permissions: dict[str, Any]) -> None:
        """Let the function's group out to this, and to nothing else."""
        group_id = self.vpc.function_group
        self.ec2.revoke_security_group_egress(
            GroupId=group_id, IpPermissions=self.group(group_id)["IpPermissionsEgress"]
        )
        self.ec2.authorize_security_group_egress(GroupId=group_id, IpPermissions=list(permissions))

    def deny(self, acl_id: str, port: int, *, egress: bool, block: str = ALL, number: int = 50) -> None:
        """Let a network ACL refuse a port before anything else."""
        self.ec2.create_network_acl_entry(
            NetworkAclId=acl_id,
            RuleNumber=number,
            Protocol="6",
            RuleAction="deny",
            Egress=egress,
            CidrBlock=block,
            PortRange={"From": port, "To": port},
        )


def tcp(port: int, block: str) -> dict[str, Any]:
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": block}]}


# Ways out.


def no_route(patient: Patient) -> None:
    patient.vpc.unroute()


def public_subnet(patient: Patient) -> None:
    patient.move(patient.vpc, "public")


def nat_deleted(patient: Patient) -> None:
    patient.ec2.delete_nat_gateway(NatGatewayId=patient.vpc.nat)


def nat_in_a_private_subnet(patient: Patient) -> None:
    nat = patient.vpc.nat_in("data_a")
    patient.ec2.replace_route(RouteTableId=patient.vpc.private_table, DestinationCidrBlock=ALL, NatGatewayId=nat)


def nat_without_a_route(patient: Patient) -> None:
    patient.ec2.delete_route(RouteTableId=patient.vpc.public_table, DestinationCidrBlock=ALL)


def told_the_machines_address(patient: Patient) -> None:
    variables = {"SECRETS_MANAGER_ENDPOINT": patient.server.endpoint_url}
    patient.client("lambda").update_function_configuration(
        FunctionName=patient.name, Environment={"Variables": variables}
    )


# The endpoint.


def endpoint_of(patient: Patient) -> str:
    [found] = patient.ec2.describe_vpc_endpoints(Filters=[{"Name": "vpc-id", "Values": [patient.vpc.vpc]}])[
        "VpcEndpoints"
    ]
    endpoint_id: str = found["VpcEndpointId"]
    return endpoint_id


def private_dns_off(patient: Patient) -> None:
    patient.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint_of(patient), PrivateDnsEnabled=False)


def no_host_names(patient: Patient) -> None:
    patient.ec2.modify_vpc_attribute(VpcId=patient.vpc.vpc, EnableDnsHostnames={"Value": False})


def no_names(patient: Patient) -> None:
    patient.ec2.modify_vpc_attribute(VpcId=patient.vpc.vpc, EnableDnsSupport={"Value": False})


def endpoint_shut(patient: Patient) -> None:
    patient.vpc.shut(patient.vpc.endpoint_group)


def endpoint_for_another_secret(patient: Patient) -> None:
    other = f"arn:aws:secretsmanager:{patient.server.region}:{patient.server.account_id}:secret:other-AbCdEf"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": other}
    patient.ec2.modify_vpc_endpoint(
        VpcEndpointId=endpoint_of(patient), PolicyDocument=json.dumps({"Statement": [statement]})
    )


# Filters.


def https_denied(patient: Patient) -> None:
    patient.deny(patient.vpc.acl(*PRIVATE), 443, egress=True)


def answers_denied(patient: Patient) -> None:
    acl_id = patient.vpc.acl(*PRIVATE)
    patient.ec2.replace_network_acl_entry(
        NetworkAclId=acl_id,
        RuleNumber=100,
        Protocol="-1",
        RuleAction="allow",
        Egress=False,
        CidrBlock=f"{patient.vpc.block}.0.0/16",
    )


def database_denied(patient: Patient) -> None:
    patient.deny(patient.vpc.acl("data_a", "data_b"), patient.port, egress=False)


def database_denied_to_the_functions_addresses(patient: Patient) -> None:
    # Interfaces are given the first addresses of their subnets.
    acl_id, subnets = patient.vpc.acl("data_a", "data_b"), patient.vpc.subnets
    described = patient.ec2.describe_subnets(SubnetIds=[subnets[each] for each in PRIVATE])["Subnets"]
    for number, subnet in enumerate(described, 50):
        part = subnet["CidrBlock"].replace("/24", "/28")
        patient.deny(acl_id, patient.port, egress=False, block=part, number=number)


def database_denied_by_the_acl_of_all(patient: Patient) -> None:
    # Where the port lies within those that answers to the function come back to, these are refused as well.
    acl_id = patient.vpc.acl(*PRIVATE, "data_a", "data_b")
    patient.deny(acl_id, patient.port, egress=False, block=f"{patient.vpc.block}.0.0/16")


def no_way_out(patient: Patient) -> None:
    patient.let_out_only(tcp(patient.port, f"{patient.vpc.block}.0.0/16"))


def https_only(patient: Patient) -> None:
    patient.let_out_only(tcp(443, ALL))


def database_shut(patient: Patient) -> None:
    patient.vpc.shut(patient.vpc.database_group)


def subnet_deleted(patient: Patient) -> None:
    patient.ec2.delete_subnet(SubnetId=patient.vpc.subnets["data_a"])


def another_vpc(patient: Patient) -> None:
    number = 100 + int(patient.vpc.block.partition(".")[2])
    patient.move(Vpc(patient.ec2, patient.server.region, patient.port, number), *PRIVATE)


FIX, FIX_BY_VALUE = Patient.fix, Patient.fix_by_value
FOLLOW, FOLLOW_BY_VALUE = Patient.follow, Patient.follow_by_value
_https = partial(Ailment[Patient], step="createSecret", read_value=True)
_database = partial(Ailment[Patient], step="setSecret", read_value=True)
AILMENTS: dict[str, Ailment[Patient]] = {
    "no-route": _https("network-no-route-to-secretsmanager", no_route, FOLLOW, "there is no endpoint in the VPC"),
    "public-subnet": _https("network-public-subnet-no-nat", public_subnet, FOLLOW, "is public"),
    "nat-deleted": _https("network-nat-broken", nat_deleted, FOLLOW, "nat-"),
    "nat-private": _https("network-nat-broken", nat_in_a_private_subnet, FOLLOW, "nat-"),
    "nat-unrouted": _https("network-nat-broken", nat_without_a_route, FOLLOW, "no default route to an internet"),
    "endpoint-dns": _https("endpoint-private-dns-off", private_dns_off, FOLLOW, "it has no private DNS"),
    "endpoint-names": _https("vpc-dns-off", no_host_names, FOLLOW, "enableDnsHostnames"),
    "variable": _https("function-endpoint-wrong", told_the_machines_address, FOLLOW, "calls 127.0.0.1"),
    "names": _https("vpc-dns-off", no_names, FOLLOW, "has enableDnsSupport off"),
    "endpoint-group": _https("endpoint-sg-blocks-https", endpoint_shut, FIX, "on port 443"),
    "endpoint-policy": _https("endpoint-policy-denies", endpoint_for_another_secret, FOLLOW, "DescribeSecret"),
    "endpoint-egress": _https("function-sg-blocks-egress", no_way_out, FIX, "to Secrets Manager on port 443"),
    "acl-https": _https("nacl-blocks-https", https_denied, FOLLOW, "does not let tcp 443 to the internet pass"),
    "acl-answers": _https("nacl-blocks-https", answers_denied, FOLLOW, "tcp 1024-65535 from the internet pass"),
    "acl-database": _database("nacl-blocks-database", database_denied, FOLLOW_BY_VALUE, "does not let tcp"),
    "acl-part": _database(
        "nacl-blocks-database", database_denied_to_the_functions_addresses, FOLLOW_BY_VALUE, "/32 pass (packets in)"
    ),
    "acl-of-all": _database(
        "nacl-blocks-database", database_denied_by_the_acl_of_all, FOLLOW_BY_VALUE, "does not let tcp"
    ),
    "database-egress": _database("function-sg-blocks-egress", https_only, FIX_BY_VALUE, "does not let it out to 10."),
    "mapped-egress": _database("function-sg-blocks-egress", https_only, FIX_BY_VALUE, "does not let it out to 10."),
    "mapped-subnet": _database("function-outside-db-vpc", subnet_deleted, FOLLOW_BY_VALUE, "has no subnet in which"),
    "database-group": _database("db-sg-blocks-function", database_shut, FIX_BY_VALUE, "does not let database-group in"),
    "another-vpc": _database("function-outside-db-vpc", another_vpc, FOLLOW_BY_VALUE, "has no route that leads to 10."),
}
LOOKED_INTO: dict[str, tuple[str, str]] = {
    "looked-no-route": ("no-route", "preflight-endpoint-unreachable"),
    "looked-database-group": ("database-group", "preflight-database-unreachable"),
}
"""Of what the pre-flight looks into, the ailment, and what is found of it from inside."""
LINUX_PORTS, CLOSED = "linux-ports", "closed"
NUMBERS = {name: number for number, name in enumerate([*AILMENTS, *LOOKED_INTO, LINUX_PORTS, CLOSED], 1)}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    maps = [word for number in NUMBERS.values() for word in ("--network-map", f"{host_in(number)}=127.0.0.1")]
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"), *maps)
    process.start()
    yield process
    assert process.stop() == 0, process.log()


def made(postgresql: PostgresqlServer, doctor: DoctorHere, name: str, number: int, cause_id: str) -> Patient:
    """A patient whose function is in no VPC yet."""
    patient = Patient(doctor, postgresql, name, cause_id, more={"host": host_in(number)})
    patient.port = postgresql.port
    patient.vpc = Vpc(patient.ec2, doctor.server.region, postgresql.port, number)
    patient.client("iam").attach_role_policy(RoleName=name, PolicyArn=NETWORK_POLICY)
    if not name.startswith("mapped"):
        patient.vpc.interface_of(host_in(number))
    if name.startswith("endpoint"):
        patient.vpc.endpoint()
    return patient


def healthy(postgresql: PostgresqlServer, doctor: DoctorHere, name: str) -> Patient:
    """A patient whose rotation has gone well once, in its VPC."""
    ailment = AILMENTS[LOOKED_INTO[name][0] if name in LOOKED_INTO else name]
    patient = made(postgresql, doctor, name, NUMBERS[name], ailment.cause_id)
    patient.move(patient.vpc, *PRIVATE)
    patient.client("lambda").update_function_configuration(FunctionName=name, Timeout=TIMEOUT_SECONDS)
    rotate_well(patient)
    return patient


@pytest.fixture(scope="module")
def courses(server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest) -> Iterator[Courses]:
    with treated(request, server, AILMENTS, partial(healthy, postgresql)) as found:
        yield found


@pytest.mark.parametrize("name", AILMENTS)
def test_what_blocks_the_way_is_named_and_what_is_said_mends_it(courses: Courses, name: str) -> None:
    ailment, course = AILMENTS[name], courses[name].result()

    course.assert_right(ailment)
    assert course.ill["findings"][0]["remedy"]["fixable"] is (ailment.mends in {FIX, FIX_BY_VALUE})


@pytest.mark.parametrize("name", LOOKED_INTO)
def test_what_is_found_from_inside_stands_below_what_is_read(
    server: ServerProcess, postgresql: PostgresqlServer, name: str
) -> None:
    ailment, found_inside = AILMENTS[LOOKED_INTO[name][0]], LOOKED_INTO[name][1]
    patient, doctor = healthy(postgresql, DoctorHere(server), name), Doctor(server)
    assert doctor.diagnose(name, "--read-value", "--preflight")["verdict"] == "healthy"
    ailment.breaks(patient)

    # Before any rotation has failed of it.
    ill = doctor.diagnose(name, "--read-value", "--preflight")
    assert causes_of(ill) == [ailment.cause_id]
    told = {each["id"]: each["role"] for each in ill["findings"] if each["role"] != "note"}
    assert told == {ailment.cause_id: "cause", found_inside: "contributing"}
    assert len(ill["findings"]) == len({each["id"] for each in ill["findings"]})
    ailment.mends(patient)
    assert doctor.diagnose(name, "--read-value", "--preflight")["verdict"] == "healthy"


def test_answers_to_the_ports_that_linux_takes_are_enough_and_others_are_noted(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    patient = made(postgresql, DoctorHere(server), LINUX_PORTS, NUMBERS[LINUX_PORTS], "nacl-blocks-https")
    patient.move(patient.vpc, *PRIVATE)
    acl_id = patient.vpc.acl(*PRIVATE)
    patient.ec2.replace_network_acl_entry(
        NetworkAclId=acl_id,
        RuleNumber=100,
        Protocol="6",
        RuleAction="allow",
        Egress=False,
        CidrBlock=ALL,
        PortRange={"From": 32768, "To": 60999},
    )
    rotate_well(patient)

    told = patient.doctor.diagnose(LINUX_PORTS, read_value=True)
    assert told["verdict"] == "healthy"
    assert {each["role"] for each in told["findings"] if each["id"].startswith("nacl-")} == {"note"}


def test_the_commands_of_two_causes_are_run_one_after_another(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    patient = made(postgresql, DoctorHere(server), CLOSED, NUMBERS[CLOSED], "nacl-blocks-https")
    patient.move(patient.vpc, *PRIVATE)
    rotate_well(patient)
    acl_id = patient.vpc.acl(*PRIVATE)
    for egress in (True, False):
        patient.ec2.delete_network_acl_entry(NetworkAclId=acl_id, RuleNumber=100, Egress=egress)
    causes = causes_of(patient.doctor.diagnose(CLOSED, read_value=True))
    assert causes == ["nacl-blocks-https", "nacl-blocks-database"]

    patient.doctor.follow(CLOSED, *causes, read_value=True)
    rotate_well(patient)
    assert patient.doctor.diagnose(CLOSED, read_value=True)["verdict"] == "healthy"


def test_an_isolated_function_in_no_vpc_is_told_to_move_to_its_database(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    number = 50
    server = ServerProcess(tmp_path, "--isolate-functions", "--network-map", f"{host_in(number)}=127.0.0.1")
    server.start()
    try:
        doctor, cause_id = DoctorHere(server), "function-outside-db-vpc"
        patient = made(postgresql, doctor, "isolated", number, cause_id)
        patient.move(patient.vpc, *PRIVATE)
        rotate_well(patient)
        ailment = _database(cause_id, lambda each: each.move(each.vpc), FOLLOW_BY_VALUE, "isolated is in no VPC")

        treat(patient, ailment).assert_right(ailment)
    finally:
        assert server.stop() == 0, server.log()


def test_a_function_in_no_vpc_that_has_the_machines_network_is_let_be(
    tmp_path: Path, postgresql: PostgresqlServer
) -> None:
    server = ServerProcess(tmp_path)
    server.start()
    try:
        patient = made(postgresql, DoctorHere(server), "beside", 51, "")
        # The machine's own name for it: what the VPC calls it leads nowhere from there.
        value = {**json.loads(patient.secrets.get_secret_value(SecretId="beside")["SecretString"]), "host": "127.0.0.1"}
        patient.secrets.put_secret_value(SecretId="beside", SecretString=json.dumps(value))
        rotate_well(patient)

        assert patient.doctor.diagnose("beside", read_value=True)["verdict"] == "healthy"
    finally:
        assert server.stop() == 0, server.log()
