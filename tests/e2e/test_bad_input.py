"""Requests that no client library would send: AWS's error, nothing changed, nothing told, and a record of each."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from .conftest import Credentials, ServerProcess, wait_until
from .raw_http import Reply, Wire, ask, request, signed

VALUE = "plaintext-nobody-may-see"
NAME = "kept/unchanged"
PUT = "secretsmanager.PutSecretValue"
CREATE = "secretsmanager.CreateSecret"
TOKEN = "0b5dcc8e-3c1c-4c5a-9d8e-2f6a4b1c7d90"

Build = Callable[[ServerProcess], bytes]


def call(action: str, body: Any, **options: Any) -> Build:
    """A signed request with a body of any kind."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda server: signed(server, encoded, action=action, **options)


def put(**members: Any) -> Build:
    return call(PUT, {"SecretId": NAME, "ClientRequestToken": TOKEN, **members})


def create(**members: Any) -> Build:
    return call(CREATE, {"ClientRequestToken": TOKEN, "SecretString": "x", **members})


def at_a_distance(**distance: float) -> Build:
    def build(server: ServerProcess) -> bytes:
        return signed(server, b'{"SecretId": "a"}', at=datetime.now(UTC) + timedelta(**distance))

    return build


def with_wrong_secret(server: ServerProcess) -> bytes:
    wrong = Credentials(server.admin.access_key_id, "A" * 40)
    return signed(server, b'{"SecretId": "a"}', credentials=wrong)


def with_unknown_key(server: ServerProcess) -> bytes:
    return signed(server, b'{"SecretId": "a"}', credentials=Credentials("AKIAAAAAAAAAAAAAAAAA", "A" * 40))


def with_changed_body(server: ServerProcess) -> bytes:
    whole = signed(server, b'{"SecretId": "kept/unchanged", "SecretString": "a"}', action=PUT)
    return whole[:-3] + b'b"}'


def with_changed_header(server: ServerProcess) -> bytes:
    return signed(server, b'{"SecretId": "a"}').replace(b"GetSecretValue", b"DeleteSecret")


def with_header_added_after_signing(server: ServerProcess) -> bytes:
    return signed(server, b'{"SecretId": "a"}').replace(b"\r\n\r\n", b"\r\nX-Amz-Extra: a\r\n\r\n", 1)


LENGTH = "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must have length {}"
TOO_LONG = "less than or equal to 65536"
BAD_NAME = "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
MISMATCH = "The request signature we calculated does not match"

JSON_REQUESTS = {
    "malformed JSON": (call(PUT, b'{"SecretId": '), "SerializationException", ""),
    "a JSON array": (call(PUT, []), "SerializationException", ""),
    "a JSON string": (call(PUT, "text"), "SerializationException", ""),
    "null": (call(PUT, None), "SerializationException", ""),
    "two JSON values": (call(PUT, b"{}{}"), "SerializationException", ""),
    "not UTF-8": (call(PUT, b'{"SecretId": "\xff"}'), "SerializationException", ""),
    "half a surrogate pair": (call(PUT, b'{"SecretId": "\\ud800"}'), "SerializationException", ""),
    "JSON without an end to its depth": (call(PUT, b"[" * 100_000), "SerializationException", ""),
    "a number for a string": (put(SecretString=12), "SerializationException", ""),
    "a list for a string": (put(SecretString=["a"]), "SerializationException", ""),
    "a string for a list": (put(SecretString="a", VersionStages="b"), "SerializationException", ""),
    "a binary value that is not Base64": (put(SecretBinary="%%%"), "SerializationException", ""),
    "an unknown action": (call("secretsmanager.GetEverything", {}), "UnknownOperationException", ""),
    "an unknown service": (call("nobody.GetEverything", {}), "UnknownOperationException", ""),
    "an action of AWS that is not offered": (
        call("Logs_20140328.DescribeExportTasks", {}, service="logs"),
        "NotImplementedException",
        "docs/compatibility.md",
    ),
    "a missing member": (
        call("secretsmanager.DescribeSecret", {}),
        "ValidationException",
        "1 validation error detected: Value null at 'secretId' failed to satisfy constraint: Member must not be null",
    ),
    "a member that is null": (call("secretsmanager.DescribeSecret", {"SecretId": None}), "ValidationException", "null"),
    "an empty secret string": (
        put(SecretString=""),
        "ValidationException",
        LENGTH.format("secretString", "greater than or equal to 1"),
    ),
    "65,537 characters": (
        put(SecretString="a" * 65_537),
        "ValidationException",
        LENGTH.format("secretString", TOO_LONG),
    ),
    "65,538 bytes in 32,769 characters": (
        put(SecretString="é" * 32_769),
        "ValidationException",
        LENGTH.format("secretString", TOO_LONG),
    ),
    "65,537 bytes": (
        put(SecretBinary=base64.b64encode(bytes(65_537)).decode()),
        "ValidationException",
        LENGTH.format("secretBinary", TOO_LONG),
    ),
    "two values": (
        put(SecretString="a", SecretBinary="YQ=="),
        "InvalidParameterException",
        "You can't specify both a binary secret value and a string secret value in the same secret.",
    ),
    "no value": (put(), "InvalidRequestException", "You must provide either SecretString or SecretBinary."),
    "no client request token": (
        call(PUT, {"SecretId": NAME, "SecretString": "a"}),
        "InvalidRequestException",
        "You must provide a ClientRequestToken value. We recommend a UUID-type value.",
    ),
    "a token that is too short": (put(SecretString="a", ClientRequestToken="short"), "ValidationException", ""),
    "a name with a blank": (create(Name="not a name"), "ValidationException", BAD_NAME),
    "a name with letters beyond ASCII": (create(Name="naïve"), "ValidationException", BAD_NAME),
    "a name with NUL": (create(Name="a\0b"), "ValidationException", BAD_NAME),
    "a name with a line's end": (create(Name="a\n"), "ValidationException", BAD_NAME),
    "an empty name": (create(Name=""), "ValidationException", "'name' failed to satisfy constraint"),
    "a name of 513 characters": (create(Name="a" * 513), "ValidationException", "less than or equal to 512"),
    "a name that is taken": (create(Name=NAME), "ResourceExistsException", f"the secret {NAME} already exists."),
    "a secret that is not there": (
        call("secretsmanager.GetSecretValue", {"SecretId": "no/such"}),
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    ),
    "another method than POST": (call(PUT, {"SecretId": NAME}, method="PUT"), "UnknownOperationException", ""),
    "a wrong signature": (with_wrong_secret, "InvalidSignatureException", MISMATCH),
    "a body changed on the way": (with_changed_body, "InvalidSignatureException", MISMATCH),
    "a signed header changed on the way": (with_changed_header, "InvalidSignatureException", MISMATCH),
    "an x-amz header added on the way": (
        with_header_added_after_signing,
        "InvalidSignatureException",
        "'x-amz-extra' must be a 'SignedHeader' in the AWS Authorization.",
    ),
    "an unknown access key": (
        with_unknown_key,
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
    ),
    "a date six minutes ago": (at_a_distance(minutes=-6), "InvalidSignatureException", "Signature expired: "),
    "a date six minutes ahead": (at_a_distance(minutes=6), "InvalidSignatureException", "Signature not yet current: "),
    "another region": (
        call(PUT, {"SecretId": NAME}, region="eu-nowhere-9"),
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'eu-nowhere-9'. ",
    ),
    "another service's signature": (
        call(PUT, {"SecretId": NAME}, service="lambda"),
        "InvalidSignatureException",
        "Credential should be scoped to correct service: 'secretsmanager'. ",
    ),
    "no signature": (
        lambda server: request(server, b"X-Amz-Target: secretsmanager.GetSecretValue"),
        "MissingAuthenticationTokenException",
        "Request is missing Authentication Token",
    ),
    "half a signature": (
        lambda server: request(
            server, b"X-Amz-Target: secretsmanager.GetSecretValue", b"Authorization: AWS4-HMAC-SHA256 Credential=a"
        ),
        "IncompleteSignatureException",
        "Authorization header requires 'Signature' parameter.",
    ),
    "an Authorization of another kind": (
        lambda server: request(server, b"X-Amz-Target: secretsmanager.GetSecretValue", b"Authorization: Basic YTpi"),
        "IncompleteSignatureException",
        "",
    ),
    "octets beyond ASCII in headers": (
        lambda server: request(
            server, b"X-Amz-Target: secretsmanager.\xff\xfe", b"User-Agent: \xff\xfe", b"Authorization: \xff=\xff"
        ),
        "UnknownOperationException",
        "",
    ),
    "octets beyond ASCII in a credential": (
        lambda server: signed(server, b"{}").replace(b"/us-east-1/", b"/\xff\xed\xa0\x80/"),
        "InvalidSignatureException",
        "Credential should be scoped to a valid region",
    ),
    "a Host twice": (
        lambda server: signed(server, b"{}").replace(b"\r\n", b"\r\nHost: elsewhere\r\n", 1),
        "InvalidSignatureException",
        MISMATCH,
    ),
    "a target twice": (
        lambda server: signed(server, b"{}").replace(b"\r\n", b"\r\nX-Amz-Target: secretsmanager.ListSecrets\r\n", 1),
        "UnknownOperationException",
        "",
    ),
    "nothing at all": (lambda server: request(server, body=b""), "UnknownOperationException", ""),
    "GET of the root": (
        lambda server: request(server, method=b"GET", body=b"", length=False),
        "UnknownOperationException",
        "",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def kept(server: ServerProcess) -> Iterator[None]:
    """A secret that must come through all of this as it was."""
    client = server.client("secretsmanager")
    client.create_secret(Name=NAME, SecretString=VALUE)
    before = client.describe_secret(SecretId=NAME)
    yield
    after = client.describe_secret(SecretId=NAME)
    for member in ("ARN", "LastChangedDate", "VersionIdsToStages"):
        assert after[member] == before[member]
    assert client.get_secret_value(SecretId=NAME)["SecretString"] == VALUE
    assert [secret["Name"] for secret in client.list_secrets()["SecretList"]] == [NAME]
    assert VALUE not in server.log()
    assert "Traceback" not in server.log()


def audit_event(server: ServerProcess, reply: Reply) -> dict[str, Any]:
    """The event of a call; there is exactly one, and it is there as soon as the reply is."""
    found = server.client("cloudtrail").lookup_events(MaxResults=10)["Events"]
    records: list[dict[str, Any]] = [json.loads(event["CloudTrailEvent"]) for event in found]
    (record,) = [record for record in records if record["requestID"] == reply.request_id]
    return record


def assert_tells_nothing(reply: Reply) -> None:
    for word in (b"Traceback", b'File "', VALUE.encode(), b"sqlite", b"keyturn."):
        assert word not in reply.body


@pytest.mark.parametrize("case", JSON_REQUESTS)
def test_the_error_is_awss_and_recorded(server: ServerProcess, case: str) -> None:
    build, code, message = JSON_REQUESTS[case]

    reply = ask(server, build(server))

    assert (reply.status, reply.code) == (400, code), reply.body
    assert message in reply.message
    assert_tells_nothing(reply)
    record = audit_event(server, reply)
    assert record["errorCode"] == code
    assert record.get("errorMessage", "") == reply.message
    assert VALUE not in json.dumps(record)


QUERY = "application/x-www-form-urlencoded; charset=utf-8"


@pytest.mark.parametrize(
    ("service", "form", "status", "code"),
    [
        ("iam", "Action=DoEverything&Version=2010-05-08", 400, "InvalidAction"),
        ("iam", "Action=ListUsers&Version=1999-01-01", 400, "InvalidAction"),
        ("iam", "Action=CreateAccountAlias&Version=2010-05-08&AccountAlias=abc", 400, "NotImplemented"),
        ("iam", "Action=GetRole&Version=2010-05-08", 400, "ValidationError"),
        ("iam", "Action=GetRole&Version=2010-05-08&RoleName=nobody", 404, "NoSuchEntity"),
        ("iam", "Action=GetRole&Version=2010-05-08&RoleName=%FF", 400, "MalformedInput"),
        ("iam", "Action=GetRole&Version=2010-05-08&RoleName=a%00", 400, "ValidationError"),
        ("sts", "Action=AssumeRole&Version=2011-06-15", 400, "ValidationError"),
        ("sts", "Action=GetFederationToken&Version=2011-06-15", 400, "NotImplemented"),
    ],
)
def test_query_services_answer_in_their_own_words(
    server: ServerProcess, service: str, form: str, status: int, code: str
) -> None:
    reply = ask(server, signed(server, form.encode(), action="", service=service, content_type=QUERY))

    assert (reply.status, reply.code) == (status, code), reply.body
    assert reply.headers["content-type"].startswith("text/xml")
    assert audit_event(server, reply)["errorCode"] == code


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/2015-03-31/nothing", b"", 404, "UnknownOperationException"),
        ("PATCH", "/2015-03-31/functions", b"", 404, "UnknownOperationException"),
        ("GET", "/2015-03-31/functions/%FF", b"", 404, "UnknownOperationException"),
        ("POST", "/2015-03-31/functions", b"{", 400, "InvalidRequestContentException"),
        ("GET", "/2015-03-31/functions/nobody", b"", 404, "ResourceNotFoundException"),
        ("GET", "/2020-04-22/code-signing-configs", b"", 400, "NotImplementedException"),
    ],
)
def test_rest_services_answer_in_their_own_words(
    server: ServerProcess, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    # The signer encodes the path once more than it is sent.
    reply = ask(server, signed(server, body, action="", service="lambda", method=method, path=path))

    assert (reply.status, reply.code) == (status, code), reply.body
    assert audit_event(server, reply)["errorCode"] == code


NOT_HTTP = {
    "nothing like HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP of the future": b"POST / HTTP/9.9\r\nHost: a\r\n\r\n",
    "a length and chunks": b"POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}",
    "two lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "one length twice": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a negative length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a length with a sign": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
    "a length beyond numbers": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "an unknown coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a coding after chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a chunk without a size": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "line ends without carriage return": b"POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
    "a blank before the colon": b"POST / HTTP/1.1\r\nHost : a\r\n\r\n",
    "a folded header": b"POST / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n",
    "NUL in a header": b"POST / HTTP/1.1\r\nHost: a\r\nX-A: a\0b\r\n\r\n",
    "octets beyond ASCII in the path": b"POST /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com\r\n\r\n",
}


@pytest.mark.parametrize("case", NOT_HTTP)
def test_what_could_be_read_in_two_ways_is_not_read(server: ServerProcess, case: str) -> None:
    with Wire(server) as wire:
        wire.send(NOT_HTTP[case])
        reply = wire.reply()

        assert reply.status == 400
        assert reply.headers["connection"] == "close"
        assert_tells_nothing(reply)
        assert wire.is_closed()
    assert ask(server, request(server, method=b"GET", target=b"/healthz", body=b"", length=False)).status == 200


def chunked(whole: bytes, body: bytes) -> bytes:
    """The same request with its body in two chunks."""
    head = whole[: len(whole) - len(body)].replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (body[:half], body[half:]))
    return head + chunks + b"0\r\n\r\n"


DESCRIBE = "secretsmanager.DescribeSecret"
BODY = json.dumps({"SecretId": NAME}).encode()


def test_a_body_may_come_in_chunks(server: ServerProcess) -> None:
    reply = ask(server, chunked(signed(server, BODY, action=DESCRIBE), BODY))

    assert (reply.status, reply.json["Name"]) == (200, NAME)


def test_trailers_behind_chunks_are_no_headers(server: ServerProcess) -> None:
    whole = chunked(signed(server, BODY, action=DESCRIBE), BODY)

    reply = ask(server, whole[:-2] + b"X-Amz-Target: secretsmanager.DeleteSecret\r\nX-Amz-Extra: a\r\n\r\n")

    assert (reply.status, reply.json["Name"]) == (200, NAME)


def test_trailers_without_end_are_cut_off(server: ServerProcess) -> None:
    whole = chunked(signed(server, BODY, action=DESCRIBE), BODY)
    with Wire(server) as wire:
        wire.send_as_far_as_taken(whole[:-2] + b"X-Trailer: a\r\n" * 100_000)

        assert wire.reply().status == 431


def test_pipelined_requests_are_answered_in_their_order(server: ServerProcess) -> None:
    requests = [
        signed(server, BODY, action=DESCRIBE),
        signed(server, b"{", action=DESCRIBE),
        request(server, method=b"GET", target=b"/healthz", body=b"", length=False),
        signed(server, BODY, action="secretsmanager.GetSecretValue"),
    ]
    with Wire(server) as wire:
        wire.send(b"".join(requests))
        replies = [wire.reply() for _ in requests]

    assert [reply.status for reply in replies] == [200, 400, 200, 200]
    assert replies[3].json["SecretString"] == VALUE


def test_who_asks_before_sending_is_told_to_go_on(server: ServerProcess) -> None:
    whole = signed(server, BODY, action=DESCRIBE).replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1)
    with Wire(server) as wire:
        wire.send(whole[: -len(BODY)])
        assert wire.reply().status == 100
        wire.send(BODY)

        assert wire.reply().status == 200


def test_who_asks_before_sending_too_much_is_told_not_to(server: ServerProcess) -> None:
    with Wire(server) as wire:
        wire.send(
            request(
                server, b"X-Amz-Target: " + PUT.encode(), b"Content-Length: 9999999999", length=False, body=b""
            ).replace(b"\r\n", b"\r\nExpect: 100-continue\r\n", 1)
        )
        reply = wire.reply()

        assert (reply.status, reply.code) == (413, "RequestEntityTooLargeException")
        assert reply.message == "Request must be smaller than 1048576 bytes"
        assert wire.is_closed()
    assert audit_event(server, reply)["eventName"] == "PutSecretValue"


def memory_kib(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_a_body_that_is_too_large_is_refused_and_never_held(server: ServerProcess) -> None:
    before = memory_kib(server)
    with Wire(server) as wire:
        wire.send(request(server, b"X-Amz-Target: " + PUT.encode(), body=b"a" * 50_000_000))
        refused = wire.reply()
        wire.send(signed(server, BODY, action=DESCRIBE))
        answered = wire.reply()

    assert (refused.status, refused.code) == (413, "RequestEntityTooLargeException")
    assert answered.status == 200
    assert memory_kib(server) - before < 20_000
    assert audit_event(server, refused)["errorCode"] == "RequestEntityTooLargeException"


def test_chunks_without_end_are_refused_and_never_held(server: ServerProcess) -> None:
    before = memory_kib(server)
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    with Wire(server) as wire:
        wire.send(request(server, b"Transfer-Encoding: chunked", body=chunk * 400, length=False))
        refused = wire.reply()

    assert (refused.status, refused.code) == (413, "RequestEntityTooLargeException")
    assert memory_kib(server) - before < 20_000


ENDLESS_HEADS = {
    "many headers": b"POST / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 200_000,
    "a hundred and one headers": b"POST / HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 100 + b"\r\n",
    "a long value": b"POST / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 5_000_000,
    "a long name": b"POST / HTTP/1.1\r\nHost: a\r\n" + b"a" * 5_000_000,
    "a long path": b"POST /" + b"a" * 5_000_000,
}


@pytest.mark.parametrize("case", ENDLESS_HEADS)
def test_a_head_without_end_is_cut_off(server: ServerProcess, case: str) -> None:
    before = memory_kib(server)
    with Wire(server) as wire:
        wire.send_as_far_as_taken(ENDLESS_HEADS[case])
        assert wire.is_closed_or_answers(431)

    assert memory_kib(server) - before < 5_000
    assert ask(server, signed(server, BODY, action=DESCRIBE)).status == 200


def test_a_wish_for_another_protocol_is_passed_over_where_the_request_has_no_body(server: ServerProcess) -> None:
    wish = (b"Connection: upgrade", b"Upgrade: websocket")
    with Wire(server) as wire:
        for _ in range(2):
            wire.send(request(server, *wish, method=b"GET", target=b"/healthz", body=b"", length=False))
            assert wire.reply().status == 200


def test_a_wish_for_another_protocol_is_refused_where_the_body_would_be_lost(server: ServerProcess) -> None:
    whole = signed(server, BODY, action=DESCRIBE)

    reply = ask(server, whole.replace(b"\r\n", b"\r\nConnection: upgrade\r\nUpgrade: h2c\r\n", 1))

    assert (reply.status, reply.headers["connection"]) == (400, "close")
    assert b"leave the header Upgrade out" in reply.body


def test_an_absolute_target_is_read_as_its_path(server: ServerProcess) -> None:
    whole = signed(server, BODY, action=DESCRIBE)

    reply = ask(server, whole.replace(b"POST / ", b"POST http://elsewhere.example/ ", 1))

    assert reply.status == 200


@pytest.mark.parametrize("header", [b"X-Forwarded-For: 203.0.113.9", b"Forwarded: for=203.0.113.9"])
def test_a_caller_cannot_choose_the_address_that_is_recorded(server: ServerProcess, header: bytes) -> None:
    whole = signed(server, BODY, action=DESCRIBE)

    reply = ask(server, whole.replace(b"\r\n", b"\r\n" + header + b"\r\nX-Forwarded-Proto: https\r\n", 1))

    assert audit_event(server, reply)["sourceIPAddress"] == "127.0.0.1"


def test_a_client_that_sends_slowly_holds_up_nobody(server: ServerProcess) -> None:
    whole = signed(server, BODY, action=DESCRIBE)
    slow = [Wire(server) for _ in range(50)]
    for number, wire in enumerate(slow):
        wire.send(whole[: 20 + 7 * number])

    assert ask(server, whole).status == 200
    for number, wire in enumerate(slow):
        wire.send(whole[20 + 7 * number :])
        assert wire.reply().status == 200
        with wire:
            pass


def test_a_client_that_goes_in_the_middle_is_forgotten(server: ServerProcess) -> None:
    whole = signed(server, BODY, action=DESCRIBE)
    connections = len(list(Path(f"/proc/{server.pid}/fd").iterdir()))
    for cut in range(10, len(whole), 40):
        with Wire(server) as wire:
            wire.send(whole[:cut])

    wait_until(lambda: len(list(Path(f"/proc/{server.pid}/fd").iterdir())) <= connections, "connections closed", server)
    assert ask(server, whole).status == 200


def test_head_requests_of_health_checks_are_answered(server: ServerProcess) -> None:
    with Wire(server) as wire:
        for target in (b"/healthz", b"/readyz"):
            wire.send(request(server, method=b"HEAD", target=target, body=b"", length=False))
            assert wire.reply(to_head=True).status == 200


def test_random_bytes_in_place_of_good_ones_never_break_the_server(server: ServerProcess) -> None:
    whole = signed(server, BODY, action=DESCRIBE)

    def send(start: int) -> None:
        for position in range(start, len(whole), 32):
            for byte in (b"\0", b"\xff", b"\r", b" "):
                with Wire(server) as wire:
                    wire.send(whole[:position] + byte + whole[position + 1 :] + b"\r\n\r\n")
                    status = wire.reply().status
                    assert 200 <= status < 500, (position, byte)

    threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 32, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ask(server, whole).status == 200
