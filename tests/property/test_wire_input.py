"""Whatever bytes arrive, the wire answers with an error of AWS or with parameters; it never breaks. And back again."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlencode
from xml.etree import ElementTree as ET

import cbor2
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keyturn.errors.base import AwsError
from keyturn.errors.common import SerializationFailed, UnknownOperation, ValidationFailed
from keyturn.wire import protocol
from keyturn.wire.form import form_fields, in_order, tree_of
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import OperationModel, Shape, service
from keyturn.wire.route import Route, addressed_service, route
from keyturn.wire.timestamps import from_epoch, from_iso8601, to_epoch, to_iso8601

_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
_JSON_OPERATIONS = st.sampled_from(
    [
        service(name).operation(operation)
        for name, operation in (
            ("secretsmanager", "GetSecretValue"),
            ("secretsmanager", "CreateSecret"),
            ("secretsmanager", "ListSecrets"),
            ("secretsmanager", "RotateSecret"),
            ("logs", "PutLogEvents"),
            ("cloudtrail", "LookupEvents"),
            ("kms", "CreateKey"),
        )
    ]
)
_FORM_OPERATIONS = st.sampled_from(
    [
        service(name).operation(operation)
        for name, operation in (
            ("iam", "CreateRole"),
            ("sts", "AssumeRole"),
            ("ec2", "CreateVpc"),
            ("ec2", "DescribeVpcs"),
            ("cloudwatch", "GetMetricData"),
        )
    ]
)
_CBOR_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
        | st.builds(cbor2.CBORTag, st.sampled_from([0, 1, 2, 4, 5, 28, 29, 30, 35, 36, 258, 55799]), inner)
    ),
    max_leaves=12,
)
_MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis wants naive bounds


def _request(body: bytes = b"", path: bytes = b"/", query: bytes = b"", **headers: str) -> HttpRequest:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpRequest("POST", path, query, sent, body, "http", "127.0.0.1")


def _survives(operation: OperationModel, request: HttpRequest, **path_parameters: str) -> None:
    spoken = protocol(operation.service, request)
    try:
        spoken.parse(operation, Route(operation.service, operation.name, path_parameters), request)
    except (SerializationFailed, ValidationFailed) as error:
        reply = spoken.error(operation.service, operation, error, "the-request-id")
        assert reply.status == 400
        assert reply.body


def _values_for(shape: Shape, anything: st.SearchStrategy[object] = _JSON_VALUES) -> st.SearchStrategy[object]:
    """What comes near a shape: its own member names, often its own types, anything else now and then."""
    if shape.kind == "structure":
        near: st.SearchStrategy[object] = st.fixed_dictionaries(
            {}, optional={name: _values_for(member, anything) for name, member in shape.members.items()}
        )
    elif shape.kind == "list":
        near = st.lists(_values_for(shape.member, anything), max_size=3)
    elif shape.kind == "map":
        near = st.dictionaries(st.text(), _values_for(shape.value, anything), max_size=3)
    else:
        near = st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    return st.one_of(near, near, near, anything)


@given(_JSON_OPERATIONS, st.binary())
def test_any_bytes_are_refused_or_read(operation: OperationModel, body: bytes) -> None:
    _survives(operation, _request(body))


@given(_JSON_OPERATIONS, st.data())
def test_any_json_is_refused_or_read(operation: OperationModel, data: st.DataObject) -> None:
    assert operation.input is not None
    value = data.draw(_values_for(operation.input))
    _survives(operation, _request(json.dumps(value).encode()))


@given(st.binary())
def test_any_bytes_are_refused_or_read_as_cbor(body: bytes) -> None:
    _survives(service("cloudwatch").operation("GetMetricData"), _request(body, smithy_protocol="rpc-v2-cbor"))


@given(st.data())
def test_any_cbor_is_refused_or_read(data: st.DataObject) -> None:
    operation = service("cloudwatch").operation("GetMetricData")
    assert operation.input is not None
    value = data.draw(_values_for(operation.input, _CBOR_VALUES))
    _survives(operation, _request(cbor2.dumps(value), smithy_protocol="rpc-v2-cbor"))


@given(st.data())
def test_any_body_of_a_rest_call_is_refused_or_read(data: st.DataObject) -> None:
    operation = service("lambda").operation("CreateFunction")
    assert operation.input is not None
    value = data.draw(_values_for(operation.input))
    _survives(operation, _request(json.dumps(value).encode(), path=b"/2015-03-31/functions"))


@given(st.text(), st.binary(), st.text())
def test_any_path_label_and_query_is_refused_or_read(label: str, query: bytes, header: str) -> None:
    operation = service("lambda").operation("Invoke")
    _survives(operation, _request(query=query, x_amz_log_type=header), FunctionName=label)


_NAMES = st.lists(
    st.sampled_from(["Tags", "member", "entry", "1", "2", "999999999", "9" * 40, "Key", "Value", "", "RoleName", "²"]),
    min_size=1,
    max_size=5,
).map(".".join)


@given(_FORM_OPERATIONS, st.lists(st.tuples(_NAMES, st.text()), max_size=6))
def test_any_form_is_refused_or_read(operation: OperationModel, fields: list[tuple[str, str]]) -> None:
    _survives(operation, _request(urlencode(fields).encode()))


@given(st.binary())
def test_any_bytes_are_refused_or_read_as_a_form(body: bytes) -> None:
    with suppress(SerializationFailed):
        tree_of(form_fields(body))


@given(
    st.binary(max_size=80),
    st.binary(max_size=80),
    st.text(max_size=40),
    st.sampled_from([b"/", b"/2015-03-31/functions/", b"/2017-03-31/tags/"]),
)
def test_any_address_leads_to_an_operation_or_to_unknown_operation(
    tail: bytes, query: bytes, target: str, start: bytes
) -> None:
    for headers in ({}, {"x_amz_target": target}):
        request = _request(query, path=start + tail, query=query, **headers)
        try:
            found = route(request)
        except UnknownOperation as error:
            refusal = error
        else:
            assert found.operation_name in found.service.operation_names
            continue
        model = addressed_service(request)
        assert 400 <= protocol(model).error(model, None, refusal, "the-request-id").status < 500


@given(st.sampled_from(["secretsmanager", "lambda", "iam"]), st.text(), st.text())
def test_any_message_of_an_error_is_written(name: str, message: str, member: str) -> None:
    # Texts reach errors from requests that were decoded; lone surrogates cannot.
    message = message.encode(errors="replace").decode()
    model = service(name)
    reply = protocol(model).error(model, None, AwsError(message, Reason=member), "the-request-id")
    assert reply.status == 400
    if name == "iam":
        ET.fromstring(reply.body)
    else:
        assert json.loads(reply.body).get("message", "") == message


def test_a_number_in_a_forms_name_costs_nothing() -> None:
    tree = tree_of([("Tags.member.999999999.Key", "b"), ("Tags.member.1.Key", "a")])
    assert in_order(tree["Tags"]["member"]) == [{"Key": "a"}, {"Key": "b"}]


def test_deep_nesting_ends_in_an_error_of_aws() -> None:
    operation = service("secretsmanager").operation("CreateSecret")
    for body in (b"[" * 1_000_000, b'{"Tags":' * 100_000, b'{"Tags":' + b"[" * 500 + b"]" * 500 + b"}"):
        _survives(operation, _request(body))


def test_huge_numbers_end_in_an_error_of_aws() -> None:
    operation = service("secretsmanager").operation("ListSecrets")
    for number in (b"9" * 100_000, b"1e999", b"-1e308", b"9" * 30, b"2147483648", b"1.5"):
        _survives(operation, _request(b'{"MaxResults":' + number + b"}"))
        _survives(service("cloudtrail").operation("LookupEvents"), _request(b'{"StartTime":' + number + b"}"))


@given(_MOMENTS)
def test_moments_keep_their_milliseconds(moment: datetime) -> None:
    milliseconds = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert from_iso8601(to_iso8601(moment)) == milliseconds
    read = from_epoch(msgspec.json.decode(msgspec.json.encode(to_epoch(milliseconds))))
    assert abs((read - milliseconds).total_seconds()) < 0.001
