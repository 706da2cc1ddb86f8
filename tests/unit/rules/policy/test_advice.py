from __future__ import annotations

import json
from typing import Any

import pytest

from keyturn.operations import registry
from keyturn.operations.secretsmanager import condition_keys as secret_keys
from keyturn.rules.policy.advice import Advice, Doubt, advice
from keyturn.rules.policy.lenient_json import read
from keyturn.rules.policy.refusals import DocumentKind
from keyturn.rules.policy.service_names import WITHOUT_RESOURCE, action_names, is_condition_key
from keyturn.rules.policy.spelling import meant, similar
from keyturn.server.call_keys import global_key_names
from keyturn.wire import models

ACTIONS = action_names({service: models.service(service).operation_names for service in models.API_VERSIONS})
SECRET = "arn:aws:secretsmanager:us-east-1:111122223333:secret:"
PLAIN = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*"}


def doubts(text: str, kind: DocumentKind = DocumentKind.IDENTITY) -> list[Advice]:
    root = read(text).root
    assert root is not None
    return list(advice(root, kind, ACTIONS))


def about(
    version: str | None = "2012-10-17", kind: DocumentKind = DocumentKind.IDENTITY, **statement: Any
) -> list[Advice]:
    document: dict[str, Any] = {"Statement": [{**PLAIN, **statement}]}
    return doubts(json.dumps({"Version": version, **document} if version else document), kind)


def test_nothing_is_doubted_without_reason() -> None:
    assert about() == []
    assert about(Action="*") == []
    assert about(Action=["secretsmanager:*", "kms:Decrypt*", "s3:GetObject", "SecretsManager:getsecretvalue"]) == []


@pytest.mark.parametrize(
    ("action", "question"),
    [
        ("secretsmanager:GetSecretValues", "secretsmanager:GetSecretValue"),
        ("secretsmanager:RotateSecrets", "secretsmanager:RotateSecret"),
        ("kms:ReEncrypt", "kms:ReEncryptTo"),
        ("lambda:Invoke", None),
        ("lambda:InvokeWithResponseStream", None),
        ("secretsmanager:Read*", None),
        ("iam:?", None),
    ],
)
def test_an_action_that_its_service_does_not_have(action: str, question: str | None) -> None:
    [doubt] = about(Action=["kms:Decrypt", action])

    assert (doubt.doubt, doubt.path) == (Doubt.UNKNOWN_ACTION, ("Statement", 0, "Action", 1))
    assert (f"Was {question} meant?" in doubt.message) if question else ("meant" not in doubt.message)


@pytest.mark.parametrize(
    "action",
    ["kms:ReEncrypt*", "kms:ReEncryptFrom", "iam:PassRole", "lambda:InvokeFunction", "sts:TagSession", "logs:Unmask"],
)
def test_actions_that_are_no_operations(action: str) -> None:
    assert about(Action=action) == []
    assert about(NotAction=action) == []


def test_a_service_that_is_misspelt() -> None:
    [doubt] = about(Action="secretmanager:GetSecretValue")

    assert doubt.doubt is Doubt.UNKNOWN_SERVICE
    assert doubt.message == "No service is called secretmanager. Was secretsmanager:GetSecretValue meant?"


@pytest.mark.parametrize("action", ["sns:TagResource", "sms:CreateApp", "secretmanager:Nothing", "lamda:"])
def test_other_services_are_left_alone(action: str) -> None:
    assert about(Action=action) == []


@pytest.mark.parametrize(
    ("name", "is_possible"),
    [
        ("db-a1b2c3", True),
        ("db-??????", True),
        ("db-*", True),
        ("db*", True),
        ("*", True),
        ("prod/*-a1b2c3", True),
        ("*c3", True),
        ("?b?-????3?", True),
        ("db/${aws:username}", True),
        ("db", False),
        ("prod/db", False),
        ("prod/*/db", False),
        ("*-abc", False),
        ("db-a1b2", False),
        ("a1b2c3", False),
        ("db_a1b2c3", False),
        ("db-a1b2c-", False),
    ],
)
def test_the_arn_of_a_secret_ends_in_six_random_characters(name: str, is_possible: bool) -> None:
    for element in ("Resource", "NotResource"):
        written: dict[str, Any] = {"Resource": [], element: ["*", SECRET + name]}
        found = about(**written)
        assert [doubt.doubt for doubt in found] == ([] if is_possible else [Doubt.SECRET_SUFFIX])


def test_other_arns_end_as_they_like() -> None:
    assert about(Resource=["arn:aws:lambda:us-east-1:111122223333:function:f", "nonsense:secret:x"]) == []


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_an_action_without_resource_needs_all_of_them(effect: str) -> None:
    actions = ["secretsmanager:GetSecretValue", "secretsmanager:listsecrets", "secretsmanager:BatchGetSecretValue"]

    found = about(Effect=effect, Action=actions, Resource=SECRET + "*")

    assert [doubt.doubt for doubt in found] == [Doubt.RESOURCE_TOO_NARROW, Doubt.RESOURCE_TOO_NARROW]
    assert found[0].message.startswith("secretsmanager:listsecrets is about no single resource")
    assert about(Action=actions, Resource=[SECRET + "*", "*"]) == []
    assert about(Action="secretsmanager:*", Resource=SECRET + "*") == []


def test_a_condition_key_that_no_service_knows() -> None:
    found = about(
        Condition={
            "StringEquals": {"aws:PrincipleArn": "a", "secretsmanager:Nam": "b", "username": "c", "s3:prefix": "d"},
            "StringLike": {
                "AWS:principaltag/Team": "x",
                "kms:EncryptionContext:SecretARN": "y",
                "aws:RequestTag/": "z",
            },
        }
    )

    assert [(doubt.doubt, doubt.path[-1]) for doubt in found] == [
        (Doubt.CONDITION_KEY, "aws:PrincipleArn"),
        (Doubt.CONDITION_KEY, "secretsmanager:Nam"),
        (Doubt.CONDITION_KEY, "username"),
        (Doubt.CONDITION_KEY, "aws:RequestTag/"),
    ]
    assert "Was aws:PrincipalArn meant?" in found[0].message
    assert "Was secretsmanager:Name meant?" in found[1].message
    assert "Was aws:username meant?" in found[2].message
    assert "Was aws:RequestTag/NAME meant?" in found[3].message


def test_a_key_twice_values_that_are_none_and_wildcards_that_are_none() -> None:
    found = about(
        Condition={
            "StringNotEqualsIfExists": {"aws:username": ["ada", "a*"], "aws:UserName": [], "aws:userid": "${*}"},
            "StringLike": {"aws:username": "a*"},
        }
    )

    assert [doubt.doubt for doubt in found] == [Doubt.WILDCARD, Doubt.KEY_TWICE, Doubt.NO_VALUES]


def test_for_all_values_holds_of_nothing() -> None:
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}}

    assert [doubt.doubt for doubt in about(Condition=condition)] == [Doubt.FOR_ALL_VALUES]
    assert about(Condition=condition, Effect="Deny") == []
    assert about(Condition={**condition, "Null": {"AWS:TagKeys": "false"}}) == []


def test_an_allow_for_all_but_a_few() -> None:
    but = {"AWS": "111122223333"}

    assert [doubt.doubt for doubt in about(kind=DocumentKind.RESOURCE, NotPrincipal=but)] == [Doubt.NOT_PRINCIPAL]
    assert about(kind=DocumentKind.RESOURCE, Effect="Deny", NotPrincipal=but) == []


@pytest.mark.parametrize(("version", "path"), [(None, ()), ("2008-10-17", ("Version",))])
def test_the_version_of_2008_is_doubted(version: str | None, path: tuple[str, ...]) -> None:
    assert [(doubt.doubt, doubt.path) for doubt in about(version)] == [(Doubt.OLD_VERSION, path)]


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        '"x"',
        '{"Version": "2012-10-17", "Statement": 1}',
        '{"Version": "2012-10-17", "Statement": ["x", {}]}',
        '{"Version": "2012-10-17", "Statement": {"Action": {}, "Resource": [1], "Condition": {"StringEquals": 1}}}',
    ],
)
def test_what_is_no_policy_is_read_as_far_as_it_goes(text: str) -> None:
    assert {doubt.doubt for doubt in doubts(text)} <= {Doubt.OLD_VERSION}


# Names ----------------------------------------------------------------------------------------------------------------


def test_every_action_that_keyturn_asks_for_is_one() -> None:
    registry.discover()
    known = {f"{service}:{name}" for service, names in ACTIONS.items() for name in names}

    asked = {operation.action for operation in registry.all_operations() if operation.action}

    assert asked <= known


def test_every_action_that_is_said_to_have_no_resource_has_none_here() -> None:
    registry.discover()
    narrow = {
        operation.action
        for operation in registry.all_operations()
        if operation.action.lower() in WITHOUT_RESOURCE
        and operation.load.__name__ not in ("no_subject", "every_key", "new_key", "whole_account")
    }

    assert narrow == set()


@pytest.mark.parametrize(
    "key",
    [
        *global_key_names(),
        *secret_keys._OF_REQUEST,
        *secret_keys._OF_SECRET,
        "aws:ResourceTag/x",
        "aws:TagKeys",
        "saml:aud",
    ],
)
def test_every_condition_key_that_keyturn_gives_is_known(key: str) -> None:
    assert is_condition_key(key)


def test_words_that_were_meant() -> None:
    known = ("Allow", "Deny", "Action", "NotAction")

    assert [meant(word, known) for word in ("allow", "Alow", "Alolw", "Allows", "Bllow", " Allow ")] == ["Allow"] * 6
    assert [meant(word, known) for word in ("Al", "lowAl", "Actio", "", "x" * 200)] == [
        None,
        None,
        "Action",
        None,
        None,
    ]
    assert meant("ab", ("aab", "abb")) is None, "it could be either"
    assert similar("NotActoins", known) == "NotAction"
    assert similar("x" * 200, ("x" * 201,)) is None
