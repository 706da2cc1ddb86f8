"""What a case of the corpus is, and how one is added: a function that breaks an account, with the answer beside it.

The answers are written from what AWS documents, from what its sample functions log, and from what people have posted;
never from what the doctor says.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

from keyturn.doctor.model import Verdict

from .account import Account

Break = Callable[[Account], None]


@dataclass(frozen=True)
class Case:
    """One account with the answer.

    Attributes:
        name: Unique; what is wrong, and in what clothing.
        family: The family of the catalogue, or what kind of trap it is.
        source: Where the symptom is from.
        make: Breaks an account that rotates.
        first: The causes of which one must be named first; none if there must be no cause.
        among: Causes that must be named as well.
        also: Causes that may be named, too.
        guesses: Causes that may be named as no more than possible: what cannot be told apart from here.
        verdict: What the diagnosis must come to where no cause is there; any of these.
        notes: What must be found and be no cause.
    """

    name: str
    family: str
    source: str
    make: Break
    first: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()
    verdict: tuple[Verdict, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_fault(self) -> bool:
        """Whether there is a cause to be found."""
        return bool(self.first)


CASES: list[Case] = []

HEALTHY = (Verdict.HEALTHY,)
AT_RISK = (Verdict.AT_RISK,)
INCONCLUSIVE = (Verdict.INCONCLUSIVE,)


class Family:
    """Adds cases of one family.

    Args:
        name: Its name.
        source: Of its cases, where they name no other.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def fault(
        self, *first: str, among: tuple[str, ...] = (), also: tuple[str, ...] = (), source: str = "", name: str = ""
    ) -> Callable[[Break], Break]:
        """Add a case in which one of these causes must be named first."""

        def add(make: Break) -> Break:
            self._add(make, name, source, first=first, among=among, also=also)
            return make

        return add

    def lines(self, *first: str, step: str, source: str = "", superuser: bool = False, **messages: str) -> None:
        """Add a case for each message that one of AWS's samples logs and raises in a step."""
        for name, message in messages.items():

            def make(account: Account, message: str = message) -> None:
                account.failing(step)
                if superuser:
                    account.with_superuser()
                account.template(message, step=step)

            self._add(make, name, source, first=first)

    def nothing(
        self,
        *verdict: Verdict,
        source: str = "",
        notes: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
        guesses: tuple[str, ...] = (),
        name: str = "",
    ) -> Callable[[Break], Break]:
        """Add a case in which there is no cause: the verdict must be one of these."""

        def add(make: Break) -> Break:
            self._add(make, name, source, verdict=verdict, notes=notes, also=also, guesses=guesses)
            return make

        return add

    def _add(
        self,
        make: Break,
        name: str,
        source: str,
        first: tuple[str, ...] = (),
        among: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
        guesses: tuple[str, ...] = (),
        verdict: tuple[Verdict, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> None:
        name = f"{self.name}: {(name or make.__name__).replace('_', ' ')}"
        if any(case.name == name for case in CASES):
            raise ValueError(f"There are two cases {name}.")
        CASES.append(
            Case(
                name,
                self.name,
                source or self.source,
                make,
                first=first,
                among=among,
                also=also,
                guesses=guesses,
                verdict=verdict,
                notes=notes,
            )
        )


def all_cases() -> tuple[Case, ...]:
    """Return every case: those of all files in ``families``."""
    package = importlib.import_module(".families", __package__)
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda each: each.name):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return tuple(CASES)
