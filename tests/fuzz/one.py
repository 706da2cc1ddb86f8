"""Fuzz one target in this process, guided by coverage: ``python -m tests.fuzz.one TARGET [libFuzzer's arguments]``."""

from __future__ import annotations

import sys

import atheris

# What is imported in here is instrumented. The target's own module is not: it would only lead itself astray.
with atheris.instrument_imports(include=["keyturn"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run until libFuzzer's time is up or something breaks."""
    target = TARGETS[sys.argv[1]]
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
