from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keyturn.arn import Place
from keyturn.call import Call, Principal, PrincipalKind
from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.errors.base import KeyturnError
from keyturn.ids import RequestId
from keyturn.operations.authorization_messages import decoded_message
from keyturn.operations.refusal import Refused
from keyturn.operations.subject import NO_SUBJECT, Subject
from keyturn.rules.policy.evaluate import Decision, Outcome, PolicySet, PolicyType, RequestContext, evaluate
from keyturn.server.authorise import Authoriser
from keyturn.storage import inline_policies, roles, users
from keyturn.storage.database import Stores
from keyturn.storage.kept import KeptRows
from keyturn.storage.roles import RoleRecord
from keyturn.storage.users import UserRecord
from keyturn.testing.root_key import InMemoryProvider
from keyturn.testing.sqlite import new_database

ACCOUNT = "000000000000"
SECRET = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:db-AbCdEf"
USER = Principal(PrincipalKind.USER, f"arn:aws:iam::{ACCOUNT}:user/team/ada", "AIDAADA", ACCOUNT, "ada", "AKIA")
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/team/rotator"
SESSION = Principal(
    PrincipalKind.ASSUMED_ROLE,
    f"arn:aws:sts::{ACCOUNT}:assumed-role/rotator/db-rotation",
    "AROAROTATOR:db-rotation",
    ACCOUNT,
    "rotator",
    "ASIA",
    role_arn=ROLE_ARN,
    session_name="db-rotation",
    session_issued_at=datetime(2026, 1, 2, 3, 0, tzinfo=UTC),
)
CALL = Call(
    principal=USER,
    place=Place("aws", "us-east-1", ACCOUNT),
    source_address="192.0.2.7",
    user_agent="unit test",
    request_id=RequestId("request"),
    at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
)
_MATERIAL: dict[MaterialId, WrappedMaterial] = {}
_KEYS = Keyring(InMemoryProvider(), _MATERIAL.__getitem__)
_MATERIAL[MaterialId("system")] = _KEYS.new_material(MaterialId("system"))
MESSAGES = TokenSealer(_KEYS, key_id="system", purpose="authorization-message")
SUBJECT: Subject[object] = Subject(arn=SECRET, asked="db", record=object())
GET = "secretsmanager:GetSecretValue"


def policy(**statement: Any) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": GET, "Resource": "*", **statement}]}
    )


@dataclass
class Bench:
    stores: Stores
    kept: KeptRows
    authorise: Authoriser

    def put(self, owner_arn: str, document: str, name: str = "inline") -> None:
        with self.stores.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, owner_arn, name, document)
        self.kept.refresh()

    def refusal(self, call: Call = CALL, action: str = GET, subject: Subject[object] = SUBJECT) -> Refused:
        with pytest.raises(Refused) as refused:
            self.authorise(call, action, subject)
        return refused.value


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    stores = Stores.open(new_database(tmp_path))
    try:
        kept = KeptRows(stores.state)
        yield Bench(stores, kept, Authoriser(kept, "o-1234567890", MESSAGES, lambda _entrance: None))
    finally:
        stores.close()


def test_nothing_is_allowed_without_a_policy_and_the_refusal_names_what_was_asked_for(bench: Bench) -> None:
    refused = bench.refusal()

    assert refused.message == (
        f"User: {USER.arn} is not authorized to perform: {GET} on resource: db"
        f" because no identity-based policy allows the {GET} action"
    )
    assert refused.decision == Decision(Outcome.IMPLICIT_DENY, PolicyType.IDENTITY)


def test_an_action_without_a_resource_names_none(bench: Bench) -> None:
    refused = bench.refusal(action="secretsmanager:ListSecrets", subject=NO_SUBJECT)

    assert refused.message == (
        f"User: {USER.arn} is not authorized to perform: secretsmanager:ListSecrets"
        " because no identity-based policy allows the secretsmanager:ListSecrets action"
    )


def test_a_users_policy_counts_from_the_next_call_on_and_until_it_is_taken_away(bench: Bench) -> None:
    bench.refusal()
    bench.put(USER.arn, policy())
    bench.authorise(CALL, GET, SUBJECT)

    with bench.stores.state.write() as transaction:
        inline_policies.delete_inline_policy(transaction, USER.arn, "inline")
    bench.kept.refresh()
    bench.refusal()


def test_a_session_has_the_policies_of_its_role_and_is_named_as_a_session(bench: Bench) -> None:
    call = CALL._replace(principal=SESSION)
    assert bench.refusal(call).message.startswith(f"User: {SESSION.arn} is not")

    bench.put(ROLE_ARN, policy())

    bench.authorise(call, GET, SUBJECT)


def test_tags_of_a_user_and_of_the_role_behind_a_session_decide_as_they_are_now(bench: Bench) -> None:
    condition = {"StringEquals": {"aws:PrincipalTag/Team": "db"}}
    user = UserRecord(ACCOUNT, "ada", "AIDAADA", "/", USER.arn, CALL.at, {"team": "db"})
    role = RoleRecord(ACCOUNT, "rotator", "AROAROTATOR", "/", ROLE_ARN, CALL.at, "{}", None, 3600, {"Team": "db"})
    for arn in (USER.arn, ROLE_ARN):
        bench.put(arn, policy(Condition=condition))
    bench.refusal()

    with bench.stores.state.write() as transaction:
        users.insert_user(transaction, user)
        roles.insert_role(transaction, role)
    for arn in (USER.arn, ROLE_ARN):
        bench.put(arn, policy(Condition=condition))

    bench.authorise(CALL, GET, SUBJECT)
    bench.authorise(CALL._replace(principal=SESSION), GET, SUBJECT)
    with bench.stores.state.write() as transaction:
        users.update_user(transaction, user, tags={"team": "web"})
        roles.update_role(transaction, role, tags=None)
    bench.kept.refresh()
    bench.refusal()
    bench.refusal(CALL._replace(principal=SESSION))


def test_a_deny_by_the_tag_of_whoever_calls_counts_also_in_the_policy_of_the_resource(bench: Bench) -> None:
    with bench.stores.state.write() as transaction:
        tagged = RoleRecord(
            ACCOUNT, "rotator", "AROAROTATOR", "/", ROLE_ARN, CALL.at, "{}", None, 3600, {"env": "blocked"}
        )
        roles.insert_role(transaction, tagged)
    bench.put(ROLE_ARN, policy())
    denying = policy(Effect="Deny", Principal="*", Condition={"StringEquals": {"aws:PrincipalTag/env": "blocked"}})

    bench.authorise(CALL._replace(principal=SESSION), GET, SUBJECT)
    bench.refusal(CALL._replace(principal=SESSION), subject=SUBJECT._replace(policy=denying))


def test_all_accounts_of_a_server_are_in_its_organization(bench: Bench) -> None:
    bench.put(USER.arn, policy(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}))
    bench.authorise(CALL, GET, SUBJECT)
    bench.put(USER.arn, policy(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-0987654321"}}))
    bench.refusal()


def test_a_session_policy_narrows_its_session_only(bench: Bench) -> None:
    bench.put(ROLE_ARN, policy(Action="*"))
    call = CALL._replace(principal=SESSION, session_policy=policy(Action="secretsmanager:DescribeSecret"))

    refused = bench.refusal(call)

    assert refused.message.endswith(f"because no session policy allows the {GET} action")
    bench.authorise(call, "secretsmanager:DescribeSecret", SUBJECT)
    bench.authorise(call._replace(session_policy=""), GET, SUBJECT)


def test_an_explicit_deny_wins_and_says_which_statement_it_was(bench: Bench) -> None:
    bench.put(USER.arn, policy())
    bench.put(USER.arn, policy(Effect="Deny", Sid="NotThis", Resource=SECRET), name="deny")

    refused = bench.refusal()

    assert refused.message.endswith("with an explicit deny in an identity-based policy")
    assert refused.decision == Decision(Outcome.EXPLICIT_DENY, PolicyType.IDENTITY, "deny", 0, "NotThis")


def test_a_resource_policy_can_allow_and_deny(bench: Bench) -> None:
    allowing = SUBJECT._replace(policy=policy(Principal={"AWS": USER.arn}))
    bench.authorise(CALL, GET, allowing)

    bench.put(USER.arn, policy())
    denying = SUBJECT._replace(policy=policy(Principal="*", Effect="Deny"))
    assert bench.refusal(subject=denying).message.endswith("with an explicit deny in a resource-based policy")


def test_the_policy_of_a_key_must_allow(bench: Bench) -> None:
    decrypt, account = "kms:Decrypt", {"AWS": ACCOUNT}
    key: Subject[object] = Subject("arn:aws:kms:us-east-1:000000000000:key/a", "a", record=object())
    bench.put(USER.arn, policy(Action="kms:*"))

    def with_policy(**statement: Any) -> Subject[object]:
        return key._replace(policy=policy(Action="kms:*", **statement))

    bench.authorise(CALL, decrypt, with_policy(Principal=account))
    refused = bench.refusal(action=decrypt, subject=with_policy(Principal={"AWS": ROLE_ARN}))
    assert refused.decision == Decision(Outcome.IMPLICIT_DENY, PolicyType.RESOURCE)
    # A principal that the key's policy names needs no other policy; the account by itself allows nothing.
    bench.authorise(CALL._replace(principal=SESSION), decrypt, with_policy(Principal={"AWS": ROLE_ARN}))
    bench.refusal(CALL._replace(principal=SESSION), decrypt, with_policy(Principal=account))
    # KMS takes what Secrets Manager refuses: a statement without resources, which means nothing.
    with pytest.raises(KeyturnError, match="A stored key policy is refused"):
        bench.authorise(CALL, decrypt, key._replace(policy="{"))


def test_what_grants_allow_in_a_call_stands_beside_the_policy_of_the_key(bench: Bench) -> None:
    decrypt, granting = "kms:Decrypt", policy(Action="kms:Decrypt", Principal={"AWS": USER.arn}, Sid="grant-id")
    key = policy(Action="kms:*", Principal={"AWS": ROLE_ARN})
    without: Subject[object] = Subject("arn:aws:kms:us-east-1:000000000000:key/a", "a", record=object(), policy=key)

    # Calls of one caller on one key differ by their encryption context: what was decided of one is not for the other.
    for _ in range(2):
        bench.refusal(action=decrypt, subject=without)
        decision = bench.authorise.decide(CALL, decrypt, without._replace(grants=granting))
        assert decision == Decision(Outcome.ALLOW, PolicyType.GRANT, "grants", 0, "grant-id")

    bench.put(USER.arn, policy(Action="kms:*", Effect="Deny"), name="deny")
    refused = bench.refusal(action=decrypt, subject=without._replace(grants=granting))
    assert refused.decision.policy_name == "deny"
    assert refused.encoded_messages[ACCOUNT] is not None
    explained = json.loads(decoded_message(MESSAGES, refused.encoded_messages[ACCOUNT], ACCOUNT))["keyturn"]["policies"]
    assert [(one["policyType"], one["statements"][0]["applies"]) for one in explained if one["statements"]] == [
        ("identity-based policy", True),
        ("grant", True),
    ]


def test_whether_a_caller_may_be_denied_anything_is_known_beforehand(bench: Bench) -> None:
    session = CALL._replace(principal=SESSION)
    bench.put(USER.arn, policy())
    bench.put(ROLE_ARN, policy())
    assert not bench.authorise.may_deny(CALL)
    assert not bench.authorise.may_deny(session)
    assert bench.authorise.may_deny(session._replace(session_policy=policy(Effect="Deny")))

    bench.put(USER.arn, policy(Effect="Deny", Action="x:y"), name="deny")
    assert bench.authorise.may_deny(CALL)
    assert not bench.authorise.may_deny(session)


def test_a_stored_policy_that_cannot_be_read_decides_nothing(bench: Bench) -> None:
    bench.put(USER.arn, policy(), name="good")
    bench.put(USER.arn, "{", name="broken")

    with pytest.raises(KeyturnError, match="The stored policy broken of"):
        bench.authorise(CALL, GET, SUBJECT)
    with pytest.raises(KeyturnError, match="A stored resource-based policy is refused"):
        bench.authorise(CALL._replace(principal=SESSION), GET, SUBJECT._replace(policy="{"))


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("IpAddress", "aws:SourceIp", "192.0.2.0/24"),
        ("StringEquals", "aws:PrincipalArn", ROLE_ARN),
        ("StringEquals", "aws:userid", "AROAROTATOR:db-rotation"),
        ("Null", "aws:username", "true"),
        ("StringEquals", "aws:PrincipalAccount", ACCOUNT),
        ("StringEquals", "aws:PrincipalType", "AssumedRole"),
        ("Bool", "aws:SecureTransport", "false"),
        ("Bool", "aws:ViaAWSService", "false"),
        ("DateEquals", "aws:CurrentTime", "2026-01-02T03:04:05Z"),
        ("NumericEquals", "aws:EpochTime", "1767323045"),
        ("StringEquals", "aws:RequestedRegion", "us-east-1"),
        ("DateEquals", "aws:TokenIssueTime", "2026-01-02T03:00:00Z"),
        ("StringEquals", "secretsmanager:VersionStage", "AWSCURRENT"),
        ("Null", "aws:SourceArn", "true"),
    ],
)
def test_conditions_see_the_keys_of_the_call_and_of_the_subject(
    bench: Bench, operator: str, key: str, value: str
) -> None:
    call = CALL._replace(principal=SESSION)
    subject = SUBJECT._replace(keys={"secretsmanager:versionstage": ("AWSCURRENT",)})

    bench.put(ROLE_ARN, policy(Condition={operator: {key: value}}))

    bench.authorise(call, GET, subject)


def test_a_user_has_a_name_and_no_token(bench: Bench) -> None:
    bench.put(
        USER.arn,
        policy(Condition={"StringEquals": {"aws:username": "ada"}, "Null": {"aws:TokenIssueTime": "true"}}),
    )

    bench.authorise(CALL, GET, SUBJECT)


def test_a_call_over_tls_is_known_as_one(bench: Bench) -> None:
    bench.put(USER.arn, policy(Condition={"Bool": {"aws:SecureTransport": "true"}}))

    bench.refusal()
    bench.authorise(CALL._replace(secure_transport=True), GET, SUBJECT)


def test_an_ipv4_client_of_a_socket_for_both_families_has_its_ipv4_address(bench: Bench) -> None:
    bench.put(USER.arn, policy(Effect="Deny", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}}), "deny")
    bench.put(USER.arn, policy())

    bench.refusal(CALL._replace(source_address="::ffff:192.0.2.7"))
    bench.authorise(CALL._replace(source_address="2001:db8::7"), GET, SUBJECT)


def test_a_client_without_an_address_is_not_taken_for_a_service(bench: Bench) -> None:
    bench.put(USER.arn, policy(Condition={"Bool": {"aws:ViaAWSService": "true"}}))

    bench.refusal(CALL._replace(source_address=""))


def test_a_subject_cannot_pretend_to_be_another_caller(bench: Bench) -> None:
    bench.put(USER.arn, policy(Condition={"StringEquals": {"aws:username": "eve"}}))

    bench.refusal(subject=SUBJECT._replace(keys={"aws:username": ("eve",)}))


def test_decide_tells_what_led_to_an_allow(bench: Bench) -> None:
    bench.put(USER.arn, policy(Sid="Read"))

    assert bench.authorise.decide(CALL, GET, SUBJECT) == Decision(
        Outcome.ALLOW, PolicyType.IDENTITY, "inline", 0, "Read"
    )


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The actions that are decided anew from now on."""
    decided: list[str] = []

    def counting(context: RequestContext, policies: PolicySet) -> Decision:
        decided.append(context.action)
        return evaluate(context, policies)

    monkeypatch.setattr("keyturn.server.authorise.evaluate", counting)
    return decided


def test_a_decision_is_kept_for_the_same_question_only(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(USER.arn, policy(Action="secretsmanager:*"))
    bench.put(ROLE_ARN, policy(Action="secretsmanager:*"))
    decided = counted(monkeypatch)
    describe = "secretsmanager:DescribeSecret"
    questions: list[tuple[Call, str, Subject[object]]] = [
        (CALL, GET, SUBJECT),
        (CALL, describe, SUBJECT),
        (CALL, GET, SUBJECT._replace(arn=SECRET + "x")),
        (CALL, GET, SUBJECT._replace(policy=policy(Principal="*"))),
        (CALL._replace(principal=SESSION), GET, SUBJECT),
        (CALL._replace(principal=SESSION, session_policy=policy()), GET, SUBJECT),
        (CALL._replace(principal=replace(SESSION, arn=SESSION.arn + "x")), GET, SUBJECT),
    ]
    for question in questions * 3:
        bench.authorise(*question)

    assert decided == [GET, describe, GET, GET, GET, GET, GET]


def test_a_refusal_is_kept_too_and_says_the_same_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(USER.arn, policy(Sid="Never", Effect="Deny"))
    first = bench.refusal()
    decided = counted(monkeypatch)

    again = bench.refusal()

    assert decided == []
    assert (again.message, again.decision) == (first.message, first.decision)


@pytest.mark.parametrize(
    "statement",
    [
        {"Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}},
        {"Resource": "arn:aws:secretsmanager:*:*:secret:${aws:RequestedRegion}/*"},
        {"Condition": {"DateLessThan": {"aws:CurrentTime": "2026-02-01T00:00:00Z"}}},
    ],
)
def test_what_a_condition_key_decided_is_decided_each_time(bench: Bench, statement: dict[str, Any]) -> None:
    subject = SUBJECT._replace(arn=f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:us-east-1/db-a1b2c3")
    bench.put(USER.arn, policy(**{"Resource": "*", **statement}))
    bench.authorise(CALL, GET, subject)
    elsewhere = CALL._replace(place=Place("aws", "eu-west-1", ACCOUNT), at=datetime(2026, 3, 1, tzinfo=UTC))

    bench.refusal(elsewhere, GET, subject)
    bench.authorise(CALL, GET, subject)


def test_a_kept_decision_ends_with_the_policies_that_it_rests_on(bench: Bench) -> None:
    question = (CALL, GET, SUBJECT)
    bench.refusal(*question)
    for _ in range(3):
        bench.put(USER.arn, policy())
        bench.authorise(*question)
        bench.put(USER.arn, policy(Effect="Deny"), name="other")
        bench.refusal(*question)
        with bench.stores.state.write() as transaction:
            inline_policies.delete_inline_policy(transaction, USER.arn, "other")
        bench.kept.refresh()
        bench.authorise(*question)


def explained(refused: Refused, account_id: str = ACCOUNT) -> Any:
    return json.loads(decoded_message(MESSAGES, refused.encoded_messages[account_id], account_id))


def test_a_refusal_carries_sealed_why(bench: Bench) -> None:
    bench.put(USER.arn, policy(Sid="Elsewhere", Resource=SECRET + "x"), name="reading")

    why = explained(bench.refusal())

    assert (why["allowed"], why["explicitDeny"], why["matchedStatements"]) == (False, False, {"items": []})
    assert why["context"]["principal"] == {"id": "AIDAADA", "arn": USER.arn}
    assert (why["context"]["action"], why["context"]["resource"]) == (GET, SECRET)
    keys = {
        item["key"]: [one["value"] for one in item["values"]["items"]] for item in why["context"]["conditions"]["items"]
    }
    assert keys["aws:sourceip"] == ["192.0.2.7"]
    [taking_part] = why["keyturn"]["policies"]
    assert (taking_part["policyType"], taking_part["policyName"]) == ("identity-based policy", "reading")
    [near] = taking_part["statements"]
    assert (near["applies"], near["namesResource"], near["statement"]["Sid"]) == (False, False, "Elsewhere")
    assert why["keyturn"]["remedies"] == [
        {
            "policyType": "identity-based policy",
            "statement": {"Effect": "Allow", "Action": GET, "Resource": SECRET},
        }
    ]


def test_a_deny_that_matched_is_told_as_aws_tells_it(bench: Bench) -> None:
    bench.put(USER.arn, policy(Sid="Never", Effect="Deny", Condition={"Bool": {"aws:SecureTransport": "false"}}))

    why = explained(bench.refusal())

    assert why["explicitDeny"]
    assert why["matchedStatements"] == {
        "items": [
            {
                "statementId": "Never",
                "effect": "DENY",
                "principals": {"items": []},
                "principalGroups": {"items": []},
                "actions": {"items": [{"value": GET}]},
                "resources": {"items": [{"value": "*"}]},
                "conditions": {"items": [{"key": "aws:SecureTransport", "values": {"items": [{"value": "false"}]}}]},
            }
        ]
    }
    assert why["keyturn"]["remedies"] == []


def test_across_accounts_each_learns_of_its_own_policies_only(bench: Bench) -> None:
    other = "111111111111"
    arn = SECRET.replace(ACCOUNT, other)
    of_owner = policy(
        Sid="MergerWithAcme", Principal={"AWS": ACCOUNT}, Action="secretsmanager:Get*", Resource=arn + "x"
    )
    bench.put(USER.arn, policy(Sid="InternalPayroll", Resource=SECRET), name="private")
    foreign = SUBJECT._replace(arn=arn, policy=of_owner, keys={"aws:resourcetag/codename": ("zeus",)})

    refused = bench.refusal(subject=foreign)
    caller, owner = explained(refused), explained(refused, other)

    assert (caller["context"]["principal"]["arn"], owner["context"]["principal"]) == (USER.arn, {"id": USER.unique_id})
    assert [one["policyName"] for one in caller["keyturn"]["policies"]] == ["private"]
    assert [one["policyName"] for one in owner["keyturn"]["policies"]] == ["resource-based policy"]
    assert not [text for text in ("MergerWithAcme", "zeus") if text in json.dumps(caller)]
    assert not [text for text in ("InternalPayroll", "private", "/ada", "192.0.2.7") if text in json.dumps(owner)]
    assert owner["keyturn"]["remedies"][0]["statement"]["Principal"] == {"AWS": ACCOUNT}
    with pytest.raises(ForeignToken):
        decoded_message(MESSAGES, refused.encoded_messages[other], ACCOUNT)


def test_a_decision_names_a_policy_to_its_own_account_only(bench: Bench) -> None:
    other = "111111111111"
    denies = policy(Sid="MergerWithAcme", Effect="Deny", Principal="*")
    bench.put(USER.arn, policy())

    refused = bench.refusal(subject=SUBJECT._replace(arn=SECRET.replace(ACCOUNT, other), policy=denies))

    assert refused.decision_seen_by(other).sid == "MergerWithAcme"
    seen = refused.decision_seen_by(ACCOUNT)
    assert (seen.outcome, seen.policy_type) == (Outcome.EXPLICIT_DENY, PolicyType.RESOURCE)
    assert (seen.policy_name, seen.statement_index, seen.sid) == (None, None, None)


@pytest.mark.parametrize("name", ["*", "?", "${x}", "a*b"])
def test_a_caller_does_not_choose_by_a_wildcard_what_is_offered(bench: Bench, name: str) -> None:
    asked = SUBJECT._replace(arn=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/{name}")
    [remedy] = explained(bench.refusal(action="kms:Decrypt", subject=asked))["keyturn"]["remedies"]
    bench.put(USER.arn, policy(Action="kms:Decrypt", Resource=remedy["statement"]["Resource"]))

    bench.authorise(CALL, "kms:Decrypt", asked)
    bench.refusal(action="kms:Decrypt", subject=asked._replace(arn=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/a1b"))
    bench.refusal(action="kms:Decrypt", subject=asked._replace(arn=f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"))


def test_a_name_of_any_length_is_refused_like_every_other(bench: Bench) -> None:
    long = "é" * 20_000

    refused = bench.refusal(subject=SUBJECT._replace(arn=f"{SECRET}{long}", asked=long))

    assert len(refused.encoded_messages[ACCOUNT]) <= 10_240
    assert explained(refused)["keyturn"]["decision"]["outcome"] == "implicitDeny"


def test_however_much_there_is_to_tell_the_message_stays_within_its_limit(bench: Bench) -> None:
    long = [f"arn:aws:secretsmanager:*:*:secret:{number:080}" for number in range(10)]
    for number in range(20):
        bench.put(USER.arn, policy(Resource=long), name=f"policy-{number}")

    refused = bench.refusal()

    assert len(refused.encoded_messages[ACCOUNT]) <= 10_240
    assert explained(refused)["keyturn"]["isCut"]
    assert explained(refused)["keyturn"]["remedies"]
