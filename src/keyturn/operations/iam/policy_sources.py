"""Users, groups and roles as sources of policies, named by their ARNs: what the policy simulator tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.iam import InvalidInputException
from keyturn.operations.iam.entities import missing
from keyturn.operations.identity_policies import identity_policies
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.evaluate import PolicySet
from keyturn.storage import groups, roles, users


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Whose policies are asked about.

    Attributes:
        principal: As which caller they are tried.
        policies: Those that are stored.
    """

    principal: Principal
    policies: PolicySet


def policy_source(kit: Kit, call: Call, request: Mapping[str, Any]) -> Subject[PolicySource]:
    """Load the policies of the user, group or role that ``PolicySourceArn`` names.

    Raises:
        InvalidInputException: It names none of these, or one of another account.
    """
    text = request["PolicySourceArn"]
    account_id, kind, name = entity_of(text, ("user", "group", "role"))
    if account_id != call.place.account_id:
        raise InvalidInputException(f"Invalid Entity Arn: {text} is not of account {call.place.account_id}.")
    with kit.state.read() as connection:
        principal = _principal(connection, text, account_id, kind, name)
    if principal is None:
        return Subject(text, f"{kind} {name}", None, missing=missing(kind, name))
    return Subject(text, f"{kind} {name}", PolicySource(principal, identity_policies(kit.kept, text)))


def nobody(account_id: str) -> Principal:
    """Return a caller of whom nothing is known but the account."""
    return Principal(PrincipalKind.USER, "", "", account_id, "")


def _principal(connection: Connection, arn: str, account_id: str, kind: str, name: str) -> Principal | None:
    """Return as whom an entity calls, None if it is not there. A group does not call: any of its users does."""
    if kind == "group":
        group = groups.load_group(connection, account_id, name)
        return nobody(account_id) if group is not None and group.arn == arn else None
    if kind == "user":
        user = users.load_user_by_arn(connection, arn)
        return None if user is None else Principal(PrincipalKind.USER, arn, user.unique_id, account_id, name)
    role = roles.load_role_by_arn(connection, arn)
    if role is None:
        return None
    return Principal(PrincipalKind.ASSUMED_ROLE, arn, role.unique_id, account_id, name, role_arn=arn)


def entity_of(text: str, kinds: tuple[str, ...]) -> tuple[str, str, str]:
    """Return the account, the kind and the name of the entity that an ARN names.

    Raises:
        InvalidInputException: It names none of these kinds.
    """
    try:
        arn = Arn.parse(text)
    except InvalidArn as error:
        raise _invalid(text) from error
    kind, _, rest = arn.resource.partition("/")
    if arn.service != "iam" or kind not in kinds or not rest:
        raise _invalid(text)
    return arn.account_id, kind, rest.rpartition("/")[2]


def _invalid(text: str) -> InvalidInputException:
    return InvalidInputException(f"Invalid Entity Arn: {text} does not clearly define entity type and name.")
