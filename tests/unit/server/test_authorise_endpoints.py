"""The policy of the VPC endpoint that a call came through, in the decisions of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keyturn.call import Call
from keyturn.entrance import Entrance
from keyturn.errors.base import KeyturnError
from keyturn.operations.authorization_messages import decoded_message
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import Subject
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicyType
from keyturn.server.vpc_endpoints import VpcEndpoint
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench, user

GET, PUT = "secretsmanager:GetSecretValue", "secretsmanager:PutSecretValue"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:db-AbCdEf"
ENDPOINT, VPC = "vpce-0123456789abcdef0", "vpc-0123456789abcdef0"
WAY = Entrance(ENDPOINT, VPC, "10.0.1.5", PLACE)
SERVICE = "com.amazonaws.us-east-1.secretsmanager"
EVERYTHING = '{"Statement": [{"Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"}]}'
"""What EC2 describes of an endpoint that was given no policy."""


def document(effect: str = "Allow", action: str = "*", principal: Any = "*", **more: Any) -> str:
    statement = {"Sid": "S", "Effect": effect, "Principal": principal, "Action": action, "Resource": "*", **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HandlerBench]:
    with open_bench(tmp_path) as opened:
        opened.call("iam", "CreateUser", UserName="ada")
        opened.call("iam", "PutUserPolicy", UserName="ada", PolicyName="all", PolicyDocument=ALLOW_ALL)
        opened.kept.refresh()
        yield opened


def through(bench: HandlerBench, policy: str | None, way: Entrance = WAY) -> Call:
    """A call of ada's through an endpoint with a policy."""
    if policy is not None:
        bench.endpoints[ENDPOINT] = VpcEndpoint(SERVICE, policy)
    return bench.as_(user("ada"))._replace(entrance=way, source_address=way.source_address)


def secret(policy: str | None = None) -> Subject[object]:
    return Subject(SECRET, "db", object(), policy=policy)


def decide(bench: HandlerBench, call: Call, action: str = GET, subject: Subject[object] | None = None) -> Decision:
    return bench.kit.authorise.decide(call, action, subject or secret())


def refusal(bench: HandlerBench, call: Call, action: str = GET) -> Refused:
    with pytest.raises(Refused) as refused:
        bench.kit.authorise(call, action, secret())
    return refused.value


@pytest.mark.parametrize("policy", ["", EVERYTHING])
def test_an_endpoint_without_a_policy_of_its_own_lets_everything_through(bench: HandlerBench, policy: str) -> None:
    assert decide(bench, through(bench, policy)).allowed


def test_what_the_endpoints_policy_does_not_allow_is_refused_in_the_words_of_aws(bench: HandlerBench) -> None:
    call = through(bench, document(action=GET))

    assert decide(bench, call).allowed
    assert refusal(bench, call, PUT).message == (
        f"User: {PLACE.user_arn('/', 'ada')} is not authorized to perform: {PUT} on resource: db because no"
        f" VPC endpoint policy allows the {PUT} action"
    )


def test_what_the_endpoints_policy_denies_is_refused_in_the_words_of_aws(bench: HandlerBench) -> None:
    refused = refusal(bench, through(bench, document("Deny", GET)))

    assert refused.decision == Decision(Outcome.EXPLICIT_DENY, PolicyType.ENDPOINT, ENDPOINT, 0, "S")
    assert refused.message.endswith(f"{GET} on resource: db with an explicit deny in a VPC endpoint policy")


def test_it_gives_nothing(bench: HandlerBench) -> None:
    call = through(bench, EVERYTHING)
    bench.call("iam", "DeleteUserPolicy", UserName="ada", PolicyName="all")
    bench.kept.refresh()

    assert decide(bench, call) == Decision(Outcome.IMPLICIT_DENY, PolicyType.IDENTITY)


def test_it_must_allow_what_the_resources_own_policy_allows_by_itself(bench: HandlerBench) -> None:
    own = secret(document(principal={"AWS": PLACE.user_arn("/", "ada")}))

    assert decide(bench, through(bench, document(action=PUT)), GET, own) == Decision(
        Outcome.IMPLICIT_DENY, PolicyType.ENDPOINT
    )
    assert decide(bench, through(bench, document(action=GET)), GET, own).policy_type is PolicyType.RESOURCE


@pytest.mark.parametrize(
    ("principal", "is_let_through"),
    [
        ("*", True),
        ({"AWS": "*"}, True),
        ({"AWS": PLACE.user_arn("/", "ada")}, True),
        ({"AWS": PLACE.account_id}, True),
        ({"AWS": PLACE.user_arn("/", "bob")}, False),
        ({"AWS": "111111111111"}, False),
    ],
)
def test_it_lets_through_whom_it_names(bench: HandlerBench, principal: Any, is_let_through: bool) -> None:
    assert decide(bench, through(bench, document(principal=principal))).allowed is is_let_through


def test_a_change_counts_at_once(bench: HandlerBench) -> None:
    call = through(bench, EVERYTHING)
    assert decide(bench, call).allowed

    assert not decide(bench, through(bench, document(action=PUT))).allowed
    assert decide(bench, through(bench, EVERYTHING)).allowed
    bench.endpoints.clear()
    assert decide(bench, call) == Decision(Outcome.IMPLICIT_DENY, PolicyType.ENDPOINT)


def test_calls_that_come_another_way_are_not_its_business(bench: HandlerBench) -> None:
    denied = through(bench, document("Deny"))
    assert not decide(bench, denied).allowed

    assert decide(bench, denied._replace(entrance=None)).allowed
    assert decide(bench, denied._replace(entrance=replace(WAY, vpc_endpoint_id=""))).allowed
    bench.endpoints["vpce-2"] = VpcEndpoint(SERVICE, EVERYTHING)
    assert decide(bench, denied._replace(entrance=replace(WAY, vpc_endpoint_id="vpce-2"))).allowed


def test_what_the_service_does_next_for_the_caller_is_not_its_business(bench: HandlerBench) -> None:
    call = through(bench, document(action="secretsmanager:*"))

    assert decide(bench, call, "lambda:InvokeFunction").allowed
    assert decide(bench, call, GET).allowed


@pytest.mark.parametrize(
    ("condition", "is_denied"),
    [
        ({"StringNotEquals": {"aws:sourceVpce": ENDPOINT}}, (False, True, True)),
        ({"StringNotEquals": {"aws:SourceVpc": VPC}}, (False, True, True)),
        ({"StringEquals": {"aws:SourceVpce": ENDPOINT}}, (True, False, False)),
        ({"NotIpAddress": {"aws:VpcSourceIp": "10.0.0.0/16"}}, (False, True, True)),
        ({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}, (False, True, True)),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, (True, True, False)),
        ({"Null": {"aws:SourceVpce": "true"}}, (False, True, True)),
        ({"StringNotEqualsIfExists": {"aws:SourceVpce": "vpce-other"}}, (True, True, True)),
    ],
)
def test_a_secrets_policy_knows_by_which_way_a_call_came(
    bench: HandlerBench, condition: dict[str, Any], is_denied: tuple[bool, bool, bool]
) -> None:
    """Through the endpoint; through a NAT gateway; to the server's own address."""
    endpoint = through(bench, EVERYTHING)
    gateway = through(bench, EVERYTHING, Entrance("", VPC, "203.0.113.99", PLACE))
    guarded = secret(document("Deny", Condition=condition))

    decided = [decide(bench, call, GET, guarded) for call in (endpoint, gateway, bench.as_(user("ada")))]

    assert tuple(not decision.allowed for decision in decided) == is_denied


def explained(bench: HandlerBench, call: Call) -> dict[str, Any]:
    refused = refusal(bench, call, PUT)
    text = decoded_message(
        bench.kit.authorization_messages, refused.encoded_messages[PLACE.account_id], PLACE.account_id
    )
    told: dict[str, Any] = json.loads(text)
    return told


def test_a_refusal_explains_the_endpoints_policy_and_what_it_lacks(bench: HandlerBench) -> None:
    told = explained(bench, through(bench, document(action=PUT, Condition={"Bool": {"aws:SecureTransport": "true"}})))

    policy = told["keyturn"]["policies"][-1]
    assert (policy["policyType"], policy["policyName"]) == ("VPC endpoint policy", ENDPOINT)
    assert policy["statements"][0]["unmet"] == [{"operator": "Bool", "key": "aws:securetransport", "values": ["true"]}]
    assert told["keyturn"]["remedies"] == [
        {
            "policyType": "VPC endpoint policy",
            "statement": {
                "Effect": "Allow",
                "Principal": {"AWS": PLACE.user_arn("/", "ada")},
                "Action": PUT,
                "Resource": SECRET,
            },
        }
    ]
    keys = {item["key"]: item["values"]["items"] for item in told["context"]["conditions"]["items"]}
    assert keys["aws:sourcevpce"] == [{"value": ENDPOINT}]
    assert keys["aws:vpcsourceip"] == [{"value": "10.0.1.5"}]
    assert "aws:sourceip" not in keys


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_the_policy_of_another_accounts_endpoint_is_not_shown(bench: HandlerBench, effect: str) -> None:
    policy = document(effect, PUT if effect == "Deny" else GET, Condition={"Null": {"aws:nothing": "true"}})
    way = replace(WAY, place=replace(PLACE, account_id="111111111111"))
    call = through(bench, policy, way)

    told = explained(bench, call)

    assert told["allowed"] is False
    assert {policy["policyType"] for policy in told["keyturn"]["policies"]} == {"identity-based policy"}
    assert told["keyturn"]["remedies"] == []
    assert "aws:nothing" not in json.dumps(told)
    decision = refusal(bench, call, PUT).decision
    assert (decision.policy_type, decision.policy_name, decision.sid) == (PolicyType.ENDPOINT, None, None)


def test_a_stored_policy_that_cannot_be_read_is_no_allow(bench: HandlerBench) -> None:
    with pytest.raises(KeyturnError, match="A stored VPC endpoint policy is refused"):
        decide(bench, through(bench, "{"))
