"""Signing in with an access key, and out again.

A wrong secret is answered like an unknown key. Who guesses is slowed down: by browser address, by access key, and most
by both together. Each sign-in, good or not, is an event in the audit trail (CloudTrail's ConsoleLogin).
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from typing import Final
from urllib.parse import urlsplit

WINDOW: Final = timedelta(minutes=5)
# From one address, mistakes of an office behind it included; with one key, from wherever; and both together.
_LIMITS: Final = {"address": 30, "key": 100, "both": 6}
_MOST_COUNTED = 10_000


class SignInLimits:
    """Counts failed sign-ins. Safe to share between threads.

    An attempt counts before its secret is looked at, and is given back if it was the right one: otherwise many at once
    would all be let through before the first of them is known to have failed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str], deque[datetime]] = OrderedDict()

    def take(self, source_address: str, access_key_id: str, now: datetime) -> timedelta:
        """Count one attempt, and return nothing; or return how long it takes until somebody may try again."""
        with self._lock:
            waits = [
                failures[-limit] + WINDOW - now
                for key, limit in _keys(source_address, access_key_id)
                if len(failures := self._failures.get(key, deque())) >= limit
            ]
            wait = max([timedelta(0), *waits])
            if not wait:
                self._count(source_address, access_key_id, now)
        return wait

    def give_back(self, source_address: str, access_key_id: str, at: datetime) -> None:
        """Count the attempt of a moment no more, because it has succeeded."""
        with self._lock:
            for key, _ in _keys(source_address, access_key_id):
                attempts = self._failures.get(key, deque())
                if at in attempts:
                    attempts.remove(at)
                if not attempts:
                    self._failures.pop(key, None)

    def _count(self, source_address: str, access_key_id: str, now: datetime) -> None:
        for key, limit in _keys(source_address, access_key_id):
            self._failures.setdefault(key, deque(maxlen=limit)).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _MOST_COUNTED:
            self._failures.popitem(last=False)


def _keys(source_address: str, access_key_id: str) -> list[tuple[tuple[str, str], int]]:
    # What is claimed may be of any length.
    key, network = access_key_id[:128], _network(source_address)
    return [
        (("address", network), _LIMITS["address"]),
        (("key", key), _LIMITS["key"]),
        (("both", f"{network} {key}"), _LIMITS["both"]),
    ]


def _network(source_address: str) -> str:
    """Return whose address it is: of IPv6 everybody has a whole /64 (RFC 6177)."""
    try:
        address = IPv6Address(source_address)
    except AddressValueError:
        return source_address
    return str(address.ipv4_mapped or IPv6Network((int(address), 64), strict=False))


def next_page(wanted: str) -> str:
    """Return where to go after signing in: an address of the console, or its home page.

    Whatever a link of somebody else's asks for, it does not lead away from here.
    """
    try:
        split = urlsplit(wanted)
    except ValueError:
        return "/console/"
    is_ours = not split.scheme and not split.netloc and split.path.startswith("/console/")
    # Browsers take a backslash for a slash, and leave out what is not printed.
    is_plain = wanted.isprintable() and wanted.isascii() and "\\" not in wanted and not wanted.startswith("//")
    return wanted if is_ours and is_plain and ".." not in split.path else "/console/"
