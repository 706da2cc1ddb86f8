"""Query as IAM and STS speak it: forms in, XML out."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import pytest

from keyturn.errors.common import SerializationFailed, UnrecognizedClient, ValidationFailed
from keyturn.errors.iam import NoSuchEntityException
from keyturn.wire import query
from keyturn.wire.form import form_fields, tree_of
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import service
from keyturn.wire.route import Route

IAM = service("iam")


def parse(operation_name: str, *fields: tuple[str, str], **more: str) -> dict[str, Any]:
    body = urlencode([*fields, *more.items()]).encode()
    request = HttpRequest("POST", b"/", b"", {}, body, "http", "127.0.0.1")
    return query.parse(IAM.operation(operation_name), Route(IAM, operation_name), request)


def test_numbered_elements_are_taken_in_order_and_gaps_closed() -> None:
    fields = [
        ("Tags.member.10.Key", "b"),
        ("Tags.member.10.Value", "2"),
        ("Tags.member.9.Key", "a"),
        ("Tags.member.9.Value", "1"),
    ]
    assert parse("CreateUser", *fields, UserName="u")["Tags"] == [
        {"Key": "a", "Value": "1"},
        {"Key": "b", "Value": "2"},
    ]


def test_an_empty_list_is_an_empty_value() -> None:
    assert parse("CreateUser", UserName="u", Tags="")["Tags"] == []


@pytest.mark.parametrize(
    "fields",
    [
        [("Tags.member.x.Key", "a")],
        [("Tags.member.9999999999.Key", "a")],
        [("Tags.member.-1.Key", "a")],
        [("Tags", "a")],
        [("Tags.member.1", "a")],
        [("UserName.member.1", "a")],
        [("UserName", "a"), ("UserName.b", "c")],
        [("UserName.b", "c"), ("UserName", "a")],
        [("a." * 40, "b")],
    ],
)
def test_a_form_that_does_not_fit_is_a_serialization_fault(fields: list[tuple[str, str]]) -> None:
    with pytest.raises(SerializationFailed):
        parse("CreateUser", *fields)


def test_a_form_with_too_many_fields_is_refused() -> None:
    with pytest.raises(SerializationFailed):
        tree_of(form_fields(b"a=1&" * 20_000))


@pytest.mark.parametrize("number", ["1_0", " 10", "ten", "1.0", "٣", "9" * 100, ""])
def test_a_number_must_be_plain_digits(number: str) -> None:
    with pytest.raises(SerializationFailed):
        parse("ListUsers", MaxItems=number)


def test_broken_constraints_are_told_as_validation_error() -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse("CreateRole", RoleName="no spaces", AssumeRolePolicyDocument="{}")
    reply = query.error(IAM, None, caught.value, "r")
    error = ET.fromstring(reply.body).find("{*}Error")
    assert error is not None
    assert (reply.status, error.findtext("{*}Code")) == (400, "ValidationError")
    assert str(error.findtext("{*}Message")).startswith("1 validation error detected: Value at 'roleName' failed to ")


_KEY = (
    "[Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member"
    r" must satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+, Member must not be null]"
)


# Recorded by localstack, 2025-03 and 2026-02.
@pytest.mark.parametrize(
    ("operation", "fields", "told"),
    [
        (
            "GetPolicyVersion",
            {"PolicyArn": "arn:aws:iam::aws:policy/x", "VersionId": "7"},
            (
                r"Value at 'versionId' failed to satisfy constraint: Member must satisfy regular expression pattern:"
                r" v[1-9][0-9]*(\.[A-Za-z0-9-]*)?"
            ),
        ),
        (
            "UpdateAccessKey",
            {"AccessKeyId": "A" * 16, "Status": "Invalid"},
            "Value at 'status' failed to satisfy constraint: Member must satisfy enum value set",
        ),
        (
            "UntagPolicy",
            {"PolicyArn": "arn:aws:iam::aws:policy/x", "TagKeys.member.1": "!"},
            f"Value at 'tagKeys' failed to satisfy constraint: Member must satisfy constraint: {_KEY}",
        ),
        (
            "TagRole",
            {"RoleName": "r", "Tags.member.1.Key": "k" * 129, "Tags.member.1.Value": "v"},
            (
                "Value at 'tags.1.member.key' failed to satisfy constraint: Member must have length less than or equal"
                " to 128"
            ),
        ),
    ],
)
def test_iam_echoes_no_value(operation: str, fields: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse(operation, **fields)
    assert caught.value.message == f"1 validation error detected: {told}"


def test_an_error_names_the_sender_and_carries_the_request_id() -> None:
    reply = query.error(IAM, None, NoSuchEntityException("The user with name <x> cannot be found."), "request-1")
    assert reply.status == 404
    assert reply.body == (
        b'<ErrorResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><Error><Type>Sender</Type>'
        b"<Code>NoSuchEntity</Code><Message>The user with name &lt;x&gt; cannot be found.</Message></Error>"
        b"<RequestId>request-1</RequestId></ErrorResponse>"
    )


def test_a_signing_fault_has_the_querys_own_code() -> None:
    assert b"<Code>InvalidClientTokenId</Code>" in query.error(IAM, None, UnrecognizedClient(), "r").body


def test_characters_that_xml_cannot_hold_are_replaced() -> None:
    reply = query.error(IAM, None, NoSuchEntityException("a\x00b\x1bc"), "r")
    assert "a\ufffdb\ufffdc" in reply.body.decode()
    ET.fromstring(reply.body)


def test_policy_documents_are_given_plain_and_travel_percent_encoded() -> None:
    response = {"RoleName": "r", "PolicyName": "p", "PolicyDocument": '{"Version": "2012-10-17"}'}
    reply = query.reply(IAM.operation("GetRolePolicy"), response, "r")
    assert b"<PolicyDocument>%7B%22Version%22%3A%20%222012-10-17%22%7D</PolicyDocument>" in reply.body


def test_a_reply_without_result_still_has_its_metadata() -> None:
    reply = query.reply(IAM.operation("DeleteRole"), {}, "request-1")
    assert reply.body == (
        b'<DeleteRoleResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ResponseMetadata>'
        b"<RequestId>request-1</RequestId></ResponseMetadata></DeleteRoleResponse>"
    )


@pytest.mark.parametrize("null", ["%00", "\0"])
def test_no_text_holds_a_null_character(null: str) -> None:
    body = f"UserName=u&PermissionsBoundary=arn:aws:iam::aws:policy/{null}".encode()
    request = HttpRequest("POST", b"/", b"", {}, body, "http", "127.0.0.1")

    with pytest.raises(ValidationFailed) as caught:
        query.parse(IAM.operation("CreateUser"), Route(IAM, "CreateUser"), request)

    assert caught.value.message == (
        "1 validation error detected: Value 'arn:aws:iam::aws:policy/\0' at 'permissionsBoundary' failed to satisfy"
        " constraint: Member must not contain null characters"
    )


def test_a_lone_surrogate_is_no_form() -> None:
    request = HttpRequest("POST", b"/", b"", {}, b"UserName=%ED%A0%80", "http", "127.0.0.1")
    with pytest.raises(SerializationFailed):
        query.parse(IAM.operation("GetUser"), Route(IAM, "GetUser"), request)
