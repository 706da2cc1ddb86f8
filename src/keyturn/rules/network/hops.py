"""The answers: what lets a packet pass, what blocks it and by which rule, what is not known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from .traffic import Json


class Passage(StrEnum):
    """What a hop does with the packets. What is not known is never taken for open."""

    PASSES = "passes"
    BLOCKS = "blocks"
    UNKNOWN = "unknown"


class HopKind(StrEnum):
    """What a hop is."""

    ROUTE = "route"
    INTERNET_GATEWAY = "internet gateway"
    NAT = "NAT"
    PRIVATE_DNS = "private DNS"
    VPC_DNS = "VPC DNS"
    ENDPOINT = "endpoint"
    FUNCTION_GROUP = "function's security group"
    ENDPOINT_GROUP = "endpoint's security group"
    DATABASE_GROUP = "database's security group"
    INTERFACE_GROUP = "network interface's security group"
    INTERFACE = "network interface"
    SUBNET = "subnet"
    MAP = "network map"
    LOOPBACK = "loopback"
    ACL = "network ACL"
    NO_VPC = "no VPC"


@dataclass(frozen=True, slots=True)
class Hop:
    """One thing on the way.

    Attributes:
        kind: What it is.
        at: Its id: ``rtb-1``, ``sg-1``, ``acl-1``.
        passage: What it does with the packets.
        why: In a few words, without a full stop.
        rule: The entry that decided, as EC2 has it; None where the lack of one did.
        lacks: What would let the packets pass, in the words of EC2's parameters; where they pass, answers to AWS's own
            functions as well.
        is_partial: It blocks answers to some ports only. On AWS it depends on the port that a connection takes; on
            Keyturn such a way is closed.
    """

    kind: HopKind
    at: str
    passage: Passage
    why: str
    rule: Json | None = None
    lacks: Json | None = None
    is_partial: bool = False


def in_series(passages: Iterable[Passage]) -> Passage:
    """Return what a way does that leads through all of these."""
    found = set(passages)
    if Passage.BLOCKS in found:
        return Passage.BLOCKS
    return Passage.UNKNOWN if Passage.UNKNOWN in found else Passage.PASSES


def passage_of(hops: Iterable[Hop]) -> Passage:
    """Return what a way does."""
    return in_series(hop.passage for hop in hops)
