"""What ``keyturn function create`` tells: to people as it happens, to programs at the end."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from keyturn.cli.options import Output
from keyturn.client.function_parts import Found, Part
from keyturn.client.function_plan import Plan
from keyturn.client.rotation_status import error_of, status_of
from keyturn.client.shown import shown
from keyturn.rules.rotation_permissions import SUPERUSER_POLICY, Statement, document

_FORMAT = "keyturn.function-create/1"


@dataclass
class Report:
    """Collects what was found, made and left.

    Attributes:
        rules: RotationRules, as RotateSecret takes them; of a secret that rotates already, those it has.
        is_dry: Whether nothing is made.
        is_now: Whether the first rotation begins at once.
        missing: Statements that the role lacks.
    """

    plan: Plan
    rules: Mapping[str, object]
    console: Console
    is_dry: bool
    is_now: bool
    missing: Sequence[Statement] = ()
    _parts: list[dict[str, object]] = field(default_factory=list)
    _rotation: dict[str, object] = field(default_factory=dict)

    def begin(self) -> None:
        """Say what is made for whom."""
        code, superuser = self.plan.code, self.plan.superuser
        what = code.title if code.strategy is None else f"{code.title}, {code.strategy.replace('-', ' ')}"
        self._print(f"[bold]{self._shown(self.plan.secret.name)}[/]: {self._shown(what)}")
        if superuser is not None:
            self._print(f"Superuser secret: {self._shown(superuser.arn)}")
            if not superuser.is_compared:
                why = "a function of your own" if code.engine is None else "this access key may not read it"
                self._print(f"Whether it is for the same database was not looked at: {why}.")
        self._print("")

    def new_value(self, part: Part) -> None:
        """Say what is to become of the secret's value."""
        [[key, value]] = (part.document or {}).items()
        self._print(
            f"The value of {self._shown(self.plan.secret.name)} gets one more key:\n\n"
            f"  {escape(json.dumps({key: value}))}\n\n"
            "All else in it stays. The new version becomes AWSCURRENT, and the one before AWSPREVIOUS.\n"
        )

    def part(self, part: Part, found: Found) -> None:
        """Say what became of one part."""
        state = "there" if found.is_there else "missing" if self.is_dry else "made"
        self._parts.append(
            {
                "part": part.kind,
                "name": part.title,
                "state": state,
                "note": f"{found.note} {found.command}".strip(),
                "document": part.document,
            }
        )
        said = {"made": "made", "there": "there already", "missing": "to be made"}[state]
        self._line(state == "made", part.kind, part.title, said)
        if found.note:
            self._print(f"    {self._shown(found.note)}")
        if found.command:
            self._print(f"    {self._shown(found.command)}")

    def rotation(self, state: str) -> None:
        """Say whether rotation is on: ``on`` from now, ``was on``, or ``off``."""
        self._rotation = {"state": "off" if self.is_dry and state == "on" else state}
        if state == "was on":
            self._line(False, "rotation", in_words(self.rules), "on already")
        elif state == "on":
            first = "the first one now" if self.is_now else "the first one in its window"
            said = "to be switched on" if self.is_dry else "on"
            self._line(not self.is_dry, "rotation", f"{in_words(self.rules)}, {first}", said)
        else:
            self._line(False, "rotation", "waits for a grant", "off")
        self._print("")
        if state == "was on" and not self.missing:
            self._print(f"keyturn rotate {self._name}{self.plan.options} rotates it now.")

    def last_rotation(self, rotation: Mapping[str, Any], now: datetime, *, has_failed: bool) -> None:
        """Tell of a rotation that has failed, or is under way.

        Args:
            rotation: As GetRotation answers it.
            now: Aware.
            has_failed: At least for now.
        """
        status, error = status_of(rotation, now), error_of(rotation) or None
        self._rotation["last"] = {"status": rotation["Status"], "version_id": rotation["VersionId"], "error": error}
        if has_failed:
            self._print(f"[bold red]The last rotation has failed:[/] {escape(error or '')}")
        self._print(f"{'It is' if has_failed else 'A rotation is'} {self._shown(status)}")
        self._print(f"keyturn rotation show {self._name}{self.plan.options} tells it all, and what to do.")

    def asked_for(self, version_id: str) -> None:
        """Take down a rotation, or a test of the function, that nobody follows."""
        self._rotation |= {"version_id": version_id}
        self._print(f"keyturn rotation show {self._name}{self.plan.options} shows how it goes.")

    def rotated(self, version_id: str, error: str | None) -> None:
        """Take down how the first rotation ended; the steps were shown as they went."""
        self._rotation |= {"version_id": version_id, "succeeded": error is None, "error": error}
        if error is not None:
            self._print(f"  keyturn rotation show {self._name}{self.plan.options}")

    def end(self, output: Output) -> None:
        """Say what is left to do, and tell programs everything."""
        if output is Output.JSON:
            typer.echo(json.dumps(self._document(), indent=2))
        elif self.is_dry:
            self._print_documents()
        if self.missing:
            self._print_missing()

    @property
    def _name(self) -> str:
        return self._shown(shlex.quote(self.plan.secret.name))

    @property
    def _grant(self) -> str:
        policy = json.dumps(document(*self.missing), separators=(",", ":"))
        return (
            f"aws iam put-role-policy --role-name {self.plan.name} --policy-name {SUPERUSER_POLICY}"
            f" --policy-document {shlex.quote(policy)}{self.plan.options}"
        )

    def _print_missing(self) -> None:
        count = "This statement is" if len(self.missing) == 1 else "These statements are"
        so = "so rotations fail" if self._rotation["state"] == "was on" else "so rotation stays off"
        self._print(
            f"The role {self._shown(self.plan.name)} may not read the superuser secret,\n"
            f"{so}. {count} missing in its policies:\n"
        )
        for statement in self.missing:
            self._print(f"{escape(json.dumps(statement, indent=2))}\n")
        again = (
            "To grant it at once, add --grant-superuser-read. Or, when the role is made, have\n"
            "somebody run this who may, and then the same command again:"
            if self.is_dry
            else "To grant it, run the same command again with --grant-superuser-read. Or have\n"
            "somebody run this who may, and then the same command again:"
        )
        self._print(f"{again}\n\n{escape(self._grant)}")

    def _print_documents(self) -> None:
        for part in self._parts:
            if part["document"] is not None and part["state"] == "missing":
                self._print(f"{part['part']} {self._shown(part['name'])}:")
                self._print(f"{escape(json.dumps(part['document'], indent=2))}\n")

    def _document(self) -> dict[str, object]:
        plan = self.plan
        return {
            "format": _FORMAT,
            "dry_run": self.is_dry,
            "secret": plan.secret.arn,
            "engine": plan.code.engine,
            "strategy": plan.code.strategy,
            "superuser_secret": None if plan.superuser is None else plan.superuser.arn,
            "superuser_compared": plan.superuser is not None and plan.superuser.is_compared,
            "function": plan.function_arn,
            "handler": plan.code.handler,
            "role": plan.role_arn,
            "parts": self._parts,
            "rotation": {**self._rotation, "rules": dict(self.rules)},
            "missing_statements": list(self.missing),
            "grant_command": self._grant if self.missing else None,
        }

    def _line(self, is_new: bool, kind: str, title: str, said: str) -> None:
        mark = "[green]✓[/]" if is_new else "[dim]·[/]"
        self._print(f"{mark} {kind:12} {self._shown(title):44} {said}")

    def _print(self, text: str) -> None:
        self.console.print(text)

    @staticmethod
    def _shown(text: object) -> str:
        return escape(shown(text))


def in_words(rules: Mapping[str, object]) -> str:
    """Return when rotation rules say that a secret rotates."""
    days = rules.get("AutomaticallyAfterDays")
    expression = rules.get("ScheduleExpression")
    if expression is not None:
        return str(expression)
    return "no schedule" if days is None else "every day" if days == 1 else f"every {days} days"
