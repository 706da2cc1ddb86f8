"""What somebody has changed of a network since an attempt that Secrets Manager or the database did not answer.

The trail is asked only after such an attempt: by the names of the calls that mend a network, for EC2's others are many.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime

from .case import Case
from .facts import Kind, Unseen
from .lines import Said, line_evidence, line_saying, newest_said
from .model import Cause, Confidence, Finding, Remedy, Role
from .trail import TrailEvent, events_in

# botocore's errors of a connection, in Python's words.
UNANSWERED = re.compile(
    r"(?P<why>(?:Connect timeout on endpoint URL|Could not connect to the endpoint URL|Read timeout on endpoint URL"
    r"|Connection was closed before we received a valid response from endpoint URL)"
    r': "?https?://(?:[\w-]{1,80}\.)?secretsmanager[.-][^\s"]*"?)'
)
"""What an invocation says whose call of Secrets Manager has come to nothing."""
OF_AWS = re.compile(r"Could not connect to the endpoint URL|amazonaws\.com/")
"""What an invocation says whose trouble is with AWS, not with a database."""
SILENT = (
    r"\b(?:ConnectionTimedOut|HostUnreachable): ",
    "No route to host",
    "Network is unreachable",
    r"connection (?:to server [^\n\r]*)?(?:failed: )?(?:timeout expired|timed out)",
    r"Can't connect to MySQL server on '[^']*' \(timed out\)",
    "Adaptive Server is unavailable or does not exist",
    "ServerSelectionTimeoutError",
    "ORA-12170",
)
"""What one says whose database does not answer: Keyturn's words, then the usual ones of drivers."""
_SILENT = line_saying(*SILENT)
_SHOWN = 3
CHANGES = (
    "CreateSubnet",
    "CreateRoute",
    "ReplaceRoute",
    "AssociateRouteTable",
    "ReplaceRouteTableAssociation",
    "AttachInternetGateway",
    "CreateNatGateway",
    "CreateVpcEndpoint",
    "ModifyVpcEndpoint",
    "ModifyVpcAttribute",
    "AuthorizeSecurityGroupEgress",
    "AuthorizeSecurityGroupIngress",
    "CreateNetworkAclEntry",
    "ReplaceNetworkAclEntry",
    "DeleteNetworkAclEntry",
    "ReplaceNetworkAclAssociation",
    "ModifyNetworkInterfaceAttribute",
)
"""The calls that mend a network."""
_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "subnets": ("SubnetId", "VpcId"),
    "route_tables": ("RouteTableId",),
    "acls": ("NetworkAclId",),
    "groups": ("GroupId",),
    "endpoints": ("VpcEndpointId",),
}


def unanswered(case: Case) -> Said | None:
    """Return the line of a function in a VPC that got no answer from Secrets Manager; None if there is none.

    Raises:
        Skip: There is no log.
        Unseen: The log, or where the function is, may not be looked at.
    """
    network = case.network
    return newest_said(case, UNANSWERED) if network.is_attached and network.calls_aws else None


def silent_database(case: Case) -> Said | None:
    """Return the line of a function in a VPC whose database, at a known address, did not answer; None if there is none.

    Raises:
        Skip: There is no log.
        Unseen: The log, the value or where the function is may not be looked at.
    """
    if not case.function_arn or not case.network.is_attached or case.database is None:
        return None
    return newest_said(case, _SILENT, OF_AWS)


def collect_changes(case: Case) -> None:
    """Ask the trail, if there is such a line."""
    if unanswered(case) is not None or silent_database(case) is not None:
        for name in CHANGES:
            case.trail(name)


def mended_since(case: Case, said: Said, cause: Cause, title: str) -> Finding | None:
    """Return the note that a network which lets all pass now was changed since an invocation began; None if it was not.

    Calls that wait for an answer have begun before they say that there was none.

    Args:
        case: The case.
        said: The line, and its invocation.
        cause: What it is called.
        title: What did not answer, and when.

    Raises:
        Unseen: The trail may not be looked at.
    """
    changes = [] if said.history else changes_since(case, said.run.started_at)
    if not changes:
        return None
    named = ", ".join(dict.fromkeys(each.name for each in changes))
    return Finding(
        cause,
        f"{title} at {said.line.at:%Y-%m-%d %H:%M:%S} UTC; its network has been changed since that attempt began"
        f" ({named}), and nothing in it is in the way now",
        (line_evidence(case, said.line), *(each.evidence(each.by_whom) for each in changes[-_SHOWN:])),
        Remedy("Rotate again: that will show whether that was it."),
        role=Role.NOTE,
        confidence=Confidence.LIKELY,
        step=said.run.step,
        is_history=True,
    )


def changes_since(case: Case, moment: datetime) -> list[TrailEvent]:
    """Return what was changed of the function's network since a moment, oldest first.

    Raises:
        Unseen: The trail may not be looked at.
    """
    found: list[TrailEvent] = []
    for name in CHANGES:
        answer = case.trail(name)
        if answer.kind is not Kind.OK:
            raise Unseen(answer)
        found += case.facts.once(events_in, answer)
    own = _own_ids(case)
    # The trail has whole seconds.
    since = moment.replace(microsecond=0)
    return sorted(
        (each for each in found if not each.error_code and each.at >= since and _names_one(each, own)),
        key=lambda each: each.at,
    )


def _own_ids(case: Case) -> frozenset[str]:
    """The ids of what lies on the function's ways: its VPC and what is in it."""
    picture = case.network.picture
    return frozenset(
        str(entry[member])
        for part, members in _MEMBERS.items()
        for entry in getattr(picture, part) or ()
        for member in members
        if entry.get(member)
    )


def _names_one(event: TrailEvent, ids: frozenset[str]) -> bool:
    named = json.dumps(event.parameters, default=str)
    return any(f'"{each}"' in named for each in ids)
