"""Does the function reach Secrets Manager? The routes: what they lead to, and whether it leads on.

What is in the routes is the cause; that the first call never came back only agrees with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.model import Cause, Change, Finding, Fix, Remedy, Section, Topic
from keyturn.doctor.network import Network
from keyturn.doctor.way_out import let_out, through_nat
from keyturn.doctor.ways import (
    AGREES,
    READS,
    blocked,
    calling_aws,
    good_subnets,
    hung,
    make_endpoint,
    move,
    secrets_manager_step,
    shown,
)
from keyturn.rules.network.hops import HopKind
from keyturn.rules.network.routes import table_of, target_of

TIMED_OUT = (
    "Found credentials in environment variables.",
    "Task timed out after 30.03 seconds",
    "Task timed out after",
)
"""The last line that a function writes which hangs in its first call, and what Lambda writes behind it."""
UNREACHED = "preflight-endpoint-unreachable"
"""What a way to Secrets Manager that is seen to be blocked says more exactly."""
_ROUTED = (*READS, "ec2:DescribeRouteTables", "ec2:DescribeVpcEndpoints")

NO_ROUTE = Cause(
    id="network-no-route-to-secretsmanager",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function's subnet has no way to Secrets Manager",
    symptoms=TIMED_OUT,
    evidence=(*_ROUTED, *AGREES),
    decision="The route table of one of the function's subnets (its own, else the VPC's main one) has no default route"
    " that leads anywhere, and the VPC has no interface endpoint of Secrets Manager.",
    remedy="Make a default route to a NAT gateway, if there is one that leads out; else an interface endpoint of"
    " Secrets Manager in the VPC, with private DNS.",
    fix=Fix.PRINTED,
    outranks=(UNREACHED,),
)


@check(NO_ROUTE)
def network_no_route_to_secretsmanager(case: Case) -> Iterator[Finding]:
    """Look for a default route or an endpoint."""
    network = calling_aws(case)
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.ROUTE):
        yield Finding(
            NO_ROUTE,
            f"{case.function_name} has no way to Secrets Manager: {each.hop.at} {each.hop.why}, and there is no"
            f" endpoint in the VPC{each.only}",
            (shown(network, each), *hung(case)),
            through_nat(network, each.subnet_ids)
            or Remedy(
                "Make an endpoint of Secrets Manager for the function's subnets, with a security group of its own.",
                by_hand=make_endpoint(network),
            ),
            step=secrets_manager_step(case),
        )


PUBLIC_SUBNET = Cause(
    id="network-public-subnet-no-nat",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The function is in a public subnet, where it has no public address to be answered at",
    symptoms=TIMED_OUT,
    evidence=(*_ROUTED, *AGREES),
    decision="The default route of one of the function's subnets leads to an internet gateway. A function's network"
    " interface never gets a public address, so that nothing comes back through it. One such subnet among several makes"
    " rotation fail now and then.",
    remedy="Move the function to subnets whose default route leads to a NAT gateway, or make an interface endpoint of"
    " Secrets Manager.",
    fix=Fix.PRINTED,
    outranks=("network-no-route-to-secretsmanager", UNREACHED),
)


@check(PUBLIC_SUBNET)
def network_public_subnet_no_nat(case: Case) -> Iterator[Finding]:
    """Look for default routes to an internet gateway."""
    network = calling_aws(case)
    good = good_subnets(network, network.vpc.vpc_id if network.vpc else "")
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.INTERNET_GATEWAY):
        named = ", ".join(each.subnet_ids)
        how = "is public" if len(each.subnet_ids) == 1 else "are public"
        if good:
            text = f"Move the function to {', '.join(good)}, whose default route leads to a NAT gateway."
            remedy = Remedy(text, (move(case, good, network.group_ids),))
        else:
            making = Remedy("Make an endpoint of Secrets Manager in the VPC.", by_hand=make_endpoint(network))
            remedy = through_nat(network, each.subnet_ids) or making
        yield Finding(
            PUBLIC_SUBNET,
            f"{case.function_name} has no way to Secrets Manager: {named} {how}, and a function has no public address"
            f" there{each.only}",
            (shown(network, each), *hung(case)),
            remedy,
            step=secrets_manager_step(case),
        )


NAT_BROKEN = Cause(
    id="network-nat-broken",
    section=Section.NETWORK,
    topic=Topic.NETWORK,
    title="The NAT gateway or NAT instance behind the function's subnet leads nowhere",
    symptoms=TIMED_OUT,
    evidence=(
        *_ROUTED,
        "ec2:DescribeNatGateways",
        "ec2:DescribeInstances",
        "ec2:DescribeInternetGateways",
        *AGREES,
    ),
    decision="The default route leads to a NAT gateway that is deleted, failed or not yet available, or whose own"
    " subnet has no default route to an internet gateway; or to a NAT instance that is stopped, or has its"
    " source/destination check on. The gateway's own state counts, not only the route's.",
    remedy="Let the gateway's own subnet out through the VPC's internet gateway; make a NAT gateway in a public subnet"
    " in place of one that is gone, and let the default route lead to it; start a NAT instance, or turn its check off.",
    fix=Fix.PRINTED,
    outranks=("network-no-route-to-secretsmanager", UNREACHED),
)


@check(NAT_BROKEN)
def network_nat_broken(case: Case) -> Iterator[Finding]:
    """Look at what the default route leads to."""
    network = calling_aws(case)
    for each in blocked(network, network.ways_to_secrets_manager, HopKind.NAT):
        yield Finding(
            NAT_BROKEN,
            f"{case.function_name} has no way to Secrets Manager: {each.hop.at} {each.hop.why}{each.only}",
            (shown(network, each), *hung(case)),
            _mended(network, each.hop.at, each.hop.why, each.subnet_ids),
            step=secrets_manager_step(case),
        )


def _mended(network: Network, gateway_id: str, why: str, subnet_ids: tuple[str, ...]) -> Remedy:
    if "source/destination check" in why:
        parameters = {"InstanceId": gateway_id, "SourceDestCheck": {"Value": False}}
        return Remedy(
            f"Let {gateway_id} forward packets that are not its own.",
            (Change("ec2", "ModifyInstanceAttribute", parameters),),
        )
    if "NAT instance that is stop" in why:
        return Remedy(f"Start {gateway_id}.", (Change("ec2", "StartInstances", {"InstanceIds": [gateway_id]}),))
    if "has no default route to an internet gateway" in why and (remedy := let_out(network, gateway_id)) is not None:
        return remedy
    if (remedy := through_nat(network, subnet_ids)) is not None:
        return remedy
    public = _public_subnet(network)
    tables = sorted({_table_id(network, each) for each in subnet_ids} - {""})
    if public is None:
        return Remedy(
            "No subnet of the VPC is public, so that a NAT gateway would lead nowhere: make an endpoint of Secrets"
            " Manager for the function's subnets.",
            by_hand=make_endpoint(network),
        )
    return Remedy(
        "Make a NAT gateway in a public subnet, and let the default route lead to it.",
        by_hand=(
            (
                f"NAT=$(aws ec2 create-nat-gateway --subnet-id {quote(public)} --allocation-id"
                " $(aws ec2 allocate-address --domain vpc --query AllocationId --output text)"
                " --query NatGateway.NatGatewayId --output text)"
            ),
            "aws ec2 wait nat-gateway-available --nat-gateway-ids $NAT",
            *(
                f"aws ec2 replace-route --route-table-id {quote(table_id)} --destination-cidr-block 0.0.0.0/0"
                " --nat-gateway-id $NAT"
                for table_id in tables
            ),
        ),
    )


def _table_id(network: Network, subnet_id: str) -> str:
    picture = network.picture
    table = table_of(subnet_id, picture.vpc_of(subnet_id), picture.route_tables or ())
    return "" if table is None else str(table["RouteTableId"])


def _public_subnet(network: Network) -> str | None:
    """Return a subnet of the function's VPC whose default route leads to an internet gateway."""
    picture = network.picture
    for subnet in picture.subnets or ():
        table = table_of(str(subnet["SubnetId"]), str(subnet["VpcId"]), picture.route_tables or ())
        routes = table.get("Routes") or () if table else ()
        is_own = network.vpc is not None and subnet["VpcId"] == network.vpc.vpc_id
        if is_own and any(target_of(route).startswith("igw-") and route.get("State") == "active" for route in routes):
            return str(subnet["SubnetId"])
    return None
