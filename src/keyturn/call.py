"""Who is calling, from where, and when: the part of a request that every floor may know."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from keyturn.arn import Place
from keyturn.entrance import Entrance
from keyturn.ids import RequestId


class PrincipalKind(StrEnum):
    """What sort of principal signs a call."""

    USER = "IAMUser"
    ASSUMED_ROLE = "AssumedRole"
    SERVICE = "AWSService"


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller identity.

    Attributes:
        kind: User, role session or service.
        arn: ``arn:…:user/NAME``, ``arn:…:assumed-role/ROLE/SESSION`` or a service's name, for instance
            ``secretsmanager.amazonaws.com``.
        unique_id: ``AIDA…``, or ``AROA…:SESSION`` for a role session.
        account_id: Twelve digits.
        name: User name, role name, or the service's name.
        access_key_id: What signed the call; empty for a service.
        role_arn: The role behind a session, else empty.
        session_name: The session's name, else empty.
        session_issued_at: When the session's credentials were issued; None for who signs with a user's own key.
        session_tags: Tags that the session was given, each a key and a value.
        transitive_tag_keys: Of these tags, those that the sessions of further roles take over.
        source_identity: Who is behind the session, as was said when the first role was assumed; empty if nothing was.
        is_preflight: Whether this is a function's role in a pre-flight: what it reads nobody uses.
    """

    kind: PrincipalKind
    arn: str
    unique_id: str
    account_id: str
    name: str
    access_key_id: str = ""
    role_arn: str = ""
    session_name: str = ""
    session_issued_at: datetime | None = None
    session_tags: tuple[tuple[str, str], ...] = ()
    transitive_tag_keys: tuple[str, ...] = ()
    source_identity: str = ""
    is_preflight: bool = False


class Call(NamedTuple):
    """One call, after its signature was verified. A tuple, because one is made for every call and tuples are quick.

    Attributes:
        principal: Who calls.
        place: Where the call works: the partition, the region its signature is scoped to, the principal's account.
        source_address: IP address of the client, or a service name.
        user_agent: As sent, at most 1 KB is kept in audit events.
        request_id: Appears in the reply, the audit event and the server's log.
        at: The moment of the call, taken once; aware UTC.
        session_policy: Text of the policy that narrows a role session; empty if there is none.
        session_policy_arns: Managed policies that narrow it together with that one.
        secure_transport: Whether the client spoke TLS, or came by a way that nobody can listen to.
        endpoint: Base URL under which the client reached the server, without a trailing slash.
        further_events: Audit events of what a service did for the caller meanwhile, stored with the call's own; None
            where nobody stores them.
        entrance: By which way out of a VPC the call came; None if it came to the server's own address, or if a service
            made it.
    """

    principal: Principal
    place: Place
    source_address: str
    user_agent: str
    request_id: RequestId
    at: datetime
    session_policy: str = ""
    session_policy_arns: tuple[str, ...] = ()
    secure_transport: bool = False
    endpoint: str = ""
    further_events: list[dict[str, object]] | None = None
    entrance: Entrance | None = None
