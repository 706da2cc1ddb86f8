"""keyturn network trace in an account of moto, which implements EC2 and Lambda by itself: the reading alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from keyturn.cli import network
from keyturn.cli.main import app, register_commands

from .moto_account import CREDENTIALS, REGION, Account, account
from .vpc import ALL

DATABASE, PUBLIC = "10.0.3.15", "52.94.1.1"
SECRETS_MANAGER = f"secretsmanager.{REGION}.amazonaws.com"


@pytest.fixture(scope="module", autouse=True)
def _commands() -> None:
    if "network" not in {group.name for group in app.registered_groups}:
        register_commands()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    # No name is asked for outside of this machine.
    monkeypatch.setattr(network, "_resolved", lambda host: (PUBLIC,) if host == SECRETS_MANAGER else ())
    with account() as healthy:
        healthy.ec2.create_network_interface(
            SubnetId=healthy.subnets["data_a"], PrivateIpAddress=DATABASE, Groups=[healthy.database_group]
        )
        yield healthy


def trace(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["network", "trace", *words], env={"COLUMNS": "80"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def document(*words: str) -> Any:
    status, output = trace(*words, "--output", "json")
    told = json.loads(output)
    assert status == {"passes": 0, "blocks": 1, "unknown": 3}[told["verdict"]]
    return told


def blocking(told: Any) -> list[tuple[str, str]]:
    return [(hop["kind"], hop["at"]) for way in told["ways"] for hop in way["hops"] if hop["passage"] == "blocks"]


def test_a_database_in_the_vpc_is_reached_from_every_subnet(made: Account) -> None:
    status, output = trace("rotate-orders", f"{DATABASE}:5432")

    assert status == 0, output
    assert output.startswith(f"passes: rotate-orders may reach {DATABASE}:5432: nothing on the way stops it\n")
    for name in ("private_a", "private_b"):
        assert f"\n{made.subnets[name]} (10.0." in output
    assert "AWS lets nobody into a function's network" in " ".join(output.split())


def test_a_rule_that_is_taken_away_is_named(made: Account) -> None:
    [group] = made.ec2.describe_security_groups(GroupIds=[made.database_group])["SecurityGroups"]
    made.ec2.revoke_security_group_ingress(GroupId=made.database_group, IpPermissions=group["IpPermissions"])

    told = document("rotate-orders", f"{DATABASE}:5432")

    assert blocking(told) == [("network interface's security group", made.database_group)] * 2


def test_an_acl_that_denies_is_named(made: Account) -> None:
    acl_id = made.acl("data_a", "data_b")
    made.ec2.create_network_acl_entry(
        NetworkAclId=acl_id,
        RuleNumber=50,
        Protocol="6",
        RuleAction="deny",
        Egress=False,
        CidrBlock="10.0.0.0/16",
        PortRange={"From": 5000, "To": 6000},
    )

    told = document("rotate-orders", f"{DATABASE}:5432", "--subnet", made.subnets["private_a"])

    assert blocking(told) == [("network ACL", acl_id)]


def test_secrets_manager_is_reached_through_the_nat_gateway_until_its_route_is_gone(made: Account) -> None:
    assert document("rotate-orders", f"{SECRETS_MANAGER}:443")["verdict"] == "passes"
    made.ec2.delete_route(RouteTableId=made.private_table, DestinationCidrBlock=ALL)
    assert blocking(document("rotate-orders", f"{SECRETS_MANAGER}:443")) == [("route", made.private_table)] * 2


def test_an_endpoint_with_private_dns_is_what_the_name_leads_to(made: Account) -> None:
    made.endpoint()

    told = document("rotate-orders", f"{SECRETS_MANAGER}:443")

    # moto gives interfaces of endpoints addresses that lie in no subnet: whether they are reached says nothing.
    asked = made.ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [made.vpc]}])
    of_endpoint = {each["PrivateIpAddress"] for each in asked["NetworkInterfaces"]} - {DATABASE}
    assert {way["address"] for way in told["ways"]} <= of_endpoint


def test_an_address_of_nobody_is_told(made: Account) -> None:
    told = document("rotate-orders", "10.0.3.77:5432", "--subnet", made.subnets["private_b"])

    assert blocking(told) == [("network interface", "10.0.3.77")]


def test_a_name_that_nobody_here_knows_is_not_told(made: Account) -> None:
    assert document("rotate-orders", "orders.example.org:5432")["verdict"] == "unknown"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no-such", "10.0.3.15:5432"), "There is no function no-such."),
        (("rotate-orders", "10.0.3.15"), "HOST:PORT 10.0.3.15 is no NAME:PORT."),
        (("rotate-orders", "10.0.3.15:5432", "--subnet", "subnet-0"), "The function is not in the subnet subnet-0."),
    ],
)
def test_wrong_usage_has_a_status_of_its_own(made: Account, words: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["network", "trace", *words])

    assert getattr(result.exception, "exit_status", None) == 4
    assert str(result.exception) == message
