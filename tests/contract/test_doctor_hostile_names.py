"""Whoever may choose a name, write a log or hand over a file writes no command that somebody else pastes."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from keyturn.cli.doctor_text import print_report
from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.model import Report
from keyturn.doctor.remedies import command
from keyturn.doctor.runner import examine

from .doctor.world import NAME, NOW, World
from .test_every_check import BREAKERS

_MARKS = (
    *("svc/orders/db", "svc/superuser", "rotate-orders", "rotator", "subnet-", "sg-", "vpc-", "rtb-", "igw-", "nat-"),
    *("i-0", "acl-", "eni-", "vpce-", "eu-west-1:123456789012:key/"),
)
_PROGRAMS = ("aws", "keyturn", "jq", "rm")


def _poisoned(value: Any, poison: str) -> Any:
    """Return an answer in which every name goes on with something, in the JSON in its texts, too."""
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                return json.dumps(_poisoned(json.loads(value), poison))
            except ValueError:
                pass
        for mark in _MARKS:
            value = value.replace(mark, mark + poison)
        return value
    if isinstance(value, Mapping):
        return {name: _poisoned(member, poison) for name, member in value.items()}
    return [_poisoned(each, poison) for each in value] if isinstance(value, (list, tuple)) else value


def _cleaned(value: Any, poison: str) -> Any:
    if isinstance(value, str):
        return value.replace(poison, "")
    if isinstance(value, Mapping):
        return {name: _cleaned(member, poison) for name, member in value.items()}
    return [_cleaned(each, poison) for each in value] if isinstance(value, (list, tuple)) else value


def _report(cause_id: str, poison: str) -> Report:
    world = World()
    BREAKERS[cause_id](world)

    def ask(service: str, operation: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = _poisoned(dict(world.ask(service, operation, _cleaned(parameters, poison))), poison)
        return answer

    return examine(collect(Facts(ask), NAME + poison, NOW, world.options))


def _commands(report: Report) -> list[str]:
    out = io.StringIO()
    print_report(Console(file=out, width=80), report, verbose=True, options="")
    begun = "Apply it: "
    found = [line[len(begun) :].partition(" (it widens")[0] for line in out.getvalue().splitlines() if begun in line]
    for finding in report.findings:
        found += [*map(command, finding.remedy.changes), *finding.remedy.by_hand]
    return found


@pytest.mark.parametrize("poison", ["$(touch${IFS}called);touch${IFS}called;", "';touch${IFS}called;'"])
@pytest.mark.parametrize("cause_id", sorted(BREAKERS))
def test_a_name_is_one_word_of_every_printed_command(cause_id: str, poison: str, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in _PROGRAMS:
        (programs / name).symlink_to(shutil.which("true") or "/bin/true")
    (programs / "touch").symlink_to(shutil.which("touch") or "/usr/bin/touch")
    for line in _commands(_report(cause_id, poison)):
        subprocess.run(["/bin/sh", "-c", line], cwd=tmp_path, env={"PATH": str(programs)}, check=False, timeout=10)
        assert not (tmp_path / "called").exists(), line


def test_the_tabs_of_lambdas_own_lines_are_blanks() -> None:
    out = io.StringIO()
    world = World()
    BREAKERS["network-no-route-to-secretsmanager"](world)
    print_report(Console(file=out, width=80), examine(collect(Facts(world.ask), NAME, NOW)), verbose=False, options="")
    assert "[INFO]  " in out.getvalue()
    assert "\\x09" not in out.getvalue()
