"""The verifier against AWS's own vectors, botocore as a signer, and everything that is not quite signed."""

from __future__ import annotations

import base64
import hashlib
import re
import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import normalize_url_path

from keyturn.errors.common import (
    ExpiredToken,
    IncompleteSignature,
    MissingAuthenticationToken,
    SignatureMismatch,
    SigningFault,
    UnrecognizedClient,
)
from keyturn.sensitive import Sensitive
from keyturn.wire.http import HttpRequest
from keyturn.wire.sigv4 import Verifier

VECTORS = Path(__file__).parents[2] / "vectors" / "aws4_testsuite"
VECTOR_NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
LAMBDA_ARN = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Arotate"


@dataclass(frozen=True)
class Holder:
    secret_access_key: Sensitive[str]
    name: str = "alice"


@dataclass
class Keys:
    """What the server knows: one access key, and the session tokens that go with it."""

    holder: Holder = field(default_factory=lambda: Holder(Sensitive(SECRET)))
    tokens: tuple[str | None, ...] = (None,)
    asked: int = 0

    def find(self, access_key_id: str, session_token: str | None) -> Holder:
        self.asked += 1
        if access_key_id != ACCESS_KEY_ID or session_token not in self.tokens:
            raise UnrecognizedClient
        return self.holder


def cases(suffix: str) -> list[Path]:
    return sorted(VECTORS.rglob(f"*.{suffix}"))


def signed_vector(path: Path) -> bytes:
    """The signed request with the signature that the suite's ``.authz`` gives for it."""
    signature = path.with_suffix(".authz").read_bytes().rpartition(b"Signature=")[2].strip()
    return re.sub(rb"(Signature=)[0-9a-f]+", rb"\g<1>" + signature, path.read_bytes())


def read_request(raw: bytes, *, scheme: str = "https") -> HttpRequest:
    """Read a vector as a server would: folded lines joined, repeated headers joined, values stripped."""
    head, _, body = raw.partition(b"\n\n")
    first, *lines = head.decode("latin-1").split("\n")
    method, _, rest = first.partition(" ")
    path, _, query = rest.rpartition(" ")[0].encode("latin-1").partition(b"?")
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in " \t" and headers:
            name, value = headers.pop()
            headers.append((name, f"{value} {line.strip()}"))
        else:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
    joined: dict[str, str] = {}
    for name, value in headers:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return HttpRequest(method, path, query, joined, body, scheme, "127.0.0.1")


def verify(
    request: HttpRequest,
    *,
    keys: Keys | None = None,
    signing_name: str = "secretsmanager",
    now: datetime = NOW,
    verifier: Verifier | None = None,
) -> Holder:
    verifier = verifier or Verifier(regions={"us-east-1"})
    return verifier.verify(request, signing_name=signing_name, now=now, find_key=(keys or Keys()).find)[0]


def verify_vector(request: HttpRequest, *, session_token: str | None) -> Holder:
    return verify(request, keys=Keys(tokens=(session_token,)), signing_name="service", now=VECTOR_NOW)


def canonical_path(request: HttpRequest) -> str:
    """The path as botocore signs it, which forgets what stands before a ``..``."""
    return str(normalize_url_path(request.raw_path.decode("latin-1")))


# --- AWS's vectors ----------------------------------------------------------------------------------------------------


def test_the_vectors_are_all_here() -> None:
    assert len(cases("sreq")) == 34


def test_one_signed_request_of_the_suite_contradicts_its_own_authorization_and_is_refused() -> None:
    contradicting = [path for path in cases("sreq") if signed_vector(path) != path.read_bytes()]
    assert [path.stem for path in contradicting] == ["get-vanilla-with-session-token"]
    request = read_request(contradicting[0].read_bytes())
    with pytest.raises(SignatureMismatch):
        verify_vector(request, session_token=request.headers["x-amz-security-token"])


@pytest.mark.parametrize("path", cases("sreq"), ids=lambda path: path.stem)
def test_each_signed_request_of_aws_is_accepted(path: Path) -> None:
    request = read_request(signed_vector(path))
    assert verify_vector(request, session_token=request.headers.get("x-amz-security-token")).name == "alice"


@pytest.mark.parametrize("path", cases("sreq"), ids=lambda path: path.stem)
def test_each_signed_request_of_aws_is_refused_with_any_byte_changed(path: Path) -> None:
    raw = signed_vector(path)
    signed = read_request(raw)
    # The protocol version at the end of the first line and the blanks around values are the only octets nobody signs.
    version = range(raw.index(b" HTTP/1.1"), raw.index(b"\n"))
    accepted = []
    for position in range(len(raw)):
        if position in version or raw[position : position + 1] == b"\n":
            continue
        changed = raw[:position] + (b"y" if raw[position : position + 1] == b"x" else b"x") + raw[position + 1 :]
        request = read_request(changed)
        if request._replace(raw_path=b"") == signed._replace(raw_path=b"") and (
            canonical_path(request) == canonical_path(signed)
        ):
            continue
        try:
            verify_vector(request, session_token=signed.headers.get("x-amz-security-token"))
        except SigningFault:
            continue
        accepted.append((position, changed[max(0, position - 10) : position + 10]))
    assert accepted == []


@pytest.mark.parametrize("path", cases("req"), ids=lambda path: path.stem)
def test_each_unsigned_request_of_aws_is_refused(path: Path) -> None:
    with pytest.raises(MissingAuthenticationToken, match="Request is missing Authentication Token"):
        verify_vector(read_request(path.read_bytes()), session_token=None)


# --- botocore as the signer -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def botocore_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))


def as_received(signed: AWSRequest) -> HttpRequest:
    """What a server reads of the request that botocore would send."""
    prepared = signed.prepare()
    parts = urlsplit(prepared.url)
    headers = {
        name.lower(): str(value.decode("latin-1") if isinstance(value, bytes) else value).strip()
        for name, value in cast("Mapping[str, str | bytes]", prepared.headers).items()
    }
    headers.setdefault("host", parts.netloc)
    body: Any = prepared.body or b""
    return HttpRequest(
        prepared.method,
        parts.path.encode(),
        parts.query.encode(),
        headers,
        body.encode() if isinstance(body, str) else body,
        parts.scheme,
        "127.0.0.1",
    )


def signed_by_botocore(
    *,
    method: str = "POST",
    url: str = "http://127.0.0.1:4599/",
    data: Any = b'{"SecretId":"prod/db"}',
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    service: str = "secretsmanager",
    region: str = "us-east-1",
    token: str | None = None,
    expires: int | None = None,
    secret: str = SECRET,
) -> HttpRequest:
    default = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "secretsmanager.GetSecretValue"}
    request = AWSRequest(
        method=method, url=url, data=data, headers=dict(default if headers is None else headers), params=params or {}
    )
    credentials = Credentials(ACCESS_KEY_ID, secret, token)
    signer = (
        SigV4Auth(credentials, service, region)
        if expires is None
        else SigV4QueryAuth(credentials, service, region, expires)
    )
    signer.add_auth(request)
    return as_received(request)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"data": b""},
        {"data": '{"SecretString":"pässwörd ✓"}'.encode()},
        {"url": "https://keyturn.example/"},
        {"url": "http://[::1]:4599/"},
        {"url": f"http://localhost:8443/2015-03-31/functions/{LAMBDA_ARN}/invocations"},
        {
            "url": f"http://localhost:8443/2015-03-31/functions/{LAMBDA_ARN}/policy/a%20b",
            "method": "DELETE",
            "data": b"",
        },
        {"url": "http://localhost:8443/caf%C3%A9/a.b~c_d-e", "method": "GET", "data": b""},
        {"url": "http://localhost:8443/a//b/../c/./d/", "method": "GET", "data": b""},
        {"url": "http://localhost:8443/a/b/..", "method": "GET", "data": b""},
        {"url": "http://localhost:8443/f?Marker=a%2Fb%3D&MaxItems=10&empty=", "method": "GET", "data": b""},
        {"url": "http://localhost:8443/f?b=1&a=2&a=1&B=3", "method": "GET", "data": b""},
        {"url": "http://localhost:8443/f", "params": {"Qualifier": "$LATEST", "n": "é ✓+/"}, "method": "GET"},
        {"headers": {"X-Amz-Meta": "two   blanks", "My-Header": "\ttabs \t too"}},
        {"headers": {"X-Amz-Log-Type": "Tail", "User-Agent": "anything", "X-Amzn-Trace-Id": "Root=1"}},
        {"headers": {"Date": "will be replaced"}},
        {"headers": {"X-Amz-Content-SHA256": hashlib.sha256(b'{"SecretId":"prod/db"}').hexdigest()}},
    ],
    ids=lambda arguments: ",".join(f"{name}={value}"[:60] for name, value in arguments.items()) or "plain",
)
def test_what_botocore_signs_in_headers_is_accepted(arguments: dict[str, Any]) -> None:
    assert verify(signed_by_botocore(**arguments)).name == "alice"


@pytest.mark.parametrize(
    "arguments",
    [
        {"method": "GET", "data": ""},
        {"method": "GET", "data": "", "headers": {}, "url": "http://h:1/f?Version=1&Action=Get%20Caller&x=a%2Bb"},
        {"method": "GET", "data": "", "headers": {}, "url": f"https://h/2015-03-31/functions/{LAMBDA_ARN}"},
        {"method": "GET", "data": "", "token": "to/ken+=="},
        {"data": {"Action": "GetCallerIdentity", "Version": "2011-06-15", "Text": "é ✓"}, "headers": {}},
    ],
    ids=lambda arguments: str(arguments.get("url", "")) or "plain",
)
def test_what_botocore_presigns_is_accepted(arguments: dict[str, Any]) -> None:
    request = signed_by_botocore(expires=3600, **arguments)
    assert "authorization" not in request.headers
    assert verify(request, keys=Keys(tokens=(arguments.get("token"),))).name == "alice"


@pytest.mark.parametrize("expires", [None, 900])
def test_a_session_token_reaches_the_key_finder_and_another_one_is_refused(expires: int | None) -> None:
    request = signed_by_botocore(method="GET", data="", token="FwoGZXIv//8/=", expires=expires)
    assert verify(request, keys=Keys(tokens=("FwoGZXIv//8/=",))).name == "alice"
    with pytest.raises(UnrecognizedClient, match=r"^The security token included in the request is invalid\.$"):
        verify(request, keys=Keys(tokens=("another",)))


def test_a_signed_session_token_cannot_be_exchanged() -> None:
    request = signed_by_botocore(token="one")
    with pytest.raises(SignatureMismatch):
        verify(with_headers(request, {"x-amz-security-token": "two"}), keys=Keys(tokens=("two",)))


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
@pytest.mark.parametrize("service", ["iam", "sts"])
def test_global_services_may_be_scoped_to_us_east_1_or_to_the_servers_region(service: str, region: str) -> None:
    request = signed_by_botocore(service=service, region=region)
    assert verify(request, signing_name=service, verifier=Verifier(regions={"eu-central-1"})).name == "alice"


# --- what is refused, in AWS's order ----------------------------------------------------------------------------------


def with_headers(request: HttpRequest, changes: Mapping[str, str | None]) -> HttpRequest:
    headers = {**request.headers, **changes}
    return request._replace(headers={name: value for name, value in headers.items() if value is not None})


def with_authorization(**pieces: str | None) -> HttpRequest:
    """A request of botocore's with pieces of its Authorization header replaced, or left out."""
    request = signed_by_botocore()
    text = request.headers["authorization"]
    sent = dict(piece.split("=", 1) for piece in text.partition(" ")[2].split(", "))
    merged = {"algorithm": text.partition(" ")[0], **sent, **pieces}
    algorithm = merged.pop("algorithm")
    listed = ", ".join(f"{name}={value}" for name, value in merged.items() if value is not None)
    return with_headers(request, {"authorization": f"{algorithm} {listed}"})


def refusal(request: HttpRequest, **arguments: Any) -> tuple[type[SigningFault], str]:
    with pytest.raises(SigningFault) as caught:
        verify(request, **arguments)
    return type(caught.value), caught.value.message


def hashed(request: HttpRequest) -> str:
    digest = hashlib.sha256(request.headers["authorization"].encode()).digest()
    return base64.b64encode(digest).decode()


def test_a_signature_in_both_places_is_refused() -> None:
    request = signed_by_botocore()._replace(query_string=b"X-Amz-Algorithm=AWS4-HMAC-SHA256")
    assert refusal(request) == (
        SignatureMismatch,
        "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
    )


def test_no_signature_is_refused() -> None:
    request = with_headers(signed_by_botocore(), {"authorization": None})
    assert refusal(request) == (MissingAuthenticationToken, "Request is missing Authentication Token")


@pytest.mark.parametrize("name", ["Credential", "Signature", "SignedHeaders"])
def test_a_missing_piece_of_the_header_is_named(name: str) -> None:
    request = with_authorization(**{name: None})
    assert refusal(request) == (
        IncompleteSignature,
        (
            f"Authorization header requires '{name}' parameter. "
            f"(Hashed with SHA-256 and encoded with Base64) Authorization={hashed(request)}"
        ),
    )


def test_all_missing_pieces_are_named_together() -> None:
    request = with_headers(signed_by_botocore(), {"authorization": "AWS4-HMAC-SHA256", "x-amz-date": None})
    assert refusal(request) == (
        IncompleteSignature,
        (
            "Authorization header requires 'Credential' parameter. "
            "Authorization header requires 'Signature' parameter. "
            "Authorization header requires 'SignedHeaders' parameter. "
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            f"(Hashed with SHA-256 and encoded with Base64) Authorization={hashed(request)}"
        ),
    )


@pytest.mark.parametrize("name", ["X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"])
def test_a_missing_piece_of_the_query_is_named(name: str) -> None:
    request = presigned_without(name)
    assert refusal(request) == (
        IncompleteSignature,
        f"AWS query-string parameters must include '{name}'. Re-examine the query-string parameters.",
    )


def presigned_without(name: str, replacement: str | None = None) -> HttpRequest:
    request = signed_by_botocore(method="GET", data="", expires=60)
    pieces = [piece for piece in request.query_string.decode().split("&") if not piece.startswith(f"{name}=")]
    return request._replace(
        query_string="&".join([*pieces, *([f"{name}={replacement}"] if replacement else [])]).encode()
    )


def test_a_piece_without_equal_sign_is_refused() -> None:
    request = with_headers(signed_by_botocore(), {"authorization": "AWS4-HMAC-SHA256 Credential"})
    assert refusal(request) == (
        IncompleteSignature,
        (
            "The signature contains an in-valid key=value pair (missing equal-sign) in Authorization header"
            f" (hashed with SHA-256 and encoded with Base64): '{hashed(request)}'."
        ),
    )


@pytest.mark.parametrize("date", ["2026-01-02T03:04:05Z", "20261302T030405Z", "tomorrow", "２０２６０１０２T030405Z"])
def test_a_bad_date_is_refused(date: str) -> None:
    request = with_headers(signed_by_botocore(), {"x-amz-date": date})
    assert refusal(request) == (
        IncompleteSignature,
        f"Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601",
    )


def test_a_bad_date_header_is_refused() -> None:
    request = with_headers(signed_by_botocore(), {"x-amz-date": None, "date": "Fri, 99 Foo"})
    kind, message = refusal(request)
    assert kind is IncompleteSignature
    assert "Got 'Fri, 99 Foo'" in message


def test_an_unsigned_host_is_refused() -> None:
    request = with_authorization(SignedHeaders="content-type;x-amz-date;x-amz-target")
    assert refusal(request) == (SignatureMismatch, "'Host' must be a 'SignedHeader' in the AWS Authorization.")


@pytest.mark.parametrize("name", ["x-amz-target", "x-amz-anything"])
def test_an_unsigned_aws_header_is_refused(name: str) -> None:
    request = with_authorization(SignedHeaders="host;x-amz-date")
    request = with_headers(request, {"x-amz-target": None, name: "x"})
    assert refusal(request) == (SignatureMismatch, f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def test_a_signed_header_that_did_not_arrive_is_a_mismatch() -> None:
    request = with_headers(signed_by_botocore(headers={"X-Custom": "1"}), {"x-custom": None})
    assert refusal(request) == (SignatureMismatch, SignatureMismatch.default_message)


@pytest.mark.parametrize("algorithm", ["AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA512", "Bearer", "aws4-hmac-sha256"])
def test_another_algorithm_is_refused(algorithm: str) -> None:
    request = with_authorization(algorithm=algorithm)
    assert refusal(request) == (IncompleteSignature, f"Unsupported AWS 'algorithm': '{algorithm}'")


@pytest.mark.parametrize("credential", ["AKID", "AKID/20260102/us-east-1/secretsmanager", "a/b/c/d/e/f"])
def test_a_credential_of_another_shape_is_refused(credential: str) -> None:
    assert refusal(with_authorization(Credential=credential)) == (
        IncompleteSignature,
        (
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"
            f" got '{credential}'"
        ),
    )


SCOPE_FAULTS = [
    ("20260102/eu-west-1/secretsmanager/aws4_request", "a valid region, not 'eu-west-1'. "),
    ("20260102/us-east-1/kms/aws4_request", "correct service: 'secretsmanager'. "),
    ("20260102/us-east-1/secretsmanager/aws5", "with a valid terminator: 'aws4_request', not 'aws5'. "),
]


@pytest.mark.parametrize(("scope", "message"), SCOPE_FAULTS)
def test_a_wrong_scope_is_refused(scope: str, message: str) -> None:
    preposition = "" if message.startswith("with") else "to "
    request = with_authorization(Credential=f"{ACCESS_KEY_ID}/{scope}")
    assert refusal(request) == (SignatureMismatch, f"Credential should be scoped {preposition}{message}")


def test_all_scope_faults_are_told_together() -> None:
    request = with_authorization(Credential=f"{ACCESS_KEY_ID}/20250102/x/y/z")
    assert refusal(request) == (
        SignatureMismatch,
        (
            "Credential should be scoped to a valid region, not 'x'. "
            "Credential should be scoped to correct service: 'secretsmanager'. "
            "Credential should be scoped with a valid terminator: 'aws4_request', not 'z'. "
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            "'20250102' != '20260102', from '20260102T030405Z'."
        ),
    )


def test_a_global_region_is_not_valid_for_a_regional_service() -> None:
    request = signed_by_botocore(region="us-east-1")
    kind, message = refusal(request, verifier=Verifier(regions={"eu-central-1"}))
    assert (kind, message) == (SignatureMismatch, "Credential should be scoped to a valid region, not 'us-east-1'. ")


@pytest.mark.parametrize("offset", [timedelta(minutes=5), timedelta(minutes=-5)])
def test_a_clock_that_is_off_by_the_skew_is_accepted(offset: timedelta) -> None:
    assert verify(signed_by_botocore(), now=NOW + offset).name == "alice"


def test_an_old_signature_is_refused() -> None:
    assert refusal(signed_by_botocore(), now=NOW + timedelta(minutes=15)) == (
        SignatureMismatch,
        "Signature expired: 20260102T030405Z is now earlier than 20260102T031405Z (20260102T031905Z - 5 min.)",
    )


def test_a_future_signature_is_refused() -> None:
    assert refusal(signed_by_botocore(), now=NOW - timedelta(minutes=15)) == (
        SignatureMismatch,
        "Signature not yet current: 20260102T030405Z is still later than 20260102T025405Z (20260102T024905Z + 5 min.)",
    )


def test_the_skew_can_be_set() -> None:
    verifier = Verifier(regions={"us-east-1"}, skew=timedelta(minutes=15))
    assert verify(signed_by_botocore(), now=NOW + timedelta(minutes=15), verifier=verifier).name == "alice"


@pytest.mark.parametrize(("expires", "age"), [(1, 1), (3600, 3600), (604_800, 604_800)])
def test_a_presigned_request_is_good_for_as_long_as_it_says(expires: int, age: int) -> None:
    request = signed_by_botocore(method="GET", data="", expires=expires)
    assert verify(request, now=NOW + timedelta(seconds=age)).name == "alice"
    kind, message = refusal(request, now=NOW + timedelta(seconds=age + 1))
    assert kind is SignatureMismatch
    assert message.startswith("Signature expired: 20260102T030405Z is now earlier than 20260102T030406Z ")


@pytest.mark.parametrize("expires", [0, -1, 604_801, 10**9])
def test_a_lifetime_out_of_bounds_is_refused(expires: int) -> None:
    request = signed_by_botocore(method="GET", data="", expires=expires)
    assert refusal(request) == (
        IncompleteSignature,
        "X-Amz-Expires must be a number of seconds from 1 to 604800.",
    )


def test_a_changed_lifetime_is_a_mismatch() -> None:
    assert refusal(presigned_without("X-Amz-Expires", "604800")) == (
        SignatureMismatch,
        SignatureMismatch.default_message,
    )


def test_an_expired_token_is_refused_in_the_finders_words() -> None:
    def find_key(access_key_id: str, session_token: str | None) -> Holder:
        raise ExpiredToken

    with pytest.raises(ExpiredToken, match=r"^The security token included in the request is expired$"):
        Verifier(regions={"us-east-1"}).verify(
            signed_by_botocore(), signing_name="secretsmanager", now=NOW, find_key=find_key
        )


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"raw_path": b"/x"},
        {"query_string": b"a=1"},
        {"body": b'{"SecretId":"prod/dc"}'},
        {"body": b""},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_request_is_a_mismatch(change: dict[str, Any]) -> None:
    request = signed_by_botocore()._replace(**change)
    assert refusal(request) == (SignatureMismatch, SignatureMismatch.default_message)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:4598", "localhost:4599"])
def test_the_host_is_signed_with_its_port(host: str) -> None:
    assert refusal(with_headers(signed_by_botocore(), {"host": host}))[0] is SignatureMismatch


def test_an_encoded_plus_in_the_query_cannot_be_exchanged_for_a_blank() -> None:
    request = signed_by_botocore(method="GET", url="http://h/f?a=b%20c", data=b"")
    assert refusal(request._replace(query_string=b"a=b%2Bc"))[0] is SignatureMismatch
    # A blank may be spelled as botocore's own prepared requests spell it.
    assert verify(request._replace(query_string=b"a=b+c")).name == "alice"


@pytest.mark.parametrize("signature", ["", "0" * 64, "é" * 64, "A" * 64])
def test_a_wrong_signature_is_refused(signature: str) -> None:
    assert issubclass(refusal(with_authorization(Signature=signature))[0], SigningFault)


# --- payloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ("UNSIGNED-PAYLOAD", "The payload must be signed: X-Amz-Content-Sha256 is 'UNSIGNED-PAYLOAD'."),
        *(
            (form, f"A payload signed in chunks is not supported: X-Amz-Content-Sha256 is '{form}'.")
            for form in (
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                "STREAMING-AWS4-HMAC-SHA256-EVENTS",
            )
        ),
        ("0" * 64, "The provided 'x-amz-content-sha256' header does not match what was computed."),
        ("", "The provided 'x-amz-content-sha256' header does not match what was computed."),
    ],
)
def test_a_body_that_the_signature_does_not_cover_is_refused(declared: str, message: str) -> None:
    request = signed_by_botocore(headers={"X-Amz-Content-SHA256": declared})
    assert refusal(request) == (SignatureMismatch, message)


def test_a_declared_hash_is_used_as_it_was_sent() -> None:
    declared = hashlib.sha256(b'{"SecretId":"prod/db"}').hexdigest().upper()
    assert verify(signed_by_botocore(headers={"X-Amz-Content-SHA256": declared})).name == "alice"


def test_a_body_beside_a_presigned_url_is_covered_too() -> None:
    request = signed_by_botocore(method="POST", data="", expires=60)
    assert refusal(request._replace(body=b"{}"))[0] is SignatureMismatch


# --- keys that are kept -----------------------------------------------------------------------------------------------


def test_a_deleted_key_is_refused_at_once() -> None:
    verifier, request, keys = Verifier(regions={"us-east-1"}), signed_by_botocore(), Keys()
    verify(request, verifier=verifier, keys=keys)
    keys.tokens = ()
    assert refusal(request, verifier=verifier, keys=keys)[0] is UnrecognizedClient
    assert keys.asked == 2


def test_a_replaced_secret_is_refused_at_once_and_the_new_one_accepted() -> None:
    verifier, keys = Verifier(regions={"us-east-1"}), Keys()
    old, new = signed_by_botocore(), signed_by_botocore(secret="another")
    verify(old, verifier=verifier, keys=keys)
    keys.holder = Holder(Sensitive("another"))
    assert refusal(old, verifier=verifier, keys=keys)[0] is SignatureMismatch
    assert verify(new, verifier=verifier, keys=keys).name == "alice"


def test_a_verifier_that_keeps_few_keys_still_verifies_all() -> None:
    verifier = Verifier(regions={"us-east-1"}, keep=1)
    for service in ("kms", "logs", "kms"):
        assert verify(signed_by_botocore(service=service), signing_name=service, verifier=verifier).name == "alice"


def test_what_strangers_send_is_not_kept_for_long() -> None:
    verifier, keys = Verifier(regions={"us-east-1"}), Keys()

    tracemalloc.start()
    try:
        for number in range(20):
            names = ";".join(f"host;{number}-{index}" for index in range(4000))
            request = HttpRequest(
                method="POST",
                raw_path=b"/",
                query_string=b"",
                headers={
                    "host": "localhost",
                    "x-amz-date": "20260102T030405Z",
                    "authorization": f"AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders={names}, Signature=x",
                },
                body=b"",
                scheme="http",
                client_host="127.0.0.1",
            )
            with pytest.raises(SigningFault):
                verifier.verify(request, signing_name="sts", now=NOW, find_key=keys.find)

        # Kept, each of them took half a megabyte.
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
    finally:
        tracemalloc.stop()
