from __future__ import annotations

import pytest

from keyturn.errors.iam import LimitExceededException, MalformedPolicyDocumentException
from keyturn.errors.secretsmanager import MalformedPolicyDocumentException as MalformedResourcePolicy
from keyturn.errors.sts import MalformedPolicyDocumentException as MalformedSessionPolicy
from keyturn.rules.policy.document import (
    Effect,
    check_inline_size,
    parse_identity_policy,
    parse_resource_policy,
    parse_session_policy,
    parse_trust_policy,
    size_without_white_space,
)

from .callers import document, statement

SYNTAX = "Syntax errors in policy."
LEGACY = "The policy failed legacy parsing"
TRAILING_COMMA = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"},]}'


def _trust_statement(**elements: object) -> dict[str, object]:
    return {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole", **elements}


def test_a_document_keeps_its_statements_in_order_and_sorted_by_effect() -> None:
    parsed = parse_identity_policy(document(statement(Sid="One"), statement("Deny", Sid="Two"), statement()))
    assert [item.sid for item in parsed.statements] == ["One", "Two", None]
    assert [item.index for item in parsed.allows] == [0, 2]
    assert [item.effect for item in parsed.denies] == [Effect.DENY]


def test_one_statement_may_stand_without_brackets_and_scalars_without_quotes() -> None:
    text = (
        '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*",'
        ' "Condition": {"Bool": {"aws:SecureTransport": true}, "NumericLessThan": {"x:y": 7}}}}'
    )
    assert len(parse_identity_policy(text).statements[0].conditions) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAILING_COMMA, SYNTAX),
        ("", SYNTAX),
        ("[]", SYNTAX),
        ('{"Version": "2012-10-17"}', SYNTAX),
        ('{"Version": "2012-10-17", "Statement": []}', SYNTAX),
        (document(statement(), version="2020-01-01"), SYNTAX),
        ('{"Statement": {"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}}', SYNTAX),
        (
            '{"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"Bool": {"a:b": NaN}}}}',
            SYNTAX,
        ),
        ("[" * 100_000, SYNTAX),
        (document(statement(Effect="allow")), LEGACY),
        (document(statement(Effekt="Allow")), SYNTAX),
        (document(statement(NotAction="iam:*")), SYNTAX),
        (document(statement(Principal="*")), "Policy document should not specify a principal."),
        (
            document(statement(Sid="not allowed")),
            (
                "Statement IDs (SID) must be alpha-numeric."
                " Check that your input satisfies the regular expression [0-9A-Za-z]*"
            ),
        ),
        (document(statement(Action=7)), SYNTAX),
        (document(statement(Condition={"StringEqual": {"a:b": "c"}})), SYNTAX),
        (document(statement(Condition={"StringEquals": {"a:b": None}})), SYNTAX),
        (document(statement(Sid="Ω")), SYNTAX),
        (
            document(statement(Resource="arn:aws:iam::*:user/${aws:username}"), version="2008-10-17"),
            "Policy document must be version 2012-10-17 or greater.",
        ),
        (document(statement(Condition={"DateLessThan": {"a:b": "soon"}})), LEGACY),
        (document(statement(Action=[])), "Policy statement must contain actions."),
        (document(statement(Resource=[])), "Policy statement must contain resources."),
        (
            document(statement(Action="GetSecretValue")),
            "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (document(statement(Action="a:b:c")), "Actions/Condition can contain only one colon."),
        (document(statement(Action="a a:b")), "Vendor a a is not valid"),
        (document(statement(Resource="prod/db")), 'Resource prod/db must be in ARN format or "*".'),
        (
            document(statement(Resource="arn:b:s3:::x")),
            'Partition "b" is not valid for resource "arn:b:s3:::x".',
        ),
        (
            document(statement(Resource="arn:aws:s*:::x")),
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (
            document(statement(Resource="arn:aws:iam:us-east-1:000000000000:user/x")),
            "IAM resource arn:aws:iam:us-east-1:000000000000:user/x cannot contain region information.",
        ),
        (
            document(statement(Sid="A"), statement(Sid="A")),
            "Statement IDs (SID) in a single policy must be unique.",
        ),
    ],
)
def test_iam_refuses_an_identity_policy_in_these_words(text: str, message: str) -> None:
    with pytest.raises(MalformedPolicyDocumentException) as caught:
        parse_identity_policy(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAILING_COMMA, "This policy contains invalid Json"),
        (document(_trust_statement(Resource="*")), "Has prohibited field Resource"),
        (document(_trust_statement(Bad="*")), "Unknown field Bad"),
        (document({"Effect": "Allow", "Action": "sts:AssumeRole"}), "Missing required field Principal"),
        (
            document(_trust_statement(Action="lambda:InvokeFunction")),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        (document(_trust_statement(Principal={"AWS": "alice"})), 'Invalid principal in policy: "AWS":"alice"'),
        (
            document(_trust_statement(Principal={"AWS": "arn:aws:iam::000000000000:role/*"})),
            'Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:role/*"',
        ),
    ],
)
def test_iam_refuses_a_trust_policy_in_these_words(text: str, message: str) -> None:
    with pytest.raises(MalformedPolicyDocumentException) as caught:
        parse_trust_policy(text)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAILING_COMMA, "This resource policy contains a syntax error."),
        (document(statement()), "This resource policy contains a syntax error."),
        (document(statement(Principal={})), "This resource policy contains a syntax error."),
        (document(statement(Principal={"AWS": "x"})), "This resource policy contains an unsupported principal."),
        (document(statement(Principal={"Who": "*"})), "This resource policy contains an unsupported principal."),
        (
            document(statement(Principal={"Service": "Lambda"})),
            "This resource policy contains an unsupported service principal.",
        ),
    ],
)
def test_secrets_manager_refuses_a_resource_policy_in_these_words(text: str, message: str) -> None:
    with pytest.raises(MalformedResourcePolicy) as caught:
        parse_resource_policy(text)
    assert caught.value.message == message


@pytest.mark.parametrize("character", ["\\u0000", "\\ud800", "\\u2028", "\u2028"])
def test_no_policy_has_a_character_that_none_may_have_also_not_behind_an_escape(character: str) -> None:
    for text in (document(statement(Sid="X")).replace("X", character), f'{{"{character}": 1}}'):
        with pytest.raises(MalformedPolicyDocumentException, match=SYNTAX):
            parse_identity_policy(text)
        with pytest.raises(MalformedResourcePolicy, match="syntax error"):
            parse_resource_policy(text)


def test_sts_refuses_a_session_policy_with_a_short_arn() -> None:
    with pytest.raises(MalformedSessionPolicy):
        parse_session_policy(document(statement(Resource="arn:aws:s3")))


def test_a_sid_of_a_resource_policy_may_have_blanks() -> None:
    assert parse_resource_policy(document(statement(Sid="read it", Principal="*"))).statements[0].sid == "read it"


def test_before_2012_a_variable_is_plain_text_in_a_resource_policy() -> None:
    parsed = parse_resource_policy(
        document(statement(Principal="*", Condition={"StringEquals": {"a:b": "${c:d}"}}), version="2008-10-17")
    )
    condition = parsed.statements[0].conditions[0]
    assert condition.holds({"a:b": ("${c:d}",)})
    assert not condition.holds({"a:b": ("x",), "c:d": ("x",)})


def test_quotas_do_not_count_white_space() -> None:
    assert size_without_white_space('{ "a":\n\t1 }') == 7
    fitting = "x" * 2_048 + " " * 100
    check_inline_size("user", "alice", [fitting])
    with pytest.raises(LimitExceededException, match="Maximum policy size of 2048 bytes exceeded for user alice"):
        check_inline_size("user", "alice", [fitting, "y"])
    check_inline_size("role", "app", [fitting, "y"])


def test_a_trust_policy_has_a_quota_of_its_own() -> None:
    with pytest.raises(LimitExceededException, match="ACLSizePerRole: 2048"):
        parse_trust_policy(document(*[_trust_statement() for _ in range(30)]))
