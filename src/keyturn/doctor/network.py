"""The network between a function, Secrets Manager and a database: what EC2 answers, and the ways that follow from it.

EC2 is asked only of a function that is in a VPC, or of a database that has a known address. What the answers mean is
decided by ``keyturn.rules.network``; a part that may not be looked at is unknown there, and never taken for open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from keyturn.rules.network.endpoints import DNS_ATTRIBUTES, endpoint_for, endpoint_named, host_in
from keyturn.rules.network.groups import PrefixLists
from keyturn.rules.network.hops import Hop, HopKind, Passage, passage_of
from keyturn.rules.network.picture import Picture
from keyturn.rules.network.routes import table_of, target_of
from keyturn.rules.network.trace import Packet, hops_to
from keyturn.rules.network.traffic import HTTPS, Networks, Ports, networks_of
from keyturn.rules.network.ways import (
    Origin,
    Server,
    depends_on_address,
    from_anywhere,
    sharpened,
    to_public_server,
    to_secrets_manager,
    to_server,
    within_vpc,
)

from .cached import cached
from .database import Database, NameKind, Place, place_at
from .facts import Answer, Facts, Kind, Unseen
from .vpc_answers import VpcAnswers

Json = Mapping[str, Any]
VARIABLE = "SECRETS_MANAGER_ENDPOINT"
ENDPOINT_GROUP_NAME = "secretsmanager-endpoint"
"""The security group that printed commands make for an endpoint."""


class Network:
    """What lies between a function, Secrets Manager and its database.

    Args:
        facts: Answers.
        configuration: The function's, as GetFunctionConfiguration answers it.
        region: The secret's.
        database: The database, if its address is known.
        group_ids: Security groups of others that matter as well.
    """

    def __init__(
        self,
        facts: Facts,
        configuration: Json,
        region: str,
        database: Database | None,
        group_ids: Iterable[str] = (),
    ) -> None:
        self._facts = facts
        self._other_group_ids = frozenset(group_ids)
        self._configuration = configuration
        self.region = region
        self.database = database

    # The function.

    @property
    def subnet_ids(self) -> tuple[str, ...]:
        """The function's subnets."""
        return tuple((self._configuration.get("VpcConfig") or {}).get("SubnetIds") or ())

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The function's security groups."""
        return tuple((self._configuration.get("VpcConfig") or {}).get("SecurityGroupIds") or ())

    @property
    def is_attached(self) -> bool:
        """Whether the function is in a VPC."""
        return bool(self.subnet_ids)

    @property
    def variable(self) -> str:
        """The function's SECRETS_MANAGER_ENDPOINT; empty if it has none."""
        return str(((self._configuration.get("Environment") or {}).get("Variables") or {}).get(VARIABLE) or "")

    @property
    def public_host(self) -> str:
        """Secrets Manager's public name in the secret's region."""
        return f"secretsmanager.{self.region}.amazonaws.com"

    @property
    def called_host(self) -> str:
        """What the function calls: what its variable says, else the public name."""
        return host_in(self.variable) or self.public_host

    @property
    def calls_aws(self) -> bool:
        """Whether the function calls AWS, as far as its variable says: Keyturn's address is none of EC2's ways."""
        return self.called_host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))

    @cached
    def subnets(self) -> Answer | None:
        """DescribeSubnets of the function's subnets; None if it is in no VPC."""
        return self._facts.ask("ec2", "DescribeSubnets", SubnetIds=list(self.subnet_ids)) if self.is_attached else None

    @cached
    def vpc(self) -> VpcAnswers | None:
        """The function's VPC, by its subnets: some servers tell another one in VpcConfig. None if it is in none.

        Raises:
            Unseen: The subnets may not be looked at.
        """
        if self.subnets is None:
            return None
        found = self.subnets.value.get("Subnets") or []
        return VpcAnswers(self._facts, str(found[0]["VpcId"])) if found else None

    @property
    def _vpc_if_seen(self) -> VpcAnswers | None:
        return self.vpc if self.subnets is not None and self.subnets.kind is Kind.OK else None

    @cached
    def interfaces(self) -> Answer | None:
        """DescribeNetworkInterfaces of the function's own, which it may share; None if it is in no VPC."""
        own = self._vpc_if_seen
        return None if own is None else own.interfaces_in(self.subnet_ids)

    def addresses_in(self, subnet_id: str) -> tuple[str, ...]:
        """Return the addresses that the function has in one of its subnets; empty if they are not known."""
        own = set(self.group_ids)
        return tuple(
            str(each["PrivateIpAddress"])
            for each in entries_in(self.interfaces, "NetworkInterfaces") or ()
            if (each.get("InterfaceType"), each.get("SubnetId")) == ("lambda", subnet_id)
            and each.get("PrivateIpAddress")
            and {str(group.get("GroupId")) for group in each.get("Groups") or ()} == own
        )

    # The endpoint.

    @property
    def endpoint(self) -> Json | None:
        """The interface endpoint of Secrets Manager in the function's VPC; None if there is none.

        Raises:
            Unseen: The endpoints may not be looked at.
        """
        if self.vpc is None:
            return None
        found = self.vpc.endpoints.value.get("VpcEndpoints") or []
        return endpoint_for(found, self.vpc.vpc_id, self.region, self.called_host)

    @property
    def _endpoint_if_seen(self) -> Json | None:
        vpc = self._vpc_if_seen
        return self.endpoint if vpc is not None and vpc.endpoints.kind is Kind.OK else None

    # The database.

    @property
    def place(self) -> Place | None:
        """Where the database is; None if no address is known, RDS does not tell, or it is in no VPC that is known.

        Raises:
            Unseen: RDS may not be asked, or EC2 about its address.
        """
        if self.database is None or self.database.interfaces is None:
            return None if self.database is None else self.database.place
        own = self._vpc_if_seen
        subnets = [] if own is None else own.subnets.value.get("Subnets") or []
        found = self.database.interfaces.value.get("NetworkInterfaces") or []
        return place_at(str(self.database.ip), found, "" if own is None else own.vpc_id, subnets)

    @property
    def _place_if_seen(self) -> Place | None:
        try:
            return self.place
        except Unseen:
            return None

    @cached
    def database_vpc(self) -> VpcAnswers | None:
        """The database's VPC, if it is another one than the function's."""
        place, own = self._place_if_seen, self._vpc_if_seen
        if place is None or (own is not None and own.vpc_id == place.vpc_id):
            return None
        return VpcAnswers(self._facts, place.vpc_id)

    @cached
    def peerings(self) -> Answer | None:
        """DescribeVpcPeeringConnections of those between the two VPCs; None if there are not two."""
        own, other = self._vpc_if_seen, self.database_vpc
        if own is None or other is None:
            return None
        ids = sorted({own.vpc_id, other.vpc_id})
        wanted = [{"Name": f"{side}-vpc-info.vpc-id", "Values": ids} for side in ("requester", "accepter")]
        return self._facts.ask("ec2", "DescribeVpcPeeringConnections", Filters=wanted)

    # What both need.

    @cached
    def groups(self) -> Answer | None:
        """DescribeSecurityGroups of the function, the endpoint, the database and others; None if there are none."""
        endpoint, place = self._endpoint_if_seen or {}, self._place_if_seen
        ids = {*self.group_ids, *self._other_group_ids}
        ids |= {str(each.get("GroupId")) for each in endpoint.get("Groups") or ()}
        ids |= set((place.group_ids if place else None) or ())
        if not ids:
            return None
        return self._facts.ask("ec2", "DescribeSecurityGroups", Filters=[{"Name": "group-id", "Values": sorted(ids)}])

    @cached
    def nat_gateways(self) -> tuple[Answer, ...]:
        """DescribeNatGateways of each VPC in which a route leads to one: of the function's, one of its own routes."""
        own, other = self._vpc_if_seen, self.database_vpc
        found = [own.nat_gateways] if own is not None and _lead_to_nat(self._routes) else []
        if other is not None and self.has_to_move:
            tables = entries_in(other.route_tables, "RouteTables") or ()
            routes = [route for table in tables for route in table.get("Routes") or ()]
            found += [other.nat_gateways] if _lead_to_nat(routes) else []
        return tuple(found)

    @property
    def has_to_move(self) -> bool:
        """Whether the function may have to go where its database is: that is private, and in another VPC."""
        place = self._place_if_seen
        return place is not None and not place.is_public and self.database_vpc is not None

    @cached
    def internet_gateways(self) -> Answer | None:
        """DescribeInternetGateways of the function's VPC, where a NAT gateway lacks one; None elsewhere."""
        hops = [hop for hops in self.ways_to_secrets_manager.values() for hop in hops]
        is_asked = any(hop.kind is HopKind.NAT and hop.passage is Passage.BLOCKS for hop in hops)
        return self.vpc.internet_gateways if is_asked and self.vpc is not None else None

    @cached
    def other_nat_gateways(self) -> Answer | None:
        """DescribeNatGateways of the function's VPC, where the function lacks a route out; None elsewhere."""
        hops = [hop for hops in self.ways_to_secrets_manager.values() for hop in hops]
        kinds = (HopKind.ROUTE, HopKind.INTERNET_GATEWAY, HopKind.NAT)
        is_asked = any(hop.kind in kinds and hop.passage is Passage.BLOCKS for hop in hops)
        return self.vpc.nat_gateways if is_asked and self.vpc is not None else None

    @cached
    def groups_to_be(self) -> Answer | None:
        """DescribeSecurityGroups by the names of those that the way out would make; None where there is no need."""
        names = (ENDPOINT_GROUP_NAME, str(self._configuration.get("FunctionName") or ENDPOINT_GROUP_NAME))
        if self.has_to_move and self.database_vpc is not None:
            return self.database_vpc.groups_named(*names)
        own = self._vpc_if_seen
        is_shut = passage_of(hop for hops in self.ways_to_secrets_manager.values() for hop in hops) is Passage.BLOCKS
        return own.groups_named(ENDPOINT_GROUP_NAME) if own is not None and is_shut else None

    def group_to_be(self, vpc_id: str, name: str) -> Json | None:
        """Return the security group of a VPC that has a name already; None if none is known to."""
        found = entries_in(self.groups_to_be, "SecurityGroups") or ()
        return next((each for each in found if (each.get("VpcId"), each.get("GroupName")) == (vpc_id, name)), None)

    @cached
    def instances(self) -> Answer | None:
        """DescribeInstances of those that the function's routes lead to; None if they lead to none."""
        ids = sorted({str(route["InstanceId"]) for route in self._routes if route.get("InstanceId")})
        if not ids:
            return None
        return self._facts.ask("ec2", "DescribeInstances", Filters=[{"Name": "instance-id", "Values": ids}])

    @cached
    def prefix_lists(self) -> Mapping[str, Answer]:
        """GetManagedPrefixListEntries of the lists that the groups' rules and the function's routes name."""
        ids = {
            str(listed["PrefixListId"])
            for group in entries_in(self.groups, "SecurityGroups") or ()
            for member in ("IpPermissions", "IpPermissionsEgress")
            for rule in group.get(member) or ()
            for listed in rule.get("PrefixListIds") or ()
        }
        ids |= {
            str(route["DestinationPrefixListId"])
            for route in self._routes
            if route.get("DestinationPrefixListId") and not target_of(route).startswith("vpce-")
        }
        return {each: self._facts.ask("ec2", "GetManagedPrefixListEntries", PrefixListId=each) for each in sorted(ids)}

    @property
    def _routes(self) -> list[Json]:
        """The routes of the function's subnets, as far as they may be seen."""
        vpc = self._vpc_if_seen
        tables = None if vpc is None else entries_in(vpc.route_tables, "RouteTables")
        if vpc is None or tables is None:
            return []
        own = [table_of(subnet_id, vpc.vpc_id, tables) for subnet_id in self.subnet_ids]
        return [route for table in own if table is not None for route in table.get("Routes") or ()]

    def look(self, *names: str) -> None:
        """Make sure that parts of the picture may be looked at: a check says what it rests on before it judges.

        Args:
            names: ``subnets``, ``route_tables``, ``acls``, ``endpoints``, ``gateways``, ``groups``, ``prefix_lists``,
                ``dns``, ``peerings``.

        Raises:
            Unseen: One of them may not be looked at.
        """
        if self.subnets is not None:
            _ = self.subnets.value
        for name in names:
            for answer in self._answers(name):
                _ = answer.value

    def _answers(self, name: str) -> list[Answer]:
        own = self._vpc_if_seen
        vpcs = [vpc for vpc in (own, self.database_vpc) if vpc is not None]
        if name in ("subnets", "route_tables", "acls"):
            return [getattr(vpc, name) for vpc in vpcs]
        if name == "endpoints":
            return [own.endpoints] if own is not None else []
        if name == "dns":
            return list(own.dns) if own is not None else []
        if name == "prefix_lists":
            return list(self.prefix_lists.values())
        named: Mapping[str, tuple[Answer | None, ...]] = {
            "gateways": (*self.nat_gateways, self.instances),
            "groups": (self.groups,),
            "peerings": (self.peerings,),
        }
        return [answer for answer in named[name] if answer is not None]

    def collect(self) -> None:
        """Ask all that matters here."""
        own, other = self._vpc_if_seen, self.database_vpc
        for vpc in (own, other):
            if vpc is not None:
                _ = vpc.subnets, vpc.route_tables, vpc.acls
        if own is not None:
            _ = own.endpoints, self.nat_gateways, self.instances, own.dns
        if other is not None and self.has_to_move:
            _ = other.endpoints, self.nat_gateways
        _ = self.peerings, self.groups, self.prefix_lists
        # What the others say decides whether these are asked, and the function's own interfaces.
        _ = self.internet_gateways, self.other_nat_gateways, self.groups_to_be
        with suppress(Unseen):
            _ = self.ways_to_database, self.open_port

    # What follows.

    @cached
    def picture(self) -> Picture:
        """All that is known, for ``keyturn.rules.network``."""
        vpcs = [vpc for vpc in (self._vpc_if_seen, self.database_vpc) if vpc is not None]
        own = self._vpc_if_seen
        reservations = entries_in(self.instances, "Reservations")
        return Picture(
            subnets=_all((vpc.subnets for vpc in vpcs), "Subnets"),
            route_tables=_all((vpc.route_tables for vpc in vpcs), "RouteTables"),
            acls=_all((vpc.acls for vpc in vpcs), "NetworkAcls"),
            groups=entries_in(self.groups, "SecurityGroups"),
            endpoints=_all((vpc.endpoints for vpc in vpcs if vpc is own or self.has_to_move), "VpcEndpoints"),
            nat_gateways=_all(self.nat_gateways, "NatGateways"),
            instances=None
            if reservations is None
            else [instance for each in reservations for instance in each.get("Instances") or ()],
            peerings=entries_in(self.peerings, "VpcPeeringConnections"),
            prefix_lists=_known_lists(self.prefix_lists),
            dns=known_dns(own.dns) if own is not None else {},
        )

    @cached
    def ways_to_secrets_manager(self) -> Mapping[str, tuple[Hop, ...]]:
        """The hops to Secrets Manager, from each of the function's subnets; empty if it is in no VPC."""
        return self._ways(lambda origin: to_secrets_manager(self.picture, origin, self.region, self.called_host))

    def _ways(self, way: Callable[[Origin], tuple[Hop, ...]]) -> Mapping[str, tuple[Hop, ...]]:
        """The hops from each of the function's subnets: from its own address where it matters which one that is."""
        found = {}
        for subnet_id in self.subnet_ids:
            origin = Origin(subnet_id, self.group_ids)
            hops = way(origin)
            if any(map(depends_on_address, hops)) and (own := networks_of(self.addresses_in(subnet_id))):
                hops = sharpened(hops, way(replace(origin, addresses=own)))
            found[subnet_id] = hops
        return found

    @cached
    def ways_to_database(self) -> Mapping[str, tuple[Hop, ...]]:
        """The hops to the database, from each of the function's subnets; by an empty name if it is in no VPC.

        Raises:
            Unseen: RDS may not be asked, or EC2 about its address.
        """
        return {} if self.database is None else self._ways_to_port(self.database, self.database.address.port)

    @cached
    def open_port(self) -> int | None:
        """A port of the database's host to which the way is open, where that to its own is not; None if none is known.

        Raises:
            Unseen: As for :attr:`ways_to_database`.
        """
        database, members = self.database, ("IpPermissions", "IpPermissionsEgress")
        if database is None or self.to_database is not Passage.BLOCKS:
            return None
        groups = self.picture.groups or ()
        rules = [rule for group in groups for member in members for rule in group.get(member) or ()]
        named = {rule.get("FromPort") for rule in rules if rule.get("FromPort") == rule.get("ToPort")}
        ports = sorted(int(each) for each in named if each and int(each) > 0)
        for port in ports:
            ways = self._ways_to_port(database, port) if port != HTTPS.first else {}
            if ways and passage_of(hop for hops in ways.values() for hop in hops) is Passage.PASSES:
                return port
        return None

    def _ways_to_port(self, database: Database, port: int) -> Mapping[str, tuple[Hop, ...]]:
        place, ports = self.place, Ports(port, port)
        if place is None:
            return self._ways_elsewhere(database, port)
        server = _server(database, place)
        if not self.is_attached:
            return {"": from_anywhere(self.picture, server, ports)} if place.is_public else {}
        way = to_public_server if place.is_public and self.database_vpc is not None else to_server
        return self._ways(lambda origin: way(self.picture, origin, server, ports))

    def ways_from(self, subnet_id: str) -> tuple[Hop, ...]:
        """The hops to the database from a subnet of its own VPC, for who has no group yet; empty if it is in none.

        Raises:
            Unseen: As for :attr:`ways_to_database`.
        """
        place, database = self.place, self.database
        if place is None or database is None:
            return ()
        ports = Ports(database.address.port, database.address.port)
        return within_vpc(self.picture, Origin(subnet_id, ()), _server(database, place), ports)

    def _ways_elsewhere(self, database: Database, port: int) -> Mapping[str, tuple[Hop, ...]]:
        """The hops to an address that is in no VPC which is known: a public one, or behind some other network."""
        if database.ip is None:
            return {}
        return {
            each: hops_to(
                self.picture,
                Origin(each, self.group_ids),
                (),
                Packet(", ".join(map(str, self.picture.networks(each))), str(database.ip), port),
            )
            for each in self.subnet_ids
        }

    @property
    def to_secrets_manager(self) -> Passage:
        """Whether Secrets Manager is reached from every one of the function's subnets; a function in no VPC has it."""
        if not self.is_attached:
            return Passage.PASSES
        passage = passage_of(hop for hops in self.ways_to_secrets_manager.values() for hop in hops)
        return Passage.UNKNOWN if passage is Passage.PASSES and self.may_lack_names else passage

    @property
    def may_lack_names(self) -> bool:
        """Whether the VPC's DNS server does not answer: no name is found but by DNS servers of one's own, if any."""
        return self.picture.dns.get(DNS_ATTRIBUTES[0]) is False

    @property
    def to_database(self) -> Passage:
        """Whether the database is reached from every one of the function's subnets."""
        try:
            ways = self.ways_to_database
        except Unseen:
            return Passage.UNKNOWN
        if ways:
            return passage_of(hop for hops in ways.values() for hop in hops)
        place = self._place_if_seen
        is_shut_in = place is not None and not place.is_public
        # What a function in no VPC reaches of one's own network is another matter on AWS than elsewhere.
        is_rds = self.database is not None and self.database.kind is not NameKind.ELSEWHERE
        return Passage.BLOCKS if is_shut_in and is_rds and not self.is_attached else Passage.UNKNOWN

    @property
    def may_stop_login(self) -> bool:
        """Whether the network may be what stops a login at the database: where it is not proved to be open.

        Between a function in no VPC and a server that is none of RDS' lies nothing that EC2 knows of: there this is
        False, and how long the attempt took is the only witness.
        """
        is_outside = not self.is_attached and (self.database is None or self.database.kind is NameKind.ELSEWHERE)
        return not is_outside and self.to_database is not Passage.PASSES

    @property
    def named_endpoint(self) -> str:
        """The id of the endpoint whose own name the function calls; empty if it calls another name."""
        return endpoint_named(self.called_host)


def _server(database: Database, place: Place) -> Server:
    return Server(
        place.vpc_id,
        place.subnet_ids,
        place.group_ids,
        HopKind.DATABASE_GROUP,
        f"the database {database.name}",
        address="" if database.ip is None else str(database.ip),
    )


def _lead_to_nat(routes: Iterable[Json]) -> bool:
    return any(target_of(route).startswith("nat-") for route in routes)


def entries_in(answer: Answer | None, member: str) -> Sequence[Json] | None:
    """Return the entries of an answer; None if there is no answer."""
    if answer is None or answer.kind is not Kind.OK:
        return None
    found: Sequence[Json] = answer.found.get(member) or []
    return found


def _all(answers: Iterable[Answer], member: str) -> Sequence[Json] | None:
    found: list[Json] = []
    given = [entries_in(answer, member) for answer in answers]
    if not given or any(entries is None for entries in given):
        return None
    for entries in given:
        found += entries or ()
    return found


def _known_lists(answers: Mapping[str, Answer]) -> PrefixLists:
    known: dict[str, Networks | None] = {}
    for list_id, answer in answers.items():
        entries = entries_in(answer, "Entries")
        known[list_id] = None if entries is None else networks_of(str(each.get("Cidr")) for each in entries)
    return known


def known_dns(answers: Sequence[Answer]) -> Mapping[str, bool]:
    """Return the attributes that are known of :attr:`VpcAnswers.dns`."""
    known = {}
    for name, answer in zip(DNS_ATTRIBUTES, answers, strict=True):
        member = name[0].upper() + name[1:]
        if answer.kind is Kind.OK and member in answer.found:
            known[name] = bool(answer.found[member].get("Value"))
    return known
