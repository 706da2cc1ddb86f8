from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from keyturn.cli.denials import print_denial
from keyturn.rules.policy.denial import Denial

USER = "arn:aws:iam::123456789012:user/ada"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:key:db-AbCdEf"
LONG = f"arn:aws:iam::123456789012:policy/{'path/' * 20}ReadAtHome"
IDENTITY, RESOURCE = "identity-based policy", "resource-based policy"


def policy(name: str, *statements: dict[str, Any], kind: str = IDENTITY) -> dict[str, Any]:
    return {"policyName": name, "policyType": kind, "statementCount": 2, "statements": list(statements)}


def verdict(
    *unmet: tuple[str, str, str], effect: str = "Allow", names_resource: bool = True, **more: Any
) -> dict[str, Any]:
    return {
        "statementIndex": 1,
        "applies": names_resource and not unmet,
        "namesResource": names_resource,
        "unmet": [{"operator": operator, "key": key.lower(), "values": [value]} for operator, key, value in unmet],
        "statement": {
            "Effect": effect,
            "Action": "secretsmanager:*",
            "Resource": "*",
            "Condition": {operator: {key: value} for operator, key, value in unmet},
            **more,
        },
    }


def printed(
    *policies: dict[str, Any],
    principal: str = USER,
    resource: str = SECRET,
    decision: dict[str, Any] | None = None,
    told: str = "no",
    options: str = "",
) -> str:
    statement = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": resource}
    kind = IDENTITY if principal.startswith("arn:") else RESOURCE
    message = {
        "explicitDeny": decision is not None,
        "context": {
            "principal": {"arn": principal},
            "action": "secretsmanager:GetSecretValue",
            "resource": resource,
            "conditions": {"items": [{"key": "aws:sourceip", "values": {"items": [{"value": "192.0.2.1"}]}}]},
        },
        "keyturn": {
            "decision": decision or {"policyType": kind, "policyName": None, "statementIndex": None},
            "policies": list(policies),
            "remedies": [] if decision else [{"policyType": kind, "statement": statement}],
        },
    }
    event = {
        "eventName": "GetSecretValue", "eventID": "event",
    "eventTime": "2026-03-04T05:06:07Z", "sourceIPAddress": "192.0.2.1",
        "errorMessage": told,
    }  # fmt: skip
    file = io.StringIO()
    console = Console(file=file, width=80, highlight=False, emoji=False, soft_wrap=True)
    print_denial(console, Denial(event, message), options)
    return file.getvalue()


def test_the_command_that_adds_a_statement_asks_the_same_server() -> None:
    command = next(line for line in printed().splitlines() if line.startswith("aws iam "))

    assert f"\n{command} --profile p\n" in printed(options=" --profile p")
    assert "No command is printed" in printed(options=" --profile \x1b")


def test_names_are_whole_on_a_narrow_screen_and_silent_policies_take_one_line() -> None:
    text = printed(policy(LONG, verdict(("IpAddress", "aws:SourceIp", "198.51.100.0/24"))), policy("a"), policy("b"))

    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert f"resource   {SECRET}\n" in text
    assert f"\nReadAtHome (identity-based policy)\n  {LONG}\n  statement 2 allows the action, but" in text
    assert "\n2 other policies are about other actions: a, b\n" in text
    assert "\n1 policy is about other actions or callers: p\n" in printed(policy("p", kind=RESOURCE))


def test_an_allow_that_lacks_only_its_conditions_is_pointed_out_before_the_remedy() -> None:
    address, time = ("IpAddress", "aws:SourceIp", "198.51.100.0/24"), ("Bool", "aws:MultiFactorAuthPresent", "true")
    text = printed(policy("inline", verdict(address, Sid="AtHome")))
    both = printed(policy("inline", verdict(address, time)))

    assert (
        "Statement 2 (AtHome) of the identity-based policy inline would allow it if aws:SourceIp were IpAddress"
        " 198.51.100.0/24 (it is 192.0.2.1). If that condition is meant, meet it; the statement below does without it."
        "\n\nIt takes this statement"
    ) in text
    assert "(it is 192.0.2.1) and aws:MultiFactorAuthPresent were Bool true (it is absent). If all of that" in both
    for other in (
        policy("inline", verdict(address, effect="Deny")),
        policy("inline", verdict(address, names_resource=False)),
        policy("r", verdict(address), kind=RESOURCE),
    ):
        assert "would allow it" not in printed(other)


def test_a_kind_is_said_once() -> None:
    decision = {"policyType": RESOURCE, "policyName": RESOURCE, "statementIndex": 1}
    text = printed(policy(RESOURCE, verdict(effect="Deny"), kind=RESOURCE), decision=decision)

    assert "by statement 2 of the resource-based policy. No Allow" in text
    assert "\nresource-based policy\n  statement 2 denies it\n" in text


def test_a_service_has_no_policies_that_could_be_missing() -> None:
    function = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
    statement = printed(principal="secretsmanager.amazonaws.com", resource=function.replace("lambda", "kms"))

    assert "\nNo policy took part.\n" in statement
    assert "the caller has none" in printed()


def test_nothing_of_a_caller_forges_a_line_or_moves_the_cursor() -> None:
    forged = "x\nresource   other\x1b[2J\x9b\u202e"
    text = printed(
        policy(forged, verdict(("Bool", forged, forged), Sid=forged)),
        principal=f"arn:aws:iam::123456789012:user/{forged}",
        resource=SECRET + forged,
        told=forged,
    )

    assert all(line.isprintable() for line in text.split("\n"))
    assert sum(line.startswith("resource") for line in text.splitlines()) == 1
    assert "aws iam put-user-policy" not in text
    assert "No command is printed" in text
    assert "aws iam put-user-policy" in printed()
