"""JSON 1.1 as Secrets Manager speaks it: the exact bodies of refusals, and what a reply carries."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from keyturn.errors.base import AwsError
from keyturn.errors.common import AccessDenied, SerializationFailed, UnknownOperation, ValidationFailed
from keyturn.errors.logs import ResourceAlreadyExistsException
from keyturn.errors.secretsmanager import InternalServiceError, ResourceNotFoundException
from keyturn.wire import json11
from keyturn.wire.http import HttpReply, HttpRequest
from keyturn.wire.models import service
from keyturn.wire.route import Route
from keyturn.wire.writers import UnknownMember

SECRETS = service("secretsmanager")


def parse(operation_name: str, body: bytes | dict[str, Any]) -> dict[str, Any]:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = HttpRequest("POST", b"/", b"", {}, encoded, "http", "127.0.0.1")
    return json11.parse(SECRETS.operation(operation_name), Route(SECRETS, operation_name), request)


def refusal(operation_name: str, body: bytes | dict[str, Any]) -> str:
    with pytest.raises((ValidationFailed, SerializationFailed)) as caught:
        parse(operation_name, body)
    return caught.value.message


def body_of(error: AwsError, name: str = "secretsmanager") -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json11.error(service(name), None, error, "r").body)
    return body


def headers_of(reply: HttpReply) -> dict[bytes, bytes]:
    return dict(reply.headers)


def test_a_missing_member_is_told_as_null() -> None:
    expected = (
        "1 validation error detected: Value null at 'secretId' failed to satisfy constraint: Member must not be null"
    )
    assert refusal("GetSecretValue", {}) == expected
    assert refusal("GetSecretValue", {"SecretId": None}) == expected


def test_a_sensitive_value_is_not_echoed() -> None:
    told = refusal("PutSecretValue", {"SecretId": "a", "SecretString": "hush" * 20_000})
    assert told == (
        "1 validation error detected: Value at 'secretString' failed to satisfy constraint: "
        "Member must have length less than or equal to 65536"
    )


def test_an_empty_secret_string_is_too_short() -> None:
    assert refusal("PutSecretValue", {"SecretId": "a", "SecretString": ""}).endswith(
        "Value at 'secretString' failed to satisfy constraint: Member must have length greater than or equal to 1"
    )


def test_an_element_of_a_list_is_named_by_its_position() -> None:
    told = refusal("ListSecrets", {"Filters": [{"Key": "name"}, {"Key": "invalid"}]})
    assert told == (
        "1 validation error detected: Value 'invalid' at 'filters.2.member.key' failed to satisfy constraint: Member "
        "must satisfy enum value set: [description, name, tag-key, tag-value, primary-region, owning-service, all]"
    )


def test_scalars_of_a_list_are_told_together() -> None:
    told = refusal("PutSecretValue", {"SecretId": "a", "VersionStages": ["AWSCURRENT", ""]})
    assert told == (
        "1 validation error detected: Value '[AWSCURRENT, ]' at 'versionStages' failed to satisfy constraint: Member "
        "must satisfy constraint: [Member must have length less than or equal to 256, Member must have length greater "
        "than or equal to 1, Member must not be null]"
    )


def test_all_violations_are_told_at_once() -> None:
    told = refusal("RotateSecret", {"RotationRules": {"AutomaticallyAfterDays": 0, "Duration": "x"}})
    assert told.startswith("4 validation errors detected: Value '0' at 'rotationRules.automaticallyAfterDays' ")
    assert "; Value 'x' at 'rotationRules.duration' failed to satisfy constraint: Member must satisfy regular" in told
    assert told.endswith("Value null at 'secretId' failed to satisfy constraint: Member must not be null")


def test_a_flood_of_violations_is_counted_but_not_repeated_in_full() -> None:
    told = refusal("ListSecrets", {"Filters": [{"Key": "x"}] * 5000})
    assert told.startswith("5001 validation errors detected: ")
    assert len(told) < 20_000


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1, "NUMBER_VALUE can not be converted to a String"),
        (1.5, "NUMBER_VALUE can not be converted to a String"),
        (True, "TRUE_VALUE can not be converted to a String"),
        ({}, "Start of structure or map found where not expected."),
        ([], "Start of list found where not expected"),
    ],
)
def test_a_wrong_type_is_a_serialization_fault(value: object, message: str) -> None:
    assert refusal("GetSecretValue", {"SecretId": value}) == message


NOT_JSON = [
    b"",
    b"{",
    b"null",
    b"1",
    b"\xff",
    b'{"SecretId":"\xc3\x28"}',
    b'{"SecretId":"a",}',
    b'"x"',
    b"{} x",
    b"NaN",
]


@pytest.mark.parametrize("body", NOT_JSON)
def test_what_is_not_a_json_object_is_a_serialization_fault_without_a_reason(body: bytes) -> None:
    assert refusal("GetSecretValue", body) == ""
    assert body_of(SerializationFailed()) == {"__type": "SerializationException"}


def test_a_list_in_place_of_the_request_is_told() -> None:
    assert refusal("GetSecretValue", b"[]") == "Start of list found where not expected"


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        ("ListSecrets", {"Filters": "x"}, "Expected list or null"),
        ("ListSecrets", {"Filters": {}}, "Start of structure or map found where not expected."),
        ("ListSecrets", {"Filters": ["x"]}, "Expected null"),
        ("ListSecrets", {"Filters": [[]]}, "Start of list found where not expected"),
        ("RotateSecret", {"RotationRules": 1}, "Expected null"),
        ("DeleteSecret", {"ForceDeleteWithoutRecovery": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
        ("DeleteSecret", {"ForceDeleteWithoutRecovery": "sure"}, "STRING_VALUE can not be converted to an Boolean"),
    ],
)
def test_a_wrong_container_is_told_in_the_words_of_awss_parser(
    operation: str, members: dict[str, Any], message: str
) -> None:
    assert refusal(operation, members) == message


@pytest.mark.parametrize(("sent", "read"), [("true", True), ("Y", True), ("1", True), ("FALSE", False), ("no", False)])
def test_a_boolean_may_be_written_as_a_word(sent: str, read: bool) -> None:
    assert parse("DeleteSecret", {"SecretId": "a", "ForceDeleteWithoutRecovery": sent}) == {
        "SecretId": "a",
        "ForceDeleteWithoutRecovery": read,
    }


def test_a_number_loses_what_is_behind_its_point() -> None:
    assert parse("ListSecrets", {"MaxResults": 1.9}) == {"MaxResults": 1}


def test_a_number_beyond_its_type_breaks_its_upper_bound() -> None:
    assert refusal("ListSecrets", {"MaxResults": 99_999_999_999}).endswith("value less than or equal to 100")
    assert refusal("ListSecrets", {"MaxResults": 10**20}) == "The number is out of the range of Long."


def test_a_refused_body_is_not_quoted() -> None:
    assert "hush" not in refusal("PutSecretValue", b'{"SecretString": "hush')
    assert "hush" not in refusal("PutSecretValue", {"SecretId": "a", "SecretBinary": "hush!"})


def test_of_a_key_sent_twice_the_last_value_counts() -> None:
    assert parse("GetSecretValue", b'{"SecretId":"a","SecretId":"b"}') == {"SecretId": "b"}


def test_members_the_model_does_not_know_are_passed_over() -> None:
    assert parse("GetSecretValue", {"SecretId": "a", "Colour": {"deep": []}}) == {"SecretId": "a"}


def test_blobs_are_bytes() -> None:
    assert parse("PutSecretValue", {"SecretId": "a", "SecretBinary": "AP8="})["SecretBinary"] == b"\x00\xff"


def test_a_reply_has_milliseconds_and_leaves_out_what_is_none() -> None:
    moment = datetime(2018, 4, 11, 20, 11, 17, 145713, tzinfo=UTC)
    reply = json11.reply(
        SECRETS.operation("GetSecretValue"), {"Name": "a", "SecretString": None, "CreatedDate": moment}, "request-1"
    )
    assert json.loads(reply.body) == {"Name": "a", "CreatedDate": 1523477477.145}
    assert headers_of(reply) == {
        b"x-amzn-requestid": b"request-1",
        b"content-type": b"application/x-amz-json-1.1",
        b"content-length": str(len(reply.body)).encode(),
    }


def test_a_member_the_model_does_not_know_is_a_mistake_of_the_handler() -> None:
    with pytest.raises(UnknownMember, match="has no member Nmae"):
        json11.reply(SECRETS.operation("GetSecretValue"), {"Nmae": "a"}, "r")


def test_an_operation_without_output_answers_an_empty_body() -> None:
    assert json11.reply(SECRETS.operation("TagResource"), {}, "r").body == b""


def test_a_modelled_error_has_a_capital_message_and_400() -> None:
    assert body_of(ResourceNotFoundException()) == {
        "__type": "ResourceNotFoundException",
        "Message": "Secrets Manager can't find the specified secret.",
    }
    assert json11.error(SECRETS, None, ResourceNotFoundException(), "r").status == 400
    assert json11.error(SECRETS, None, InternalServiceError(), "r").status == 500


def test_the_parsers_own_fault_has_a_capital_message() -> None:
    assert body_of(SerializationFailed("No.")) == {"__type": "SerializationException", "Message": "No."}


def test_a_denial_and_a_broken_constraint_have_a_small_message() -> None:
    assert body_of(AccessDenied("No.")) == {"__type": "AccessDeniedException", "message": "No."}
    assert body_of(ValidationFailed("No.")) == {"__type": "ValidationException", "message": "No."}
    assert body_of(UnknownOperation()) == {"__type": "UnknownOperationException"}


def test_logs_tells_broken_constraints_under_its_own_code() -> None:
    assert body_of(ValidationFailed("No."), "logs")["__type"] == "InvalidParameterException"
    assert body_of(ResourceAlreadyExistsException(), "logs")["message"] == "The specified log group already exists"


TOLD_OF_NULLS = "failed to satisfy constraint: Member must not contain null characters"


@pytest.mark.parametrize(
    ("operation_name", "request_", "told"),
    [
        (
            "CreateSecret",
            {"Name": "a", "ClientRequestToken": "\0" * 32},
            f"Value '{chr(0) * 32}' at 'clientRequestToken'",
        ),
        (
            "CreateSecret",
            {"Name": "a", "Tags": [{"Key": "a", "Value": "b"}, {"Key": "c", "Value": "\0"}]},
            "Value '\0' at 'tags.2.member.value'",
        ),
        ("UntagResource", {"SecretId": "a", "TagKeys": ["a", "b\0"]}, "Value '[a, b\0]' at 'tagKeys'"),
    ],
)
def test_no_text_holds_a_null_character(operation_name: str, request_: dict[str, Any], told: str) -> None:
    assert refusal(operation_name, request_) == f"1 validation error detected: {told} {TOLD_OF_NULLS}"


def test_null_characters_are_told_in_the_order_of_the_request_and_after_all_else() -> None:
    request: dict[str, Any] = {"Name": "a", "KmsKeyId": "a\0", "Description": "b\0"}
    assert refusal("CreateSecret", request) == (
        f"2 validation errors detected: Value 'a\0' at 'kmsKeyId' {TOLD_OF_NULLS}; Value 'b\0' at 'description' "
        f"{TOLD_OF_NULLS}"
    )
    assert "null characters" not in refusal("CreateSecret", {**request, "Name": ""})


def test_null_characters_in_maps_are_told_by_the_map() -> None:
    kms = service("kms")
    body = json.dumps({"KeyId": "a", "Plaintext": "AA==", "EncryptionContext": {"a": "b\0"}}).encode()
    request = HttpRequest("POST", b"/", b"", {}, body, "http", "127.0.0.1")
    with pytest.raises(ValidationFailed) as caught:
        json11.parse(kms.operation("Encrypt"), Route(kms, "Encrypt"), request)
    assert caught.value.message == (
        f"1 validation error detected: Value '{{a=b\0}}' at 'encryptionContext' {TOLD_OF_NULLS}"
    )


def test_a_secret_value_and_what_only_looks_like_a_null_character_are_taken() -> None:
    request = {"SecretId": "a\\u0000", "SecretString": "a\0b"}
    assert parse("PutSecretValue", request) == request


@pytest.mark.parametrize("body", [b'{"SecretId": "a\0"}', b'{"SecretId": "\\ud800"}', b'{"SecretId": "\xed\xa0\x80"}'])
def test_a_bare_null_character_and_a_lone_surrogate_are_no_json(body: bytes) -> None:
    with pytest.raises(SerializationFailed):
        parse("GetSecretValue", body)


def test_an_error_that_quotes_a_lone_surrogate_is_told() -> None:
    assert body_of(ResourceNotFoundException("no a\ud800b"))["Message"] == "no a?b"
