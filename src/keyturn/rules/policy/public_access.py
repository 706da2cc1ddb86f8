"""Does a resource-based policy let everybody in? What BlockPublicPolicy and ValidateResourcePolicy ask.

A policy grants broad access if one of its statements allows something to everybody (Principal ``*``, or any
NotPrincipal) and neither a condition of the statement nor a Deny of the policy narrows that to callers, networks or
resources that are fixed. Fixed is a value without wildcards and policy variables, of a key that a caller cannot choose.
In doubt access is broad: AWS proves the opposite with an automated reasoner, which finds a few more policies harmless.

Source: Secrets Manager User Guide, "Managing a resource-based policy" (2020); Amazon S3 User Guide, "The meaning of
public", to which it refers, and which names the width of networks.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from keyturn.rules.policy.conditions import Condition, Quantifier
from keyturn.rules.policy.document import PolicyDocument, Statement
from keyturn.rules.policy.patterns import PatternSet, has_variable

_ACCOUNT_ID = re.compile(r"\d{12}")
_ORGANISATION = re.compile(r"o-[a-z0-9]+/[^*?]*\*?")
_ARN_FIELDS = 6
_ACCOUNT_FIELD = 4
# Networks that have together more addresses than one /8 (IPv6: /32) are as good as the internet.
_MOST_ADDRESSES = {4: 2**24, 6: 2**96}
# From these nobody calls over the internet, so they do not count.
_PRIVATE = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))

_STRING_OPERATORS = frozenset({"stringequals", "stringequalsignorecase", "stringlike"})
_ARN_OPERATORS = frozenset({"arnequals", "arnlike"})
_EVERY_ACTION = "secretsmanager:"


def grants_broad_access(document: PolicyDocument) -> bool:
    """Whether a resource-based policy allows something to callers whom it does not fix."""
    return any(
        _names_everybody(allow)
        and not any(_narrows(condition, negated=False) for condition in allow.conditions)
        and not any(_takes_back(deny, allow) for deny in document.denies)
        for allow in document.allows
    )


def _names_everybody(statement: Statement) -> bool:
    principals = statement.principals
    # NotPrincipal names everybody but a few, unless the few are everybody.
    return principals is not None and principals.everybody is not principals.negated


def _takes_back(deny: Statement, allow: Statement) -> bool:
    """Whether a Deny leaves nothing of an Allow, or nothing but what is fixed (the few of a NotPrincipal are)."""
    if not _names_everybody(deny) or deny.actions_negated or deny.resources is None or deny.resources_negated:
        return False
    covers_actions = _EVERY_ACTION in deny.actions.prefixes or _covers(
        deny.actions, None if allow.actions_negated else allow.actions
    )
    if not (covers_actions and _covers(deny.resources, None if allow.resources_negated else allow.resources)):
        return False
    # Two conditions would have to hold together, and so deny less than each.
    return not deny.conditions or (len(deny.conditions) == 1 and _narrows(deny.conditions[0], negated=True))


def _covers(wide: PatternSet, narrow: PatternSet | None) -> bool:
    """Whether what matches one set also matches the other; None stands for a set that cannot be told."""
    if wide.everything or wide == narrow:
        return True
    if narrow is None or narrow.everything or narrow.prefixes or narrow.general or narrow.templates:
        return False
    return all(wide.matches(text, {}) for text in narrow.exact)


def _narrows(condition: Condition, *, negated: bool) -> bool:
    """Whether a condition fixes who calls or from where; of a Deny, whether it spares no others.

    A negated operator holds without its key, with and without IfExists, so that a Deny with one spares nobody by
    accident. A positive one must not hold without its key: IfExists and ForAllValues do.
    """
    if condition.negated is not negated or condition.must_be_absent is not None:
        return False
    if condition.quantifier is Quantifier.ALL or (condition.quantifier is Quantifier.ANY and negated):
        return False
    if condition.if_exists and not negated:
        return False
    operator = condition.base_operator.replace("not", "", 1) if negated else condition.base_operator
    if condition.key == "aws:sourceip":
        return operator == "ipaddress" and _are_narrow(condition.values)
    is_fixed = _FIXING_KEYS.get(condition.key)
    return is_fixed is not None and all(
        not has_variable(value) and is_fixed(operator, value) for value in condition.values
    )


def _fixed_text(operator: str, value: str) -> bool:
    return operator in _STRING_OPERATORS and bool(value) and not _has_wildcard(value)


def _fixed_arn(operator: str, value: str) -> bool:
    """An ARN may have wildcards if its account has none: whoever calls, or for whomever, is of one account."""
    if operator not in _STRING_OPERATORS | _ARN_OPERATORS or not value:
        return False
    if not _has_wildcard(value):
        return True
    fields = value.split(":", _ARN_FIELDS - 1)
    if len(fields) != _ARN_FIELDS or not _ACCOUNT_ID.fullmatch(fields[_ACCOUNT_FIELD]):
        return False
    # In a plain text a wildcard matches colons too, and might reach over what looks like the account.
    return operator in _ARN_OPERATORS or not _has_wildcard(":".join(fields[:_ACCOUNT_FIELD]))


def _fixed_path(operator: str, value: str) -> bool:
    """A path within one organisation, ``o-abc/r-def/ou-ghi/*``."""
    return operator in _STRING_OPERATORS and _ORGANISATION.fullmatch(value) is not None


def _are_narrow(values: Iterable[str]) -> bool:
    """Whether networks have together no more addresses than the widest one that may stand alone."""
    if any(has_variable(value) for value in values):
        return False
    networks = [ipaddress.ip_network(value, strict=False) for value in values]
    old = [one for one in networks if isinstance(one, ipaddress.IPv4Network) and not any(map(one.subnet_of, _PRIVATE))]
    new = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    # Overlapping ones are counted once.
    return _size(ipaddress.collapse_addresses(old)) <= _MOST_ADDRESSES[4] and (
        _size(ipaddress.collapse_addresses(new)) <= _MOST_ADDRESSES[6]
    )


def _size(networks: Iterable[ipaddress.IPv4Network] | Iterable[ipaddress.IPv6Network]) -> int:
    return sum(network.num_addresses for network in networks)


def _has_wildcard(value: str) -> bool:
    return "*" in value or "?" in value


_FIXING_KEYS: dict[str, Callable[[str, str], bool]] = {
    "aws:principalaccount": _fixed_text,
    "aws:principalarn": _fixed_arn,
    "aws:principalorgid": _fixed_text,
    "aws:principalorgpaths": _fixed_path,
    "aws:sourceaccount": _fixed_text,
    "aws:sourcearn": _fixed_arn,
    "aws:sourceowner": _fixed_text,
    "aws:sourcevpc": _fixed_text,
    "aws:sourcevpce": _fixed_text,
    "aws:userid": _fixed_text,
}
