"""May they? Collects the policies that apply to a call and asks ``rules.policy``; nowhere else decides.

Applicable are the policies and the permissions boundary of the user, or of the role behind a session; the session's own
policies; the policy of the VPC endpoint that the call came through; and the policy of the resource. A role's trust
policy is the resource's policy of ``sts:AssumeRole`` and its companions, and must allow; so must the policy of a KMS
key, or a grant on it.

Parsed documents are kept: identity-based ones until a committed change touches them, the others under their text. A
decision is kept if no condition key was asked for on the way to it, together with the very policies of the caller that
it rests on: once those are others, it counts no more. The texts of the policies of resource, session and endpoint,
and of what grants allow, are part of what a decision is found by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from keyturn.arn import Arn, InvalidArn
from keyturn.call import Call, PrincipalKind
from keyturn.crypto.tokens import TokenSealer
from keyturn.entrance import Entrance
from keyturn.errors.base import AwsError, KeyturnError
from keyturn.kept import Kept
from keyturn.operations.authorization_messages import encoded_message
from keyturn.operations.identity_policies import identity_policies, managed_policy
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.policy.document import (
    NOTHING,
    PolicyDocument,
    parse_key_policy,
    parse_resource_policy,
    parse_session_policy,
    parse_trust_policy,
)
from keyturn.rules.policy.evaluate import (
    Decision,
    Outcome,
    Policy,
    PolicySet,
    PolicyType,
    RequestContext,
    access_denied_message,
    evaluate,
)
from keyturn.rules.policy.explanation import explain
from keyturn.rules.policy.possible import at_best
from keyturn.server.call_keys import PUBLIC_KEYS, CallKeys, PrincipalKeys, global_key_names
from keyturn.server.vpc_endpoints import FindVpcEndpoint
from keyturn.storage.kept import KeptRows

# Actions on a role that its trust policy must allow.
_ASSUMPTIONS = frozenset({"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"})
_KMS = "kms:"
_EC2 = "ec2:"
_DOCUMENTS_KEPT = 10_000
_DECISIONS_KEPT = 50_000
_NONE = PolicySet()

_Question = tuple[str, str, str, str | None, str | None, str, tuple[str, ...], tuple[str, str] | None]


class Authoriser:
    """Decides calls by the policies as they are now; safe to use from several threads.

    Args:
        kept: Holds the identity-based policies, users and roles.
        organization_id: Of the organization that all accounts of the server are in.
        messages: Seals the details of a refusal for those who may decode them.
        find_endpoint: Finds the VPC endpoints that calls come through.
    """

    def __init__(
        self, kept: KeptRows, organization_id: str, messages: TokenSealer, find_endpoint: FindVpcEndpoint
    ) -> None:
        self._kept = kept
        self._of_principal = PrincipalKeys(kept, organization_id)
        self._messages = messages
        self._find_endpoint = find_endpoint
        self._resource = _Documents("resource-based policy", parse_resource_policy)
        self._trust = _Documents("trust policy", parse_trust_policy)
        self._key = _Documents("key policy", parse_key_policy)
        self._grants = _Documents("grants", parse_key_policy)
        self._session = _Documents("session policy", parse_session_policy)
        self._endpoint = _Documents("VPC endpoint policy", parse_resource_policy)
        self._decisions: Kept[_Question, tuple[PolicySet, Decision]] = Kept(_DECISIONS_KEPT)

    def __call__(self, call: Call, action: str, subject: Subject[object]) -> None:
        """Return if the policies allow it.

        Raises:
            Refused: They do not; the message is AWS's.
            KeyturnError: A policy that applies cannot be read.
        """
        decision = self.decide(call, action, subject)
        if decision.outcome is not Outcome.ALLOW:
            raise self._refusal(call, action, subject, decision)

    def decide(self, call: Call, action: str, subject: Subject[object]) -> Decision:
        """Return the decision and what led to it, without raising for a refusal.

        Raises:
            KeyturnError: A policy that applies cannot be read.
        """
        principal = call.principal
        if principal.kind is PrincipalKind.SERVICE:
            return evaluate(self._context(call, action, subject), self._policies(call, action, subject, _NONE))
        own = identity_policies(self._kept, principal.role_arn or principal.arn)
        on_resource = (subject.policy, subject.grants)
        in_session = (call.session_policy, call.session_policy_arns)
        endpoint = None if call.entrance is None else self._endpoint_policy(call.entrance, action)
        on_the_way = None if endpoint is None else (endpoint.name, endpoint.text)
        question = (principal.arn, action, subject.arn, *on_resource, *in_session, on_the_way)
        kept = self._decisions.get(question)
        if kept is not None and kept[0] is own:
            return kept[1]
        keys = CallKeys(call, subject.keys, self._of_principal)
        context = RequestContext(principal, action, subject.arn, keys)
        decision = evaluate(context, self._policies(call, action, subject, own, endpoint))
        # Managed policies of a session are no part of the caller's own.
        if not (keys.was_asked or call.session_policy_arns):
            self._decisions.put(question, (own, decision))
        return decision

    def might_allow(self, call: Call, action: str, subject: Subject[object], *, resource_is_chosen: bool) -> bool:
        """Return whether the policies allow it, or would with other parameters (``rules.policy.possible``).

        Raises:
            KeyturnError: A policy that applies cannot be read.
        """
        if self.decide(call, action, subject).allowed:
            return True
        own = identity_policies(self._kept, call.principal.role_arn or call.principal.arn)
        endpoint = None if call.entrance is None else self._endpoint_policy(call.entrance, action)
        policies = self._policies(call, action, subject, own, endpoint)
        return evaluate(
            self._context(call, action, subject), at_best(policies, resource_is_chosen=resource_is_chosen)
        ).allowed

    def may_deny(self, call: Call) -> bool:
        """Return whether the caller's policies hold a Deny at all, of whatever: most do not.

        Raises:
            KeyturnError: A policy that applies cannot be read.
        """
        principal = call.principal
        own = identity_policies(self._kept, principal.role_arn or principal.arn)
        boundary = (own.boundary,) if own.boundary else ()
        return any(policy.document.denies for policy in (*own.identity, *boundary, *self._session_policies(call)))

    def _context(self, call: Call, action: str, subject: Subject[object]) -> RequestContext:
        keys = CallKeys(call, subject.keys, self._of_principal)
        return RequestContext(call.principal, action, subject.arn, keys)

    def _policies(
        self, call: Call, action: str, subject: Subject[object], own: PolicySet, endpoint: Policy | None = None
    ) -> PolicySet:
        is_assumption = action in _ASSUMPTIONS
        session = self._session_policies(call)
        if not (is_assumption or subject.policy or subject.grants or session or endpoint):
            return own
        is_key = subject.policy is not None and action.startswith(_KMS)
        documents = self._trust if is_assumption else self._key if is_key else self._resource
        return PolicySet(
            identity=own.identity,
            resource=documents.policy(subject.policy) if subject.policy else None,
            grants=self._grants.policy(subject.grants) if subject.grants else None,
            boundary=own.boundary,
            session=session,
            endpoint=endpoint,
            resource_must_allow=is_assumption or is_key,
            resource_type=PolicyType.TRUST if is_assumption else PolicyType.RESOURCE,
        )

    def _endpoint_policy(self, entrance: Entrance, action: str) -> Policy | None:
        """Return the policy of the endpoint that a call came through, if the action is one of its service.

        Others are what that service does next, for the caller: RotateSecret invokes a function, CreateFunction passes
        a role.
        """
        if not entrance.vpc_endpoint_id:
            return None
        endpoint = self._find_endpoint(entrance)
        if endpoint is None:
            # It was deleted while the call was on its way.
            return Policy(entrance.vpc_endpoint_id, NOTHING)
        if not endpoint.policy or action.partition(":")[0] != endpoint.service:
            return None
        return replace(self._endpoint.policy(endpoint.policy), name=entrance.vpc_endpoint_id)

    def _session_policies(self, call: Call) -> tuple[Policy, ...]:
        if not (call.session_policy or call.session_policy_arns):
            return ()
        inline = (self._session.policy(call.session_policy),) if call.session_policy else ()
        return (*inline, *(managed_policy(self._kept, arn) for arn in call.session_policy_arns))

    def _refusal(self, call: Call, action: str, subject: Subject[object], decision: Decision) -> Refused:
        """Return a refusal with AWS's message, and with what those may read who may decode it."""
        own = _NONE
        if call.principal.kind is not PrincipalKind.SERVICE:
            own = identity_policies(self._kept, call.principal.role_arn or call.principal.arn)
        context = self._context(call, action, subject)
        endpoint = None if call.entrance is None else self._endpoint_policy(call.entrance, action)
        explanation = explain(context, self._policies(call, action, subject, own, endpoint))
        caller, owner = call.principal.account_id, _owner_of(subject.arn, call)
        if call.entrance is not None and call.entrance.place.account_id != caller:
            # The VPC is neither the caller's nor, as a rule, the resource's.
            explanation = explanation.without(PolicyType.ENDPOINT)
            decision = explanation.decision
        if caller == owner:
            sealed = {caller: encoded_message(self._messages, explanation, caller, global_key_names())}
        else:
            sealed = {
                account_id: encoded_message(self._messages, part, account_id, PUBLIC_KEYS)
                for account_id, part in (
                    (caller, explanation.of_caller(subject.asked)),
                    (owner, explanation.of_owner()),
                )
            }
        return Refused(
            _message(decision, context, subject.asked, sealed[caller]),
            decision,
            caller_account_id=caller,
            owner_account_id=owner,
            encoded_messages=sealed,
        )


class _Documents:
    """Parsed documents of one kind by their text; rows are kept, so the text is mostly the very same string."""

    def __init__(self, name: str, parse: Callable[[str], PolicyDocument]) -> None:
        self._name = name
        self._parse = parse
        self._parsed: Kept[str, Policy] = Kept(_DOCUMENTS_KEPT)

    def policy(self, text: str) -> Policy:
        """Return the parsed document.

        Raises:
            KeyturnError: It was stored and cannot be read. It might hold a Deny, so nothing is decided without it.
        """
        policy = self._parsed.get(text)
        if policy is None:
            try:
                policy = Policy(self._name, self._parse(text), text)
            except AwsError as error:
                raise KeyturnError(f"A stored {self._name} is refused: {error.message}") from error
            self._parsed.put(text, policy)
        return policy


def _owner_of(arn: str, call: Call) -> str:
    """Return whose resource it is; the caller's, if it is nobody's or what was asked for is no ARN."""
    try:
        return Arn.parse(arn).account_id or call.principal.account_id
    except InvalidArn:
        return call.principal.account_id


def _message(decision: Decision, context: RequestContext, asked: str, encoded: str) -> str:
    if context.action in _ASSUMPTIONS and decision.outcome is Outcome.IMPLICIT_DENY:
        # AWS names no policy here, so that a role that is not there reads like one that trusts somebody else.
        return f"User: {context.principal.arn} is not authorized to perform: {context.action} on resource: {asked}"
    told = access_denied_message(decision, context, shown_resource=asked)
    if not context.action.startswith(_EC2):
        return told
    # EC2 alone goes on telling what STS decodes, if there is a resource. Source: refusals that users have published.
    details = f". Encoded authorization failure message: {encoded}" if asked else ""
    return f"You are not authorized to perform this operation. {told}{details}"
