"""A trace on a terminal: the answer in a line, then each way hop by hop, then what the live probe says."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from keyturn.cli.doctor_text import print_below
from keyturn.client.shown import shown
from keyturn.doctor.trace_text import hop_told, other_rules, probe_told, rule_told, summary, way_told
from keyturn.doctor.tracing import Trace, Way
from keyturn.rules.network.agreement import Verdict
from keyturn.rules.network.hops import Passage

FORMAT = "keyturn.network-trace/1"

_STYLES = {
    Verdict.PASSES: "bold green",
    Verdict.BLOCKS: "bold red",
    Verdict.FAILS: "bold red",
    Verdict.DISPUTED: "bold red",
    Verdict.UNKNOWN: "bold yellow",
}
_MARKS = {Passage.PASSES: ("✓", "green"), Passage.BLOCKS: ("✗", "red"), Passage.UNKNOWN: ("?", "yellow")}


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
    console.print()
    print_below(console, Text(""), Text(shown(way_told(trace, way)), "bold"))
    for hop in way.hops:
        mark, style = _MARKS[hop.passage]
        rule = f" ({told})" if (told := rule_told(hop)) else ""
        print_below(console, Text(f"  {mark} ", style), Text.assemble(shown(hop_told(hop)), (shown(rule), "dim")))
        if others := other_rules(trace, hop):
            print_below(console, Text("    "), Text(shown(others), "dim"))
    print_below(console, Text("  Probe: ", "bold"), Text(shown(probe_told(way))))
    if way.probed is not None and way.agreement.meaning:
        print_below(console, Text("         "), Text(way.agreement.meaning))
