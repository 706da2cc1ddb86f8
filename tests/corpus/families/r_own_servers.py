"""The way to a database that is none of RDS', whose host is an address: an instance of EC2, a server elsewhere."""

from __future__ import annotations

from tests.corpus.account import FAILED_AT, SECRET, Account
from tests.corpus.cases import HEALTHY, INCONCLUSIVE, Family
from tests.corpus.network import EVERYWHERE, Network, allow, entry, table

own = Family("own server", "AWS documentation: EC2 API Reference, DescribeNetworkInterfaces; VPC User Guide")
healthy = Family("own server, healthy", "AWS documentation: VPC User Guide; Lambda Developer Guide, VPC access")

HOST = "10.0.20.7"


def _beside_it(account: Account, host: str = HOST) -> Network:
    found = account.in_vpc()
    found.with_server()
    account.with_own_database(host)
    return found


def _cannot_log_in(account: Account, host: str = HOST) -> Network:
    account.failing("setSecret")
    account.template(
        f"setSecret: Unable to log into database with previous, current, or pending secret of secret arn {SECRET}",
        ms=15200,
        at=FAILED_AT,
    )
    return _beside_it(account, host)


@own.fault("db-sg-blocks-function")
def its_group_lets_nobody_in(account: Account) -> None:
    _cannot_log_in(account).group("sg-database")["IpPermissions"] = []


@own.fault("db-sg-blocks-function")
def its_group_lets_a_neighbour_in(account: Account) -> None:
    _cannot_log_in(account).group("sg-database")["IpPermissions"] = [allow("tcp", 5432, "10.0.9.0/24")]


@own.fault("nacl-blocks-database")
def the_acl_denies_its_port(account: Account) -> None:
    _cannot_log_in(account).first_entries(entry(90, "deny", egress=True, protocol="6", ports=(5432, 5432)))


@own.fault("nacl-blocks-database")
def the_acl_denies_its_port_and_no_interface_is_shown(account: Account) -> None:
    found = _cannot_log_in(account)
    found.interfaces.clear()
    found.first_entries(entry(90, "deny", egress=True, protocol="6", ports=(5000, 6000)))


@own.fault("function-sg-blocks-egress")
def the_functions_group_lets_https_out_only(account: Account) -> None:
    _cannot_log_in(account).group("sg-function")["IpPermissionsEgress"] = [allow("tcp", 443, EVERYWHERE)]


@own.fault("db-host-is-function-itself")
def the_value_names_the_machine_that_it_was_written_on(account: Account) -> None:
    account.failing("setSecret")
    said = 'connection to server at "127.0.0.1", port 5432 failed: Connection refused'
    account.raised("OperationalError", said, function="set_secret")
    _beside_it(account, "127.0.0.1")


@own.fault("db-host-is-function-itself")
def the_log_alone_names_the_functions_own_loopback(account: Account) -> None:
    account.failing("setSecret")
    said = 'connection to server at "localhost" (127.0.0.1), port 5432 failed: Connection refused'
    account.raised("OperationalError", said, function="set_secret")


@own.fault("function-outside-db-vpc")
def it_is_in_another_vpc(account: Account) -> None:
    found = _cannot_log_in(account, "10.9.20.7")
    found.interfaces.clear()
    found.subnets[3] |= {"VpcId": "vpc-2", "CidrBlock": "10.9.20.0/24"}
    found.group("sg-database")["VpcId"] = "vpc-2"
    found.tables.append(table("rtb-2", is_main=True, vpc="vpc-2"))
    found.with_server("10.9.20.7", VpcId="vpc-2")


@own.fault("function-outside-db-vpc")
def the_function_is_in_no_vpc(account: Account) -> None:
    _cannot_log_in(account)
    account.configuration.pop("VpcConfig")
    account.role_policies.pop("vpc")


@own.fault("function-outside-db-vpc")
def it_is_in_the_office_and_no_route_leads_there(account: Account) -> None:
    _cannot_log_in(account, "192.168.7.20").interfaces.clear()


@own.fault("network-no-route-to-secretsmanager")
def it_is_public_and_nothing_leads_out(account: Account) -> None:
    account.failing()
    account.timed_out()
    _beside_it(account, "93.184.216.34").without_nat()


@healthy.nothing(*HEALTHY)
def beside_it(account: Account) -> None:
    _beside_it(account)


@healthy.nothing(*HEALTHY)
def behind_a_load_balancer_without_a_group(account: Account) -> None:
    found = _beside_it(account)
    found.interfaces[0] |= {"InterfaceType": "network_load_balancer", "Groups": []}


@healthy.nothing(*HEALTHY)
def the_functions_group_lets_it_out_to_that_address_only(account: Account) -> None:
    found = _beside_it(account)
    found.group("sg-function")["IpPermissionsEgress"] = [
        allow("tcp", 443, EVERYWHERE),
        allow("tcp", 5432, f"{HOST}/32"),
    ]


@healthy.nothing(*HEALTHY)
def public_behind_the_nat_gateway(account: Account) -> None:
    _beside_it(account, "93.184.216.34")


@healthy.nothing(*HEALTHY)
def in_the_office_by_a_vpn(account: Account) -> None:
    found = _beside_it(account, "192.168.7.20")
    vpn = {"DestinationCidrBlock": "192.168.0.0/16", "GatewayId": "vgw-1", "State": "active"}
    found.table("rtb-private")["Routes"] = [*found.table("rtb-private")["Routes"], vpn]


@healthy.nothing(*INCONCLUSIVE)
def interfaces_may_not_be_looked_at(account: Account) -> None:
    _beside_it(account)
    account.deny("ec2:DescribeNetworkInterfaces")
