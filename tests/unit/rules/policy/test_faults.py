from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from keyturn.rules.policy.document import parse_identity_policy
from keyturn.rules.policy.fault_texts import explained
from keyturn.rules.policy.faults import Fault, Severity, examine, kind_of
from keyturn.rules.policy.refusals import DocumentKind, Reason, Refusal

from . import vectors
from .vectors import Vector, form_of, text_of

GUIDE = Path(__file__).parents[3] / "vectors" / "guide"
ACTIONS = {"secretsmanager": ("GetSecretValue", "TagResource"), "kms": ("Decrypt", "TagResource")}
IDENTITY, TRUST, RESOURCE = DocumentKind.IDENTITY, DocumentKind.TRUST, DocumentKind.RESOURCE
DOCUMENTS = {name: vector for name, vector in vectors.load().items() if form_of(vector) == "refused"}
DENIED = {"Effect": "Deny", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
PLAIN = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
TRUSTING = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}


def policy(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


READS, TRUSTS = policy(**PLAIN), policy(**TRUSTING)


def codes(faults: tuple[Fault, ...]) -> list[str]:
    return [fault.code for fault in faults]


@pytest.mark.parametrize(
    ("name", "line", "remaining"),
    [
        ("rotation-function-single-secret.json", 11, []),
        ("rotation-function-master-secret.json", 12, [("resource-format", 20, "Statement[1].Resource")]),
    ],
)
def test_the_policies_of_the_guide_are_refused_with_the_place_and_put_right(
    name: str, line: int, remaining: list[tuple[str, int, str]]
) -> None:
    text = (GUIDE / name).read_text()

    report = examine(text, kind_of(text))

    assert report.kind is IDENTITY
    assert report.answer is not None
    assert report.answer.message == "Syntax errors in policy."
    comma = report.faults[0]
    assert (comma.code, comma.line, comma.column, comma.is_mended) == ("trailing-comma", line, 58, True)
    assert comma.excerpt[comma.caret] == ","
    # Nothing but the comma is gone.
    assert report.corrected == text.replace('UpdateSecretVersionStage",', 'UpdateSecretVersionStage"')
    assert [(fault.code, fault.line, fault.path) for fault in report.remaining] == remaining
    if not remaining:
        parse_identity_policy(report.corrected)


def test_a_placeholder_is_called_one() -> None:
    report = examine((GUIDE / "rotation-function-master-secret.json").read_text(), IDENTITY)

    assert '"<arn_of_master_secret>" is a placeholder' in report.remaining[0].message


@pytest.mark.parametrize("vector", DOCUMENTS.values(), ids=list(DOCUMENTS))
def test_what_the_vectors_refuse_has_an_error_and_what_they_accept_has_none(vector: Vector) -> None:
    report = examine(text_of(vector), DocumentKind(vector["parses"]), ACTIONS)

    assert (report.answer.message if report.answer else None) == vector["refused"]
    assert bool(report.errors) is (vector["refused"] is not None)
    for fault in report.faults:
        assert fault.message.endswith((".", "?"))
        assert "{" not in fault.message.replace('{"', "").replace("${", "")


@pytest.mark.parametrize(
    ("kind", "text", "code", "path", "corrected"),
    [
        (IDENTITY, policy(**{**PLAIN, "Effect": "allow"}), "effect-case", "Statement.Effect", READS),
        (IDENTITY, policy(**{**PLAIN, "Effect": "Allowed"}), "effect", "Statement.Effect", READS),
        (IDENTITY, policy(**{**DENIED, "Effect": "Denny"}), "effect", "Statement.Effect", policy(**DENIED)),
        (IDENTITY, json.dumps(PLAIN), "lone-statement", "", READS),
        (IDENTITY, READS.replace('"Version"', '"version"'), "misspelt-element", "Version", READS),
        (IDENTITY, READS.replace("Statement", "Statements"), "misspelt-element", "Statement", READS),
        (IDENTITY, READS.replace("Action", "Actoin"), "misspelt-element", "Statement.Action", READS),
        (IDENTITY, READS.replace("2012-10-17", "2026-01-01"), "version", "Version", READS),
        (
            IDENTITY,
            READS.replace("secretsmanager:Get", "Get"),
            "action-vendorless",
            "Statement.Action",
            READS,
        ),
        (
            IDENTITY,
            policy(**PLAIN, Condition={"StringEqual": {"aws:username": "ada"}}),
            "operator",
            'Statement.Condition["StringEqual"]',
            policy(**PLAIN, Condition={"StringEquals": {"aws:username": "ada"}}),
        ),
        (IDENTITY, policy(Sid="read it", **PLAIN), "sid-characters", "Statement.Sid", policy(Sid="readit", **PLAIN)),
        (
            IDENTITY,
            policy(**{**PLAIN, "Resource": " arn:aws:secretsmanager:us-east-1:111122223333:secret:a-a1b2c3"}),
            "resource-format",
            "Statement.Resource",
            policy(**{**PLAIN, "Resource": "arn:aws:secretsmanager:us-east-1:111122223333:secret:a-a1b2c3"}),
        ),
        (
            DocumentKind.MANAGED,
            json.dumps({"Statement": PLAIN}),
            "old-version",
            "",
            json.dumps({"Version": "2012-10-17", "Statement": PLAIN}),
        ),
        (TRUST, policy(**{**TRUSTING, "Principal": "*"}), "star-principal", "Statement.Principal", TRUSTS),
        (TRUST, policy(**{**TRUSTING, "Action": "AssumeRole"}), "trust-action", "Statement.Action", TRUSTS),
        (TRUST, policy(**{**TRUSTING, "Action": "STS:assumeRole"}), "trust-action", "Statement.Action", TRUSTS),
        (TRUST, policy(**TRUSTING, Resource="*"), "resource-prohibited", "Statement.Resource", TRUSTS),
        (TRUST, policy(Resource=["*"], **TRUSTING), "resource-prohibited", "Statement.Resource", TRUSTS),
        (
            TRUST,
            policy(**{**TRUSTING, "Principal": "lambda.amazonaws.com"}),
            "syntax",
            "Statement.Principal",
            policy(**{**TRUSTING, "Principal": {"Service": "lambda.amazonaws.com"}}),
        ),
        (
            RESOURCE,
            policy(**PLAIN, Principal="arn:aws:iam::111122223333:role/r"),
            "syntax",
            "Statement.Principal",
            policy(**PLAIN, Principal={"AWS": "arn:aws:iam::111122223333:role/r"}),
        ),
        (
            RESOURCE,
            policy(**PLAIN, Principal={"aws": "111122223333"}),
            "principal",
            "Statement.Principal.aws",
            policy(**PLAIN, Principal={"AWS": "111122223333"}),
        ),
    ],
)
def test_what_can_only_mean_one_thing_is_put_right(
    kind: DocumentKind, text: str, code: str, path: str, corrected: str
) -> None:
    report = examine(text, kind, ACTIONS)

    [fault] = report.errors
    assert (fault.code, fault.path, fault.is_mended) == (code, path, True)
    assert report.corrected == corrected
    assert report.remaining == ()
    assert report.answer is not None


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        (IDENTITY, policy(Action="*", Resource="*"), "effect-missing"),
        (IDENTITY, policy(Effect="Allow", Resource="*"), "actions-missing"),
        (IDENTITY, policy(Effect="Allow", Action="*"), "resources-missing"),
        (IDENTITY, policy(**PLAIN, Principal="*"), "principal-prohibited"),
        (IDENTITY, policy(**{**PLAIN, "Action": "TagResource"}), "action-vendorless"),  # Which two services have.
        (IDENTITY, policy(**{**PLAIN, "Effect": "Perhaps"}), "effect"),
        (IDENTITY, policy(**PLAIN, Colour="blue"), "unknown-element"),
        (IDENTITY, policy(**PLAIN, NotAction="*"), "both-forms"),
        (IDENTITY, policy(**PLAIN, Sid="-"), "sid-characters"),
        (IDENTITY, policy(**PLAIN, Condition={"Equals": {"aws:username": "ada"}}), "operator"),
        (IDENTITY, "[]", "syntax"),
        (TRUST, policy(**TRUSTING, Resource="arn:aws:iam::111122223333:role/r"), "resource-prohibited"),
        (RESOURCE, READS, "principal-missing"),
        (RESOURCE, policy(**PLAIN, Principal="ada"), "syntax"),
    ],
)
def test_what_somebody_has_to_decide_is_left_alone(kind: DocumentKind, text: str, code: str) -> None:
    report = examine(text, kind, ACTIONS)

    assert codes(report.errors) == [code]
    assert report.corrected is None
    assert not any(fault.is_mended for fault in report.faults)


def test_many_faults_are_told_and_put_right_at_once() -> None:
    text = """{
  // who may read it
  'Version': "2012-10-17",
  "statement": [{
    "Sid": "a b", "effect": "allow",
    "Action": ["GetSecretValue" "kms:Decrypt",],
    "Resource": "*"
  }, {"Sid": "ab", "Effect": "Deny", "Action": "kms:Decrypt", "Resource": "*"}]
"""
    report = examine(text, IDENTITY, ACTIONS)

    assert [(fault.line, fault.code) for fault in report.faults] == [
        (1, "missing-closing"),
        (2, "comment"),
        (3, "quotation-marks"),
        (4, "misspelt-element"),
        (5, "sid-characters"),
        (5, "misspelt-element"),
        (5, "effect-case"),
        (6, "action-vendorless"),
        (6, "missing-comma"),
        (6, "trailing-comma"),
    ]
    assert all(fault.is_mended for fault in report.faults)
    assert report.corrected is not None
    assert [statement.sid for statement in parse_identity_policy(report.corrected).statements] == ["ab2", "ab"]
    assert report.remaining == ()


def test_two_names_that_mean_the_same_are_left_to_the_writer() -> None:
    report = examine(policy(Effect="Allow", action="kms:Decrypt", ACTION="kms:Encrypt", Resource="*"), IDENTITY)

    assert codes(report.errors) == ["actions-missing", "unknown-element", "unknown-element"]
    assert report.corrected is None


def test_two_operators_that_mean_the_same_are_not_made_one() -> None:
    condition = {"StringEqual": {"aws:username": "a"}, "StringEquls": {"aws:userid": "b"}}

    report = examine(policy(**PLAIN, Condition=condition), IDENTITY)

    assert codes(report.errors) == ["operator", "operator"]
    assert report.corrected is None
    with_comma = examine(policy(**PLAIN, Condition=condition)[:-1] + ",}", IDENTITY)
    assert with_comma.corrected is not None
    assert [(fault.code, fault.is_mended) for fault in with_comma.faults] == [
        ("operator", False),
        ("operator", False),
        ("trailing-comma", True),
    ]


def test_all_principals_that_are_none_are_told() -> None:
    principal = {"AWS": ["ada", "111122223333", "bob"], "Service": "me", "Group": "x"}

    report = examine(policy(**PLAIN, Principal=principal), RESOURCE)

    assert [fault.path for fault in report.errors] == [
        "Statement.Principal.AWS[0]",
        "Statement.Principal.AWS[2]",
        "Statement.Principal.Service",
        "Statement.Principal.Group",
    ]


def test_a_place_is_counted_in_lines_and_characters_and_shown_without_control_characters() -> None:
    text = '{"Version": "2012-10-17", "Statement": {\r\n\t"\u00fc\x9b2J": 1, "Effect": "Allow"}}'

    fault = examine(text, IDENTITY).faults[-1]

    assert (fault.code, fault.line, fault.column) == ("unknown-element", 2, 2)
    assert fault.excerpt == ' "\u00fc\ufffd2J": 1, "Effect": "Allow"}}'
    assert fault.excerpt[fault.caret] == '"'
    assert "\x9b" not in fault.message


def test_of_a_long_line_what_is_near_is_shown() -> None:
    text = policy(**{**PLAIN, "Action": ["kms:Decrypt"] * 50 + ["Nothing"]})

    [fault] = examine(text, IDENTITY).errors

    assert len(fault.excerpt) <= 100
    assert fault.excerpt[fault.caret :].startswith('"Nothing"')
    assert text[fault.column - 1 :].startswith('"Nothing"')


@pytest.mark.parametrize(
    ("kind", "size", "code"),
    [
        (IDENTITY, 1_900, None),
        (IDENTITY, 3_000, "too-long-for-users"),
        (IDENTITY, 10_300, "too-long"),
        (DocumentKind.MANAGED, 6_200, "too-long"),
        (DocumentKind.SESSION, 2_100, "too-long"),
        (TRUST, 2_100, "too-long"),
        (RESOURCE, 20_600, "too-long"),
        (DocumentKind.KEY, 32_800, "too-long"),
    ],
)
def test_a_policy_that_is_too_long_is_told(kind: DocumentKind, size: int, code: str | None) -> None:
    statement: dict[str, Any] = dict(TRUSTING if kind is TRUST else PLAIN)
    if kind in (RESOURCE, DocumentKind.KEY):
        statement["Principal"] = {"AWS": "111122223333"}

    report = examine(policy(Sid="a" * size, **statement), kind)

    assert codes(report.faults) == ([code] if code else [])


def test_no_more_faults_are_told_than_help_anybody_and_all_are_put_right() -> None:
    text = READS.replace('"*"', "[" + '"*" ' * 300 + "]")

    report = examine(text, IDENTITY)

    assert codes(report.faults) == ["missing-comma"] * 100
    assert report.corrected is not None
    assert report.remaining == ()


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        (PLAIN, IDENTITY),
        ({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}, IDENTITY),
        (TRUSTING, TRUST),
        ({"Effect": "Allow", "Action": "AssumeRole"}, TRUST),
        ({**TRUSTING, "Resource": "*"}, TRUST),
        ({**PLAIN, "Principal": "*"}, RESOURCE),
        ({**PLAIN, "NotPrincipal": "*"}, RESOURCE),
        ({**PLAIN, "principal": "*", "Effect": "allow"}, RESOURCE),
        ({**PLAIN, "Action": ["kms:Decrypt", "kms:*"], "Principal": "*"}, DocumentKind.KEY),
    ],
)
def test_the_kind_is_guessed_by_principals_and_actions(statement: dict[str, Any], kind: DocumentKind) -> None:
    for text in (policy(**statement), json.dumps([statement]), json.dumps(statement)):
        assert kind_of(text) is kind
        assert kind_of(text[:-1]) is kind


def test_nothing_is_an_identity_policy() -> None:
    assert kind_of("") is IDENTITY


def test_every_reason_has_words() -> None:
    path = ("Statement", "Condition", "NumericEquals", "aws:x")
    for kind in DocumentKind:
        for reason in Reason:
            told = explained(Refusal(reason, path, "x{y}"), kind, "x{y}")
            assert told.endswith((".", "?")), reason
            assert "{subject}" not in told


def test_warnings_are_no_errors() -> None:
    report = examine(policy(**{**PLAIN, "Action": "kms:Nothing"}), IDENTITY, ACTIONS)

    assert [(fault.severity, fault.code) for fault in report.faults] == [(Severity.WARNING, "unknown-action")]
    assert report.answer is None
    assert report.errors == ()


def test_statements_of_one_sid_all_get_one_of_their_own() -> None:
    text = json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": "a", **PLAIN}, {"Sid": "a3", **PLAIN}] * 150})

    report = examine(text, DocumentKind.MANAGED)

    assert report.corrected is not None
    assert codes(report.remaining) == ["too-long"]
    sids = [statement["Sid"] for statement in json.loads(report.corrected)["Statement"]]
    assert len({*sids}) == 300
    assert sids[:4] == ["a", "a3", "a2", "a32"]


def test_of_many_faults_a_hundred_are_shown_and_all_are_put_right() -> None:
    named = [f"arn:aws:iam::{number:012}:root" for number in range(250)]
    text = policy(**PLAIN, Principal={"AWS": [f"{name} " for name in named]})

    report = examine(text, RESOURCE)

    assert codes(report.errors) == ["principal"] * 100
    assert all(fault.is_mended for fault in report.errors)
    assert report.corrected == policy(**PLAIN, Principal={"AWS": named})
    assert report.remaining == ()
