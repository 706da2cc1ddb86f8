from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.errors.iam import LimitExceededException, MalformedPolicyDocumentException, NoSuchEntityException
from keyturn.operations import registry
from keyturn.testing.handlers import ALLOW_ALL, HandlerBench

TRUST = (
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
    '"Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
)
OWNERS = pytest.mark.parametrize(
    ("kind", "owner"), [("Role", {"RoleName": "x"}), ("User", {"UserName": "x"}), ("Group", {"GroupName": "x"})]
)


@pytest.fixture(autouse=True)
def owners(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="x")
    bench.call("iam", "CreateGroup", GroupName="x")
    bench.call("iam", "CreateRole", RoleName="x", AssumeRolePolicyDocument=TRUST)


def long_policy(size: int) -> str:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": "a:b", "Resource": "arn:aws:s3:::"}
    statement["Resource"] += "x" * (size - len(json.dumps({"Statement": statement}, separators=(",", ":"))))
    return json.dumps({"Statement": statement}, indent=8)


@OWNERS
def test_a_policy_is_shown_exactly_as_it_was_put(bench: HandlerBench, kind: str, owner: dict[str, str]) -> None:
    document = ALLOW_ALL.replace(":[", " :\n[ ")

    bench.call("iam", f"Put{kind}Policy", **owner, PolicyName="all", PolicyDocument=document)

    shown = bench.call("iam", f"Get{kind}Policy", **owner, PolicyName="all")
    assert shown == {**owner, "PolicyName": "all", "PolicyDocument": document}


@OWNERS
def test_a_policy_of_the_same_name_is_replaced(bench: HandlerBench, kind: str, owner: dict[str, str]) -> None:
    for document in (ALLOW_ALL, ALLOW_ALL.replace("Allow", "Deny")):
        bench.call("iam", f"Put{kind}Policy", **owner, PolicyName="all", PolicyDocument=document)

    assert bench.call("iam", f"List{kind}Policies", **owner)["PolicyNames"] == ["all"]
    assert "Deny" in bench.call("iam", f"Get{kind}Policy", **owner, PolicyName="all")["PolicyDocument"]


@OWNERS
def test_names_are_listed_in_pages(bench: HandlerBench, kind: str, owner: dict[str, str]) -> None:
    for name in ("c", "a", "b" * 128):
        bench.call("iam", f"Put{kind}Policy", **owner, PolicyName=name, PolicyDocument=ALLOW_ALL)

    first = bench.call("iam", f"List{kind}Policies", **owner, MaxItems=2)
    assert (first["PolicyNames"], first["IsTruncated"]) == (["a", "b" * 128], True)
    assert len(first["Marker"]) <= 320
    second = bench.call("iam", f"List{kind}Policies", **owner, Marker=first["Marker"])
    assert (second["PolicyNames"], second["IsTruncated"]) == (["c"], False)


@OWNERS
@pytest.mark.parametrize("operation", ["Get{}Policy", "Delete{}Policy"])
def test_a_missing_policy_is_named(bench: HandlerBench, kind: str, owner: dict[str, str], operation: str) -> None:
    with pytest.raises(NoSuchEntityException) as refused:
        bench.call("iam", operation.format(kind), **owner, PolicyName="none")
    assert refused.value.message == f"The {kind.lower()} policy with name none cannot be found."


@OWNERS
@pytest.mark.parametrize("operation", ["Put{}Policy", "List{}Policies", "ListAttached{}Policies"])
def test_a_missing_owner_is_named(bench: HandlerBench, kind: str, owner: dict[str, str], operation: str) -> None:
    nobody = dict.fromkeys(owner, "nobody")

    with pytest.raises(NoSuchEntityException, match=rf"^The {kind.lower()} with name nobody cannot be found.$"):
        bench.call("iam", operation.format(kind), **nobody, PolicyName="all", PolicyDocument=ALLOW_ALL)


@OWNERS
@pytest.mark.parametrize(
    ("document", "message"),
    [
        (ALLOW_ALL[:-1] + ",}", "Syntax errors in policy."),
        (ALLOW_ALL.replace("Allow", "allow"), "The policy failed legacy parsing"),
        ("[]", "Syntax errors in policy."),
    ],
)
def test_a_malformed_document_is_refused_and_not_stored(
    bench: HandlerBench, kind: str, owner: dict[str, str], document: str, message: str
) -> None:
    with pytest.raises(MalformedPolicyDocumentException, match=f"^{message}$"):
        bench.call("iam", f"Put{kind}Policy", **owner, PolicyName="bad", PolicyDocument=document)
    assert bench.call("iam", f"List{kind}Policies", **owner)["PolicyNames"] == []


@pytest.mark.parametrize(
    ("kind", "owner", "limit"),
    [("Role", {"RoleName": "x"}, 10_240), ("User", {"UserName": "x"}, 2_048), ("Group", {"GroupName": "x"}, 5_120)],
)
def test_the_quota_counts_all_policies_of_an_owner_without_white_space(
    bench: HandlerBench, kind: str, owner: dict[str, str], limit: int
) -> None:
    put = f"Put{kind}Policy"
    bench.call("iam", put, **owner, PolicyName="first", PolicyDocument=long_policy(limit // 2))
    bench.call("iam", put, **owner, PolicyName="second", PolicyDocument=long_policy(limit // 2))
    bench.call("iam", put, **owner, PolicyName="second", PolicyDocument=long_policy(limit // 2))

    with pytest.raises(LimitExceededException) as refused:
        bench.call("iam", put, **owner, PolicyName="second", PolicyDocument=long_policy(limit // 2 + 1))
    assert refused.value.message == f"Maximum policy size of {limit} bytes exceeded for {kind.lower()} x"


@OWNERS
@pytest.mark.parametrize("is_made_again", [False, True])
def test_a_policy_of_an_owner_who_is_deleted_meanwhile_is_not_put(
    bench: HandlerBench, kind: str, owner: dict[str, str], *, is_made_again: bool
) -> None:
    operation = registry.find("iam", f"Put{kind}Policy")
    assert operation is not None
    call, request = bench.as_(bench.caller), {**owner, "PolicyName": "all", "PolicyDocument": ALLOW_ALL}
    subject = operation.load(bench.kit, call, request)
    bench.call("iam", f"Delete{kind}", **owner)
    if is_made_again:
        # Who may change the one need not be allowed the other.
        bench.call("iam", f"Create{kind}", **owner, Path="/other/", AssumeRolePolicyDocument=TRUST)

    with pytest.raises(NoSuchEntityException, match=rf"^The {kind.lower()} with name x cannot be found.$"):
        operation.handle(bench.kit, call, request, subject.record)
