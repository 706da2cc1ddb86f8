# noqa: INP001 - a script beside the package, not a part of it
"""Write the table of Secrets Manager's operations into ``docs/compatibility.md``: operation, status, deviations.

Operations come from the model and their status from what is registered; how one differs from AWS is said here, in
:data:`DEVIATIONS`. Run it after offering an operation or finding a difference. ``--check`` writes nothing and exits
with status 1 if the page is stale, which a unit test asks on every run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from keyturn.operations import registry
from keyturn.wire.models import service

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/compatibility.md"
BEGIN: Final = "<!-- begin: scripts/generate_operations_table.py -->\n"
END: Final = "<!-- end: scripts/generate_operations_table.py -->\n"

_BYTES: Final = "65,536 counts bytes of `SecretString`, not characters"

DEVIATIONS: Final[Mapping[str, str]] = {
    "AssociateCrossAccountReplica": "done when the call is answered; texts are Keyturn's",
    "BatchGetSecretValue": "texts about members that do not go together were collected by moto, not recorded",
    "CancelRotateSecret": (
        "the text about rotation that was never configured is Keyturn's; the database may be asked afterwards (below)"
    ),
    "CreateSecret": f"no external secrets (`Type`); {_BYTES}",
    "DeleteSecret": "the name is free at once after a deletion by force, in AWS after some seconds",
    "DisassociateCrossAccountReplica": "texts are Keyturn's",
    "GetSecretValue": "`LastAccessedDate` reaches the database within some seconds",
    "GetRandomPassword": "which of two reasons for a refusal is told first was not recorded",
    "ListSecretVersionIds": "oldest first, which AWS does not document",
    "ListSecrets": "consistent at once; lists by last change or access can be read on for an hour",
    "PutSecretValue": _BYTES,
    "RemoveRegionsFromReplication": "regions without a replica are passed over, which nobody has recorded",
    "ReplicateSecretToRegions": "done when the call is answered: no status is ever `InProgress`",
    "RestoreSecret": "rotation goes on where it was on, which nobody has recorded",
    "RotateSecret": "no external secrets; Keyturn's own number and spacing of retries",
    "StopReplicationToReplica": "the text about a secret that is no replica is Keyturn's",
    "TagResource": "texts about tags that cannot be are Keyturn's",
    "UpdateSecret": f"no external secrets (`Type`); {_BYTES}",
    "UpdateSecretVersionStage": "AWSCURRENT cannot be moved to a version without a value",
}
"""How an operation that is offered differs from AWS; what concerns all is said in the page's text."""


def table() -> str:
    """Return the table, with a sentence that counts."""
    registry.discover()
    names = sorted(service("secretsmanager").operation_names)
    if unknown := DEVIATIONS.keys() - set(names):
        message = f"Deviations are listed of what is no operation: {', '.join(sorted(unknown))}"
        raise ValueError(message)
    offered = {name for name in names if registry.find("secretsmanager", name)}
    lines = [
        f"{len(offered)} of {len(names)} operations are offered.",
        "",
        "| operation | status | deviations |",
        "|---|---|---|",
    ]
    for name in names:
        status = "offered" if name in offered else "not offered"
        lines.append(f"| {name} | {status} | {DEVIATIONS.get(name, '') if name in offered else ''} |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the page and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is stale")
    is_check = parser.parse_args(arguments).check
    page = PAGE.read_text()
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        sys.stderr.write(f"{PAGE.name} has no place for the table.\n")
        return 1
    written = f"{before}{begin}{table()}{end}{after}"
    if written == page:
        return 0
    if not is_check:
        PAGE.write_text(written)
    sys.stdout.write(f"{'stale' if is_check else 'written'}: {PAGE.name}\n")
    return 1 if is_check else 0


if __name__ == "__main__":
    sys.exit(main())
