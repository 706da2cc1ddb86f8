"""Which private addresses of a subnet are taken: EC2's own, those of network interfaces, those of NAT gateways.

Source: Amazon VPC User Guide, "Subnet sizing": the first four addresses and the last one cannot be used.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from keyturn.errors.ec2 import InsufficientFreeAddressesInSubnet, InvalidIPAddressInUse, InvalidParameterValue
from keyturn.operations.ec2.kinds import NAT_GATEWAY, NETWORK_INTERFACE
from keyturn.operations.ec2.networks import Networks
from keyturn.storage.network_objects import NetworkObject

_FIRST_USABLE = 4


def taken_addresses(networks: Networks, subnet: NetworkObject) -> set[str]:
    """Return the addresses of a subnet that something has."""
    taken: set[str] = set()
    for record in networks.of_vpc(subnet.body["VpcId"], NETWORK_INTERFACE, NAT_GATEWAY):
        if record.body["SubnetId"] != subnet.object_id:
            continue
        if record.kind == NAT_GATEWAY.name:
            taken.update(address["PrivateIp"] for address in record.body["NatGatewayAddresses"])
        else:
            taken.update(address["PrivateIpAddress"] for address in record.body["PrivateIpAddresses"])
    return taken


def free_address_count(networks: Networks, subnet: NetworkObject) -> int:
    """Return how many addresses of a subnet can still be given away."""
    block = IPv4Network(subnet.body["CidrBlock"])
    return block.num_addresses - _FIRST_USABLE - 1 - len(taken_addresses(networks, subnet))


def free_address(networks: Networks, subnet: NetworkObject, wanted: str | None = None) -> str:
    """Return an address of a subnet that nothing has: the one that is wanted, or the lowest.

    Raises:
        InsufficientFreeAddressesInSubnet: The subnet is full.
        InvalidParameterValue: The one that is wanted is not the subnet's, or is one of EC2's own.
        InvalidIPAddressInUse: Something has the one that is wanted.
    """
    block, taken = IPv4Network(subnet.body["CidrBlock"]), taken_addresses(networks, subnet)
    if wanted is None:
        usable = range(_FIRST_USABLE, block.num_addresses - 1)
        found = next((str(block[number]) for number in usable if str(block[number]) not in taken), None)
        if found is None:
            raise InsufficientFreeAddressesInSubnet
        return found
    number = _number_in(block, wanted)
    if number is None:
        raise InvalidParameterValue("Address does not fall within the subnet's address range")
    if not _FIRST_USABLE <= number < block.num_addresses - 1:
        raise InvalidParameterValue(f"Address {wanted} is in subnet's reserved address range")
    if wanted in taken:
        raise InvalidIPAddressInUse(f"Address {wanted} is in use.")
    return wanted


def _number_in(block: IPv4Network, text: str) -> int | None:
    """Return which address of a block a text is; None if it is none of it."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return None
    return int(address) - int(block.network_address) if address in block else None
