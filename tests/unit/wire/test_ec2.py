"""EC2's dialect of Query: lists without members, names with a capital, replies without a result around them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from keyturn.errors.common import (
    AccessDenied,
    ExpiredToken,
    SerializationFailed,
    SignatureMismatch,
    Throttled,
    UnrecognizedClient,
    ValidationFailed,
)
from keyturn.errors.ec2 import DryRunOperation
from keyturn.wire import ec2
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import service
from keyturn.wire.route import Route
from keyturn.wire.writers import UnknownMember

EC2 = service("ec2")
XMLNS = b'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'


def parse(operation_name: str, *fields: tuple[str, str], **more: str) -> dict[str, Any]:
    body = urlencode([*fields, *more.items()]).encode()
    request = HttpRequest("POST", b"/", b"", {}, body, "http", "127.0.0.1")
    return ec2.parse(EC2.operation(operation_name), Route(EC2, operation_name), request)


def test_lists_are_numbered_without_a_member() -> None:
    fields = [
        ("Filter.2.Name", "state"),
        ("Filter.2.Value.2", "pending"),
        ("Filter.2.Value.1", "available"),
        ("Filter.1.Name", "cidr"),
        ("VpcId.1", "vpc-1"),
    ]
    assert parse("DescribeVpcs", *fields) == {
        "Filters": [{"Name": "cidr"}, {"Name": "state", "Values": ["available", "pending"]}],
        "VpcIds": ["vpc-1"],
    }


def test_an_empty_list_is_an_empty_value() -> None:
    assert parse("DescribeVpcs", VpcId="")["VpcIds"] == []


def test_a_member_begins_with_a_capital_whatever_the_model_calls_it() -> None:
    assert parse("CreateVpc", CidrBlock="10.0.0.0/16", InstanceTenancy="default", DryRun="true") == {
        "CidrBlock": "10.0.0.0/16",
        "InstanceTenancy": "default",
        "DryRun": True,
    }


def test_a_query_name_goes_before_a_location_name() -> None:
    member = EC2.follow({"shape": "String", "locationName": "name", "queryName": "Q"})
    assert (ec2._wire_name(member, "Member"), ec2._wire_name(EC2.shape("String"), "Member")) == ("Q", "Member")


@pytest.mark.parametrize(
    ("fields", "code", "told"),
    [
        ({}, "MissingParameter", "The request must contain the parameter attribute"),
        ({"VpcId": "vpc-1"}, "MissingParameter", "The request must contain the parameter attribute"),
        (
            {"VpcId": "vpc-1", "Attribute": "colour"},
            "InvalidParameterValue",
            (
                "Value (colour) for parameter attribute is invalid. Member must satisfy enum value set: "
                "[enableDnsSupport, enableDnsHostnames, enableNetworkAddressUsageMetrics]"
            ),
        ),
    ],
)
def test_the_first_broken_constraint_is_told(fields: dict[str, str], code: str, told: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse("DescribeVpcAttribute", **fields)

    outcome = ec2.told_as(EC2, caught.value)
    assert (outcome.code, outcome.message, outcome.status) == (code, told, 400)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("4", "Value (4) for parameter maxResults is invalid. Expecting a value greater than 5."),
        ("1001", "Value (1001) for parameter maxResults is invalid. Expecting a value less than 1000."),
    ],
)
def test_a_number_out_of_bounds_is_told_in_ec2s_words(number: str, told: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        parse("DescribeVpcs", MaxResults=number)
    assert caught.value.message == told


@pytest.mark.parametrize(
    "fields", [{"DryRun": "perhaps"}, {"VpcId": "vpc-1"}, {"VpcId.x": "vpc-1"}, {"Filter.1": "a"}, {"MaxResults": "x"}]
)
def test_a_form_that_does_not_fit_is_an_invalid_value(fields: dict[str, str]) -> None:
    with pytest.raises(SerializationFailed) as caught:
        parse("DescribeVpcs", **fields)
    assert ec2.told_as(EC2, caught.value).code == "InvalidParameterValue"


def test_no_text_holds_a_null_character() -> None:
    with pytest.raises(ValidationFailed):
        parse("DescribeVpcs", NextToken="a\0")


def test_a_reply_has_its_request_id_beside_its_members() -> None:
    reply = ec2.reply(EC2.operation("DescribeVpcs"), {"Vpcs": [{"VpcId": "vpc-1", "Tags": []}]}, "request-1")
    assert reply.body == (
        DECLARATION + b"<DescribeVpcsResponse " + XMLNS + b"><requestId>request-1</requestId><vpcSet><item>"
        b"<vpcId>vpc-1</vpcId><tagSet></tagSet></item></vpcSet></DescribeVpcsResponse>"
    )


def test_a_reply_without_members_says_that_it_is_true() -> None:
    reply = ec2.reply(EC2.operation("DeleteVpc"), {}, "request-1")
    assert reply.body == (
        DECLARATION + b"<DeleteVpcResponse " + XMLNS + b"><requestId>request-1</requestId><return>true</return>"
        b"</DeleteVpcResponse>"
    )


def test_a_member_that_the_model_does_not_have_is_a_mistake_of_ours() -> None:
    with pytest.raises(UnknownMember):
        ec2.reply(EC2.operation("DescribeVpcs"), {"Networks": []}, "request-1")


def test_an_error_stands_in_a_list_of_errors() -> None:
    reply = ec2.error(EC2, None, DryRunOperation(), "request-1")
    assert reply.status == 412
    assert reply.body == (
        DECLARATION + b"<Response><Errors><Error><Code>DryRunOperation</Code><Message>Request would have succeeded, but"
        b" DryRun flag is set.</Message></Error></Errors><RequestID>request-1</RequestID></Response>"
    )


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (UnrecognizedClient(), ("AuthFailure", 401, "AWS was not able to validate the provided access credentials")),
        (SignatureMismatch(), ("AuthFailure", 401, "AWS was not able to validate the provided access credentials")),
        (SignatureMismatch("Signature expired."), ("AuthFailure", 401, "Signature expired.")),
        (ExpiredToken(), ("RequestExpired", 400, "Request has expired.")),
        (Throttled(), ("RequestLimitExceeded", 503, "Request limit exceeded.")),
        (AccessDenied("Why."), ("UnauthorizedOperation", 403, "Why.")),
    ],
)
def test_what_every_service_refuses_ec2_refuses_in_its_own_words(error: Any, told: tuple[str, int, str]) -> None:
    outcome = ec2.told_as(EC2, error)
    assert (outcome.code, outcome.status, outcome.message) == told
