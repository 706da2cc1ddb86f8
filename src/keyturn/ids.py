"""Identifiers: version ids, request ids, ARN suffixes, IAM's unique ids and access keys.

All randomness of this module comes from :mod:`secrets`; nothing here is guessable.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import string
import uuid
from datetime import datetime
from typing import NewType

from keyturn.clock import to_milliseconds

VersionId = NewType("VersionId", str)
RequestId = NewType("RequestId", str)

_EVENT_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
_SUFFIX_ALPHABET = string.ascii_letters + string.digits
_UNIQUE_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_KEY_ALPHABET = string.ascii_letters + string.digits + "+/"


def new_request_id() -> RequestId:
    """Return a fresh request id, a lower-case UUID4."""
    return RequestId(_next_uuid())


def new_event_id(at: datetime) -> str:
    """Return the id of an audit event, a lower-case UUID that begins with its moment.

    Found by its moment it needs no index of its own, which would cost more than storing the event.
    """
    # RFC 9562: version 7, the first 48 bits are milliseconds since the epoch.
    moment = f"{to_milliseconds(at):012x}"
    return f"{moment[:8]}-{moment[8:]}-7{_next_uuid()[15:]}"


def new_shared_id() -> str:
    """Return what the events of two accounts share that are about one call, a lower-case UUID4."""
    return _next_uuid()


def moment_of_event_id(event_id: str) -> int | None:
    """Return the milliseconds since the epoch that an audit event's id begins with; None if it is not of that kind."""
    match = _EVENT_ID.fullmatch(event_id)
    return None if match is None else int(match[1] + match[2], 16)


def new_version_id() -> VersionId:
    """Return a fresh version id, a lower-case UUID4."""
    return VersionId(str(uuid.uuid4()))


def new_key_id() -> str:
    """Return a fresh KMS key id, a lower-case UUID4."""
    return str(uuid.uuid4())


def new_grant_id() -> str:
    """Return a fresh id of a grant on a KMS key, 64 hexadecimal digits."""
    return secrets.token_hex(32)


def new_ec2_id(prefix: str) -> str:
    """Return a fresh id of EC2's: a prefix (vpc, subnet, …) and seventeen hexadecimal digits."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def new_account_id() -> str:
    """Return a fresh account id, twelve digits that do not begin with a zero: those of settings often do."""
    return str(10**11 + secrets.randbelow(9 * 10**11))


def organization_id_of(management_account_id: str) -> str:
    """Return the id of the organization of an account that makes others; one belongs to the other."""
    return f"o-{hashlib.sha256(management_account_id.encode()).hexdigest()[:10]}"


def new_arn_suffix() -> str:
    """Return the six letters and digits that AWS appends to a secret's name in its ARN."""
    return "".join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(6))


def new_unique_id(prefix: str) -> str:
    """Return an IAM unique id: a four-letter prefix (AIDA, AROA, AKIA, ASIA, …) and sixteen base32 characters."""
    return prefix + "".join(secrets.choice(_UNIQUE_ID_ALPHABET) for _ in range(16))


def new_secret_access_key() -> str:
    """Return forty characters of the alphabet AWS uses for secret access keys."""
    return "".join(secrets.choice(_SECRET_KEY_ALPHABET) for _ in range(40))


class _Uuids:
    """UUID4 texts from the system's random numbers, fetched many at a time: every call needs two of them."""

    _AT_ONCE = 256

    def __init__(self) -> None:
        self._ready: list[str] = []

    def __call__(self) -> str:
        while True:
            try:
                # One atomic step, so that no two threads are given the same one.
                return self._ready.pop()
            except IndexError:
                digits = os.urandom(16 * self._AT_ONCE).hex()
                self._ready = [_uuid4_text(digits[start : start + 32]) for start in range(0, len(digits), 32)]


def _uuid4_text(digits: str) -> str:
    # RFC 9562: version 4 in the thirteenth digit, variant 10xx in the seventeenth.
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


_next_uuid = _Uuids()
