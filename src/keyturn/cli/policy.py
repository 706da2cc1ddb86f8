"""``keyturn policy``: read a policy as the service would, and say where it is wrong; no server is needed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from keyturn.cli.options import Output, OutputFormat
from keyturn.client.shown import shown, shown_json
from keyturn.rules.policy.faults import Fault, Report, Severity, examine, kind_of
from keyturn.rules.policy.refusals import DocumentKind

_STANDARD_INPUT = "-"
_FILE_URL = "file://"
_SCREEN = 80
_LARGEST = 1_000_000
_KINDS = {
    DocumentKind.IDENTITY: ("IAM", "an inline policy of a user, group or role"),
    DocumentKind.MANAGED: ("IAM", "a managed policy"),
    DocumentKind.SESSION: ("STS", "a session policy"),
    DocumentKind.TRUST: ("IAM", "a role's trust policy"),
    DocumentKind.RESOURCE: ("Secrets Manager", "a resource policy"),
    DocumentKind.KEY: ("KMS", "a key policy"),
}

app = typer.Typer(help="Check policies before they are put.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="policy")


@app.callback()
def _group() -> None:
    """Check policies before they are put."""


@app.command()
def check(
    file: Annotated[
        str, typer.Argument(help="The policy, or - for standard input.", metavar="FILE", show_default=False)
    ],
    kind: Annotated[
        DocumentKind | None,
        typer.Option(help="What the policy is for; guessed by its principals and actions if left out."),
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Print the corrected text, and what is left to do beside it.")] = (
        False
    ),
    output: OutputFormat = Output.TEXT,
) -> None:
    """Say where a policy is wrong, with line and column.

    Services answer "Syntax errors in policy." and no more. This reads the policy as they do, needs no server, and shows
    every fault with its place, what to write instead, and the text put right where only one thing can have been meant.
    Warnings are about what is accepted and most likely a mistake: actions and condition keys that no service has, ARNs
    that no secret can have, resources too narrow for an action.

    The kinds: identity (inline policies of users, groups and roles), managed (managed policies and permissions
    boundaries), trust (who may assume a role), resource (of secrets and functions), key (of KMS keys), session (given
    to assume-role).

    The status is 0 if the policy is accepted, 1 if it is not, and 2 if it could not be read. With --fix it is about the
    corrected text, which goes to standard output, and what is left to do to standard error:

    keyturn policy check --fix policy.json > corrected.json
    """
    if fix and output is Output.JSON:
        raise typer.BadParameter("JSON has the corrected text anyway: leave one of the two out.", param_hint="--fix")
    name = "(stdin)" if file == _STANDARD_INPUT else shown(file.removeprefix(_FILE_URL))
    text = _text_of(file, name)
    # The models take their time to load. They are imported where they are used, so that `keyturn --help` is quick.
    from keyturn.wire.actions import known_actions  # noqa: PLC0415 - see above

    report = examine(text, kind or kind_of(text), known_actions())
    if output is Output.JSON:
        typer.echo(json.dumps(_document(report, is_guessed=kind is None), indent=2))
    elif fix:
        raise typer.Exit(_print_fixed(name, text, report))
    else:
        _print_report(_console(stderr=False), name, report, is_guessed=kind is None)
    raise typer.Exit(1 if report.errors else 0)


def _text_of(file: str, name: str) -> str:
    is_input = file == _STANDARD_INPUT
    try:
        # The AWS CLI takes a policy as file://policy.json.
        path = Path(file.removeprefix(_FILE_URL))
        content = sys.stdin.buffer.read(_LARGEST + 1) if is_input else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{name} cannot be read: {error.strerror}.", param_hint="FILE") from error
    if len(content) > _LARGEST:
        raise typer.BadParameter(f"{name} is much longer than any policy may be.", param_hint="FILE")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise typer.BadParameter(
            f"{name} is not UTF-8: see line {line}. Save it in that encoding, as the AWS CLI reads it.",
            param_hint="FILE",
        ) from error


def _document(report: Report, *, is_guessed: bool) -> dict[str, Any]:
    return {
        "kind": report.kind.value,
        "kind_is_guessed": is_guessed,
        "accepted": not report.errors,
        "answer": report.answer.message if report.answer else None,
        "faults": [asdict(fault) for fault in report.faults],
        "corrected": report.corrected,
        "remaining": [asdict(fault) for fault in report.remaining],
    }


def _console(*, stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, emoji=False, soft_wrap=True)


def _print_report(console: Console, file: str, report: Report, *, is_guessed: bool) -> None:
    _print_faults(console, file, report.faults)
    service, name = _KINDS[report.kind]
    guess = " (guessed; say it with --kind)" if is_guessed else ""
    if not report.errors:
        console.print(f"[bold green]accepted[/] as {name}{guess}")
        return
    answer = f": {service} answers [bold]{escape(shown(report.answer.message))}[/]" if report.answer else ""
    console.print(f"[bold red]refused[/] as {name}{guess}{answer}")
    if report.corrected is not None:
        still = sum(fault.severity is Severity.ERROR for fault in report.remaining)
        left = f", but for {still} of its faults" if still else ""
        console.print(f"\nThe text put right{left}; --fix prints it alone:\n")
        console.print(escape(shown_json(report.corrected.rstrip())))


def _print_fixed(file: str, text: str, report: Report) -> int:
    """Print the text put right, and what is left to do; return the exit status."""
    fixed = shown_json(text if report.corrected is None else report.corrected)
    remaining = report.faults if report.corrected is None else report.remaining
    name = file if report.corrected is None else "corrected"
    is_wrong = any(fault.severity is Severity.ERROR for fault in remaining)
    _print_faults(_console(stderr=True), name, remaining)
    # What could not even be read is not handed on as if it had been put right.
    if report.corrected is not None or not is_wrong:
        typer.echo(fixed, nl=not fixed.endswith("\n"))
    return 1 if is_wrong else 0


def _print_faults(console: Console, file: str, faults: Iterable[Fault]) -> None:
    for fault in faults:
        colour = "red" if fault.severity is Severity.ERROR else "yellow"
        console.print(
            f"[bold]{escape(file)}:{fault.line}:{fault.column}:[/] [bold {colour}]{fault.severity.value}:[/]"
            f" {escape(shown(fault.message))} [dim]({fault.code})[/]"
        )
        margin = " " * len(str(fault.line))
        excerpt, caret = _cut(fault.excerpt, fault.caret, _SCREEN - len(margin) - 6)
        console.print(f"  [dim]{fault.line} |[/] {escape(shown(excerpt))}")
        console.print(f"  [dim]{margin} |[/] {' ' * caret}[bold {colour}]^[/]")


def _cut(excerpt: str, caret: int, width: int) -> tuple[str, int]:
    """Return what of a line fits on a screen around a character, and in which column that is."""
    start = max(0, min(caret - width // 2, len(excerpt) - width))
    end = start + width
    while cell_len(excerpt[start:end]) > width:
        start, end = (start + 1, end) if cell_len(excerpt[start:caret]) > width // 2 else (start, end - 1)
    return excerpt[start:end], cell_len(excerpt[start:caret])
