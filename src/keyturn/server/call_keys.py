"""The condition keys of a call: who calls, from where, when, and what it acts on.

Source: IAM User Guide, "AWS global condition context keys".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from keyturn.call import Call, Principal, PrincipalKind
from keyturn.entrance import Entrance
from keyturn.rules.policy.patterns import ConditionKeys
from keyturn.storage import roles, users
from keyturn.storage.kept import KeptRows
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord

_SERVICE_SUFFIX = ".amazonaws.com"
_PRINCIPAL_TAG = "aws:principaltag/"
_ORGANIZATION = "aws:principalorgid"
_OF_PRINCIPAL = (_PRINCIPAL_TAG, _ORGANIZATION)


class CallKeys:
    """The condition keys of a call, found out when a condition asks: most policies have none.

    Attributes:
        was_asked: Whether anybody has asked for one. What was decided without asking holds for every call of the
            same caller, action and resource.
    """

    __slots__ = ("_call", "_of_principal", "_of_subject", "was_asked")

    def __init__(self, call: Call, of_subject: ConditionKeys, of_principal: PrincipalKeys) -> None:
        self._call = call
        self._of_subject = of_subject
        self._of_principal = of_principal
        self.was_asked = False

    def get(self, name: str, /) -> tuple[str, ...] | None:
        """Return the values of a condition key, given in lower case; None if the key is absent."""
        self.was_asked = True
        read = _GLOBAL_KEYS.get(name)
        if read is not None:
            value = read(self._call)
        elif name.startswith(_OF_PRINCIPAL):
            value = self._of_principal.get(self._call.principal, name)
        else:
            return self._of_subject.get(name)
        return None if value is None else (value,)


class PrincipalKeys:
    """Condition keys of principals that are stored with them, or the same for all of a server."""

    def __init__(self, kept: KeptRows, organization_id: str) -> None:
        self._kept = kept
        self._organization_id = organization_id

    def get(self, principal: Principal, name: str) -> str | None:
        """Return the value of ``aws:principaltag/…`` or ``aws:principalorgid``, None if there is none."""
        if principal.kind is PrincipalKind.SERVICE:
            return None
        if name == _ORGANIZATION:
            return self._organization_id
        # A key that is like another one but for its capitals is the same key to IAM.
        return self._tags(principal).get(name.removeprefix(_PRINCIPAL_TAG))

    def _tags(self, principal: Principal) -> Mapping[str, str]:
        owner: UserRecord | RoleRecord | None
        if principal.role_arn:
            arn = principal.role_arn
            owner = self._kept.get(roles.ROLE, arn, lambda connection: roles.load_role_by_arn(connection, arn))
        else:
            arn = principal.arn
            owner = self._kept.get(users.USER, arn, lambda connection: users.load_user_by_arn(connection, arn))
        # A tag of the session stands for the one of its role.
        tags = {**((owner.tags if owner else None) or {}), **dict(principal.session_tags)}
        return {key.lower(): value for key, value in tags.items()}


PUBLIC_KEYS = (
    "aws:currenttime",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:requestedregion",
    "aws:securetransport",
)
"""What the accounts of a caller and of a resource may both know of a call from one to the other."""


def global_key_names() -> list[str]:
    """Return the names, in lower case, of the keys that any call may have."""
    return sorted(_GLOBAL_KEYS)


def _source_ip(call: Call) -> str | None:
    if _vpc_endpoint(call) is not None:
        # Its private address stands under aws:VpcSourceIp.
        return None
    address = call.source_address
    if not address or address.endswith(_SERVICE_SUFFIX):
        # A service that acts for somebody has no address.
        return None
    # On a socket that serves both families an IPv4 client looks like this; a policy means its IPv4 address.
    return address.removeprefix("::ffff:") if "." in address else address


def _vpc_endpoint(call: Call) -> Entrance | None:
    """Return by which endpoint a call came; a NAT gateway hides the VPC behind it."""
    entrance = call.entrance
    return entrance if entrance is not None and entrance.vpc_endpoint_id else None


def _source_vpc(call: Call) -> str | None:
    entrance = _vpc_endpoint(call)
    return None if entrance is None else entrance.vpc_id


def _source_vpce(call: Call) -> str | None:
    entrance = _vpc_endpoint(call)
    return None if entrance is None else entrance.vpc_endpoint_id


def _vpc_source_ip(call: Call) -> str | None:
    entrance = _vpc_endpoint(call)
    return None if entrance is None else entrance.source_address


def _principal_arn(call: Call) -> str | None:
    if call.principal.kind is PrincipalKind.SERVICE:
        return None
    return call.principal.role_arn or call.principal.arn


def _user_name(call: Call) -> str | None:
    return call.principal.name if call.principal.kind is PrincipalKind.USER else None


def _principal_type(call: Call) -> str | None:
    return _PRINCIPAL_TYPES.get(call.principal.kind)


def _account_id(call: Call) -> str | None:
    return None if call.principal.kind is PrincipalKind.SERVICE else call.principal.account_id


def _is_service(call: Call) -> str:
    return _truth(is_so=call.principal.kind is PrincipalKind.SERVICE)


def _service_name(call: Call) -> str | None:
    return call.principal.name if call.principal.kind is PrincipalKind.SERVICE else None


def _via_service(call: Call) -> str:
    # A service that acts for somebody shows its name where others have an address.
    return _truth(is_so=call.source_address.endswith(_SERVICE_SUFFIX))


def _token_issue_time(call: Call) -> str | None:
    issued_at = call.principal.session_issued_at
    return None if issued_at is None else _iso8601(issued_at)


def _multi_factor(call: Call) -> str | None:
    # Present with temporary credentials only. Source: IAM User Guide, "aws:MultiFactorAuthPresent".
    return None if call.principal.session_issued_at is None else "false"


def _truth(*, is_so: bool) -> str:
    return "true" if is_so else "false"


def _iso8601(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_PRINCIPAL_TYPES = {PrincipalKind.USER: "User", PrincipalKind.ASSUMED_ROLE: "AssumedRole"}
_GLOBAL_KEYS: dict[str, Callable[[Call], str | None]] = {
    "aws:currenttime": lambda call: _iso8601(call.at),
    "aws:epochtime": lambda call: str(int(call.at.timestamp())),
    "aws:multifactorauthpresent": _multi_factor,
    "aws:principalaccount": _account_id,
    "aws:principalarn": _principal_arn,
    "aws:principalisawsservice": _is_service,
    "aws:principalservicename": _service_name,
    "aws:principaltype": _principal_type,
    "aws:requestedregion": lambda call: call.place.region,
    "aws:securetransport": lambda call: _truth(is_so=call.secure_transport),
    "aws:sourceidentity": lambda call: call.principal.source_identity or None,
    "aws:sourceip": _source_ip,
    "aws:sourcevpc": _source_vpc,
    "aws:sourcevpce": _source_vpce,
    "aws:tokenissuetime": _token_issue_time,
    "aws:useragent": lambda call: call.user_agent or None,
    "aws:userid": lambda call: call.principal.unique_id,
    "aws:username": _user_name,
    "aws:viaawsservice": _via_service,
    "aws:vpcsourceip": _vpc_source_ip,
}
