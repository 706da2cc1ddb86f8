"""What takes away from a rotation what its role allows: a Deny, a boundary, the secret's policy, the organisation."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from keyturn.doctor.access import Verdict
from keyturn.doctor.case import Case
from keyturn.doctor.catalogue import check
from keyturn.doctor.denials import Denial, denials, evidence_of
from keyturn.doctor.documents import statements_of
from keyturn.doctor.model import Cause, Change, Confidence, Evidence, Finding, Fix, Remedy, Section, Topic
from keyturn.doctor.rotation_calls import (
    BOUNDARY,
    IDENTITY,
    RCP,
    RESOURCE,
    SCP,
    SESSION,
    RoleCall,
    calls,
    give_up_on_unknown,
    history,
    named,
    newest_failure,
    require_role,
    role_of,
    shown,
    step_of,
    surest,
)
from keyturn.doctor.rotation_policies import (
    new_version,
    replaced,
    rotation_policy,
    sparing,
    with_statement,
    without_statement,
)
from keyturn.doctor.seen_policies import ROLE_CALLS, Quoted
from keyturn.rules.rotation_permissions import Document, Statement

_EVIDENCE = (*ROLE_CALLS, "logs:FilterLogEvents", "cloudtrail:LookupEvents")
_WITH_SECRET = (*_EVIDENCE, "secretsmanager:GetResourcePolicy")

EXPLICIT_DENY = Cause(
    id="role-explicit-deny",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="A policy of the function's role denies what a rotation does",
    symptoms=("with an explicit deny in an identity-based policy",),
    evidence=_EVIDENCE,
    decision="A statement of Deny in a policy of the role matches one of the five calls, and its conditions are met. No"
    " Allow outweighs it.",
    remedy="Take the statement away or narrow it, when it is known who put it there and why.",
    fix=Fix.PRINTED,
)


@check(EXPLICIT_DENY)
def role_explicit_deny(case: Case) -> Iterator[Finding]:
    """Look for statements of Deny in the role's policies."""
    found = _refused(case, IDENTITY, is_explicit=True)
    if not found:
        yield from history(case, EXPLICIT_DENY, _by(IDENTITY, is_explicit=True))
        give_up_on_unknown(case)
        return
    quoted = _deciding(found)
    changes: tuple[Change, ...] = ()
    where = "a policy of its own"
    if quoted is not None:
        where = f"{quoted.policy.where.partition(' ')[2]}, statement {quoted.index + 1}"
        changes = replaced(case, quoted, without_statement(quoted.policy.document or {}, quoted.index))
    yield Finding(
        EXPLICIT_DENY,
        f"the function's role {case.role_name} is denied {named(found)} by {where}",
        shown(found),
        Remedy("Find out why the statement is there. This takes it away; narrowing it may be better.", changes),
        role=role_of(found),
        confidence=surest(found),
        step=step_of(case, found),
    )


BOUNDARY_BLOCKS = Cause(
    id="role-boundary-blocks",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The permissions boundary of the function's role does not let a rotation through",
    symptoms=(
        "because no permissions boundary allows the secretsmanager:%s action",
        "with an explicit deny in a permissions boundary",
    ),
    evidence=_EVIDENCE,
    decision="The role has a permissions boundary which does not allow one of the five calls, or denies it. What a"
    " boundary does not allow no policy of the role can.",
    remedy="Add the calls to the boundary, or have that done by whom it belongs to.",
    fix=Fix.PRINTED,
)


@check(BOUNDARY_BLOCKS)
def role_boundary_blocks(case: Case) -> Iterator[Finding]:
    """Look at the boundary."""
    found = [call for call in calls(case) if call.layer == BOUNDARY]
    if not found:
        yield from history(case, BOUNDARY_BLOCKS, _by(BOUNDARY))
        give_up_on_unknown(case)
        return
    boundary = case.role_policies.boundary
    policy = rotation_policy(case.arn, [call.access.action for call in found])
    change: tuple[Change, ...] = ()
    quoted = _deciding(found)
    if quoted is not None:
        change = replaced(case, quoted, without_statement(quoted.policy.document or {}, quoted.index))
    elif boundary is not None and ":iam::aws:policy/" not in boundary.name:
        changed = boundary.document
        for statement in statements_of(policy):
            changed = with_statement(changed, dict(statement))
        change = (new_version(boundary.name, changed),)
    verb = "denies" if quoted is not None else "does not allow"
    yield Finding(
        BOUNDARY_BLOCKS,
        f"the permissions boundary of the role {case.role_name} {verb} {named(found)}",
        (*_of_boundary(case), *shown(found)),
        Remedy("Change the boundary, or have that done by whom it belongs to.", change, policy),
        role=role_of(found),
        confidence=surest(found),
        step=step_of(case, found),
    )


SECRET_POLICY = Cause(
    id="secret-policy-denies",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="The secret's own policy does not let the function's role in",
    symptoms=(
        "with an explicit deny in a resource-based policy",
        "because no resource-based policy allows the secretsmanager:%s action",
    ),
    evidence=_WITH_SECRET,
    decision="A statement of Deny in the secret's resource policy matches a call of the role, which no condition and no"
    " NotPrincipal spares; or the role is of another account, and the secret's policy does not allow it.",
    remedy="Add the role to those whom the statement spares.",
    fix=Fix.PRINTED,
)


@check(SECRET_POLICY)
def secret_policy_denies(case: Case) -> Iterator[Finding]:
    """Look at the secret's policy."""
    found = [call for call in calls(case) if call.layer == RESOURCE]
    if not found:
        yield from history(case, SECRET_POLICY, _by(RESOURCE))
        give_up_on_unknown(case)
        return
    quoted = _deciding(found)
    document = quoted.policy.document if quoted is not None else None
    changes: tuple[Change, ...] = ()
    if quoted is not None and document is not None:
        changed = sparing(document, quoted.index, case.role_arn)
        changes = (_put_resource_policy(case, changed),)
    elif not any(call.is_explicit for call in found) and surest(found) is Confidence.CERTAIN:
        statement: Statement = {
            "Effect": "Allow",
            "Principal": {"AWS": case.role_arn},
            "Action": [call.access.action for call in found],
            "Resource": "*",
        }
        there = json.loads(str(case.resource_policy.found.get("ResourcePolicy") or '{"Version": "2012-10-17"}'))
        changes = (_put_resource_policy(case, with_statement({"Statement": [], **there}, statement)),)
    verb = "denies" if any(call.is_explicit for call in found) else "does not allow"
    yield Finding(
        SECRET_POLICY,
        f"the policy of {case.name} {verb} {named(found)} to the function's role {case.role_name}",
        shown(found),
        Remedy(f"Spare {case.role_arn} in the secret's policy.", changes),
        role=role_of(found),
        confidence=surest(found),
        step=step_of(case, found),
    )


SCP_DENIES = Cause(
    id="scp-denies",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="A policy of the organisation denies what a rotation does",
    symptoms=(
        "with an explicit deny in a service control policy",
        "because no service control policy allows the secretsmanager:%s action",
        "with an explicit deny in a resource control policy",
    ),
    evidence=("logs:FilterLogEvents", "cloudtrail:LookupEvents", "iam:SimulatePrincipalPolicy"),
    decision="The newest refusal names a service control policy or a resource control policy, or IAM's simulator says"
    " that the organisation does not allow the call. An account cannot read these policies.",
    remedy="Ask whoever administers the organisation, and name the event.",
)


@check(SCP_DENIES)
def scp_denies(case: Case) -> Iterator[Finding]:
    """Look for messages that name the organisation's policies."""
    simulated = [call for call in calls(case) if call.access.verdict is Verdict.DENIED and call.layer == SCP]
    told = _newest(case, (SCP, RCP))
    if not told and not simulated:
        _require_texts(case)
        return
    what = told[-1].action if told else simulated[0].access.action
    layer = told[-1].layer if told else SCP
    evidence = (*evidence_of(told), *(call.access.simulated for call in simulated if call.access.simulated))
    event = next((f" ({each.resource})" for each in evidence if each.source == "cloudtrail:LookupEvents"), "")
    yield Finding(
        SCP_DENIES,
        f"a {layer} of the organisation keeps the role {case.role_name} from {what.partition(':')[2]}",
        evidence,
        Remedy(f"Ask whoever administers the organisation, and name the event{event}."),
        confidence=Confidence.LIKELY,
        step=case.failed_step,
    )


SESSION_POLICY = Cause(
    id="session-policy-denies",
    section=Section.ROLE,
    topic=Topic.ACCESS_DENIED,
    title="A session policy narrows the role that the function has assumed",
    symptoms=(
        "because no session policy allows the secretsmanager:%s action",
        "with an explicit deny in a session policy",
    ),
    evidence=("logs:FilterLogEvents", "cloudtrail:LookupEvents"),
    decision="The newest refusal names a session policy. A function has one only if its code assumes a further role.",
    remedy="Widen the policy that the function's code gives to AssumeRole.",
)


@check(SESSION_POLICY)
def session_policy_denies(case: Case) -> Iterator[Finding]:
    """Look for messages that name a session policy."""
    require_role(case)
    told = _newest(case, (SESSION,))
    if not told:
        _require_texts(case)
        return
    yield Finding(
        SESSION_POLICY,
        f"a session policy keeps {case.function_name} from {told[-1].action.partition(':')[2]}",
        evidence_of(told),
        Remedy("Widen the policy that the function's code gives to AssumeRole."),
        confidence=Confidence.LIKELY,
        step=case.failed_step,
    )


def _refused(case: Case, layer: str, *, is_explicit: bool) -> list[RoleCall]:
    return [call for call in calls(case) if call.layer == layer and call.is_explicit is is_explicit]


def _by(layer: str, *, is_explicit: bool | None = None) -> Callable[[Denial], bool]:
    """Return whether a refusal is by this kind of policy."""
    return lambda denial: denial.layer == layer and is_explicit in (None, denial.is_explicit)


def _deciding(found: list[RoleCall]) -> Quoted | None:
    return next((call.access.deciding for call in found if call.access.deciding is not None), None)


def _newest(case: Case, layers: tuple[str, ...]) -> list[Denial]:
    """Return the refusals by a kind of policy that cannot be seen, if rotation still fails of them."""
    since = newest_failure(case)
    return [each for each in case.once(denials) if each.layer in layers and (since is None or each.at >= since)]


def _require_texts(case: Case) -> None:
    """Return if the only witnesses may be heard.

    Raises:
        Unseen: Log or trail may not be seen.
    """
    _ = case.runs, case.calls_of_function.value


def _of_boundary(case: Case) -> tuple[Evidence, ...]:
    boundary = case.role_policies.boundary
    if boundary is None:
        return ()
    return (Evidence("iam:GetPolicyVersion", f"boundary {boundary.name}", boundary.document),)


def _put_resource_policy(case: Case, document: Document) -> Change:
    return Change("secretsmanager", "PutResourcePolicy", {"SecretId": case.arn, "ResourcePolicy": json.dumps(document)})
