"""Runs the corpus and reckons: was the cause named first, was it named at all, was one invented?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Confidence, Report
from keyturn.doctor.runner import examine

from .account import NOW, SECRET, Account
from .cases import Case
from .disguise import PLAIN, Disguise

TARGET = 0.95


@dataclass(frozen=True)
class Result:
    """What the doctor said of a case.

    Attributes:
        case: The case.
        report: The diagnosis.
    """

    case: Case
    report: Report

    @property
    def named(self) -> list[str]:
        """The causes it names, in order."""
        return list(dict.fromkeys(finding.id for finding in self.report.causes))

    @property
    def is_first(self) -> bool:
        """Whether the first cause that it names is the right one."""
        return bool(self.named) and self.named[0] in self.case.first

    @property
    def is_named(self) -> bool:
        """Whether the right cause is among those that it names."""
        return bool(set(self.named) & set(self.case.first))

    @property
    def invented(self) -> list[str]:
        """The causes it names that are none, or names too surely."""
        sure = {each.id for each in self.report.causes if each.confidence is not Confidence.POSSIBLE}
        may_be = {*self.case.first, *self.case.among, *self.case.also, *(set(self.case.guesses) - sure)}
        return [each for each in self.named if each not in may_be]

    @property
    def lacking(self) -> list[str]:
        """What should have been named besides, or noted."""
        noted = {finding.id for finding in self.report.findings} - set(self.named)
        return [each for each in self.case.among if each not in self.named] + [
            f"note {each}" for each in self.case.notes if each not in noted
        ]

    @property
    def broken_checks(self) -> list[str]:
        """Checks that failed themselves."""
        return [f"{each.cause.id}: {each.reason}" for each in self.report.outcomes if "itself failed" in each.reason]

    @property
    def is_right(self) -> bool:
        """Whether nothing is wrong with it."""
        if self.invented or self.lacking or self.broken_checks:
            return False
        if self.case.is_fault:
            return self.is_first
        return self.report.verdict in self.case.verdict or bool(self.named)

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if self.is_right:
            return "right"
        if self.broken_checks:
            return "check broke"
        if self.case.is_fault and not self.is_named:
            return "missed"
        if self.invented:
            return "invented"
        if self.case.is_fault and not self.is_first:
            return "right, not first"
        return "incomplete" if self.lacking else "wrong verdict"

    def told(self) -> str:
        """What was said in place of what should have been, in a line."""
        wanted = " or ".join(self.case.first) or " or ".join(self.case.verdict)
        more = "".join(f" + {each}" for each in (*self.case.among, *(f"note {each}" for each in self.case.notes)))
        said = ", ".join(self.named) or "no cause"
        return f"{self.outcome}: {self.case.name}\n    wanted {wanted}{more}; said {self.report.verdict}: {said}"


def diagnosed(case: Case, disguise: Disguise = PLAIN) -> Result:
    """Return what the doctor says of a case."""
    account = Account(json_log=disguise.json_log)
    if disguise.json_log:
        account.configuration["LoggingConfig"]["LogFormat"] = "JSON"
    case.make(account)
    worn = Disguise(disguise.name, [*account.texts, *disguise.texts])
    facts = Facts(worn.asking(account))
    return Result(case, examine(collect(facts, worn.put_on(SECRET), NOW, account.options)))


@dataclass(frozen=True)
class Score:
    """The reckoning of some results."""

    results: Sequence[Result]

    @property
    def faults(self) -> list[Result]:
        """Those in which there is a cause."""
        return [each for each in self.results if each.case.is_fault]

    @property
    def first(self) -> int:
        """In how many the right cause is named first."""
        return sum(each.is_first for each in self.faults)

    @property
    def precision(self) -> float:
        """Of the causes named first, the share that is right."""
        named = [each for each in self.results if each.named and (each.case.is_fault or each.invented)]
        return sum(each.is_first for each in named) / len(named) if named else 1.0

    @property
    def recall(self) -> float:
        """Of the faults, the share whose cause is named first."""
        return self.first / len(self.faults) if self.faults else 1.0

    @property
    def right(self) -> float:
        """Of all cases, the share in which all is right: cause, verdict, nothing more."""
        return sum(each.is_right for each in self.results) / len(self.results)

    @property
    def invented(self) -> int:
        """In how many a cause is named that is none."""
        return sum(bool(each.invented) for each in self.results)

    @property
    def invented_without_fault(self) -> int:
        """Likewise, of those in which there is no cause."""
        return sum(bool(each.invented) for each in self.results if not each.case.is_fault)

    @property
    def meets_target(self) -> bool:
        """Whether it is as good as it has to be."""
        return self.precision >= TARGET and self.recall >= TARGET and not self.invented_without_fault


def table(results: Sequence[Result]) -> str:
    """Return a Markdown table, a line for each family."""
    rows: list[tuple[str, ...]] = [
        ("family", "cases", "right", "right, not first", "missed", "invented", "other", "precision", "recall"),
        ("---",) * 9,
    ]
    families = dict.fromkeys(each.case.family for each in results)
    for family in families:
        rows.append(_row(family, [each for each in results if each.case.family == family]))
    rows.append(_row("**all**", results))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(name: str, results: Iterable[Result]) -> tuple[str, ...]:
    found = list(results)
    score = Score(found)
    counts = {
        word: sum(each.outcome == word for each in found)
        for word in ("right", "right, not first", "missed", "invented")
    }
    has_faults = bool(score.faults)
    return (
        name,
        str(len(found)),
        *(str(count) for count in counts.values()),
        str(len(found) - sum(counts.values())),
        f"{score.precision:.0%}" if has_faults else "",
        f"{score.recall:.0%}" if has_faults else "",
    )


def by_source(results: Sequence[Result]) -> str:
    """Return a Markdown table, a line for each kind of source."""
    rows: list[tuple[str, ...]] = [
        ("source", "cases", "right", "right, not first", "missed", "invented", "other", "precision", "recall"),
        ("---",) * 9,
    ]
    kinds = dict.fromkeys(_kind(each.case.source) for each in results)
    for kind in kinds:
        rows.append(_row(kind, [each for each in results if _kind(each.case.source) == kind]))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _kind(source: str) -> str:
    return source.partition(":")[0]


def said_otherwise(results: Iterable[Result]) -> str:
    """Return a line or two for each case that is not right."""
    return "\n".join(each.told() for each in results if not each.is_right)
