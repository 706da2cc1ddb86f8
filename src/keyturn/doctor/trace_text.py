"""A trace in sentences: the answer, the way, each hop with its rule, what the live probe says."""

from __future__ import annotations

from keyturn.rules.network import groups
from keyturn.rules.network.agreement import CANNOT_RUN, Outcome, Verdict
from keyturn.rules.network.hops import Hop, HopKind
from keyturn.rules.network.routes import target_of

from .tracing import Trace, Way

_GROUPS = (HopKind.FUNCTION_GROUP, HopKind.ENDPOINT_GROUP, HopKind.DATABASE_GROUP, HopKind.INTERFACE_GROUP)
_MOST_RULES = 8
# The one with which every network ACL ends, and which the console shows as an asterisk.
_LAST_RULE = 32767
_OUTCOMES = {
    Outcome.CONNECTED: "connected",
    Outcome.REFUSED: "refused",
    Outcome.TIMEOUT: "no answer, timed out",
    Outcome.UNREACHABLE: "no route to the host",
    Outcome.NAME_NOT_FOUND: "the name has no address",
    Outcome.NAME_TIMEOUT: "no answer from the resolver",
    Outcome.FAILED: "failed",
}
_AGREES = {
    True: "The trace says the same.",
    False: "The trace says otherwise.",
    None: "The trace could not tell.",
}


def summary(trace: Trace) -> str:
    """Return the answer in a sentence."""
    name, to = _function_name(trace), f"{trace.wanted.host}:{trace.wanted.port}"
    verdict = trace.verdict
    if verdict is Verdict.PASSES:
        is_tried = all(way.probed is not None for way in trace.ways)
        return f"{name} reaches {to}" if is_tried else f"{name} may reach {to}: nothing on the way stops it"
    way = next(way for way in trace.ways if way.agreement.verdict is verdict)
    is_all = all(each.agreement.verdict is verdict for each in trace.ways)
    of_several = "" if is_all else f" from {way.subnet_id}"
    hop = way.decisive
    if verdict is Verdict.UNKNOWN:
        return f"whether {name} reaches {to}{of_several} is not known{f': {hop_told(hop)}' if hop else ''}"
    if verdict is Verdict.DISPUTED:
        return f"{name} comes through to {to}{of_several}, where a rule drops its packets"
    why = hop_told(hop) if hop is not None and verdict is Verdict.BLOCKS else _outcome(way)
    return f"{name} does not reach {to}{of_several}: {why}"


def way_told(trace: Trace, way: Way) -> str:
    """Return from where a way leads to where."""
    source = f" ({way.source})" if way.source else ""
    begins = f"{way.subnet_id}{source}" if way.subnet_id else _function_name(trace)
    return f"{begins} to {way.address or trace.wanted.host}:{trace.wanted.port}"


def hop_told(hop: Hop) -> str:
    """Return what a hop does and why."""
    # What leads to an internet gateway is a route.
    kind = HopKind.ROUTE if hop.kind is HopKind.INTERNET_GATEWAY else hop.kind
    return f"{kind.value} {hop.at}: {hop.why}" if kind is not HopKind.NO_VPC else f"{hop.at} {hop.why}"


def rule_told(hop: Hop) -> str:
    """Return the rule that decided; empty if there is nothing to say of it."""
    rule = hop.rule
    if rule is None:
        return ""
    if hop.kind in _GROUPS:
        return groups.told([rule])[0]
    if hop.kind is HopKind.ACL:
        number = rule.get("RuleNumber")
        return f"rule {'*' if number == _LAST_RULE else number}: {rule.get('RuleAction')}"
    if hop.kind in (HopKind.ROUTE, HopKind.INTERNET_GATEWAY) and (target := target_of(rule)):
        to = rule.get("DestinationCidrBlock") or rule.get("DestinationPrefixListId") or "some addresses"
        return f"{to} to {target}"
    return ""


def other_rules(trace: Trace, hop: Hop) -> str:
    """Return which rules there are where the lack of one decided; empty if that says nothing."""
    if hop.kind not in _GROUPS or hop.rule is not None:
        return ""
    member = "IpPermissionsEgress" if hop.kind is HopKind.FUNCTION_GROUP else "IpPermissions"
    own = [each for each in trace.groups if str(each.get("GroupId")) in hop.at.split(", ")]
    there = groups.told([rule for group in own for rule in group.get(member) or ()])
    more = [f"and {len(there) - _MOST_RULES} more"] if len(there) > _MOST_RULES else []
    return f"its rules: {'; '.join([*there[:_MOST_RULES], *more]) or 'none'}" if own else ""


def probe_told(way: Way) -> str:
    """Return what the probe says, or why there is none; what it means is told beside it if there is one."""
    if way.probed is None:
        return f"{way.unprobed}. {way.agreement.meaning}".rstrip()
    return f"{_outcome(way)} after {way.probed.milliseconds} ms. {_AGREES[way.agreement.agrees]}"


def _outcome(way: Way) -> str:
    probed = way.probed
    if probed is None:
        return way.unprobed.replace(CANNOT_RUN, "the function cannot be run: ")
    return f"{_OUTCOMES[probed.outcome]}{f' ({probed.error})' if probed.error else ''}"


def _function_name(trace: Trace) -> str:
    arn = trace.function_arn
    return arn.partition(":function:")[2] or arn
