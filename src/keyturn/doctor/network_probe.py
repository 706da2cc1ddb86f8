"""What Keyturn says of where a function runs, after an attempt that did not reach its database.

The probe (ProbeFunctionNetwork) tells whether a function in no VPC is isolated, and whether a network map leads to an
address of a VPC. It tries a connection and changes nothing; it is asked only after such an attempt.
"""

from __future__ import annotations

from .case import Case
from .catalogue import Skip
from .facts import Answer, Kind, Unseen
from .lines import line_evidence, line_saying, newest_said
from .model import Evidence

PROBED = ("keyturn:ProbeFunctionNetwork",)
UNREACHED = ("logs:FilterLogEvents", "keyturn:PreflightRotation")
"""What tells that a database was not reached."""
_SAID = line_saying(
    r"\b(?:ConnectionTimedOut|ConnectionRefused|HostUnreachable): ",
    "Connection refused",
    "No route to host",
    "Network is unreachable",
    r"(?:timeout expired|timed out)(?![^\n\r]*endpoint URL)",
)


def unreached(case: Case) -> tuple[Evidence, ...]:
    """Return what shows that the function did not reach its database: the newest attempt's line, the pre-flight's item.

    Raises:
        Skip: There is no log.
        Unseen: The log may not be looked at.
    """
    said = newest_said(case, _SAID)
    found = [] if said is None or said.history else [line_evidence(case, said.line)]
    answer = case.preflight
    items = answer.found.get("Items", []) if answer is not None and answer.kind is Kind.OK else []
    found += [
        Evidence("keyturn:PreflightRotation", case.name, f"{item['Item']} {item['Code']}: {item.get('Reason', '')}")
        for item in items
        if item["Status"] == "failed" and item["Item"].startswith(("database.resolve", "database.connect"))
    ]
    return tuple(found)


def probe(case: Case) -> Answer | None:
    """Return ProbeFunctionNetwork of the way to the database; None where nobody is asked.

    Raises:
        Skip: There is no log.
        Unseen: The log, or the database's address, may not be looked at.
    """
    if not case.options.may_be_keyturn or case.database is None or not unreached(case):
        return None
    to = case.database.address
    return case.facts.ask("keyturn", "ProbeFunctionNetwork", FunctionName=case.function_arn, Host=to.host, Port=to.port)


def network_maps(case: Case) -> tuple[str, ...]:
    """Return the network maps that Keyturn serves with, as the setting has them; empty if it has not said so."""
    try:
        answer = probe(case)
    except (Skip, Unseen):
        return ()
    return (
        tuple(map(str, answer.found.get("NetworkMaps") or ())) if answer is not None and answer.kind is Kind.OK else ()
    )


def addresses_of_machine(case: Case) -> tuple[str, ...]:
    """Return the addresses of VPCs that lead to the machine that Keyturn runs on, as far as it has said so."""
    parts = [each.partition("=") for each in network_maps(case)]
    return tuple(seen.removesuffix("/32") for seen, _, real in parts if real.removesuffix("/32") == "127.0.0.1")


def nobody_at_database(case: Case) -> str | None:
    """Return what Keyturn says is at the database's address where no network map leads there; None elsewhere."""
    try:
        answer = probe(case)
        address = None if case.database is None else case.database.ip
    except (Skip, Unseen):
        return None
    probes = answer.found.get("Probes") or () if answer is not None and answer.kind is Kind.OK else ()
    found = [entry for each in probes for entry in each.get("Addresses") or ()]
    told = (each for each in found if each.get("Address") == str(address) and each.get("IsMapped") is False)
    return next((str(each.get("Destination")) for each in told), None)


def is_isolated(case: Case) -> bool:
    """Whether Keyturn has said that the function reaches nothing but its APIs."""
    try:
        answer = probe(case)
    except (Skip, Unseen):
        return False
    return answer is not None and answer.kind is Kind.OK and answer.found.get("Network") == "isolated"
