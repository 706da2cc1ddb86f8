"""``python -m tests.corpus``: ask the doctor about every case and print how often it is right; ends with 1 if too seldom."""

from __future__ import annotations

import argparse
import sys

from .cases import all_cases
from .disguise import DISGUISES
from .score import TARGET, Score, by_source, diagnosed, said_otherwise, table


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("words", nargs="*", help="only cases that have one of these in their name")
    parser.add_argument("--plain", action="store_true", help="leave the disguises out")
    arguments = parser.parse_args()
    cases = [case for case in all_cases() if not arguments.words or any(word in case.name for word in arguments.words)]
    results = [diagnosed(case) for case in cases]
    score = Score(results)
    print(table(results), by_source(results), sep="\n\n")
    print(
        f"\n{len(cases)} cases, {len(score.faults)} with a fault. The cause named first is right: precision "
        f"{score.precision:.1%}, recall {score.recall:.1%} (target {TARGET:.0%}). All right: {score.right:.1%}. A cause "
        f"invented: {score.invented}, where there is none: {score.invented_without_fault}."
    )
    if wrong := said_otherwise(results):
        print(f"\nNot right:\n{wrong}")
    good = score.meets_target
    for disguise in () if arguments.plain else DISGUISES:
        again = [diagnosed(case, disguise) for case in cases]
        differ = [now for now, before in zip(again, results, strict=True) if now.outcome != before.outcome]
        score = Score(again)
        good = good and score.meets_target
        print(
            f"\nThe same, {disguise.name}: precision {score.precision:.1%}, recall {score.recall:.1%}, {len(differ)} differ."
        )
        if differ:
            print(said_otherwise(differ))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
