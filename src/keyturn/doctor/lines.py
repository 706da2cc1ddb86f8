"""Causes that the function's log tells of: a line, what it means, and whether it still means it.

Three rules. The newest failed invocation decides: what an older one says is a note where the newest says something
else. What has gone well since is over. And where the function or the secret's value was changed after a line, the line
says nothing of what is there now: it is a note until the next attempt, or until somebody looks from inside the sandbox
(``newest.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote

from .case import Case
from .catalogue import Skip, check
from .facts import Kind
from .log import LogLine, LogRun
from .model import LONGEST_EXCERPT, Cause, Change, Confidence, Evidence, Finding, Remedy, Role, shortened, whole_lines
from .newest import changed_since, has_tried, newest_look
from .remedies import attempted_again

_LONGEST_WORDS = 240
# What failed before so many others has nothing to say that they do not.
_MOST_RUNS = 100
# It was invoked by somebody else, from a console's test event for instance.
_STRAY = re.compile(
    r"Invalid step parameter|is not enabled for rotation|KeyError: '(?:Step|SecretId|ClientRequestToken)'"
)
# The level, time and request id before; the advice of Keyturn's rotation functions behind, which the remedy gives, too.
_SECRET_ARN = re.compile(r"\barn:[\w-]+:secretsmanager:[\w-]+:[0-9]{12}:secret:([\w/+=.@-]*[\w/+=@-])")
_AROUND = re.compile(r"^\[ERROR\]\s+(?:\S{1,40}Z\t\S{1,40}\t)?|\.? Hint: .*$", re.DOTALL)
# What Keyturn's functions say before the database's own words: the finding says it, too.
_SUMMED_UP = re.compile(
    r"^\w+: Unable to log into database with [\w, ]{1,60} secret of secret (?:arn|ARN) \S{1,600}: (?=\S)"
)


def line_saying(*parts: str) -> re.Pattern[str]:
    """Return what finds a line of which a part is found, as the group ``why``."""
    # Tried at the beginning of each line only, so that a long one takes no time that grows with its square.
    return re.compile(rf"(?:^|(?<=[\n\r]))(?P<why>[^\n\r]*(?:{'|'.join(parts)})[^\n\r]*)")


@dataclass(frozen=True, slots=True)
class Said:
    """A line of a failed invocation in which something was recognised.

    Attributes:
        run: The invocation.
        line: The line.
        match: What was recognised in it.
        history: Why it tells of the past only, in a few words; empty if it stands.
    """

    run: LogRun
    line: LogLine
    match: re.Match[str]
    history: str = ""

    @property
    def words(self) -> Mapping[str, str]:
        """The named parts of what was recognised, each short and on one line."""
        return {name: short(text or "") for name, text in self.match.groupdict().items()}


@dataclass(frozen=True, slots=True)
class LineCause:
    """A cause that a line tells of, without anything else to be looked at.

    Attributes:
        cause: The entry of the catalogue.
        pattern: Is found in the line.
        title: Of the finding; ``{function}``, ``{secret}`` and the pattern's named groups are filled in.
        remedy: Its way out, likewise; ``{again}`` says whether it is tried again by itself, and when.
        confidence: How sure it is.
        unless: An invocation in which this is found is about something else.
        by_hand: Commands, likewise.
        changes: Calls that mend it.
    """

    cause: Cause
    pattern: re.Pattern[str]
    title: str
    remedy: str
    confidence: Confidence = Confidence.CERTAIN
    unless: re.Pattern[str] | None = None
    by_hand: tuple[str, ...] = ()
    changes: Callable[[Case], tuple[Change, ...]] = lambda _: ()

    def __call__(self, case: Case) -> Iterator[Finding]:
        """Look for the line."""
        said = newest_said(case, self.pattern, self.unless)
        if said is None:
            return
        words = {
            "function": case.function_name,
            "secret": case.name,
            "arn": case.arn,
            "again": attempted_again(case),
            **said.words,
        }
        # Whoever writes the log must not write commands.
        pasted = {name: quote(text) for name, text in words.items()}
        yield finding_of(
            case,
            said,
            self.cause,
            self.title.format_map(words),
            Remedy(
                self.remedy.format_map(words),
                self.changes(case),
                by_hand=tuple(command.format_map(pasted) for command in self.by_hand),
            ),
            self.confidence,
        )


def enter(*causes: LineCause) -> None:
    """Enter causes into the catalogue."""
    for each in causes:
        check(each.cause)(each)


def newest_said(case: Case, pattern: re.Pattern[str], unless: re.Pattern[str] | None = None) -> Said | None:
    """Return the line of a failed invocation in which a pattern is found: of the one that decides, else the newest.

    Raises:
        Skip: There is no log.
        Unseen: The log may not be looked at.
    """
    if case.log_events.kind is Kind.GONE and case.failures_if_seen:
        raise Skip("there is no log to read")
    deciding = deciding_run(case)
    runs = [deciding] if deciding is not None else []
    runs += [run for run in reversed(case.failed_runs[-_MOST_RUNS:]) if run is not deciding]
    for run in runs:
        if unless is not None and unless.search(run.text):
            continue
        for line in reversed(run.telling_lines):
            if match := pattern.search(line.text):
                return Said(run, line, match, history_of(case, run))
    return None


def deciding_run(case: Case) -> LogRun | None:
    """Return the newest failed invocation that Secrets Manager may have made; None if there is none."""
    return case.once(_deciding_run)


def _deciding_run(case: Case) -> LogRun | None:
    failed = case.failed_runs
    rotating = [run for run in failed if not any(_STRAY.search(line.text) for line in run.telling_lines)]
    return rotating[-1] if rotating else failed[-1] if failed else None


def history_of(case: Case, run: LogRun) -> str:
    """Return why a failed invocation tells of the past only, in a few words; empty if it does not."""
    if run is not deciding_run(case):
        return "the newest attempt fails otherwise"
    if _has_gone_well_since(case, run):
        return "that has gone well since"
    return changed_since(case, run.ended_at)


def _has_gone_well_since(case: Case, run: LogRun) -> bool:
    """Whether the same step has succeeded later; of an invocation that does not tell its step that is not known."""
    return run.step is not None and any(
        each.step == run.step and each.started_at >= run.ended_at and each.went_well for each in case.step_runs
    )


def explains_newest(case: Case, finding: Finding) -> bool:
    """Whether a note tells of a mend that the newest failure may be over by: an older one's says nothing of that."""
    if not finding.is_history:
        return False
    deciding = deciding_run(case) if case.log_events.kind is Kind.OK else None
    moments = [each.at for each in finding.evidence if each.at is not None]
    # The trail has whole seconds.
    return deciding is None or not moments or max(moments) >= deciding.started_at.replace(microsecond=0)


def is_mended(case: Case, findings: Iterable[Finding]) -> bool:
    """Whether what failed last was tried since from inside the sandbox, where nothing stands in the way any longer."""
    look = newest_look(case)
    if look is None or not look.is_well:
        return False
    return any(explains_newest(case, each) and has_tried(case, each.cause) for each in findings)


def finding_of(
    case: Case,
    said: Said,
    cause: Cause,
    title: str,
    remedy: Remedy,
    confidence: Confidence = Confidence.CERTAIN,
) -> Finding:
    """Return what a line tells of, as a cause if it stands and as a note if it does not."""
    is_past = bool(said.history)
    if is_past:
        title = f"{title} at {said.line.at:%Y-%m-%d %H:%M:%S} UTC; {said.history}"
    is_test = case.is_test(said.run)
    if is_test and not is_past:
        title = f"{title} (in a test of the function, no rotation)"
    silent = case.silent_failure
    if silent is not None and not is_past and silent.at > said.run.ended_at:
        # A later attempt has left no line: this one can only be guessed from.
        confidence = Confidence.POSSIBLE
    return Finding(
        cause,
        title,
        (line_evidence(case, said.line),),
        remedy,
        role=Role.NOTE if is_past else Role.CAUSE,
        confidence=confidence,
        step=said.run.step if is_past else None if is_test else case.failed_step,
        is_history=is_past,
    )


def line_evidence(case: Case, line: LogLine) -> Evidence:
    """Return a line as evidence."""
    return Evidence("logs:FilterLogEvents", case.log_group, whole_lines(line.text, LONGEST_EXCERPT), line.at)


def short(text: str) -> str:
    """Return a text on one line, of the length of a title's part, without what stands around what it says."""
    line = _SUMMED_UP.sub("", " ".join(_AROUND.sub("", text).split()).rstrip("."))
    if len(line) > _LONGEST_WORDS:
        # Of two long things the other one, an address for instance, is what is not known yet.
        line = _SECRET_ARN.sub(r"\1", line)
    return shortened(line, _LONGEST_WORDS)
