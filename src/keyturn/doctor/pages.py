"""The catalogue's pages, for people: the same text for ``keyturn doctor explain`` and for the documentation."""

from __future__ import annotations

from .model import Cause, Fix, Topic

_FIXES = {
    Fix.SAFE: "`keyturn doctor SECRET --fix {id}` shows the change, asks, makes it and looks again.",
    Fix.HARMLESS: "`keyturn doctor SECRET --fix {id}` shows the change, asks, makes it and looks again: also where the"
    " cause is likely only, for the change does no harm if it is another one.",
    Fix.WIDENS: "`keyturn doctor SECRET --fix {id}` shows the change, asks, makes it and looks again. It widens what"
    " somebody may do, so read it first.",
    Fix.PRINTED: "The doctor prints the commands with everything filled in, and leaves it to you to run them: they may"
    " lose data, cost money or concern others.",
    Fix.BY_HAND: "The doctor says what is to be done; no call to AWS does it.",
}


def markdown(cause: Cause) -> str:
    """Return the page of a cause."""
    symptoms = "\n".join(f"    {symptom}" for symptom in cause.symptoms)
    evidence = "\n".join(f"- `{action}`" for action in cause.evidence)
    chapter = "" if cause.topic is Topic.BEYOND else f'\nAWS\'s guide leads here from "{cause.topic.value}".\n'
    general = ", ".join(f"[{each}]({each}.md)" for each in cause.outranks)
    outranks = f"\nWhere it is found, {general} is no cause of its own.\n" if general else ""
    tried = (
        "\nWhere a [look from inside the sandbox](../preflight.md) has tried it since, and found it in order"
        f" ({', '.join(f'`{item}`' for item in cause.tried_by)}), it is history: a note.\n"
        if cause.tried_by
        else ""
    )
    yields = "\nIt is called a cause only if nothing else explains the failure.\n" if cause.yields else ""
    return (
        f"# {cause.title}\n\n"
        f"`{cause.id}` · {cause.section.value}\n{chapter}\n"
        f"## What you see\n\n{symptoms}\n\n"
        f"## How the doctor decides\n\n{cause.decision}\n{outranks}{yields}{tried}\n"
        f"It looks at:\n\n{evidence}\n\n"
        f"## What to change\n\n{cause.remedy}\n\n{_FIXES[cause.fix].format(id=cause.id)}\n"
    )


def index(causes: list[Cause]) -> str:
    """Return the page that leads to the others, by the chapters of AWS's guide."""
    lines = [
        "# Causes of failed rotations",
        "",
        "What `keyturn doctor` can find, by the chapters of AWS's guide to troubleshooting rotation. These pages are",
        "generated from the catalogue in the code; `keyturn doctor explain ID` prints one.",
    ]
    for topic in Topic:
        lines += ["", f"## {topic.value}", "", "| id | cause |", "|---|---|"]
        lines += [f"| [{cause.id}]({cause.id}.md) | {cause.title} |" for cause in causes if cause.topic is topic]
    return "\n".join(lines) + "\n"
