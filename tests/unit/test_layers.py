"""The house has floors: a module imports lower floors only, and adapters never import each other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import keyturn

ROOT = Path(keyturn.__file__).parent

# Floor by package or module, from CONTRIBUTING.md; what is not listed is a word (floor 0).
FLOORS = {
    "rules": 1,
    "wire": 2,
    "crypto": 2,
    "storage": 2,
    "runtime": 2,
    "sinks": 2,
    "notifiers": 2,
    "operations": 3,
    "scheduler": 3,
    "client": 3,
    "server": 4,
    "console": 4,
    "cli": 4,
    "app": 5,
    "bench": 6,
}
ADAPTERS = {"wire", "crypto", "storage", "runtime", "sinks", "notifiers"}
# Beside the floors: usable without a server, or allowed to see everything.
FREE = {"rotators", "doctor", "testing", "config", "__init__"}


def modules() -> Iterator[tuple[str, set[str]]]:
    """Every module's path with the parts of Keyturn that it imports when it is imported."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text())
        imported = set()
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                if node.module == "keyturn":
                    imported |= {alias.name for alias in node.names}
                elif node.module.startswith("keyturn."):
                    imported.add(node.module.split(".")[1])
            elif isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("keyturn.")}
        yield str(path.relative_to(ROOT)), imported


def part_of(path: str) -> str:
    return path.split("/", maxsplit=1)[0].removesuffix(".py")


@pytest.mark.parametrize(("path", "imported"), list(modules()), ids=lambda value: value if type(value) is str else "")
def test_a_module_imports_only_what_stands_below_it(path: str, imported: set[str]) -> None:
    part = part_of(path)
    if part in FREE:
        return
    for other in imported - FREE - {part}:
        assert FLOORS.get(other, 0) <= FLOORS.get(part, 0), f"{path} imports {other}, which stands above it"
        assert not (part in ADAPTERS and other in ADAPTERS), f"{path} imports {other}: adapters do not know each other"


def test_the_rotators_import_nothing_of_keyturn_so_that_they_run_in_lambda() -> None:
    offenders = {path: imported for path, imported in modules() if part_of(path) == "rotators" and imported}
    assert not offenders


def test_the_doctor_imports_nothing_above_the_rules_so_that_it_needs_no_server() -> None:
    for path, imported in modules():
        if part_of(path) == "doctor":
            above = {other for other in imported - {"doctor"} if FLOORS.get(other, 0) > FLOORS["rules"]}
            assert not above, f"{path} imports {above}"


def test_only_the_wire_knows_botocore_models() -> None:
    for path in ROOT.rglob("*.py"):
        text = path.read_text()
        if "botocore.model" in text or "botocore.loaders" in text:
            assert path == ROOT / "wire" / "models.py"


def test_only_the_clock_asks_for_the_time_of_day() -> None:
    allowed = {ROOT / "clock.py"}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        if path in allowed or parts[0] in ("cli", "testing", "rotators", "runtime"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
                assert not (isinstance(node.value, ast.Name) and node.value.id in ("datetime", "date")), path


def test_only_the_settings_read_the_environment() -> None:
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        if path == ROOT / "config.py" or parts[0] in ("rotators", "testing", "runtime"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")), path
