"""Which operation a request is for, and in whose words to refuse one that is for none."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from keyturn.errors.common import UnknownOperation
from keyturn.wire.http import HttpRequest
from keyturn.wire.models import API_VERSIONS, service
from keyturn.wire.route import QUERY_VERSIONS, TARGET_PREFIXES, addressed_service, route, spoken_in


def request(
    method: str = "POST", path: str = "/", query: bytes = b"", body: bytes = b"", headers: dict[str, str] | None = None
) -> HttpRequest:
    return HttpRequest(method, path.encode(), query, headers or {}, body, "http", "127.0.0.1")


def test_prefixes_and_versions_are_those_of_the_models() -> None:
    targets = [name for name in API_VERSIONS if "json" in service(name).protocols]
    assert {service(name).target_prefix: name for name in targets} == dict(TARGET_PREFIXES)
    queries = [name for name in API_VERSIONS if not {"query", "ec2"}.isdisjoint(service(name).protocols)]
    assert {service(name).api_version: name for name in queries} == dict(QUERY_VERSIONS)


def test_a_target_header_names_service_and_operation() -> None:
    found = route(request(headers={"x-amz-target": "TrentService.GenerateDataKey"}))
    assert (found.service.name, found.operation_name) == ("kms", "GenerateDataKey")


@pytest.mark.parametrize(
    "target", ["", ".", "secretsmanager.", "secretsmanager.Steal", "Other.GetSecretValue", "x" * 9999]
)
def test_an_unknown_target_is_an_unknown_operation(target: str) -> None:
    with pytest.raises(UnknownOperation):
        route(request(headers={"x-amz-target": target}))


@pytest.mark.parametrize(
    ("method", "path", "operation_name"),
    [
        ("GET", "/2015-03-31/functions", "ListFunctions"),
        ("GET", "/2015-03-31/functions/", "ListFunctions"),
        ("POST", "/2015-03-31/functions", "CreateFunction"),
        ("GET", "/2015-03-31/functions/n", "GetFunction"),
        ("DELETE", "/2015-03-31/functions/n", "DeleteFunction"),
        ("PUT", "/2015-03-31/functions/n/code", "UpdateFunctionCode"),
        ("POST", "/2015-03-31/functions/n/invocations", "Invoke"),
        ("DELETE", "/2015-03-31/functions/n/policy/sid", "RemovePermission"),
        ("GET", "/2015-03-31/functions/arn:aws:lambda:r:0:function:n/policy", "GetPolicy"),
        ("GET", "/2017-03-31/tags/arn:aws:lambda:r:0:thing/with/slashes", "ListTags"),
    ],
)
def test_method_and_path_name_a_lambda_operation(method: str, path: str, operation_name: str) -> None:
    assert route(request(method, path)).operation_name == operation_name


def test_a_query_in_the_template_decides_between_two_operations() -> None:
    assert route(request("GET", "/2018-10-31/layers")).operation_name == "ListLayers"
    assert (
        route(request("GET", "/2018-10-31/layers", b"find=LayerVersion&Arn=a")).operation_name == "GetLayerVersionByArn"
    )


@pytest.mark.parametrize(
    "path", ["/2015-03-31/functions/n/elsewhere", "/2015-03-31/", "/2015-03-31/functions/%FF", "/9999-99-99/x"]
)
def test_an_unknown_path_is_an_unknown_operation(path: str) -> None:
    with pytest.raises(UnknownOperation):
        route(request("GET", path))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/2015-03-31/functions/n/policy/.."),
        ("DELETE", "/2017-03-31/tags/arn:a/../../../2015-03-31/functions/n"),
        ("GET", "/2015-03-31/functions/./n"),
    ],
)
def test_a_path_that_the_signature_reads_differently_is_an_unknown_operation(method: str, path: str) -> None:
    with pytest.raises(UnknownOperation):
        route(request(method, path))


@pytest.mark.parametrize("middle", ["arn:/versions/", "arn:/policy/", "arn:/aliases/", "arn:/functions/"])
def test_a_path_full_of_arns_takes_no_time(middle: str) -> None:
    assert route(request("GET", "/2015-03-31/functions/n")).operation_name == "GetFunction"  # Compiles the templates.
    began = time.process_time()
    for method in ("GET", "POST", "PUT", "DELETE"):
        for prefix in ("/2018-10-31/layers/", "/2015-03-31/functions/"):
            with suppress(UnknownOperation):
                route(request(method, prefix + middle * (8000 // len(middle)) + "x"))
    # Quadratic, it took a quarter of a second and more.
    assert time.process_time() - began < 0.1


def test_a_form_is_not_read_to_find_its_operation() -> None:
    escapes = b"a=" + b"%41" * 300_000
    began = time.process_time()
    assert route(request(body=b"Action=GetUser&Version=2010-05-08&" + escapes)).operation_name == "GetUser"
    with pytest.raises(UnknownOperation):
        route(request(body=escapes))
    # Decoded, each of them took a quarter of a second.
    assert time.process_time() - began < 0.1


@pytest.mark.parametrize(
    "body",
    [
        b"XAction=GetUser&Version=2010-05-08",
        b"Action=GetUser%00&Version=2010-05-08",
        b"Action=GetUser\n&Version=2010-05-08",
        b"Action=GetUser&Version=2010-05-08\n",
        b"Action=Get+User&Version=2010-05-08",
    ],
)
def test_only_a_plainly_written_action_counts(body: bytes) -> None:
    with pytest.raises(UnknownOperation):
        route(request(body=body))


def test_a_form_counts_at_the_root_only() -> None:
    with pytest.raises(UnknownOperation):
        route(request(path="/elsewhere", body=b"Action=GetUser&Version=2010-05-08"))


def test_a_query_that_cannot_be_read_is_an_unknown_operation() -> None:
    with pytest.raises(UnknownOperation):
        route(request("POST", "/2018-10-31/layers", b"find=%FF"))


def test_a_label_is_decoded_once() -> None:
    assert route(request("GET", "/2015-03-31/functions/a%2541")).path_parameters == {"FunctionName": "a%41"}


def test_the_version_tells_iam_from_sts() -> None:
    found = route(request(body=b"Action=GetCallerIdentity&Version=2011-06-15"))
    assert (found.service.name, found.operation_name) == ("sts", "GetCallerIdentity")
    assert route(request(body=b"Action=ListRoles&Version=2010-05-08")).service.name == "iam"


def test_a_presigned_query_call_has_its_action_in_the_query_string() -> None:
    found = route(request("GET", query=b"Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Signature=00"))
    assert found.operation_name == "GetCallerIdentity"


def test_an_unknown_action_is_told_as_aws_tells_it() -> None:
    with pytest.raises(UnknownOperation) as caught:
        route(request(body=b"Action=Steal&Version=2010-05-08"))
    assert caught.value.message == "Could not find operation Steal for version 2010-05-08"


@pytest.mark.parametrize(
    ("headers", "path", "name"),
    [
        ({"x-amz-target": "Logs_20140328.Nothing"}, "/", "logs"),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=A/20240101/us-east-1/iam/aws4_request, x"}, "/", "iam"),
        ({"content-type": "application/x-www-form-urlencoded; charset=utf-8"}, "/", "sts"),
        ({"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260101/us-east-1/ec2/aws4_request"}, "/", "ec2"),
        (
            {"authorization": "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/monitoring/aws4_request"},
            "/",
            "cloudwatch",
        ),
        ({}, "/2015-03-31/nothing", "lambda"),
        ({}, "/", "secretsmanager"),
    ],
)
def test_a_refusal_is_told_in_the_protocol_that_was_meant(headers: dict[str, str], path: str, name: str) -> None:
    assert addressed_service(request(path=path, headers=headers)).name == name


_CLOUDWATCH = "GraniteServiceVersion20100801"
_CBOR = {"smithy-protocol": "rpc-v2-cbor"}


@pytest.mark.parametrize(
    ("sent", "spoken"),
    [
        (request(headers={"x-amz-target": f"{_CLOUDWATCH}.ListMetrics"}), "json"),
        (request(path=f"/service/{_CLOUDWATCH}/operation/ListMetrics", headers=_CBOR), "smithy-rpc-v2-cbor"),
        (request(body=b"Action=ListMetrics&Version=2010-08-01"), "query"),
    ],
    ids=["json", "cbor", "query"],
)
def test_cloudwatch_is_spoken_to_in_three_ways(sent: HttpRequest, spoken: str) -> None:
    found = route(sent)
    assert (found.service.name, found.operation_name) == ("cloudwatch", "ListMetrics")
    assert spoken_in(found.service, sent) == spoken


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", f"/service/{_CLOUDWATCH}/operation/ListMetrics", _CBOR),
        ("POST", f"/service/{_CLOUDWATCH}/operation/ListMetrics", {"smithy-protocol": "rpc-v3"}),
        ("POST", f"/service/{_CLOUDWATCH}/operation/ListMetrics/", _CBOR),
        ("POST", f"/service/{_CLOUDWATCH}/operation/Steal", _CBOR),
        ("POST", "/service/TrentService/operation/Encrypt", _CBOR),
        ("POST", f"/service/{_CLOUDWATCH}/operation/ListMetrics", {}),
    ],
)
def test_what_is_no_rpc_with_cbor_is_an_unknown_operation(method: str, path: str, headers: dict[str, str]) -> None:
    with pytest.raises(UnknownOperation):
        route(request(method, path, headers=headers))
