"""A trace on a terminal: the answer in a line, then each way hop by hop, then what the live probe says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from keyturn.cli.doctor_text import print_below
from keyturn.cli.shown import shown
from keyturn.doctor.tracing import Trace, Way
from keyturn.rules.network import groups
from keyturn.rules.network.agreement import CANNOT_RUN, Outcome, Verdict
from keyturn.rules.network.hops import Hop, HopKind, Passage
from keyturn.rules.network.routes import target_of
from keyturn.rules.network.traffic import Json

FORMAT = "keyturn.network-trace/1"

_STYLES = {
    Verdict.PASSES: "bold green",
    Verdict.BLOCKS: "bold red",
    Verdict.FAILS: "bold red",
    Verdict.DISPUTED: "bold red",
    Verdict.UNKNOWN: "bold yellow",
}
_MARKS = {Passage.PASSES: ("✓", "green"), Passage.BLOCKS: ("✗", "red"), Passage.UNKNOWN: ("?", "yellow")}
_GROUPS = (HopKind.FUNCTION_GROUP, HopKind.ENDPOINT_GROUP, HopKind.DATABASE_GROUP, HopKind.INTERFACE_GROUP)
_MOST_RULES = 8
_OUTCOMES = {
    Outcome.CONNECTED: "connected",
    Outcome.REFUSED: "refused",
    Outcome.TIMEOUT: "no answer, timed out",
    Outcome.UNREACHABLE: "no route to the host",
    Outcome.NAME_NOT_FOUND: "the name has no address",
    Outcome.NAME_TIMEOUT: "no answer from the resolver",
    Outcome.FAILED: "failed",
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
        return f"whether {name} reaches {to}{of_several} is not known{f': {_told(hop)}' if hop else ''}"
    if verdict is Verdict.DISPUTED:
        return f"{name} comes through to {to}{of_several}, where a rule drops its packets"
    why = _told(hop) if hop is not None and verdict is Verdict.BLOCKS else _outcome(way)
    return f"{name} does not reach {to}{of_several}: {why}"


def document(trace: Trace, endpoint: str | None) -> dict[str, Any]:
    """Return a trace for programs.

    Args:
        trace: What is told.
        endpoint: The server's address; None for AWS.
    """
    return {
        "schema": FORMAT,
        "verdict": trace.verdict.value,
        "summary": summary(trace),
        "function": trace.function_arn,
        "host": trace.wanted.host,
        "port": trace.wanted.port,
        "vpcId": trace.vpc_id or None,
        "endpoint": endpoint,
        "ways": [_way_document(way) for way in trace.ways],
        "unseen": [{"action": each.question.action, "error": each.code} for each in trace.unseen],
    }


def _way_document(way: Way) -> dict[str, Any]:
    probe: dict[str, Any] | None = None
    if way.probed is not None:
        probe = {
            "outcome": way.probed.outcome.value,
            "error": way.probed.error,
            "milliseconds": way.probed.milliseconds,
            "agrees": way.agreement.agrees,
        }
    return {
        "subnetId": way.subnet_id or None,
        "source": way.source or None,
        "address": way.address or None,
        "verdict": way.agreement.verdict.value,
        "reading": way.reading.value,
        "hops": [asdict(hop) for hop in way.hops],
        "probe": probe,
        "unprobed": way.unprobed or None,
        "meaning": way.agreement.meaning,
    }


def print_trace(console: Console, trace: Trace) -> None:
    """Print a trace."""
    verdict = trace.verdict
    print_below(console, Text(f"{verdict.value}: ", _STYLES[verdict]), Text(shown(summary(trace))))
    for way in trace.ways:
        _print_way(console, trace, way)
    if trace.unseen:
        console.print("\nWhat could not be asked:")
    for answer in trace.unseen:
        console.print(Text(f"  {answer.question.action} ({shown(answer.code)})"), soft_wrap=True)


def _print_way(console: Console, trace: Trace, way: Way) -> None:
    source = f" ({way.source})" if way.source else ""
    begins = f"{way.subnet_id}{source}" if way.subnet_id else _function_name(trace)
    ends = f"{way.address or trace.wanted.host}:{trace.wanted.port}"
    console.print()
    print_below(console, Text(""), Text(shown(f"{begins} to {ends}"), "bold"))
    for hop in way.hops:
        mark, style = _MARKS[hop.passage]
        rule = f" ({told})" if hop.rule is not None and (told := _rule(hop.kind, hop.rule)) else ""
        print_below(console, Text(f"  {mark} ", style), Text.assemble(shown(_told(hop)), (shown(rule), "dim")))
        if others := _other_rules(trace, hop):
            print_below(console, Text("    "), Text(shown(others), "dim"))
    _print_probe(console, way)


def _print_probe(console: Console, way: Way) -> None:
    if way.probed is None:
        told = f"{way.unprobed}. {way.agreement.meaning}".rstrip()
        print_below(console, Text("  Probe: ", "bold"), Text(shown(told)))
        return
    agrees = {
        True: "It agrees with the reading.",
        False: "It does not agree with the reading.",
        None: "The reading does not know.",
    }[way.agreement.agrees]
    told = f"{_outcome(way)} after {way.probed.milliseconds} ms. {agrees}"
    print_below(console, Text("  Probe: ", "bold"), Text(shown(told)))
    if way.agreement.meaning:
        print_below(console, Text("         "), Text(way.agreement.meaning))


def _outcome(way: Way) -> str:
    probed = way.probed
    if probed is None:
        return way.unprobed.replace(CANNOT_RUN, "the function cannot be run: ")
    return f"{_OUTCOMES[probed.outcome]}{f' ({probed.error})' if probed.error else ''}"


def _told(hop: Hop) -> str:
    # What leads to an internet gateway is a route.
    kind = HopKind.ROUTE if hop.kind is HopKind.INTERNET_GATEWAY else hop.kind
    return f"{kind.value} {hop.at}: {hop.why}" if kind is not HopKind.NO_VPC else f"{hop.at} {hop.why}"


def _other_rules(trace: Trace, hop: Hop) -> str:
    """Return which rules there are where the lack of one decided; empty if that says nothing."""
    if hop.kind not in _GROUPS or hop.rule is not None:
        return ""
    member = "IpPermissionsEgress" if hop.kind is HopKind.FUNCTION_GROUP else "IpPermissions"
    own = [each for each in trace.groups if str(each.get("GroupId")) in hop.at.split(", ")]
    there = groups.told([rule for group in own for rule in group.get(member) or ()])
    more = [f"and {len(there) - _MOST_RULES} more"] if len(there) > _MOST_RULES else []
    return f"its rules: {'; '.join([*there[:_MOST_RULES], *more]) or 'none'}" if own else ""


def _rule(kind: HopKind, rule: Json) -> str:
    if kind in _GROUPS:
        return groups.told([rule])[0]
    if kind is HopKind.ACL:
        number = rule.get("RuleNumber")
        return f"rule {'*' if number == _LAST_RULE else number}: {rule.get('RuleAction')}"
    if kind in (HopKind.ROUTE, HopKind.INTERNET_GATEWAY) and (target := target_of(rule)):
        to = rule.get("DestinationCidrBlock") or rule.get("DestinationPrefixListId") or "some addresses"
        return f"{to} to {target}"
    return ""


# The one with which every network ACL ends, and which the console shows as an asterisk.
_LAST_RULE = 32767


def _function_name(trace: Trace) -> str:
    arn = trace.function_arn
    return arn.partition(":function:")[2] or arn
