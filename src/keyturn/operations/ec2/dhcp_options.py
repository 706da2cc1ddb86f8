"""DHCP options, which VPCs have from the beginning (``vpcs.py``); no others can be made."""

from __future__ import annotations

from typing import Final

from keyturn.call import Call
from keyturn.operations.ec2.kinds import DHCP_OPTIONS
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import Request, Response
from keyturn.operations.ec2.operation import describes
from keyturn.operations.kit import Kit

_DHCP_OPTIONS: Final = Listing(
    kind=DHCP_OPTIONS,
    answered_in="DhcpOptions",
    ids_in="DhcpOptionsIds",
    filters={
        "dhcp-options-id": "DhcpOptionsId",
        "key": "DhcpConfigurations.Key",
        "owner-id": "OwnerId",
        "value": "DhcpConfigurations.Values.Value",
    },
)


@describes("DescribeDhcpOptions", _DHCP_OPTIONS)
def describe_dhcp_options(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe DHCP options."""
    return _DHCP_OPTIONS.answer(kit, call, request)
