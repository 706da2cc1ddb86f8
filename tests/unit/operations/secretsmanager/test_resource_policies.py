from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from keyturn.errors.common import AccessDenied, ValidationFailed
from keyturn.errors.secretsmanager import (
    InvalidNextTokenException,
    InvalidParameterException,
    MalformedPolicyDocumentException,
)
from keyturn.operations.secretsmanager.resource_policies import page_of_policies
from keyturn.quotas import Quotas
from keyturn.storage import accounts, inline_policies, users
from keyturn.storage.accounts import AccountRecord
from keyturn.storage.users import UserRecord
from keyturn.testing.handlers import PLACE, HandlerBench, user

PUT, TAG, UNTAG = (f"secretsmanager:{name}" for name in ("PutResourcePolicy", "TagResource", "UntagResource"))
_numbers = itertools.count()
ADA = PLACE.user_arn("/", "ada")


def statement(effect: str, action: Any = "secretsmanager:*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": "*", **more}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def when(operator: str, key: str, value: Any) -> dict[str, Any]:
    return {"Condition": {operator: {key: value}}}


@pytest.fixture(scope="module", autouse=True)
def _ada(bench: HandlerBench) -> None:
    bench.call("iam", "CreateUser", UserName="ada")


class Ada:
    """A user with a secret, and policies that decide what she may do with it."""

    def __init__(self, bench: HandlerBench, *statements: dict[str, Any]) -> None:
        self.bench = bench
        self.secret_name = f"db/{next(_numbers)}"
        with bench.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, ADA, "p", document(*statements))
        bench.call("secretsmanager", "CreateSecret", Name=self.secret_name, Tags=[{"Key": "team", "Value": "db"}])

    def call(self, name: str, **request: Any) -> Any:
        call = self.bench.as_(user("ada"))
        return self.bench.call_as(call, "secretsmanager", name, SecretId=self.secret_name, **request)

    def as_administrator(self, name: str, **request: Any) -> Any:
        return self.bench.call("secretsmanager", name, SecretId=self.secret_name, **request)

    def stored(self) -> tuple[Any, Any]:
        described = self.as_administrator("DescribeSecret")
        policy = self.as_administrator("GetResourcePolicy").get("ResourcePolicy")
        return {tag["Key"]: tag["Value"] for tag in described["Tags"]}, policy and json.loads(policy)


ALL = statement("Allow")


@pytest.mark.parametrize(
    ("own", "policy", "is_locked_out"),
    [
        (ALL, statement("Deny", Principal="*"), True),
        (ALL, statement("Deny", PUT, Principal="*"), True),
        (ALL, statement("Deny", "secretsmanager:Put*", Principal={"AWS": ADA}), True),
        (ALL, statement("Deny", "*", Principal={"AWS": PLACE.account_id}), True),
        (ALL, statement("Deny", NotPrincipal={"AWS": PLACE.root_arn().replace("0", "1")}), True),
        (ALL, statement("Deny", Principal="*", **when("StringNotEquals", "aws:username", "eve")), True),
        (ALL, statement("Deny", Principal="*", **when("StringEquals", "aws:ResourceTag/team", "db")), True),
        (ALL, statement("Deny", Principal="*", **when("Null", "secretsmanager:BlockPublicPolicy", "true")), True),
        (ALL, statement("Deny", Principal="*", **when("StringEquals", "aws:ResourceTag/team", "web")), False),
        (ALL, statement("Deny", Principal="*", **when("StringNotEquals", "aws:username", "ada")), False),
        # Without her account NotPrincipal does not spare her.
        (ALL, statement("Deny", NotPrincipal={"AWS": ADA}), True),
        (ALL, statement("Deny", NotPrincipal={"AWS": [ADA, PLACE.root_arn()]}), False),
        (ALL, statement("Deny", "secretsmanager:GetSecretValue", Principal="*"), False),
        # To read the policy and to take it off are other permissions; who may put one is not locked out.
        (ALL, statement("Deny", ["secretsmanager:Get*", "secretsmanager:Delete*"], Principal="*"), False),
        (ALL, {**statement("Deny", Principal="*"), "Resource": "arn:aws:secretsmanager:*:*:secret:other-*"}, False),
        (ALL, statement("Allow", "secretsmanager:GetSecretValue", Principal="*"), False),
        (statement("Allow", PUT), statement("Allow", "secretsmanager:GetSecretValue", Principal="*"), False),
    ],
)
def test_a_policy_must_leave_its_caller_the_right_to_put_another(
    bench: HandlerBench, own: dict[str, Any], policy: dict[str, Any], is_locked_out: bool
) -> None:
    ada, text = Ada(bench, own), document(policy)

    if is_locked_out:
        with pytest.raises(MalformedPolicyDocumentException, match="not allow you to manage this secret"):
            ada.call("PutResourcePolicy", ResourcePolicy=text)
        assert ada.stored()[1] is None
    else:
        ada.call("PutResourcePolicy", ResourcePolicy=text)
        assert ada.stored()[1] == json.loads(text)
        ada.call("PutResourcePolicy", ResourcePolicy=text)


def test_who_owes_the_right_to_the_policy_cannot_put_one_that_takes_it(bench: HandlerBench) -> None:
    ada = Ada(bench, statement("Allow", "secretsmanager:DescribeSecret"))
    granted = document(statement("Allow", PUT, Principal={"AWS": ADA}))
    ada.as_administrator("PutResourcePolicy", ResourcePolicy=granted)

    with pytest.raises(MalformedPolicyDocumentException, match="not allow you to manage this secret"):
        ada.call("PutResourcePolicy", ResourcePolicy=document(statement("Allow", PUT, Principal={"AWS": ["0" * 12]})))
    ada.call("PutResourcePolicy", ResourcePolicy=document(statement("Allow", [PUT, TAG], Principal={"AWS": ADA})))


@pytest.mark.parametrize(
    ("own", "name", "change", "is_refused"),
    [
        ([statement("Allow", **when("StringEquals", "aws:ResourceTag/team", "db"))], UNTAG, ["team"], True),
        ([statement("Allow", **when("StringEquals", "aws:ResourceTag/team", "db"))], TAG, {"team": "web"}, True),
        ([statement("Allow", **when("StringEquals", "aws:ResourceTag/team", "db"))], TAG, {"a": "b"}, False),
        ([statement("Allow", **when("StringEquals", "aws:ResourceTag/team", "db"))], UNTAG, ["other"], False),
        ([statement("Allow", **when("StringLike", "secretsmanager:ResourceTag/team", "*"))], TAG, {"team": ""}, False),
        ([statement("Allow", **when("Null", "aws:ResourceTag/closed", "true"))], TAG, {"closed": "yes"}, True),
        (
            [ALL, statement("Deny", **when("StringEquals", "aws:ResourceTag/stage", "prod"))],
            TAG,
            {"stage": "prod"},
            True,
        ),
        ([ALL, statement("Deny", **when("StringEquals", "aws:ResourceTag/stage", "prod"))], TAG, {"stage": "x"}, False),
        # Only the way back is closed.
        ([ALL, statement("Deny", UNTAG, **when("Null", "aws:ResourceTag/hold", "false"))], TAG, {"hold": "x"}, True),
        # The way back is open.
        (
            [
                statement("Allow", [TAG, UNTAG]),
                statement("Allow", "secretsmanager:Get*", **when("StringEquals", "aws:ResourceTag/team", "db")),
            ],
            UNTAG,
            ["team"],
            False,
        ),
        # There was no way back before.
        ([statement("Allow", TAG)], TAG, {"team": "web"}, False),
    ],
)
def test_tags_must_leave_their_caller_the_right_to_change_them_again(
    bench: HandlerBench, own: list[dict[str, Any]], name: str, change: Any, is_refused: bool
) -> None:
    ada = Ada(bench, *own)
    before = ada.stored()[0]
    request = (
        {"TagKeys": change}
        if name == UNTAG
        else {"Tags": [{"Key": key, "Value": value} for key, value in change.items()]}
    )

    if is_refused:
        # Which of the two is lost first is told: the way that was taken, or the way back.
        expected = UNTAG if own[-1]["Action"] == UNTAG else name
        with pytest.raises(AccessDenied, match=f"not authorized to perform: {expected} on"):
            ada.call(name.partition(":")[2], **request)
        assert ada.stored()[0] == before
    else:
        ada.call(name.partition(":")[2], **request)
        after = {**before, **change} if name == TAG else {key: before[key] for key in before if key not in change}
        assert ada.stored()[0] == after


def test_a_resource_policy_by_tags_counts_as_well(bench: HandlerBench) -> None:
    ada = Ada(bench, ALL)
    closed = statement("Deny", Principal="*", **when("StringEquals", "aws:ResourceTag/closed", "yes"))
    ada.call("PutResourcePolicy", ResourcePolicy=document(closed))

    with pytest.raises(AccessDenied, match="with an explicit deny in a resource-based policy"):
        ada.call("TagResource", Tags=[{"Key": "closed", "Value": "yes"}])


def test_untagging_what_is_not_there_is_no_change(bench: HandlerBench) -> None:
    ada = Ada(bench, ALL)
    before = ada.as_administrator("DescribeSecret")
    bench.clock.advance(timedelta(minutes=1))

    ada.call("UntagResource", TagKeys=["no such"])

    assert ada.as_administrator("DescribeSecret") == before


def test_policies_are_listed_default_first_a_page_at_a_time(bench: HandlerBench) -> None:
    names = ["b", "default", "z", "a"]
    shown: list[str] = []
    request: Any = {"SecretId": "db", "MaxResults": 3}
    while True:
        page = page_of_policies(bench.kit, bench.as_(bench.caller), "arn", request, names)
        shown += [entry.get("PolicyName", "") for entry in page["ResourcePolicies"]]
        if "NextToken" not in page:
            break
        request = {**request, "NextToken": page["NextToken"]}
    assert shown == ["default", "a", "b", "z"]

    with pytest.raises(InvalidNextTokenException):
        page_of_policies(bench.kit, bench.as_(bench.caller), "another arn", request, names)
    # A policy that is gone is no reason to begin anew.
    assert (
        page_of_policies(bench.kit, bench.as_(bench.caller), "arn", request, ["default", "a"])["ResourcePolicies"] == []
    )


def test_principals_of_every_account_on_the_server_must_exist(bench: HandlerBench) -> None:
    ada, other = Ada(bench, ALL), "111111111111"
    named = f"arn:aws:iam::{other}:user/team/bob"
    text = document(statement("Allow", "secretsmanager:GetSecretValue", Principal={"AWS": [named, other]}))
    ada.call("PutResourcePolicy", ResourcePolicy=text)

    with bench.kit.state.write() as transaction:
        account = AccountRecord(other, "other", "root@other.example", bench.clock.now())
        accounts.insert_account(transaction, account)
    for name in ("PutResourcePolicy", "ValidateResourcePolicy"):
        with pytest.raises(MalformedPolicyDocumentException, match="contains an unsupported principal"):
            ada.call(name, ResourcePolicy=text)

    with bench.kit.state.write() as transaction:
        user_record = UserRecord(other, "bob", "AIDABOB", "/team/", named, bench.clock.now())
        users.insert_user(transaction, user_record)
    ada.call("PutResourcePolicy", ResourcePolicy=text)


def test_an_operator_can_allow_less_than_aws(bench: HandlerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, text = Ada(bench, ALL), document(statement("Allow", Principal="*"))
    quotas = Quotas(policy_characters=len(text), tags=2)
    monkeypatch.setattr(bench, "kit", replace(bench.kit, quotas=quotas))

    ada.call("PutResourcePolicy", ResourcePolicy=text)
    for name in ("PutResourcePolicy", "ValidateResourcePolicy"):
        with pytest.raises(ValidationFailed, match=f"Member must have length less than or equal to {len(text)}"):
            ada.call(name, ResourcePolicy=text + " ")
    ada.call("TagResource", Tags=[{"Key": "second", "Value": ""}])
    with pytest.raises(InvalidParameterException, match="can't have more than 2 tags"):
        ada.call("TagResource", Tags=[{"Key": "third", "Value": ""}])

    assert ada.stored() == ({"team": "db", "second": ""}, json.loads(text))
