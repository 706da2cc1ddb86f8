"""Verify AWS Signature Version 4, in the Authorization header or in the query string (presigned).

The signature covers::

    canonical request = method LF path LF query LF (name ":" value LF)* LF signed header names LF SHA-256 of the body
    string to sign    = "AWS4-HMAC-SHA256" LF date LF scope LF SHA-256 of the canonical request
    signing key       = HMAC chain "AWS4" + secret access key, day, region, service, "aws4_request"

What is stricter here than in a reading of the specification, and why:

* Every ``x-amz-*`` header must be signed. ``x-amz-security-token`` alone may be added after signing, as AWS's test
  suite does: it only chooses the secret access key, so another token means another key and the signature fails.
* The body is always covered. ``X-Amz-Content-Sha256`` enters the canonical request as it was sent, and must be the
  body's hash too. ``UNSIGNED-PAYLOAD`` and the ``STREAMING-…`` forms are refused: no operation of our services is
  modelled with an unsigned or streamed payload.
* Two spellings of a query are one if they decode to the same octets, and ``+`` is a blank: botocore signs ``%20`` and
  sends ``+``. Whoever parses the query afterwards must decode it likewise, or it could be changed on the way.

``find_key`` is asked for every request, also while the signing key of the day is kept, so a deleted or replaced access
key is refused at once. Who has which access key, and which session token belongs to it, is ``find_key``'s knowledge.

Source: AWS General Reference, "Signing AWS API requests"; order and wording of refusals as recorded from JSON services.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from keyturn.errors.common import IncompleteSignature, MissingAuthenticationToken, SignatureMismatch
from keyturn.kept import Kept
from keyturn.sensitive import Sensitive
from keyturn.wire.http import HttpRequest

if TYPE_CHECKING:
    from _hashlib import HASH

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
MAX_EXPIRES_SECONDS = 604_800

# These services have an endpoint for all regions, with the scope us-east-1 whatever the partition's regions are.
_GLOBAL_SERVICES = frozenset({"iam", "sts"})
_GLOBAL_REGION = "us-east-1"

_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_BLANKS = re.compile(r"[ \t\r\n]+")
_EXPIRES = re.compile(r"\d{1,6}", re.ASCII)
_EMPTY_BODY_HASH = hashlib.sha256(b"").hexdigest()
_BLOCK_BYTES = 64
# Characters of what is remembered from one request for the next; signed requests of clients stay well below.
_LONGEST_KEPT = 1024
_CREDENTIAL_PARTS = 5
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class KeyHolder(Protocol):
    """What ``find_key`` returns: whatever the caller wants to know about the key, and the secret access key."""

    @property
    def secret_access_key(self) -> Sensitive[str]:
        """The key the request must have been signed with."""
        ...


K = TypeVar("K", bound=KeyHolder)
_Parameters = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the signer says of itself: the same for all requests that a client signs on one day."""

    algorithm: str
    credential: str
    scope: str
    credential_parts: tuple[str, ...]
    signed_header_names: str
    signed_headers: tuple[str, ...]

    @classmethod
    def of(cls, algorithm: str, credential: str, signed_header_names: str) -> _Claim:
        parts = tuple(credential.split("/"))
        scope = "/".join(parts[1:])
        return cls(algorithm, credential, scope, parts, signed_header_names, tuple(signed_header_names.split(";")))


class _Signed(NamedTuple):
    """One request's signature, wherever it was found. Made for every request; a tuple costs a third of a dataclass."""

    claim: _Claim
    signature: str
    date: str
    session_token: str | None
    canonical_query: str
    declared_body_hash: str | None
    expires: str | None


@dataclass(frozen=True, slots=True)
class _SigningKey:
    """HMAC-SHA256 with the key's two blocks already hashed, which halves the work of each signature."""

    secret_access_key: Sensitive[str]
    inner: HASH
    outer: HASH

    def sign(self, text: bytes) -> str:
        inner = self.inner.copy()
        inner.update(text)
        outer = self.outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class Verifier:
    """Verifies signatures for the services of all regions that there are.

    Args:
        regions: The regions that credentials may be scoped to.
        skew: How far a client's clock may be off, in either direction. Five minutes as recorded for Secrets Manager.
        keep: How many signing keys are kept; each belongs to one access key, day, region and service.
    """

    def __init__(self, *, regions: Container[str], skew: timedelta = timedelta(minutes=5), keep: int = 10_000) -> None:
        self._regions = regions
        self._skew = skew
        self._signing_keys: Kept[tuple[str, str], _SigningKey] = Kept(keep)

    def verify(
        self, request: HttpRequest, *, signing_name: str, now: datetime, find_key: Callable[[str, str | None], K]
    ) -> tuple[K, str]:
        """Return the holder of the key that signed the request, and the region that the signature is scoped to.

        Args:
            request: As it came in; the path and the query must not have been decoded.
            signing_name: The service the credential must be scoped to, from its model.
            now: Aware UTC.
            find_key: Returns the holder for an access key id and a session token. Raises UnrecognizedClient if the key
                is unknown or the token does not belong to it (a temporary key without token included), ExpiredToken if
                the token has expired.

        Raises:
            MissingAuthenticationToken: The request is not signed.
            IncompleteSignature: Pieces of the signature are missing or malformed.
            SignatureMismatch: The signature, its date or its scope is wrong.
        """
        # The order of refusals is AWS's: 1 both forms, 2 neither, 3 missing pieces, 4 date, 5 host not signed,
        # 6 algorithm, 7 credential, 8 scope, 9 too old, 10 too new, 11 unknown key or token, 12 expired token,
        # 13 signature.
        signed = _find_signature(request)  # 1 to 3
        moment = _moment(signed.date)  # 4
        _require_signed(tuple(request.headers), signed.claim)  # 5
        if signed.claim.algorithm != ALGORITHM:  # 6
            raise IncompleteSignature(f"Unsupported AWS 'algorithm': '{signed.claim.algorithm}'")
        self._require_scope(signed, signing_name)  # 7, 8
        self._require_current(signed, moment, now)  # 9, 10
        access_key_id = signed.claim.credential_parts[0]
        holder = find_key(access_key_id, signed.session_token)  # 11, 12
        canonical = hashlib.sha256(_canonical_request(request, signed)).hexdigest()
        text = f"{ALGORITHM}\n{signed.date}\n{signed.claim.scope}\n{canonical}"
        expected = self._signing_key(holder.secret_access_key, access_key_id, signed.claim.scope).sign(text.encode())
        if not hmac.compare_digest(expected.encode(), signed.signature.encode()):  # 13
            raise SignatureMismatch
        return holder, signed.claim.credential_parts[2]

    def _require_scope(self, signed: _Signed, signing_name: str) -> None:
        if len(signed.claim.credential_parts) != _CREDENTIAL_PARTS:
            raise IncompleteSignature(
                "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term,"
                f" got '{signed.claim.credential}'"
            )
        _, day, region, service, terminator = signed.claim.credential_parts
        message = ""
        if region not in self._regions and not (region == _GLOBAL_REGION and signing_name in _GLOBAL_SERVICES):
            message += f"Credential should be scoped to a valid region, not '{region}'. "
        if service != signing_name:
            message += f"Credential should be scoped to correct service: '{signing_name}'. "
        if terminator != TERMINATOR:
            message += f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'. "
        if day != signed.date[:8]:
            message += (
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP:"
                f" '{day}' != '{signed.date[:8]}', from '{signed.date}'."
            )
        if message:
            raise SignatureMismatch(message)

    def _require_current(self, signed: _Signed, moment: datetime, now: datetime) -> None:
        # A presigned request says itself how long it is good for.
        lifetime = self._skew if signed.expires is None else _lifetime(signed.expires)
        oldest, newest = now - lifetime, now + self._skew
        if moment < oldest:
            raise SignatureMismatch(
                f"Signature expired: {signed.date} is now earlier than {oldest.strftime(_DATE_FORMAT)}"
                f" ({now.strftime(_DATE_FORMAT)} - {_duration(lifetime)}.)"
            )
        if moment > newest:
            raise SignatureMismatch(
                f"Signature not yet current: {signed.date} is still later than {newest.strftime(_DATE_FORMAT)}"
                f" ({now.strftime(_DATE_FORMAT)} + {_duration(self._skew)}.)"
            )

    def _signing_key(self, secret_access_key: Sensitive[str], access_key_id: str, scope: str) -> _SigningKey:
        kept = self._signing_keys.get((access_key_id, scope))
        # A replaced secret must not verify with the old one's signing key. The comparison takes constant time.
        if kept is not None and (
            kept.secret_access_key is secret_access_key or kept.secret_access_key == secret_access_key
        ):
            return kept
        key = f"AWS4{secret_access_key.reveal()}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        block = key.ljust(_BLOCK_BYTES, b"\0")
        signing_key = _SigningKey(
            secret_access_key,
            hashlib.sha256(block.translate(_INNER_PAD)),
            hashlib.sha256(block.translate(_OUTER_PAD)),
        )
        self._signing_keys.put((access_key_id, scope), signing_key)
        return signing_key


def _find_signature(request: HttpRequest) -> _Signed:
    """Find the signature in the header or in the query string, and all pieces it needs."""
    authorization = request.headers.get("authorization")
    parameters = _query_parameters(request.query_string) if request.query_string else ()
    is_presigned = bool(parameters) and "X-Amz-Algorithm" in dict(parameters)
    if authorization is None:
        if not is_presigned:
            raise MissingAuthenticationToken
        return _from_query(request.headers, parameters)
    if is_presigned:
        raise SignatureMismatch(
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."
        )
    return _from_header(authorization, request.headers, parameters)


def _from_header(authorization: str, headers: Mapping[str, str], parameters: _Parameters) -> _Signed:
    # Clients send the signature last; what stands before it is the same all day, and read once.
    head, _, signature = authorization.rpartition("Signature=")
    try:
        if not _SIGNATURE.fullmatch(signature):
            head, signature = authorization, _split_header(authorization)[1].get("Signature", "")
        claim = _claim_of_header(head)
    except _NoEqualSign as error:
        raise IncompleteSignature(
            "The signature contains an in-valid key=value pair (missing equal-sign) in Authorization header"
            f" (hashed with SHA-256 and encoded with Base64): '{_hashed(authorization)}'."
        ) from error
    date = headers.get("x-amz-date") or _basic_date(headers.get("date", ""))
    if not (claim.credential and signature and claim.signed_header_names and date):
        raise _incomplete_header(authorization, claim, signature, date)
    return _Signed(
        claim=claim,
        signature=signature,
        date=date,
        session_token=headers.get("x-amz-security-token"),
        canonical_query=_canonical_query(parameters),
        declared_body_hash=headers.get("x-amz-content-sha256"),
        expires=None,
    )


class _NoEqualSign(ValueError):
    """A piece of the Authorization header is not ``name=value``."""


def _split_header(text: str) -> tuple[str, dict[str, str]]:
    """Split ``ALGORITHM name=value, name=value``; the commas may be followed by blanks."""
    algorithm, _, rest = text.strip().partition(" ")
    pieces = {}
    for piece in filter(None, map(str.strip, rest.split(","))):
        name, equal_sign, value = piece.partition("=")
        if not equal_sign:
            raise _NoEqualSign
        pieces[name] = value
    return algorithm, pieces


def _claim_of_header(head: str) -> _Claim:
    # What is kept is chosen by callers nobody knows yet: little of each.
    return _kept_claim(head) if len(head) <= _LONGEST_KEPT else _read_claim(head)


@lru_cache(maxsize=2048)
def _kept_claim(head: str) -> _Claim:
    return _read_claim(head)


def _read_claim(head: str) -> _Claim:
    algorithm, pieces = _split_header(head)
    return _Claim.of(algorithm, pieces.get("Credential", ""), pieces.get("SignedHeaders", ""))


def _incomplete_header(authorization: str, claim: _Claim, signature: str, date: str) -> IncompleteSignature:
    pieces = {"Credential": claim.credential, "Signature": signature, "SignedHeaders": claim.signed_header_names}
    message = "".join(
        f"Authorization header requires '{name}' parameter. " for name, value in pieces.items() if not value
    )
    if not date:
        message += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    return IncompleteSignature(
        f"{message}(Hashed with SHA-256 and encoded with Base64) Authorization={_hashed(authorization)}"
    )


def _hashed(authorization: str) -> str:
    return base64.b64encode(hashlib.sha256(authorization.encode("latin-1", "replace")).digest()).decode()


def _from_query(headers: Mapping[str, str], parameters: _Parameters) -> _Signed:
    sent = {name: unquote(value) for name, value in parameters if name.startswith("X-Amz-")}
    needed = ("X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date")
    missing = "".join(f"AWS query-string parameters must include '{name}'. " for name in needed if not sent.get(name))
    if missing:
        raise IncompleteSignature(f"{missing}Re-examine the query-string parameters.")
    return _Signed(
        claim=_Claim.of(sent["X-Amz-Algorithm"], sent["X-Amz-Credential"], sent["X-Amz-SignedHeaders"]),
        signature=sent["X-Amz-Signature"],
        date=sent["X-Amz-Date"],
        session_token=sent.get("X-Amz-Security-Token"),
        canonical_query=_canonical_query(parameters),
        # Some clients move every x-amz-* header into the query when they presign.
        declared_body_hash=headers.get("x-amz-content-sha256") or sent.get("X-Amz-Content-Sha256"),
        expires=sent.get("X-Amz-Expires"),
    )


def _basic_date(date: str) -> str:
    """Return a Date header in the basic format of ISO 8601 that is signed, or as it is if it is no HTTP date."""
    if not date or _DATE.fullmatch(date):
        return date
    try:
        moment = parsedate_to_datetime(date)
    except (ValueError, TypeError, OverflowError):
        return date
    return (moment if moment.tzinfo is None else moment.astimezone(UTC)).strftime(_DATE_FORMAT)


@lru_cache(maxsize=1024)
def _moment(date: str) -> datetime:
    if _DATE.fullmatch(date):
        with suppress(ValueError):
            return datetime.strptime(date, _DATE_FORMAT).replace(tzinfo=UTC)
    raise IncompleteSignature(
        f"Date must be in ISO-8601 'basic format'. Got '{date}'. See http://en.wikipedia.org/wiki/ISO_8601"
    )


def _lifetime(expires: str) -> timedelta:
    seconds = int(expires) if _EXPIRES.fullmatch(expires) else 0
    if not 1 <= seconds <= MAX_EXPIRES_SECONDS:
        raise IncompleteSignature(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_SECONDS}.")
    return timedelta(seconds=seconds)


def _duration(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    return f"{seconds} sec" if seconds % 60 else f"{seconds // 60} min"


def _require_signed(names: tuple[str, ...], claim: _Claim) -> None:
    """Refuse a request whose meaning could be changed on the way: unsigned host or unsigned ``x-amz-*`` headers."""
    is_short = len(claim.signed_header_names) <= _LONGEST_KEPT
    (_check_signed_once if is_short else _check_signed)(names, claim.signed_headers)


@lru_cache(maxsize=256)
def _check_signed_once(names: tuple[str, ...], signed_headers: tuple[str, ...]) -> None:
    _check_signed(names, signed_headers)


def _check_signed(names: tuple[str, ...], signed_headers: tuple[str, ...]) -> None:
    if "host" not in signed_headers:
        raise SignatureMismatch("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    for name in names:
        if name.startswith("x-amz-") and name not in signed_headers and name != "x-amz-security-token":
            raise SignatureMismatch(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _canonical_request(request: HttpRequest, signed: _Signed) -> bytes:
    headers = request.headers
    try:
        lines = [f"{name}:{headers[name]}\n" for name in signed.claim.signed_headers]
        text = "".join(lines)
        if "  " in text or "\t" in text:
            lines = [f"{name}:{_BLANKS.sub(' ', headers[name]).strip(' ')}\n" for name in signed.claim.signed_headers]
            text = "".join(lines)
        return (
            f"{request.method}\n{_canonical_path(request.raw_path)}\n{signed.canonical_query}\n{text}\n"
            f"{signed.claim.signed_header_names}\n{_body_hash(request, signed.declared_body_hash)}"
        ).encode("latin-1")  # A header's octets come back as they were sent.
    except (KeyError, UnicodeEncodeError) as error:
        # A header that was signed did not arrive.
        raise SignatureMismatch from error


def _body_hash(request: HttpRequest, declared: str | None) -> str:
    """Return the hash that was signed, provided it is the body's."""
    actual = hashlib.sha256(request.body).hexdigest() if request.body else _EMPTY_BODY_HASH
    if declared is None:
        return actual
    if declared.lower() == actual:
        return declared
    if declared.startswith("STREAMING-"):
        raise SignatureMismatch(f"A payload signed in chunks is not supported: X-Amz-Content-Sha256 is '{declared}'.")
    if declared == "UNSIGNED-PAYLOAD":
        raise SignatureMismatch("The payload must be signed: X-Amz-Content-Sha256 is 'UNSIGNED-PAYLOAD'.")
    raise SignatureMismatch("The provided 'x-amz-content-sha256' header does not match what was computed.")


def _canonical_path(raw_path: bytes) -> str:
    """Return the path without dot segments and empty segments, encoded once more than it was sent."""
    return _kept_path(raw_path) if len(raw_path) <= _LONGEST_KEPT else _read_path(raw_path)


@lru_cache(maxsize=1024)
def _kept_path(raw_path: bytes) -> str:
    return _read_path(raw_path)


def _read_path(raw_path: bytes) -> str:
    kept: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            del kept[-1:]
        elif segment and segment != b".":
            kept.append(segment)
    leading = b"/" if raw_path.startswith(b"/") or not raw_path else b""
    trailing = b"/" if kept and raw_path.endswith(b"/") else b""
    return quote_from_bytes(leading + b"/".join(kept) + trailing, safe="/~")


def _query_parameters(query_string: bytes) -> _Parameters:
    """Return the names and values, each encoded in the one canonical way."""
    pairs = (piece.partition(b"=") for piece in query_string.split(b"&") if piece)
    return tuple((_canonical_text(name), _canonical_text(value)) for name, _, value in pairs)


def _canonical_text(sent: bytes) -> str:
    return quote_from_bytes(unquote_to_bytes(sent.replace(b"+", b" ")), safe="-_.~")


def _canonical_query(parameters: _Parameters) -> str:
    if not parameters:
        return ""
    return "&".join(f"{name}={value}" for name, value in sorted(parameters) if name != "X-Amz-Signature")
