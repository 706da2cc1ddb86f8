"""Measure what deciding one call costs, and what reading its policies costs, which happens once for each policy.

``make bench-policies`` runs it. Times are of one processor, the best of several rounds: what disturbs only ever adds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from keyturn.call import Principal, PrincipalKind
from keyturn.rules.policy.document import parse_identity_policy, parse_resource_policy
from keyturn.rules.policy.evaluate import Policy, PolicySet, RequestContext, condition_keys, evaluate

_ACCOUNT = "000000000000"
_USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{_ACCOUNT}:user/ada", "AIDA", _ACCOUNT, "ada", "AKIA")
_STRANGER = Principal(PrincipalKind.USER, "arn:aws:iam::111111111111:user/bob", "AIDB", "111111111111", "bob", "AKIB")
_SECRET = f"arn:aws:secretsmanager:us-east-1:{_ACCOUNT}:secret:prod/db-a1b2c3"
_KEYS = condition_keys(
    {
        "aws:username": ("ada",),
        "aws:PrincipalTag/stage": ("prod",),
        "aws:PrincipalTag/team": ("payments",),
        "aws:SourceIp": ("10.1.2.3",),
        "aws:CurrentTime": ("2026-01-02T03:04:05Z",),
        "aws:SecureTransport": ("true",),
        "secretsmanager:ResourceTag/team": ("payments",),
        "secretsmanager:VersionStage": ("AWSCURRENT",),
    }
)
_ROTATION = [
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetRandomPassword",
    "secretsmanager:GetSecretValue",
    "secretsmanager:PutSecretValue",
    "secretsmanager:UpdateSecretVersionStage",
]
_CONDITIONS: list[Mapping[str, Any]] = [
    {"StringEquals": {"secretsmanager:ResourceTag/team": "${aws:PrincipalTag/team}"}},
    {"IpAddress": {"aws:SourceIp": ["192.0.2.0/24", "10.0.0.0/8"]}, "Bool": {"aws:SecureTransport": "true"}},
    {"DateLessThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}},
    {"ForAnyValue:StringLike": {"secretsmanager:VersionStage": ["AWS*", "blue"]}},
    {"StringLike": {"aws:username": ["a*", "b?b"]}, "Null": {"aws:TokenIssueTime": "true"}},
]


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of call.

    Attributes:
        name: For the table.
        statements: How many statements take part.
        read: Parses all policies.
        context: What is asked.
    """

    name: str
    statements: int
    read: Callable[[], PolicySet]
    context: RequestContext


@dataclass(frozen=True, slots=True)
class Result:
    """What one case took, in microseconds."""

    name: str
    statements: int
    decision: str
    evaluate: float
    read: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each case is measured")
    parser.add_argument("--output", choices=["text", "json"], default="text")
    options = parser.parse_args()
    results = [_measured(case, options.seconds) for case in _cases()]
    if options.output == "json":
        names = Result.__dataclass_fields__
        print(json.dumps([{name: getattr(result, name) for name in names} for result in results], indent=2))
        return
    table = Table("Policies", "Statements", "Decision", "Decide, µs", "Read, µs")
    for result in results:
        table.add_row(
            result.name, str(result.statements), result.decision, f"{result.evaluate:.2f}", f"{result.read:.0f}"
        )
    Console().print(table)


def _cases() -> list[Case]:
    reading = RequestContext(_USER, "secretsmanager:GetSecretValue", _SECRET, _KEYS)
    one = [_statement(Action="secretsmanager:GetSecretValue", Resource=_SECRET)]
    rotation = [
        _statement(Action=_ROTATION, Resource="*"),
        _statement(Action=_ROTATION[2], Resource=f"{_SECRET[:-6]}*"),
    ]
    managed = [[_of_service(number, place) for place in range(5)] for number in range(20)]
    shared = [
        _statement(
            Principal={"AWS": [f"arn:aws:iam::{number:012}:root" for number in (111111111111, *range(1, 20))]},
            Action=["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"],
            Resource="*",
            Condition=_CONDITIONS[1],
        )
    ]
    last = [*managed[:-1], [*managed[-1], *one]]
    own = [_statement(Action="secretsmanager:*", Resource=f"{_SECRET[:-14]}${{aws:PrincipalTag/stage}}/*-??????")]
    return [
        Case("one Allow", 1, lambda: _own([one]), reading),
        Case("a variable in the ARN", 1, lambda: _own([own]), reading),
        Case("the guide's, of a rotation function", 2, lambda: _own([rotation]), reading),
        Case("20 managed policies, the last allows", 101, lambda: _own(last), reading),
        Case("20 managed policies, none allows", 100, lambda: _own(managed), reading),
        Case(
            "another account's, both sides with conditions",
            2,
            lambda: PolicySet(_own([one]).identity, Policy("resource", parse_resource_policy(_text(shared)))),
            RequestContext(_STRANGER, "secretsmanager:GetSecretValue", _SECRET, _KEYS),
        ),
    ]


def _statement(**elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", **elements}


def _of_service(number: int, place: int) -> dict[str, Any]:
    """A statement that is about secrets every other time, and never about the one that is asked for."""
    if place % 2:
        return _statement(Action=[f"s{number}:Get*", f"s{number}:List*"], Resource=f"arn:aws:s{number}:*:*:*")
    return _statement(
        Sid=f"Team{number}x{place}",
        Action=["secretsmanager:Get*", "secretsmanager:Describe*"],
        Resource=[f"arn:aws:secretsmanager:*:{_ACCOUNT}:secret:team{number}/{name}-??????" for name in ("a*", "b")]
        + [f"arn:aws:secretsmanager:*:{_ACCOUNT}:secret:${{aws:PrincipalTag/team}}{number}/*"],
        Condition=_CONDITIONS[number % len(_CONDITIONS)],
    )


def _text(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _own(policies: list[list[dict[str, Any]]]) -> PolicySet:
    return PolicySet(identity=tuple(Policy("own", parse_identity_policy(_text(each))) for each in policies))


def _measured(case: Case, seconds: float) -> Result:
    policies, context = case.read(), case.context
    return Result(
        case.name,
        case.statements,
        evaluate(context, policies).outcome.value,
        _best(lambda: evaluate(context, policies), seconds / 2),
        _best(case.read, seconds / 2),
    )


def _best(run: Callable[[], object], seconds: float) -> float:
    """Return the microseconds of one run, in the best of many rounds of about ten milliseconds."""
    started = time.process_time()
    run()
    turns = max(1, int(0.01 / max(time.process_time() - started, 1e-7)))
    best = float("inf")
    end = time.process_time() + seconds
    while time.process_time() < end:
        started = time.process_time()
        for _ in range(turns):
            run()
        best = min(best, (time.process_time() - started) / turns)
    return best * 1_000_000


if __name__ == "__main__":
    main()
