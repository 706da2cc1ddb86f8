"""A fix is applied only if it is still the one that somebody has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.doctor.world import SECRET

from keyturn.doctor.catalogue import all_checks
from keyturn.doctor.fixing import NotFixable, fingerprint, fixable, made, refuse_other_change
from keyturn.doctor.model import Change, Confidence, Finding, Fix, Remedy, Report, Target, Verdict
from keyturn.doctor.remedies import put_host, store_value, stored_by
from keyturn.errors.base import KeyturnError

ADD = Change("lambda", "AddPermission", {"FunctionName": "rotate", "StatementId": "one"})


def finding(*changes: Change, fix: Fix = Fix.SAFE, confidence: Confidence = Confidence.CERTAIN) -> Finding:
    cause = replace(next(iter(all_checks())).cause, id="some-cause", fix=fix)
    return Finding(cause, "It is broken", (), Remedy("Mend it.", changes), confidence=confidence)


def report(*findings: Finding) -> Report:
    return Report("arn", "name", Target(None, "", ""), Verdict.BROKEN, "broken", findings, (), ())


class _Client:
    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def add_permission(self, **parameters: object) -> None:
        self.calls.append(("add_permission", parameters))


def test_its_changes_are_made_in_order() -> None:
    client, other = _Client(), replace(ADD, parameters={**ADD.parameters, "StatementId": "two"})

    done = list(made({"lambda": client}, finding(ADD, other)))

    assert done == [ADD, other]
    assert client.calls == [("add_permission", ADD.parameters), ("add_permission", other.parameters)]


def test_what_was_shown_is_still_what_is_needed() -> None:
    refuse_other_change(report(finding(ADD)), "some-cause", fingerprint((ADD,)))


@pytest.mark.parametrize(
    "now",
    [
        report(),
        report(finding()),
        report(finding(replace(ADD, parameters={**ADD.parameters, "StatementId": "two"}))),
        report(finding(ADD, ADD)),
        report(finding(replace(ADD, service="iam"))),
    ],
)
def test_another_change_is_refused(now: Report) -> None:
    with pytest.raises(KeyturnError, match="It is another change that is needed by now"):
        refuse_other_change(now, "some-cause", fingerprint((ADD,)))


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (report(), "is not found here"),
        (report(finding(ADD, confidence=Confidence.LIKELY)), "is likely"),
        (report(finding(ADD, fix=Fix.PRINTED)), "may lose data"),
        (report(finding(ADD, fix=Fix.BY_HAND)), "is nothing that a call to AWS does"),
        (report(finding()), "needs something filled in"),
    ],
)
def test_what_a_program_must_not_apply_is_refused(found: Report, why: str) -> None:
    with pytest.raises(NotFixable, match=why):
        fixable(found, "some-cause")


@pytest.mark.parametrize(
    ("line", "secret_id"),
    [
        (store_value("a b")[0], "a b"),
        (put_host(SECRET, "db.internal"), SECRET),
        ("aws secretsmanager rotate-secret --secret-id x", None),
        ("keyturn doctor x --preflight", None),
    ],
)
def test_a_line_that_stores_a_value_tells_of_which_secret(line: str, secret_id: str | None) -> None:
    assert stored_by(line) == secret_id


def test_nothing_is_stored_where_nobody_knows_of_which_secret() -> None:
    assert store_value("") == ()
