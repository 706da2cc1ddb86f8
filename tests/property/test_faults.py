"""Properties of the fault finder: it never fails, agrees with the parsers, and what it corrects is JSON."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from keyturn.rules.policy.faults import examine, kind_of
from keyturn.rules.policy.json_text import loaded
from keyturn.rules.policy.lenient_json import edited, read
from keyturn.rules.policy.refusals import DocumentKind

from .policies import of_resource, some, text

ACTIONS = {"secretsmanager": ("GetSecretValue", "PutSecretValue", "ListSecrets")}
kinds = st.sampled_from(DocumentKind)
policies = st.builds(text, some | of_resource, Id=st.text("ab", max_size=2))
pieces = st.sampled_from(
    [*"{}[],:\"'\\ \n\t/#*ax1=\u201c\u2019\ufeff", "//", "/*", "True", '"Sid"', '"Effect":', "\\u", "-1"]
)


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A policy with some characters gone, some added and some changed."""
    written = draw(policies)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(written)))
        gone = draw(st.integers(0, 2))
        written = written[:at] + draw(st.just("") | pieces) + written[at + gone :]
    return written


texts = broken() | st.text(max_size=60) | st.lists(pieces, max_size=20).map("".join)


@given(texts, kinds)
@settings(max_examples=1000)
def test_a_text_has_errors_if_and_only_if_it_is_refused(written: str, kind: DocumentKind) -> None:
    report = examine(written, kind, ACTIONS)

    assert bool([fault for fault in report.errors if fault.code != "too-long"]) is (report.answer is not None)
    assert kind_of(written) in DocumentKind


@given(texts, kinds)
@settings(max_examples=1000)
def test_every_fault_is_in_the_text_and_shown_there(written: str, kind: DocumentKind) -> None:
    lines = written.split("\n")
    for fault in examine(written, kind, ACTIONS).faults:
        line = lines[fault.line - 1]
        assert 1 <= fault.column <= len(line) + 1
        assert fault.excerpt.isprintable()
        assert fault.message.isprintable()
        character = line[fault.column - 1 : fault.column]
        if character.isprintable() and not character.isspace():
            assert fault.excerpt[fault.caret : fault.caret + 1] == character


# Two faults with one remedy, beside one of the JSON.
TWO_OF_ONE_REMEDY = (
    '{"rsion": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition":'
    ' {"StringLike": {"aws:k": ["${aws:other}*", "${aws:none, \'1\'}"]}}, "Principal" "*"}]}'
)


@given(texts, kinds)
@example(TWO_OF_ONE_REMEDY, DocumentKind.MANAGED)
@settings(max_examples=1000)
def test_what_is_corrected_is_an_object_and_has_less_to_correct(written: str, kind: DocumentKind) -> None:
    report = examine(written, kind, ACTIONS)

    if report.corrected is None:
        assert not any(fault.is_mended for fault in report.faults)
        return
    assert isinstance(loaded(report.corrected), dict)
    assert report.corrected != written
    again = examine(report.corrected, kind, ACTIONS)
    assert again.faults == report.remaining
    assert again.corrected is None


@given(texts)
@settings(max_examples=1000)
def test_the_tolerant_reader_finds_slips_if_and_only_if_the_strict_one_refuses(written: str) -> None:
    reading = read(written)
    try:
        value = loaded(written)
    except ValueError:
        assert reading.slips
    else:
        assert reading.slips == []
        assert reading.root is not None
        assert reading.root.plain() == value


@given(texts)
@settings(max_examples=1000)
def test_a_text_whose_slips_all_have_a_remedy_is_json_with_them(written: str) -> None:
    reading = read(written)

    if reading.root is not None and all(found.edits for found in reading.slips):
        mended: Any = loaded(edited(written, reading.edits()))
        assert json.dumps(mended, default=str) == json.dumps(reading.root.plain(), default=str)
