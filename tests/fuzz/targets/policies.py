"""Policies: any text is parsed or refused, what is parsed decides, and neither takes long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from tests.fuzz.naive_patterns import naive_match

from keyturn.call import Principal, PrincipalKind
from keyturn.errors.iam import LimitExceededException, MalformedPolicyDocumentException
from keyturn.errors.kms import LimitExceededException as KeyPolicyTooLong
from keyturn.errors.kms import MalformedPolicyDocumentException as MalformedKeyPolicy
from keyturn.errors.secretsmanager import MalformedPolicyDocumentException as MalformedResourcePolicy
from keyturn.errors.sts import MalformedPolicyDocumentException as MalformedSessionPolicy
from keyturn.rules.policy import document
from keyturn.rules.policy.condition_values import InvalidConditionValue
from keyturn.rules.policy.conditions import Condition, UnknownOperator, compile_condition
from keyturn.rules.policy.context_keys import context_keys
from keyturn.rules.policy.document import PolicyDocument
from keyturn.rules.policy.evaluate import Policy, PolicySet, RequestContext, condition_keys, evaluate
from keyturn.rules.policy.explanation import explain
from keyturn.rules.policy.faults import examine, kind_of
from keyturn.rules.policy.json_text import loaded
from keyturn.rules.policy.patterns import ArnRule, pattern_set
from keyturn.rules.policy.positions import statement_spans
from keyturn.rules.policy.public_access import grants_broad_access
from keyturn.rules.policy.refusals import DocumentKind

_ACCOUNT, _STRANGERS = "000000000000", "111111111111"
_USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{_ACCOUNT}:user/u", "AIDA", _ACCOUNT, "u", "AKIA")
_SESSION = Principal(
    PrincipalKind.ASSUMED_ROLE,
    f"arn:aws:sts::{_ACCOUNT}:assumed-role/r/s",
    "AROA:s",
    _ACCOUNT,
    "r",
    role_arn=f"arn:aws:iam::{_ACCOUNT}:role/r",
    session_name="s",
)
_STRANGER = Principal(PrincipalKind.USER, f"arn:aws:iam::{_STRANGERS}:user/v", "AIDB", _STRANGERS, "v", "AKIB")
_SERVICE = Principal(PrincipalKind.SERVICE, "lambda.amazonaws.com", "", _ACCOUNT, "lambda.amazonaws.com")
_DENY_ALL = Policy(
    "deny",
    document.parse_identity_policy(
        '{"Version": "2012-10-17", "Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}}'
    ),
)

_PARSERS: Final[Mapping[DocumentKind, Callable[[str], PolicyDocument]]] = {
    DocumentKind.IDENTITY: document.parse_identity_policy,
    DocumentKind.MANAGED: document.parse_managed_policy,
    DocumentKind.SESSION: document.parse_session_policy,
    DocumentKind.TRUST: document.parse_trust_policy,
    DocumentKind.RESOURCE: document.parse_resource_policy,
    DocumentKind.KEY: document.parse_key_policy,
}
_MODELLED: Final = (
    MalformedPolicyDocumentException,
    MalformedSessionPolicy,
    MalformedResourcePolicy,
    MalformedKeyPolicy,
    LimitExceededException,
    KeyPolicyTooLong,
)
# Of one processor, for what takes a millisecond: patterns that run away take minutes.
_MOST_SECONDS: Final = 5.0
_LONGEST: Final = 8192
_LONGEST_PATTERN: Final = 200
_ACTIONS: Final = {
    "secretsmanager": ("GetSecretValue", "ListSecrets", "TagResource"),
    "kms": ("Decrypt", "TagResource"),
}


class _Watch:
    """Fails if what it is around takes far longer than it may."""

    def __enter__(self) -> None:
        self._start = time.process_time()

    def __exit__(self, *_: object) -> None:
        assert time.process_time() - self._start < _MOST_SECONDS, "it takes too long"


def _texts(data: bytes) -> list[str]:
    return [piece.decode("utf-8", "replace") for piece in data[:_LONGEST].split(b"\0")]


def _keys(pieces: list[str]) -> dict[str, tuple[str, ...]]:
    """Read condition keys from ``name=value|value``."""
    named = (piece.partition("=") for piece in pieces)
    return condition_keys({name: tuple(values.split("|")) for name, equal, values in named if equal})


def documents(data: bytes) -> None:
    """Parse a text as every kind of policy, and decide by it.

    Args:
        data: The text, an action, a resource and condition keys, with zeros between.
    """
    text, action, resource, *keys = [*_texts(data), "", ""]
    with _Watch():
        for parse in _PARSERS.values():
            with suppress(*_MODELLED):
                _decide(Policy("any", parse(text), text), action, resource, _keys(keys))


def _decide(policy: Policy, action: str, resource: str, keys: Mapping[str, tuple[str, ...]]) -> None:
    everywhere = PolicySet(identity=(policy,), resource=policy, boundary=policy, session=(policy,))
    for principal in (_USER, _SESSION, _STRANGER, _SERVICE):
        context = RequestContext(principal, action, resource, keys)
        decision = evaluate(context, everywhere)
        assert not evaluate(context, PolicySet(identity=(policy, _DENY_ALL), resource=policy)).allowed
        assert explain(context, everywhere).decision == decision
    grants_broad_access(policy.document)
    assert len(statement_spans(policy.text)) == len(policy.document.statements)
    context_keys(policy.text)


def faults(data: bytes) -> None:
    """Look for the faults of a text, as what it seems to be and as another kind of policy, chosen by its length."""
    text = _texts(data)[0]
    with _Watch():
        for kind in {kind_of(text), tuple(DocumentKind)[len(text) % len(DocumentKind)]}:
            report = examine(text, kind, _ACTIONS)
            if report.answer is not None:
                assert report.errors, "refused without a fault"
            else:
                assert {fault.code for fault in report.errors} <= {"too-long"}, "accepted with a fault"
            if report.corrected is not None:
                assert isinstance(loaded(report.corrected), dict)
                assert report.corrected != text


def conditions(data: bytes) -> None:
    """Compile a condition and try it.

    Args:
        data: The operator, how many values the policy has, these, then the values of the request, with zeros between.
    """
    operator, count, *values = [*_texts(data), ""]
    most = int(count) if count.isascii() and count.isdigit() and len(count) < 3 else 1
    wanted, found = tuple(values[:most]), tuple(values[most:-1])
    with _Watch():
        for variables in (True, False):
            condition = _compiled(operator, wanted, variables=variables)
            if condition is not None:
                _try(condition, found, variables=variables)


def _compiled(operator: str, wanted: tuple[str, ...], *, variables: bool) -> Condition | None:
    try:
        return compile_condition(operator, "aws:k", wanted, variables=variables)
    except (UnknownOperator, InvalidConditionValue):
        return None


def _try(condition: Condition, found: tuple[str, ...], *, variables: bool) -> None:
    keys = {"aws:k": found, "aws:username": ("ada",)} if found else {"aws:username": ("*",)}
    holds = condition.holds(keys)
    if condition.must_be_absent is not None:
        assert holds is (condition.must_be_absent is (found in ((), ("",))))
    elif found and not condition.if_exists:
        relaxed = compile_condition(f"{condition.operator}IfExists", "aws:k", condition.values, variables=variables)
        assert relaxed.holds(keys) is holds, "IfExists matters though the key exists"
    elif not found and condition.if_exists:
        assert holds


def patterns(data: bytes) -> None:
    """Match a pattern, and compare with the naive matcher.

    Args:
        data: The pattern, a text, and the values of the variables ``v`` and ``w``, with zeros between.
    """
    pattern, text, *values = [piece[:_LONGEST_PATTERN] for piece in _texts(data)] + ["", ""]
    keys = {name: (value,) for name, value in zip(("v", "w"), values[:-2], strict=False)}
    with _Watch():
        for name, rule in (("none", ArnRule.NONE), ("resource", ArnRule.RESOURCE), ("condition", ArnRule.CONDITION)):
            plain = pattern_set([pattern], variables=False, arn=rule).matches(text, keys)
            assert plain is naive_match(pattern, text, rule=name), (name, pattern, text)
            filled = pattern_set([pattern], variables=True, arn=rule).matches(text, keys)
            assert filled is naive_match(pattern, text, keys, rule=name), (name, pattern, text, keys)
