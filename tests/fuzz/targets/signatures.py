"""Signatures: nothing is accepted but what the key has signed, and what it has signed is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from tests.fuzz.naive_sigv4 import Claims, claims_of, query_pairs, signature_of, with_header

from keyturn.errors.common import SigningFault, UnrecognizedClient
from keyturn.sensitive import Sensitive
from keyturn.wire.http import HttpRequest
from keyturn.wire.sigv4 import Verifier

_NOW: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
_DATE: Final = "20260102T030405Z"
_ACCESS_KEY_ID: Final = "AKIDEXAMPLE"
_CREDENTIAL: Final = f"{_ACCESS_KEY_ID}/20260102/us-east-1/secretsmanager/aws4_request"
_SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
_OTHER_SECRET: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEZ"
_TOKEN: Final = "the-token"
# What says how a request is signed; a request that already says it is not signed again.
_SIGNING: Final = ("authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "date")
_LONGEST: Final = 4096


@dataclass(frozen=True)
class _Holder:
    secret_access_key: Sensitive[str]


def signed_requests(data: bytes) -> None:
    """Sign a request, verify it, change it, and verify what has become of it.

    Args:
        data: A request as text, then ``0xFF``, then how it is signed and what is changed: a byte each for the way of
            signing, how many octets go and where (two bytes), then what comes in their place.
    """
    raw, _, change = data[:_LONGEST].partition(b"\xff")
    request = read_request(raw)
    if request is None:
        return
    _check_sound(request)
    signed = (_presigned if change[:1] > b"\x7f" else _signed)(request)
    if signed is None:
        return
    assert _accepts(signed, _SECRET), "what the key has signed is refused"
    assert not _accepts(signed, _OTHER_SECRET), "accepted for a key that has not signed it"
    written = write_request(signed)
    at, gone = int.from_bytes(change[2:4], "big") % (len(written) + 1), change[1:2] or b"\0"
    changed = read_request(written[:at] + change[4:] + written[at + gone[0] % 16 :])
    if changed is not None:
        _check_sound(changed)


def _check_sound(request: HttpRequest) -> None:
    """What is accepted carries the signature that the key gives it."""
    if _accepts(request, _SECRET):
        claims = claims_of(request)
        assert claims is not None, "accepted without a signature"
        assert signature_of(request, claims, _SECRET) == claims.signature, "accepted with another signature"
        assert claims.credential.startswith(f"{_ACCESS_KEY_ID}/")


def _accepts(request: HttpRequest, secret: str) -> bool:
    def find_key(access_key_id: str, session_token: str | None) -> _Holder:
        if access_key_id != _ACCESS_KEY_ID or session_token not in (None, _TOKEN):
            raise UnrecognizedClient
        return _Holder(Sensitive(secret))

    verifier = Verifier(regions={"us-east-1", "eu-central-1"})
    try:
        verifier.verify(request, signing_name="secretsmanager", now=_NOW, find_key=find_key)
    except SigningFault:
        return False
    return True


def _unsigned(request: HttpRequest) -> HttpRequest | None:
    """The request without anything that speaks of signatures; None if its query does."""
    if any(name.startswith(b"X-Amz-") for name, _ in query_pairs(request)):
        return None
    headers = {name: value for name, value in request.headers.items() if name not in _SIGNING}
    return request._replace(headers={"host": "h", **headers})


def _signed(request: HttpRequest) -> HttpRequest | None:
    unsigned = _unsigned(request)
    if unsigned is None:
        return None
    dated = with_header(unsigned, {"x-amz-date": _DATE})
    # Names that cannot stand in a list of names are no names of headers.
    names = ";".join(sorted(dated.headers))
    if len(names.split(";")) != len(dated.headers) or not names.isascii() or set(names) & set(" ,="):
        return None
    signature = signature_of(dated, Claims(_CREDENTIAL, names, _DATE, ""), _SECRET)
    return with_header(
        dated,
        {"authorization": f"AWS4-HMAC-SHA256 Credential={_CREDENTIAL}, SignedHeaders={names}, Signature={signature}"},
    )


def _presigned(request: HttpRequest) -> HttpRequest | None:
    unsigned = _unsigned(request)
    if unsigned is None:
        return None
    headers = {name: value for name, value in unsigned.headers.items() if not name.startswith("x-amz-")}
    query = "&".join(
        [
            *filter(None, [unsigned.query_string.decode("latin-1")]),
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            f"X-Amz-Credential={quote(_CREDENTIAL, safe='')}",
            f"X-Amz-Date={_DATE}",
            "X-Amz-Expires=300",
            "X-Amz-SignedHeaders=host",
        ]
    )
    asked = unsigned._replace(headers=headers, query_string=query.encode("latin-1"))
    signature = signature_of(asked, Claims(_CREDENTIAL, "host", _DATE, ""), _SECRET)
    return asked._replace(query_string=asked.query_string + f"&X-Amz-Signature={signature}".encode())


# Requests as text -----------------------------------------------------------------------------------------------------


def read_request(raw: bytes) -> HttpRequest | None:
    """Read a request as a server hands it on; None if it would not."""
    head, _, body = raw.partition(b"\n\n")
    if b"\r" in head or b"\0" in head:
        return None
    first, *lines = head.decode("latin-1").split("\n")
    method, _, target = first.partition(" ")
    path, _, query = target.partition("?")
    if not (method.isascii() and method.isalpha() and method.isupper()) or " " in target or not target.isascii():
        return None
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            return None
        value = value.strip(" \t")
        name = name.lower()
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return HttpRequest(method, path.encode(), query.encode(), headers, body, "http", "127.0.0.1")


def write_request(request: HttpRequest) -> bytes:
    """Write a request so that it reads the same."""
    target = request.raw_path + (b"?" + request.query_string if request.query_string else b"")
    lines = [f"{name}:{value}".encode("latin-1") for name, value in request.headers.items()]
    return b"\n".join([request.method.encode() + b" " + target, *lines]) + b"\n\n" + request.body
