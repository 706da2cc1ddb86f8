"""Users, groups and roles as sources of policies, named by their ARNs: what the policy simulator tries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.iam import InvalidInputException
from keyturn.operations.iam.entities import missing_role, missing_user
from keyturn.operations.identity_policies import identity_policies
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.policy.evaluate import PolicySet
from keyturn.storage import principals


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
    """Load the policies of the user or role that ``PolicySourceArn`` names.

    Raises:
        InvalidInputException: It names neither, or one of another account.
    """
    text = request["PolicySourceArn"]
    account_id, kind, name = entity_of(text, ("user", "role"))
    if account_id != call.place.account_id:
        raise InvalidInputException(f"Invalid Entity Arn: {text} is not of account {call.place.account_id}.")
    if kind == "user":
        with kit.state.read() as connection:
            user = principals.load_user(connection, call.place.account_id, name)
        if user is None or user.arn != text:
            return Subject(text, f"user {name}", None, missing=missing_user(name))
        principal = Principal(PrincipalKind.USER, user.arn, user.unique_id, user.account_id, user.name)
    else:
        with kit.state.read() as connection:
            role = principals.load_role(connection, call.place.account_id, name)
        if role is None or role.arn != text:
            return Subject(text, f"role {name}", None, missing=missing_role(name))
        principal = Principal(
            PrincipalKind.ASSUMED_ROLE, role.arn, role.unique_id, role.account_id, role.name, role_arn=role.arn
        )
    source = PolicySource(principal, identity_policies(kit.kept, text))
    return Subject(text, f"{kind} {name}", source)


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
