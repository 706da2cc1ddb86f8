"""For every test: no limits of time, long files first; at the end a count of how much of AWS's contract was tried."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings

# Speed is measured in benchmarks. A machine that is busy with something else has found no fault.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# What is counted, and the tests that each try one.
_TRIED = {
    "constraints broken": "test_every_constraint.py::test_a_broken_constraint_",
    "wrong types sent": "test_every_constraint.py::test_a_wrong_type_",
    "examples run": "test_every_example.py::test_an_example_",
    "modelled errors reached": "test_every_error.py::test_an_error_of_the_model_is_reached",
    "recordings replayed": "test_recordings.py::test_aws_answered_the_same",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files of few tests: those are the long ones, and where several workers run they end together."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: tests[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count what passed; nothing is said of a run that did not try any of it."""
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ()) if report.when == "call"]
    tried = {what: [nodeid for nodeid in passed if test in nodeid] for what, test in _TRIED.items()}
    if not any(tried.values()):
        return
    operations = {nodeid.partition("[")[2].split()[0] for nodeid in tried["constraints broken"]}
    counts = [f"{len(nodeids)} {what}" for what, nodeids in tried.items()]
    terminalreporter.write_sep("-", "Secrets Manager as its model and AWS's recorded replies have it")
    terminalreporter.write_line(f"{len(operations)} operations, {', '.join(counts)}")
