"""Does the function reach Secrets Manager, and its database?"""

from __future__ import annotations

import json

from .vpc import (
    DATABASE_GROUP,
    ENDPOINT_GROUP,
    FUNCTION_GROUP,
    GATEWAY,
    OWN_HOST,
    PRIVATE_A,
    PRIVATE_TABLE,
    rule,
    table,
)
from .world import ACCOUNT, REGION, SECRET, World

_HUNG = "[INFO]\t2026-11-27T10:59:58.000Z\t\tFound credentials in environment variables."


def _hang(world: World, step: str = "createSecret") -> None:
    world.fail(step)
    world.run(_HUNG, timed_out=30, duration_ms=30000, secret=None)


def _with_endpoint(world: World) -> None:
    world.in_vpc()
    world.network.with_endpoint()
    _hang(world)


def network_no_route_to_secretsmanager(world: World) -> None:
    world.in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {}, main=True)
    _hang(world)


def network_public_subnet_no_nat(world: World) -> None:
    world.in_vpc()
    world.network.route_tables[0] = table(PRIVATE_TABLE, {"GatewayId": GATEWAY}, main=True)
    _hang(world)


def network_nat_broken(world: World) -> None:
    world.in_vpc()
    # moto leaves the route to it active.
    world.network.nat_gateways[0]["State"] = "deleted"
    _hang(world)


def endpoint_private_dns_off(world: World) -> None:
    _with_endpoint(world)
    world.network.endpoints[0]["PrivateDnsEnabled"] = False


def vpc_dns_off(world: World) -> None:
    _with_endpoint(world)
    world.network.dns["enableDnsHostnames"] = False


def endpoint_not_available(world: World) -> None:
    _with_endpoint(world)
    world.network.endpoints[0]["State"] = "rejected"


def endpoint_sg_blocks_https(world: World) -> None:
    _with_endpoint(world)
    world.network.groups[ENDPOINT_GROUP]["IpPermissions"] = [rule(443, cidr="192.168.0.0/16")]


def endpoint_policy_denies(world: World) -> None:
    _with_endpoint(world)
    other = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:other-AbCdEf"
    statement = {"Effect": "Allow", "Principal": "*", "Action": "secretsmanager:*", "Resource": other}
    world.network.endpoints[0]["PolicyDocument"] = json.dumps({"Statement": [statement]})
    world.run(
        "[ERROR] ClientError: An error occurred (AccessDeniedException) when calling the DescribeSecret operation:"
        f" not authorized to perform: secretsmanager:DescribeSecret on resource: {SECRET} because no VPC endpoint"
        " policy allows the secretsmanager:DescribeSecret action"
    )


def nacl_blocks_https(world: World) -> None:
    world.in_vpc()
    _refuse(world, 443, egress=True)
    _hang(world)


def nacl_blocks_database(world: World) -> None:
    world.in_vpc()
    world.with_value()
    _refuse(world, 5432, egress=False)
    _hang(world, "setSecret")


def function_sg_blocks_egress(world: World) -> None:
    _with_endpoint(world)
    world.network.groups[FUNCTION_GROUP]["IpPermissionsEgress"] = [rule(5432, cidr="10.0.0.0/16")]


def db_sg_blocks_function(world: World) -> None:
    world.in_vpc()
    world.with_value()
    world.network.groups[DATABASE_GROUP]["IpPermissions"] = [rule(5432, cidr="192.168.0.0/16")]
    _hang(world, "setSecret")


def function_outside_db_vpc(world: World) -> None:
    world.with_value()
    world.network.instance["PubliclyAccessible"] = False
    _hang(world, "setSecret")


def db_host_gone(world: World) -> None:
    world.with_value()
    world.lose("rds:DescribeDBInstances", "DBInstanceNotFound", "DBInstance orders not found.")
    world.fail("setSecret")


def secretsmanager_unanswered(world: World) -> None:
    world.in_vpc()
    world.fail()
    url = f"https://secretsmanager.{REGION}.amazonaws.com/"
    world.run(
        f'[ERROR] ConnectTimeoutError: Connect timeout on endpoint URL: "{url}"\nTraceback (most recent call last):'
    )


def db_host_is_function_itself(world: World) -> None:
    world.in_vpc()
    world.fail("setSecret")
    world.run(
        "[ERROR] ConnectionRefused: host 127.0.0.1, port 5432: Connection refused\nTraceback (most recent call last):"
    )


def function_isolated(world: World) -> None:
    world.with_probe({"Network": "isolated"})
    world.fail("setSecret")
    world.run(
        "[ERROR] HostUnreachable: host db.example, port 1: Network is unreachable\nTraceback (most recent call last):"
    )


def network_map_missing(world: World) -> None:
    world.in_vpc()
    tried = {"Address": OWN_HOST, "Outcome": "timeout", "IsMapped": False, "Destination": "is nobody's"}
    world.with_probe(
        {"Network": "vpc", "Probes": [{"SubnetId": PRIVATE_A, "Outcome": "timeout", "Addresses": [tried]}]}
    )
    world.fail("setSecret")
    world.run(f"[ERROR] ConnectionTimedOut: host {OWN_HOST}, port 5432: no answer\nTraceback (most recent call last):")


def function_timeout_too_short(world: World) -> None:
    world.configuration["Timeout"] = 3
    world.fail()
    world.run(timed_out=3, duration_ms=3000)


def function_endpoint_wrong(world: World) -> None:
    world.configuration["Environment"] = {"Variables": {"EXCLUDE_CHARACTERS": "/@"}}
    world.fail()
    world.run("[ERROR] KeyError: 'SECRETS_MANAGER_ENDPOINT'\nTraceback (most recent call last):")


def lambda_eni_unavailable(world: World) -> None:
    world.in_vpc()
    world.configuration |= {
        "State": "Failed",
        "StateReason": "Lambda was not able to set up VPC resources.",
        "StateReasonCode": "SubnetOutOfIPAddresses",
    }
    for subnet in world.network.subnets:
        subnet["AvailableIpAddressCount"] = 0
    world.fail()


def _refuse(world: World, port: int, *, egress: bool) -> None:
    world.network.acls[0]["Entries"].append(
        {
            "RuleNumber": 50,
            "Protocol": "6",
            "RuleAction": "deny",
            "Egress": egress,
            "CidrBlock": "0.0.0.0/0",
            "PortRange": {"From": port, "To": port},
        }
    )
