"""Signature Version 4 as its documentation puts it, step by step: what the real verifier must agree with.

Written from "Create a signed AWS API request" (AWS General Reference) and the strictness that ``keyturn.wire.sigv4``
promises, and sharing none of its code.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from keyturn.wire.http import HttpRequest


class Claims(NamedTuple):
    """What a request says of its signature."""

    credential: str
    signed_headers: str
    date: str
    signature: str


def claims_of(request: HttpRequest) -> Claims | None:
    """Read the claims of a signed request, in its header or in its query; None if it has none."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        pieces = dict(piece.strip().partition("=")[::2] for piece in authorization.partition(" ")[2].split(","))
        if not all(pieces.get(name) for name in ("Credential", "SignedHeaders", "Signature")):
            return None
        date = request.headers.get("x-amz-date") or request.headers.get("date", "")
        return Claims(pieces["Credential"], pieces["SignedHeaders"], date, pieces["Signature"])
    sent = {name.decode("latin-1"): value.decode("utf-8", "replace") for name, value in query_pairs(request)}
    if "X-Amz-Signature" not in sent:
        return None
    names = ("X-Amz-Credential", "X-Amz-SignedHeaders", "X-Amz-Date", "X-Amz-Signature")
    return Claims(*(sent.get(name, "") for name in names))


def signature_of(request: HttpRequest, claims: Claims, secret_access_key: str) -> str | None:
    """Sign a request as its claims say; None if a header that is to be signed is not there."""
    canonical = canonical_request(request, claims.signed_headers)
    if canonical is None:
        return None
    scope = claims.credential.split("/")[1:]
    hashed = hashlib.sha256(canonical).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", claims.date, "/".join(scope), hashed])
    key = ("AWS4" + secret_access_key).encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def canonical_request(request: HttpRequest, signed_headers: str) -> bytes | None:
    """Return the canonical request, None if a header that is to be signed is not there."""
    names = signed_headers.split(";")
    if any(name not in request.headers for name in names):
        return None
    body_hash = _declared_hash(request) or hashlib.sha256(request.body).hexdigest()
    lines = [
        request.method,
        _path(request.raw_path),
        _query(request),
        *(f"{name}:{re.sub(r'[ ]+', ' ', request.headers[name].replace(chr(9), ' ')).strip(' ')}" for name in names),
        "",
        signed_headers,
        body_hash,
    ]
    return "\n".join(lines).encode("latin-1", "replace")


def _declared_hash(request: HttpRequest) -> str | None:
    if (declared := request.headers.get("x-amz-content-sha256")) is not None:
        return declared
    if "authorization" in request.headers:
        return None
    for name, value in query_pairs(request):
        if name == b"X-Amz-Content-Sha256":
            return value.decode("latin-1")
    return None


def _path(raw_path: bytes) -> str:
    kept: list[str] = []
    for segment in raw_path.decode("latin-1").split("/"):
        if segment == "..":
            kept = kept[:-1]
        elif segment not in ("", "."):
            kept.append(quote(segment.encode("latin-1"), safe="~"))
    path = "/" + "/".join(kept) if raw_path.startswith(b"/") or not raw_path else "/".join(kept)
    return path + "/" if kept and raw_path.endswith(b"/") else path


def query_pairs(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Return the names and values of the query, decoded."""
    pieces = [piece for piece in request.query_string.split(b"&") if piece]
    decoded = [[unquote_to_bytes(part.replace(b"+", b" ")) for part in piece.partition(b"=")[::2]] for piece in pieces]
    return [(name, value) for name, value in decoded]


def _query(request: HttpRequest) -> str:
    encoded = [(quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query_pairs(request)]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded) if name != "X-Amz-Signature")


def with_header(request: HttpRequest, changes: Mapping[str, str]) -> HttpRequest:
    """Return a request with headers set."""
    return request._replace(headers={**request.headers, **changes})
