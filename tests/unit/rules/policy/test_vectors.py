"""Policies mean what AWS's documentation and recordings say: the vectors, and that they could fail."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from keyturn.rules.policy import conditions

from . import vectors
from .vectors import COMMON, FORMS, Vector, answered, expected, form_of

VECTORS = vectors.load()
FEWEST = 300


@pytest.mark.parametrize("vector", VECTORS.values(), ids=list(VECTORS))
def test_keyturn_says_what_the_source_says(vector: Vector) -> None:
    assert answered(vector) == expected(vector), vector["source"]


def test_there_are_enough_vectors_of_every_form() -> None:
    counts = Counter(map(form_of, VECTORS.values()))

    assert counts.total() >= FEWEST
    assert counts.keys() == FORMS.keys()
    assert min(counts.values()) >= 50


@pytest.mark.parametrize("vector", VECTORS.values(), ids=list(VECTORS))
def test_a_vector_is_read_in_full_and_names_its_source(vector: Vector) -> None:
    form = form_of(vector)

    assert vector.keys() <= COMMON | {form} | FORMS[form]
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", vector["id"])
    assert re.match(
        r"IAM User Guide, |AWS |Secrets Manager |collected by |recorded |field reports|\w+/", vector["source"]
    )


def test_no_answer_that_is_always_the_same_is_right() -> None:
    for form in FORMS:
        told = Counter(str(expected(vector)) for vector in VECTORS.values() if form_of(vector) == form)
        assert max(told.values()) < 0.7 * told.total(), told.most_common(1)


def test_every_operator_is_asked_with_every_prefix_and_suffix() -> None:
    asked = {operator for vector in VECTORS.values() for operator in vector.get("condition", {})}

    for name in conditions._OPERATORS:
        written = {operator.lower() for operator in asked}
        assert {name, f"{name}ifexists", f"foranyvalue:{name}", f"forallvalues:{name}"} <= written
