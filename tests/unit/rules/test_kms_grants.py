"""What a grant allows, what it may be, and what may be made by leave of another."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from keyturn.errors.common import ValidationFailed
from keyturn.rules.kms_grants import (
    EQUALS,
    SUBSET,
    Asked,
    Constraint,
    Grant,
    Terms,
    allowed_operations,
    check_terms,
    is_within,
    policy_of,
    retirement_policy,
    terms_of,
)
from keyturn.rules.policy.document import parse_key_policy

ALL = frozenset(["Decrypt", "CreateGrant", "DescribeKey", "RetireGrant"])
IT, MORE = {"Department": "IT"}, {"Department": "IT", "Purpose": "Test"}
EXACTLY, AT_LEAST = Constraint(IT, is_exact=True), Constraint(IT, is_exact=False)
GRANTEE = "arn:aws:iam::000000000000:role/keyUserRole"


@pytest.mark.parametrize(
    ("constraint", "context", "is_allowed"),
    [
        (None, {}, True),
        (None, MORE, True),
        (EXACTLY, IT, True),
        (EXACTLY, MORE, False),
        (EXACTLY, {}, False),
        (AT_LEAST, IT, True),
        (AT_LEAST, MORE, True),
        (AT_LEAST, {"Purpose": "Test"}, False),
        (AT_LEAST, {"department": "IT"}, False),
        (AT_LEAST, {"Department": "it"}, False),
        (Constraint({}, is_exact=True), {}, True),
        (Constraint({}, is_exact=True), IT, False),
        (Constraint({}, is_exact=False), IT, True),
    ],
)
def test_a_constraint_looks_at_the_whole_context_exactly(
    constraint: Constraint | None, context: Mapping[str, str], is_allowed: bool
) -> None:
    allowed = allowed_operations(Terms(ALL, constraint), Asked(context=context))
    assert ("Decrypt" in allowed) is is_allowed
    # It does not apply to what has no context.
    assert "DescribeKey" in allowed


def test_what_is_asked_decides_what_is_allowed() -> None:
    terms = Terms(ALL)
    assert allowed_operations(terms, Asked()) == {"DescribeKey"}
    assert allowed_operations(terms, Asked(context={})) == {"DescribeKey", "Decrypt"}
    assert allowed_operations(terms, Asked(child=Terms(frozenset(["Decrypt"])))) == {"DescribeKey", "CreateGrant"}
    assert allowed_operations(terms, Asked(child=Terms(frozenset(["Encrypt"])))) == {"DescribeKey"}


@pytest.mark.parametrize(
    ("child", "parent", "is_so"),
    [
        (None, None, True),
        (AT_LEAST, None, True),
        (None, AT_LEAST, False),
        (AT_LEAST, AT_LEAST, True),
        (Constraint(MORE, is_exact=False), AT_LEAST, True),
        (AT_LEAST, Constraint(MORE, is_exact=False), False),
        (EXACTLY, AT_LEAST, True),
        (Constraint(MORE, is_exact=True), AT_LEAST, True),
        (AT_LEAST, EXACTLY, False),
        (EXACTLY, EXACTLY, True),
        (Constraint(MORE, is_exact=True), EXACTLY, False),
        (None, EXACTLY, False),
    ],
)
def test_a_child_is_as_strict_as_its_parent(child: Constraint | None, parent: Constraint | None, is_so: bool) -> None:
    assert is_within(Terms(frozenset(["Decrypt"]), child), Terms(ALL, parent)) is is_so
    assert not is_within(Terms(frozenset(["Encrypt"]), child), Terms(ALL, parent))


@pytest.mark.parametrize(
    ("operations", "constraints", "told"),
    [
        ([], {}, "at least one operation"),
        (["Sign", "Decrypt"], {}, "cannot contain Sign"),
        (["GenerateMac", "VerifyMac"], {}, "cannot contain GenerateMac, VerifyMac"),
        (["CreateGrant"], {}, "^Grants must not contain only the CreateGrant operation.$"),
        (["CreateGrant", "CreateGrant"], {}, "only the CreateGrant operation"),
        (["Decrypt"], {EQUALS: IT, SUBSET: {}}, "^More than one constraint supplied$"),
        (["Decrypt"], {EQUALS: {str(n): "" for n in range(9)}}, "more than 8"),
        (["Decrypt"], {SUBSET: {"a": "x" * 385}}, "more than 384"),
        (["Decrypt"], {SUBSET: {"x" * 385: ""}}, "more than 384"),
    ],
)
def test_grants_that_cannot_be(operations: list[str], constraints: dict[str, dict[str, str]], told: str) -> None:
    with pytest.raises(ValidationFailed, match=told):
        check_terms(operations, constraints)


def test_grants_that_can_be() -> None:
    check_terms(["CreateGrant", "Decrypt"], {EQUALS: {str(n): "x" * 384 for n in range(8)}})
    check_terms(["ReEncryptFrom", "ReEncryptTo", "GenerateDataKeyPairWithoutPlaintext"], {})


def test_terms_are_read_from_the_wire() -> None:
    assert terms_of(["Decrypt", "Decrypt"], None) == Terms(frozenset(["Decrypt"]))
    assert terms_of(["Decrypt"], {EQUALS: IT}) == Terms(frozenset(["Decrypt"]), EXACTLY)
    assert terms_of(["Decrypt"], {SUBSET: IT}) == Terms(frozenset(["Decrypt"]), AT_LEAST)


def test_a_policy_names_the_grants_that_made_it_and_says_nothing_twice() -> None:
    names = {"one": Terms(ALL, EXACTLY), "two": Terms(ALL), "three": Terms(ALL)}
    grants = [Grant(name, GRANTEE, None, terms) for name, terms in names.items()]
    assert policy_of([], Asked(context={})) is None
    assert policy_of([Grant("one", GRANTEE, None, Terms(frozenset(["Decrypt"])))], Asked()) is None
    assert _statements(policy_of(grants, Asked(context={}))) == {
        "one": [GRANTEE, "kms:DescribeKey"],
        "two": [GRANTEE, "kms:Decrypt"],
    }
    assert _statements(retirement_policy(grants[0], [GRANTEE], [])) == {"one": [GRANTEE, "kms:RetireGrant"]}


def _statements(text: str | None) -> dict[str, list[str]]:
    assert text is not None
    # As the policy of a key is parsed, so is this one.
    assert not parse_key_policy(text).denies
    return {
        statement["Sid"]: [statement["Principal"]["AWS"], *statement["Action"]]
        for statement in json.loads(text)["Statement"]
    }
