"""Network ACLs of a VPC: numbered entries, of which the lowest that fits decides; each subnet has one ACL.

A VPC's default ACL lets everything pass and covers the subnets that were given no other. A new one lets nothing pass.
The last entry of each direction, which denies, cannot be changed.

Sources: Amazon VPC User Guide, "Network ACLs" and its quotas; Amazon EC2 API Reference, NetworkAclEntry; texts as users
and moto have collected them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from keyturn import ids
from keyturn.call import Call
from keyturn.errors.ec2 import (
    DependencyViolation,
    InvalidAssociationIDNotFound,
    InvalidNetworkAclEntryNotFound,
    InvalidParameter,
    InvalidParameterValue,
    MissingParameter,
    NetworkAclEntryAlreadyExists,
    NetworkAclEntryLimitExceeded,
    NetworkAclLimitExceeded,
)
from keyturn.operations.ec2.cidrs import ipv4_block
from keyturn.operations.ec2.kinds import NETWORK_ACL, SUBNET, VPC
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import ChangingNetworks, Networks, Request, Response, changing, reading
from keyturn.operations.ec2.operation import describes, ec2_operation, makes
from keyturn.operations.ec2.subjects import existing, subject_of
from keyturn.operations.ec2.tagging import Tag, tags_for
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.storage.network_objects import NetworkObject

_LAST_RULE: Final = 32767
_MOST_ENTRIES, _MOST_ACLS = 20, 200
_ALL: Final = "-1"
_NUMBERS: Final = {"icmp": "1", "tcp": "6", "udp": "17"}
_WITH_PORTS: Final = ("6", "17")
_ICMP: Final = "1"
_LAST_PROTOCOL, _LAST_PORT = 255, 65535
_ENTRY: Final = "NetworkAclId RuleNumber Protocol RuleAction Egress CidrBlock IcmpTypeCode PortRange"

Entry = Mapping[str, Any]

_ACLS: Final = Listing(
    kind=NETWORK_ACL,
    answered_in="NetworkAcls",
    ids_in="NetworkAclIds",
    filters={
        "association.association-id": "Associations.NetworkAclAssociationId",
        "association.network-acl-id": "Associations.NetworkAclId",
        "association.subnet-id": "Associations.SubnetId",
        "default": "IsDefault",
        "entry.cidr": "Entries.CidrBlock",
        "entry.egress": "Entries.Egress",
        "entry.icmp.code": "Entries.IcmpTypeCode.Code",
        "entry.icmp.type": "Entries.IcmpTypeCode.Type",
        "entry.port-range.from": "Entries.PortRange.From",
        "entry.port-range.to": "Entries.PortRange.To",
        "entry.protocol": "Entries.Protocol",
        "entry.rule-action": "Entries.RuleAction",
        "entry.rule-number": "Entries.RuleNumber",
        "network-acl-id": "NetworkAclId",
        "owner-id": "OwnerId",
        "vpc-id": "VpcId",
    },
)


@makes("CreateNetworkAcl", NETWORK_ACL, takes="VpcId", also=(existing(VPC),))
def create_network_acl(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Make an ACL that lets nothing pass."""
    tags = tags_for(NETWORK_ACL, request)
    with changing(kit, call) as networks:
        vpc_id = networks.require(VPC, request["VpcId"]).object_id
        if len(networks.of_vpc(vpc_id, NETWORK_ACL)) >= _MOST_ACLS:
            raise NetworkAclLimitExceeded
        made = _add_acl(networks, vpc_id, [_last(is_egress=is_egress) for is_egress in (True, False)], tags)
    return {"NetworkAcl": made.body}


def add_default_network_acl(networks: ChangingNetworks, vpc_id: str) -> None:
    """Make the ACL of a new VPC, which lets everything pass."""
    entries = [
        entry
        for is_egress in (True, False)
        for entry in (
            {**_last(is_egress=is_egress), "RuleAction": "allow", "RuleNumber": 100},
            _last(is_egress=is_egress),
        )
    ]
    _add_acl(networks, vpc_id, entries, [], is_default=True)


@describes("DescribeNetworkAcls", _ACLS)
def describe_network_acls(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe network ACLs."""
    return _ACLS.answer(kit, call, request)


@ec2_operation("DeleteNetworkAcl", takes="NetworkAclId", subject=existing(NETWORK_ACL))
def delete_network_acl(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Delete an ACL that no subnet has."""
    with changing(kit, call) as networks:
        acl = networks.require(NETWORK_ACL, request["NetworkAclId"])
        if acl.body["IsDefault"]:
            raise InvalidParameterValue(f"cannot delete default network ACL {acl.object_id}")
        if acl.body["Associations"]:
            raise DependencyViolation(f"The networkAcl '{acl.object_id}' has dependencies and cannot be deleted.")
        networks.delete(acl)
    return {}


@ec2_operation("CreateNetworkAclEntry", takes=_ENTRY, subject=existing(NETWORK_ACL))
def create_network_acl_entry(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Give an ACL an entry by a number that it does not have."""
    entry = _entry(request)
    with changing(kit, call) as networks:
        acl = networks.require(NETWORK_ACL, request["NetworkAclId"])
        alike = [each for each in acl.body["Entries"] if each["Egress"] is entry["Egress"]]
        if any(each["RuleNumber"] == entry["RuleNumber"] for each in alike):
            raise NetworkAclEntryAlreadyExists(
                f"The network acl entry identified by {entry['RuleNumber']} already exists."
            )
        if len(alike) > _MOST_ENTRIES:
            # One of them is the last, which does not count.
            raise NetworkAclEntryLimitExceeded
        networks.update(acl, Entries=_sorted([*acl.body["Entries"], entry]))
    return {}


@ec2_operation("ReplaceNetworkAclEntry", takes=_ENTRY, subject=existing(NETWORK_ACL))
def replace_network_acl_entry(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Put another entry in an entry's place."""
    entry = _entry(request)
    with changing(kit, call) as networks:
        acl = networks.require(NETWORK_ACL, request["NetworkAclId"])
        networks.update(acl, Entries=_sorted([*_without(acl, entry), entry]))
    return {}


@ec2_operation("DeleteNetworkAclEntry", takes="NetworkAclId RuleNumber Egress", subject=existing(NETWORK_ACL))
def delete_network_acl_entry(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Take an entry from an ACL."""
    _check_number(request["RuleNumber"])
    with changing(kit, call) as networks:
        acl = networks.require(NETWORK_ACL, request["NetworkAclId"])
        networks.update(acl, Entries=_without(acl, request))
    return {}


def _associated_subnet(kit: Kit, call: Call, request: Request) -> Iterable[Subject[NetworkObject]]:
    """Load the subnet of the association that a request names; none if there is no such association."""
    with reading(kit, call) as networks:
        found = _association(networks, request["AssociationId"])
    if found is not None:
        yield subject_of(kit, call, SUBNET, found[1]["SubnetId"])


@ec2_operation(
    "ReplaceNetworkAclAssociation",
    takes="AssociationId NetworkAclId",
    subject=existing(NETWORK_ACL),
    each=(_associated_subnet,),
)
def replace_network_acl_association(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Let an ACL cover a subnet in another's place."""
    association_id = request["AssociationId"]
    with changing(kit, call) as networks:
        acl = networks.require(NETWORK_ACL, request["NetworkAclId"])
        found = _association(networks, association_id)
        if found is None:
            raise InvalidAssociationIDNotFound(f"The association ID '{association_id}' does not exist")
        former, association = found
        if former.vpc_id != acl.vpc_id:
            raise InvalidParameter(f"{acl.object_id} and {association['SubnetId']} belong to different networks.")
        others = [each for each in former.body["Associations"] if each is not association]
        left = networks.update(former, Associations=others)
        if former.object_id == acl.object_id:
            acl = left
        new_id = ids.new_ec2_id("aclassoc")
        new = {
            "NetworkAclAssociationId": new_id,
            "NetworkAclId": acl.object_id,
            "SubnetId": association["SubnetId"],
        }
        networks.update(acl, Associations=[*acl.body["Associations"], new])
    return {"NewAssociationId": new_id}


def _association(networks: Networks, association_id: str) -> tuple[NetworkObject, Entry] | None:
    """Return an association with the ACL that it is in."""
    for acl in networks.all(NETWORK_ACL):
        for association in acl.body["Associations"]:
            if association["NetworkAclAssociationId"] == association_id:
                return acl, association
    return None


def _add_acl(
    networks: ChangingNetworks, vpc_id: str, entries: list[Entry], tags: list[Tag], *, is_default: bool = False
) -> NetworkObject:
    acl_id = NETWORK_ACL.new_id()
    body = {
        "NetworkAclId": acl_id,
        "VpcId": vpc_id,
        "OwnerId": networks.place.account_id,
        "IsDefault": is_default,
        "Associations": [],
        "Entries": entries,
        "Tags": tags,
    }
    return networks.add(NETWORK_ACL, acl_id, body, vpc_id=vpc_id)


def _last(*, is_egress: bool) -> Entry:
    return {
        "CidrBlock": "0.0.0.0/0",
        "Egress": is_egress,
        "Protocol": _ALL,
        "RuleAction": "deny",
        "RuleNumber": _LAST_RULE,
    }


def _sorted(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (not entry["Egress"], entry["RuleNumber"]))


def _without(acl: NetworkObject, named: Entry) -> list[Entry]:
    """Return an ACL's entries without the one of a number and a direction.

    Raises:
        InvalidNetworkAclEntryNotFound: It has none such.
    """
    key = (named["RuleNumber"], named["Egress"])
    others = [each for each in acl.body["Entries"] if (each["RuleNumber"], each["Egress"]) != key]
    if len(others) == len(acl.body["Entries"]):
        raise InvalidNetworkAclEntryNotFound(
            f"The network acl entry identified by {named['RuleNumber']} does not exist."
        )
    return others


def _entry(request: Request) -> Entry:
    """Return the entry that a request describes, as it is kept."""
    _check_number(request["RuleNumber"])
    if not request.get("CidrBlock"):
        raise MissingParameter("The request must contain the parameter cidrBlock or ipv6CidrBlock")
    protocol = _protocol(request["Protocol"])
    return {
        "CidrBlock": str(ipv4_block(request["CidrBlock"])),
        "Egress": request["Egress"],
        **_ports(protocol, request),
        "Protocol": protocol,
        "RuleAction": request["RuleAction"],
        "RuleNumber": request["RuleNumber"],
    }


def _check_number(number: int) -> None:
    if not 1 <= number < _LAST_RULE:
        raise InvalidParameterValue.of(
            "ruleNumber", str(number), f"The rule number must be from 1 to {_LAST_RULE - 1}."
        )


def _protocol(sent: str) -> str:
    protocol = _NUMBERS.get(sent.lower(), sent)
    if protocol == _ALL or (protocol.isascii() and protocol.isdecimal() and int(protocol) <= _LAST_PROTOCOL):
        return protocol if protocol == _ALL else str(int(protocol))
    raise InvalidParameterValue.of("protocol", sent, "Unknown protocol.")


def _ports(protocol: str, request: Request) -> dict[str, Any]:
    """Return what an entry says beside its protocol: ports, or ICMP's type and code; nothing of the others."""
    if protocol in _WITH_PORTS:
        ports = request.get("PortRange") or {}
        first, last = ports.get("From"), ports.get("To")
        if first is None or last is None:
            raise MissingParameter("The request must contain the parameter portRange")
        if not 0 <= first <= last <= _LAST_PORT:
            raise InvalidParameterValue.of("portRange", f"{first}-{last}", "This is not a valid port range.")
        return {"PortRange": {"From": first, "To": last}}
    if protocol == _ICMP:
        given = request.get("IcmpTypeCode") or {}
        if given.get("Type") is None or given.get("Code") is None:
            raise MissingParameter("The request must contain the parameter icmpTypeCode")
        return {"IcmpTypeCode": {"Code": given["Code"], "Type": given["Type"]}}
    return {}
