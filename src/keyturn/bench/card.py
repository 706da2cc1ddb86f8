"""What came of it: results, counted and written as JUnit XML. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from xml.etree import ElementTree as ET

# What XML 1.0 has no place for, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Status(StrEnum):
    """How one trial ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Left(StrEnum):
    """What a fault has left behind, worst last."""

    NOTHING = "unharmed"
    """The step succeeded in spite of it."""
    MENDED = "mended"
    """The next attempt completed the rotation."""
    STUCK = "stuck"
    """Further attempts fail; a stored version still logs in."""
    FALSE_SUCCESS = "false success"
    """The function reports success, and AWSCURRENT does not log in."""
    LOCKED_OUT = "locked out"
    """No stored version logs in."""


INTERRUPTED = "You have ended it."
"""Why not everything was played, if somebody did not want it."""

HARMLESS = frozenset({Left.NOTHING, Left.MENDED})


@dataclass(frozen=True, slots=True)
class Result:
    """One trial.

    Attributes:
        group: ``contract`` or the step in which the fault was played.
        name: Short, the same in every run.
        title: In a person's words.
        reason: Why it failed or was skipped.
        left: Of a fault.
        seconds: How long it took.
    """

    group: str
    name: str
    title: str
    status: Status
    reason: str = ""
    left: Left | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Card:
    """The report card of one function.

    Attributes:
        function: What was tested.
        database: With what.
        sandbox: How the function was kept apart.
        results: All trials.
        leaks: Where a secret value was shown, with the value hidden.
        invocations: How many there were.
        lines: Lines of log that were searched for secret values.
        actions: What of Secrets Manager the function has used.
        denied: What of it the function asked for in vain.
        broken_off: Why not everything was played; empty if it was.
        left: What is not as it was before; empty if all is.
    """

    function: str
    database: str
    sandbox: str
    results: Sequence[Result]
    leaks: Sequence[str]
    invocations: int
    lines: int
    actions: Sequence[str]
    denied: Sequence[str]
    broken_off: str = ""
    left: str = ""
    seconds: float = field(default=0.0, compare=False)

    @property
    def was_interrupted(self) -> bool:
        """Whether somebody ended it before its end."""
        return self.broken_off == INTERRUPTED

    @property
    def failed(self) -> list[Result]:
        """Trials that it did not stand."""
        return [result for result in self.results if result.status is Status.FAILED]

    @property
    def has_passed(self) -> bool:
        """Whether nothing was found."""
        return not self.broken_off and not self.left and not self.failed and not self.leaks

    @property
    def contract(self) -> list[Result]:
        """Trials of the contract."""
        return [result for result in self.results if result.left is None and result.group == "contract"]

    @property
    def faults(self) -> list[Result]:
        """Trials with a fault."""
        return [result for result in self.results if result.group != "contract"]


def junit(card: Card) -> str:
    """Return the card as JUnit XML, one test case for each trial and one for leaks."""
    groups = list(dict.fromkeys(result.group for result in card.results))
    root = ET.Element("testsuites", name="keyturn function test", time=f"{card.seconds:.3f}")
    for group in groups:
        results = [result for result in card.results if result.group == group]
        suite = _suite(root, group, results)
        for result in results:
            case = ET.SubElement(
                suite, "testcase", classname=f"{_xml(card.function)}.{group}", name=result.name,
                time=f"{result.seconds:.3f}",
            )  # fmt: skip
            if result.status is Status.FAILED:
                ET.SubElement(case, "failure", message=_xml(result.title)).text = _xml(result.reason)
            elif result.status is Status.SKIPPED:
                ET.SubElement(case, "skipped", message=_xml(result.reason))
    leaks = Result("leaks", "no-secret-value-shown", "", Status.FAILED if card.leaks else Status.PASSED)
    case = ET.SubElement(
        _suite(root, "leaks", [leaks]), "testcase", classname=f"{_xml(card.function)}.leaks", name=leaks.name
    )
    if card.leaks:
        message = "A secret value was shown in the log or in an answer"
        ET.SubElement(case, "failure", message=message).text = _xml("\n".join(card.leaks))
    for name, message in (("everything-played", card.broken_off), ("password-set-back", card.left)):
        if message:
            suite = _suite(root, "bench", [Result("bench", name, "", Status.FAILED)])
            case = ET.SubElement(suite, "testcase", classname=f"{_xml(card.function)}.bench", name=name)
            ET.SubElement(case, "failure", message=_xml(message))
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(root: ET.Element, name: str, results: Sequence[Result]) -> ET.Element:
    counts = Counter(result.status for result in results)
    return ET.SubElement(
        root, "testsuite", name=name, tests=str(len(results)), failures=str(counts[Status.FAILED]), errors="0",
        skipped=str(counts[Status.SKIPPED]), time=f"{sum(result.seconds for result in results):.3f}",
    )  # fmt: skip


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
