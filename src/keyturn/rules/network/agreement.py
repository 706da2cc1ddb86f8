"""Whether a live probe agrees with what the rules say, and what it means where it does not.

A packet that a rule blocks is lost in silence, so that nobody answers. "Refused" is the answer of a host, and proves
that packets pass in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .hops import Passage

CANNOT_RUN = "The probe cannot run where the function does: "
"""What the server's refusal begins with where the function itself could not be run either."""


class Outcome(StrEnum):
    """What came of a connection. The words are ProbeFunctionNetwork's."""

    CONNECTED = "connected"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    NAME_NOT_FOUND = "name-not-found"
    NAME_TIMEOUT = "name-timeout"
    FAILED = "failed"


class Verdict(StrEnum):
    """Whether a function reaches a host."""

    PASSES = "passes"
    BLOCKS = "blocks"
    # The network lets it pass, and there is no connection.
    FAILS = "fails"
    # A probe came through where a rule blocks.
    DISPUTED = "disputed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a probe means beside a reading.

    Attributes:
        verdict: Of both together.
        agrees: Whether the probe says what the reading does; None if the reading did not know.
        meaning: In a sentence or two.
    """

    verdict: Verdict
    agrees: bool | None
    meaning: str


_ANSWERED = (Outcome.CONNECTED, Outcome.REFUSED)
_BUG = (
    "A rule says that nothing passes, and a host answers. If a rule was changed just now, look again; if not, this is a"
    " fault of Keyturn's: please report it with this output."
)
_LOST = {
    Outcome.TIMEOUT: (
        "Every rule lets it pass, and nothing answers: the host is down, or something drops the packets that EC2 does"
        " not know of, such as a firewall of the host's."
    ),
    Outcome.UNREACHABLE: (
        "Every rule lets it pass, and the network behind says that there is no way to the host: the machine that"
        " Keyturn runs on has none."
    ),
    Outcome.NAME_NOT_FOUND: "The reading knows the name, and the function's resolver does not.",
    Outcome.NAME_TIMEOUT: "The reading knows the name, and the function's resolver gives no answer.",
    Outcome.FAILED: "Every rule lets it pass, and the connection failed for another reason.",
}
_NOTHING_LISTENS = (
    "The network lets it pass: the host answers, and says that nothing listens at this port. Is the server running, and"
    " is it this port?"
)


def compared(reading: Passage, outcome: Outcome) -> Agreement:
    """Return what a probe means where the rules have been read."""
    if reading is Passage.BLOCKS:
        if outcome in _ANSWERED:
            return Agreement(Verdict.DISPUTED, agrees=False, meaning=_BUG)
        is_silent = outcome is Outcome.TIMEOUT
        meaning = "What is blocked is lost in silence." if is_silent else "Nothing is reached, as the reading says."
        return Agreement(Verdict.BLOCKS, agrees=True, meaning=meaning)
    agrees = None if reading is Passage.UNKNOWN else outcome in _ANSWERED
    if outcome is Outcome.CONNECTED:
        return Agreement(Verdict.PASSES, agrees, "")
    if outcome is Outcome.REFUSED:
        return Agreement(Verdict.FAILS, agrees, _NOTHING_LISTENS)
    if reading is Passage.UNKNOWN:
        return Agreement(Verdict.FAILS, None, "What could not be looked at may be the reason.")
    return Agreement(Verdict.FAILS, agrees, _LOST[outcome])


def on_loopback() -> Agreement:
    """Return what any probe of a function's own loopback means: whoever answers there, it is not who was looked for."""
    return Agreement(Verdict.BLOCKS, agrees=True, meaning="What answers there, if anything, is the function's own.")


def not_run(reading: Passage) -> Agreement:
    """Return what it means that the function cannot be run: where no rule blocks, that is what is wrong."""
    verdict = Verdict.BLOCKS if reading is Passage.BLOCKS else Verdict.FAILS
    return Agreement(verdict, None, "The function itself cannot be run either, and so reaches nothing.")


def read(reading: Passage) -> Agreement:
    """Return what a reading means without a probe."""
    return Agreement(Verdict(reading.value), None, "")
