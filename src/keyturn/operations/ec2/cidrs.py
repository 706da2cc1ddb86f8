"""Blocks of IPv4 addresses, as EC2 takes them: whatever bits an address has behind its prefix are dropped.

Source: Amazon EC2 API Reference, CreateVpc: "We modify the specified CIDR block to its canonical form".
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network
from typing import Final

from keyturn.errors.ec2 import InvalidParameterValue

_CIDR: Final = re.compile(r"\d{1,3}(\.\d{1,3}){3}/\d{1,2}", re.ASCII)


def ipv4_block(text: str, parameter: str = "cidrBlock") -> IPv4Network:
    """Return a block of addresses in its canonical form.

    Args:
        text: As sent.
        parameter: What errors call it.

    Raises:
        InvalidParameterValue: It is not one.
    """
    try:
        if _CIDR.fullmatch(text):
            return IPv4Network(text, strict=False)
    except ValueError:
        pass
    raise InvalidParameterValue.of(parameter, text, "This is not a valid CIDR block.")
