"""Elastic IP addresses, of a block that is reserved for documentation: nothing on the internet has one of them.

Source: RFC 5737, TEST-NET-2; Amazon EC2 API Reference, AllocateAddress.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Final

from keyturn.call import Call
from keyturn.errors.ec2 import AddressLimitExceeded, InvalidAddressNotFound, InvalidIPAddressInUse
from keyturn.operations.ec2.kinds import ELASTIC_IP
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import Request, Response, changing
from keyturn.operations.ec2.operation import ec2_operation, makes
from keyturn.operations.ec2.subjects import existing
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.storage.network_objects import NetworkObject

_BLOCK: Final = IPv4Network("198.51.100.0/24")
_ADDRESSES: Final = Listing(
    kind=ELASTIC_IP,
    answered_in="Addresses",
    ids_in="AllocationIds",
    filters={
        "allocation-id": "AllocationId",
        "association-id": "AssociationId",
        "instance-id": "InstanceId",
        "network-border-group": "NetworkBorderGroup",
        "network-interface-id": "NetworkInterfaceId",
        "network-interface-owner-id": "NetworkInterfaceOwnerId",
        "private-ip-address": "PrivateIpAddress",
        "public-ip": "PublicIp",
    },
)


@makes("AllocateAddress", ELASTIC_IP, takes="Domain")
def allocate_address(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Allocate an address, the lowest that is free."""
    allocation_id = ELASTIC_IP.new_id()
    with changing(kit, call) as networks:
        taken = {record.body["PublicIp"] for record in networks.all(ELASTIC_IP)}
        public_ip = next((str(one) for one in _BLOCK.hosts() if str(one) not in taken), None)
        if public_ip is None:
            raise AddressLimitExceeded
        allocated = {
            "AllocationId": allocation_id,
            "PublicIp": public_ip,
            "PublicIpv4Pool": "amazon",
            "Domain": "vpc",
            "NetworkBorderGroup": call.place.region,
        }
        networks.add(ELASTIC_IP, allocation_id, {**allocated, "Tags": tags_for(ELASTIC_IP, request)})
    return allocated


@ec2_operation("DescribeAddresses", takes="AllocationIds PublicIps Filters")
def describe_addresses(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe addresses."""
    answer = _ADDRESSES.answer(kit, call, request)
    wanted = request.get("PublicIps")
    if not wanted:
        return answer
    found = [address for address in answer["Addresses"] if address["PublicIp"] in wanted]
    if missing := set(wanted) - {address["PublicIp"] for address in found}:
        raise InvalidAddressNotFound(f"Address '{min(missing)}' not found.")
    return {"Addresses": found}


@ec2_operation("ReleaseAddress", takes="AllocationId", subject=existing(ELASTIC_IP))
def release_address(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Release an address that nothing has."""
    with changing(kit, call) as networks:
        address = networks.require(ELASTIC_IP, request["AllocationId"])
        if "AssociationId" in address.body:
            raise InvalidIPAddressInUse(f"Address {address.body['PublicIp']} is in use.")
        networks.delete(address)
    return {}
