# noqa: INP001 - a script beside the package, not a part of it
"""Write a page for every cause that ``keyturn doctor`` knows into ``docs/doctor/``, from the catalogue in the code.

Run it after adding or changing a check. ``--check`` writes nothing and exits with status 1 if a page is stale, which a
unit test asks on every run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keyturn.doctor.catalogue import all_checks
from keyturn.doctor.pages import index, markdown

PAGES: Final = Path(__file__).resolve().parent.parent / "docs/doctor"
INDEX: Final = "README.md"


def pages() -> dict[str, str]:
    """Return the text of every page by its file's name."""
    causes = [check.cause for check in all_checks()]
    return {INDEX: index(causes), **{f"{cause.id}.md": markdown(cause) for cause in causes}}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or compare them; return the status to exit with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with status 1 if a page is stale")
    is_check = parser.parse_args(arguments).check
    wanted = pages()
    found = {path.name: path.read_text() for path in PAGES.glob("*.md")}
    if is_check:
        stale = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        sys.stdout.writelines(f"stale: {name}\n" for name in stale)
        return 1 if stale else 0
    PAGES.mkdir(exist_ok=True)
    for name in found.keys() - wanted.keys():
        (PAGES / name).unlink()
    for name, text in wanted.items():
        (PAGES / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
