"""The policy simulator: what would be decided by policies that are stored, and by policies that are tried out.

Source: IAM API Reference, SimulatePrincipalPolicy and SimulateCustomPolicy; the names of sources as recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.errors.base import AwsError
from keyturn.errors.common import NotImplementedHere
from keyturn.errors.iam import InvalidInputException
from keyturn.operations.iam.pages import page_of
from keyturn.operations.iam.policy_sources import PolicySource, entity_of, policy_source
from keyturn.operations.kit import Kit
from keyturn.operations.registry import no_subject, operation
from keyturn.rules.policy.document import PolicyDocument, parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, PolicyType, RequestContext
from keyturn.rules.policy.positions import Position
from keyturn.rules.policy.simulation import MatchedStatement, Simulated, overall, simulate
from keyturn.wire.types.iam import (
    EvaluationResult,
    ResourceSpecificResult,
    SimulateCustomPolicyRequest,
    SimulateCustomPolicyResponse,
    SimulatePrincipalPolicyRequest,
    SimulatePrincipalPolicyResponse,
    Statement,
)
from keyturn.wire.types.iam import Position as ShownPosition

_NOT_OFFERED = ("OrderedOrganizationPolicyInputList", "PolicyExclusionList", "ResourceHandlingOption", "ResourceOwner")
_SOURCE_TYPES = {PolicyType.RESOURCE: "Resource Policy", PolicyType.BOUNDARY: "Permissions Boundary Policy"}
_IAM_POLICY = "IAM Policy"

Parameters = Mapping[str, Any]


@operation("iam", "SimulateCustomPolicy", subject=no_subject)
def simulate_custom_policy(
    kit: Kit, call: Call, request: SimulateCustomPolicyRequest, _subject: None
) -> SimulateCustomPolicyResponse:
    """Try actions against policies that are in the request."""
    source = PolicySource(_caller(request) or _nobody(call.place.account_id), PolicySet())
    response: SimulateCustomPolicyResponse = {**_simulated(kit, call, "SimulateCustomPolicy", request, source)}
    return response


@operation("iam", "SimulatePrincipalPolicy", subject=policy_source)
def simulate_principal_policy(
    kit: Kit, call: Call, request: SimulatePrincipalPolicyRequest, source: PolicySource
) -> SimulatePrincipalPolicyResponse:
    """Try actions against the policies of a user, group or role, and against those in the request."""
    caller = _caller(request) or source.principal
    if "ResourcePolicy" in request and caller.kind is not PrincipalKind.USER:
        raise InvalidInputException("CallerArn must be the ARN of a user if there is a ResourcePolicy.")
    listing = f"SimulatePrincipalPolicy {request['PolicySourceArn']}"
    response: SimulatePrincipalPolicyResponse = {
        **_simulated(kit, call, listing, request, replace(source, principal=caller))
    }
    return response


def _simulated(
    kit: Kit, call: Call, listing: str, request: Parameters, source: PolicySource
) -> SimulatePrincipalPolicyResponse:
    for member in _NOT_OFFERED:
        if member in request:
            raise NotImplementedHere(f"Keyturn does not offer {member} of the simulator; see docs/compatibility.md.")
    policies = _policies(request, source)
    keys = _keys(request, source.principal)
    resources = request.get("ResourceArns") or ["*"]
    results = [_result(action, resources, source.principal, policies, keys) for action in request["ActionNames"]]
    numbered = [(f"{number:08}", result) for number, result in enumerate(results)]
    page = page_of(kit, call, listing, request, numbered, lambda entry: entry[0])
    response: SimulatePrincipalPolicyResponse = {
        "EvaluationResults": [result for _, result in page.items],
        "IsTruncated": page.is_truncated,
    }
    if page.marker is not None:
        response["Marker"] = page.marker
    return response


def _policies(request: Parameters, source: PolicySource) -> PolicySet:
    tried = _parsed("PolicyInputList", request.get("PolicyInputList", ()), parse_identity_policy)
    boundaries = _parsed(
        "PermissionsBoundaryPolicyInputList",
        request.get("PermissionsBoundaryPolicyInputList", ()),
        parse_identity_policy,
    )
    if len(boundaries) > 1:
        raise InvalidInputException("Only one policy can be the permissions boundary.")
    resource = _parsed("ResourcePolicy", [*filter(None, [request.get("ResourcePolicy")])], parse_resource_policy)
    return PolicySet(
        identity=(*source.policies.identity, *tried),
        resource=replace(resource[0], name="ResourcePolicy") if resource else None,
        boundary=boundaries[0] if boundaries else source.policies.boundary,
    )


def _parsed(member: str, texts: Iterable[str], parse: Callable[[str], PolicyDocument]) -> tuple[Policy, ...]:
    """Return the policies of a list of the request, named by their place in it.

    Raises:
        InvalidInputException: One of them is not well-formed.
    """
    policies = []
    for number, text in enumerate(texts, 1):
        try:
            policies.append(Policy(f"{member}.{number}", parse(text), text))
        except AwsError as error:
            raise InvalidInputException(error.message) from error
    return tuple(policies)


def _caller(request: Parameters) -> Principal | None:
    """Return the user that ``CallerArn`` names, None without one.

    Raises:
        InvalidInputException: It is not the ARN of a user.
    """
    text = request.get("CallerArn")
    if text is None:
        return None
    account_id, _, name = entity_of(text, ("user",))
    return Principal(PrincipalKind.USER, text, "", account_id, name)


def _nobody(account_id: str) -> Principal:
    return Principal(PrincipalKind.USER, "", "", account_id, "")


def _keys(request: Parameters, principal: Principal) -> dict[str, tuple[str, ...]]:
    """Return the context keys that are supplied, and those that the caller supplies by being who they are."""
    user_name = principal.name if principal.kind is PrincipalKind.USER else ""
    of_caller = {
        "aws:principalaccount": principal.account_id if principal.arn else "",
        "aws:principalarn": principal.role_arn or principal.arn,
        "aws:userid": principal.unique_id,
        "aws:username": user_name,
    }
    keys: dict[str, tuple[str, ...]] = {name: (value,) for name, value in of_caller.items() if value}
    for entry in request.get("ContextEntries", ()):
        keys[entry.get("ContextKeyName", "").lower()] = tuple(entry.get("ContextKeyValues", ()))
    return keys


def _result(
    action: str,
    resources: Sequence[str],
    principal: Principal,
    policies: PolicySet,
    keys: Mapping[str, tuple[str, ...]],
) -> EvaluationResult:
    simulated = []
    for resource in resources:
        asking = principal if policies.resource else _of_account(principal, resource)
        simulated.append(simulate(RequestContext(asking, action, resource, keys), policies))
    first = simulated[0]
    result: EvaluationResult = {
        "EvalActionName": action,
        "EvalResourceName": first.resource if len(simulated) == 1 else "*",
        "EvalDecision": overall(simulated).value,
        "MatchedStatements": _matched(one for result in simulated for one in result.matched),
        "MissingContextValues": [*dict.fromkeys(name for one in simulated for name in one.missing_keys)],
    }
    within = [one.within_boundary for one in simulated]
    if first.within_boundary is not None:
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": all(within)}
    if resources != ["*"]:
        result["ResourceSpecificResults"] = [_specific(one) for one in simulated]
    return result


def _of_account(principal: Principal, resource: str) -> Principal:
    """Return the caller as one of the resource's account: without its policy nothing is said about other accounts."""
    try:
        account_id = Arn.parse(resource).account_id
    except InvalidArn:
        return principal
    return replace(principal, account_id=account_id or principal.account_id)


def _specific(simulated: Simulated) -> ResourceSpecificResult:
    result: ResourceSpecificResult = {
        "EvalResourceName": simulated.resource,
        "EvalResourceDecision": simulated.outcome.value,
        "MatchedStatements": _matched(simulated.matched),
        "MissingContextValues": list(simulated.missing_keys),
    }
    if simulated.within_boundary is not None:
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": simulated.within_boundary}
    return result


def _matched(statements: Iterable[MatchedStatement]) -> list[Statement]:
    return [
        {
            "SourcePolicyId": one.policy.name,
            "SourcePolicyType": _SOURCE_TYPES.get(one.policy_type, _IAM_POLICY),
            "StartPosition": _shown(one.span.start),
            "EndPosition": _shown(one.span.end),
        }
        for one in dict.fromkeys(statements)
    ]


def _shown(position: Position) -> ShownPosition:
    return {"Line": position.line, "Column": position.column}
