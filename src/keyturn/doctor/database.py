"""The database that a secret is for: its address, and what RDS knows of it.

The address is in the secret's value, so that it is known only where the operator lets it be read (``--read-value``) or
gives it (``--db-host``). RDS' names say what stands behind them: ``orders.abc.REGION.rds.amazonaws.com`` an instance,
``orders.cluster-abc...`` a cluster's writer, ``orders.cluster-ro-abc...`` its readers, ``orders.proxy-abc...`` a proxy.
A server of one's own is known by an IPv4 address, and by the network interface that has it.
Source: Amazon RDS and Aurora User Guides, "Finding connection information" and "Amazon Aurora connection management".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, ip_address
from typing import Any

from keyturn.rules.network.traffic import networks_of, within

from .cached import cached
from .facts import Answer, Facts, Kind
from .value import ValueParts

Json = Mapping[str, Any]

# Where the value has no port the sample functions take these.
_PORTS = {
    "postgres": 5432,
    "aurora-postgresql": 5432,
    "mysql": 3306,
    "aurora-mysql": 3306,
    "mariadb": 3306,
    "oracle": 1521,
    "sqlserver": 1433,
    "mongo": 27017,
    "redshift": 5439,
    "db2": 50000,
}
# Amazon DocumentDB and Neptune answer by RDS' calls, too. In China the region stands behind the service.
_NAME = re.compile(
    r"(?P<identifier>[a-z][a-z0-9-]*)\.(?P<kind>cluster-ro-|cluster-custom-|cluster-|proxy-)?(?P<hash>[a-z0-9]+)\."
    r"(?:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d)\.(?:rds|docdb|neptune)"
    r"|(?:rds|docdb|neptune)\.(?P<region_in_china>cn-[a-z]+-\d))\.amazonaws\.com(?:\.cn)?"
)


class NameKind(StrEnum):
    """What a database's name says is behind it."""

    INSTANCE = "instance"
    CLUSTER = "cluster-"
    READER = "cluster-ro-"
    CUSTOM = "cluster-custom-"
    PROXY = "proxy-"
    ELSEWHERE = "elsewhere"
    """It is no name of RDS in this region: a server of one's own, an alias, an address."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether it is that of whoever calls it."""
        host = self.host.lower().rstrip(".").strip("[]")
        try:
            return host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            return False


def address_in(value: ValueParts) -> Address | None:
    """Return the address that a secret's value names, with the engine's port if it has none of its own."""
    port = value.port or _PORTS.get(value.text("engine"))
    return Address(value.text("host"), port) if value.text("host") and port else None


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a network a database is.

    Attributes:
        vpc_id: Its VPC.
        subnet_ids: The subnets in which it may listen now.
        group_ids: Its security groups; None if no interface has its address, so that it has none.
        is_public: Its name is told the internet by a public address.
        source: The call that showed it.
    """

    vpc_id: str
    subnet_ids: tuple[str, ...]
    group_ids: tuple[str, ...] | None
    is_public: bool
    source: str


class Database:
    """What RDS and EC2 know of the database at an address; each property asks once, and only what the name calls for.

    Args:
        facts: Answers.
        address: Where it listens.
        region: The secret's.
    """

    def __init__(self, facts: Facts, address: Address, region: str) -> None:
        self._facts = facts
        self.address = address
        match = _NAME.fullmatch(address.host.lower().rstrip("."))
        is_here = match is not None and region in (match["region"], match["region_in_china"])
        self.kind = NameKind(match["kind"] or NameKind.INSTANCE) if match and is_here else NameKind.ELSEWHERE
        """What the name says is behind it."""
        self.identifier = match["identifier"] if match and is_here else ""
        """Of the instance, cluster or proxy; empty if it is elsewhere."""
        self.ip = _ip_in(address.host) if self.kind is NameKind.ELSEWHERE else None
        """The host, if it is the IPv4 address of a server somewhere in a network; None otherwise."""

    @property
    def name(self) -> str:
        """What it is called: as RDS has it, else its host."""
        return self.identifier or self.address.host

    @cached
    def instance(self) -> Answer | None:
        """DescribeDBInstances of the instance that the host names; None if it names none."""
        return self._instance(self.identifier) if self.kind is NameKind.INSTANCE else None

    @cached
    def cluster(self) -> Answer | None:
        """DescribeDBClusters of the cluster that the host names, or whose member the named instance is; else None."""
        if self.kind in (NameKind.CLUSTER, NameKind.READER):
            return self._cluster(self.identifier)
        member_of = self.found_instance.get("DBClusterIdentifier")
        return self._cluster(str(member_of)) if member_of else None

    @cached
    def proxy(self) -> Answer | None:
        """DescribeDBProxies of the proxy that the host names; None if it names none."""
        if self.kind is not NameKind.PROXY:
            return None
        return self._facts.ask("rds", "DescribeDBProxies", DBProxyName=self.identifier)

    @cached
    def writer(self) -> Answer | None:
        """DescribeDBInstances of the writer of the cluster that the host names: a cluster does not tell its subnets."""
        if self.kind not in (NameKind.CLUSTER, NameKind.READER):
            return None
        members = self.found_cluster.get("DBClusterMembers") or []
        writers = [each["DBInstanceIdentifier"] for each in members if each.get("IsClusterWriter")]
        return self._instance(writers[0]) if writers else None

    @cached
    def interfaces(self) -> Answer | None:
        """DescribeNetworkInterfaces of those that have the host's address; None if the host is none."""
        if self.ip is None:
            return None
        wanted = [{"Name": "addresses.private-ip-address", "Values": [str(self.ip)]}]
        return self._facts.ask("ec2", "DescribeNetworkInterfaces", Filters=wanted)

    @property
    def named(self) -> Answer | None:
        """The answer about what the host names: instance, cluster or proxy; None if RDS is not asked."""
        return self.instance or (self.cluster if self.kind is not NameKind.INSTANCE else None) or self.proxy

    @property
    def place(self) -> Place | None:
        """Where RDS has it; None if it has no such database, or does not tell.

        Raises:
            Unseen: It may not be looked at.
        """
        if self.named is None or self.named.is_gone:
            return None
        if self.kind is NameKind.PROXY:
            proxy = self.found_proxy
            subnet_ids, group_ids = proxy.get("VpcSubnetIds") or (), proxy.get("VpcSecurityGroupIds") or ()
            return Place(
                str(proxy.get("VpcId", "")), tuple(subnet_ids), tuple(group_ids), False, "rds:DescribeDBProxies"
            )
        described = self.instance or self.writer
        if described is None or described.is_gone:
            return None
        return _place_of(self.found_instance or self.found_writer)

    @property
    def found_instance(self) -> Json:
        """The named instance; empty if there is none or it may not be looked at."""
        return _first(self.instance, "DBInstances")

    @property
    def found_cluster(self) -> Json:
        """The named cluster, or the one of the named instance; empty likewise."""
        return _first(self.cluster, "DBClusters")

    @property
    def found_proxy(self) -> Json:
        """The named proxy; empty likewise."""
        return _first(self.proxy, "DBProxies")

    @property
    def found_writer(self) -> Json:
        """The writer of the named cluster; empty likewise."""
        return _first(self.writer, "DBInstances")

    def _instance(self, identifier: str) -> Answer:
        return self._facts.ask("rds", "DescribeDBInstances", DBInstanceIdentifier=identifier)

    def _cluster(self, identifier: str) -> Answer:
        return self._facts.ask("rds", "DescribeDBClusters", DBClusterIdentifier=identifier)


def _ip_in(host: str) -> IPv4Address | None:
    try:
        found = IPv4Address(host.rstrip("."))
    except AddressValueError:
        return None
    is_nowhere = found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified
    return None if is_nowhere else found


def place_at(address: str, interfaces: Sequence[Json], vpc_id: str, subnets: Sequence[Json]) -> Place | None:
    """Return where an address is: in the function's VPC if that has a subnet for it, else where one interface has it.

    Args:
        address: The address, IPv4.
        interfaces: DescribeNetworkInterfaces' entries of those that have it, in any VPC.
        vpc_id: The function's VPC; empty if it is in none.
        subnets: DescribeSubnets' entries of that VPC.

    Returns:
        None if it is in no VPC that is known, or in one of several.
    """
    here = [each for each in interfaces if each.get("VpcId") == vpc_id]
    if here:
        return _place_of_interface(here[0])
    for subnet in subnets:
        if within(networks_of([str(subnet.get("CidrBlock"))]), networks_of([address])[0]):
            return Place(vpc_id, (str(subnet["SubnetId"]),), None, False, "ec2:DescribeSubnets")
    return _place_of_interface(interfaces[0]) if len(interfaces) == 1 else None


def _place_of_interface(interface: Json) -> Place:
    groups = tuple(str(each["GroupId"]) for each in interface.get("Groups") or ())
    return Place(
        vpc_id=str(interface["VpcId"]),
        subnet_ids=(str(interface["SubnetId"]),),
        # A load balancer's interface may have none.
        group_ids=groups or None,
        is_public=False,
        source="ec2:DescribeNetworkInterfaces",
    )


def _place_of(instance: Json) -> Place | None:
    group = instance.get("DBSubnetGroup") or {}
    if not group.get("VpcId"):
        return None
    zone = instance.get("AvailabilityZone")
    subnets = group.get("Subnets") or []
    here = [each for each in subnets if (each.get("SubnetAvailabilityZone") or {}).get("Name") == zone] or subnets
    return Place(
        vpc_id=str(group["VpcId"]),
        subnet_ids=tuple(each["SubnetIdentifier"] for each in here),
        group_ids=tuple(each["VpcSecurityGroupId"] for each in instance.get("VpcSecurityGroups") or ()),
        is_public=bool(instance.get("PubliclyAccessible")),
        source="rds:DescribeDBInstances",
    )


def _first(answer: Answer | None, member: str) -> Json:
    if answer is None or answer.kind is not Kind.OK:
        return {}
    found = answer.found.get(member) or [{}]
    first: Json = found[0]
    return first
