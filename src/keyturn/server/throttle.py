"""How many requests of an account are taken in a second, where the operator has set a limit.

A bucket for each account, region and group of operations holds a second's worth of requests and fills at the limit's
rate. It counts on this server alone; several servers on one database take that many each.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from threading import Lock

from keyturn.call import Call
from keyturn.errors.common import Throttled
from keyturn.kept import Kept
from keyturn.quotas import RateLimit

_BUCKETS_KEPT = 100_000


class _Bucket:
    """What is left of a second's worth of requests."""

    __slots__ = ("filled_at", "left")

    def __init__(self, left: float, filled_at: datetime) -> None:
        self.left = left
        self.filled_at = filled_at


class Throttle:
    """Counts calls; safe to use from several threads.

    Args:
        limits: By operation.
    """

    def __init__(self, limits: Mapping[str, RateLimit]) -> None:
        self._limits = limits
        self._lock = Lock()
        self._buckets: Kept[tuple[str, str, str], _Bucket] = Kept(_BUCKETS_KEPT)

    def count(self, call: Call, operation_name: str) -> None:
        """Take one request of the caller's account, whoever owns what it is about.

        Raises:
            Throttled: There are too many.
        """
        limit = self._limits.get(operation_name)
        if limit is None:
            return
        key = (call.place.account_id, call.place.region, limit.group)
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                bucket = _Bucket(limit.per_second, call.at)
                self._buckets.put(key, bucket)
            # A clock that was set back fills nothing and takes nothing away.
            passed = max(0.0, (call.at - bucket.filled_at).total_seconds())
            bucket.left = min(float(limit.per_second), bucket.left + passed * limit.per_second)
            bucket.filled_at = call.at
            if bucket.left < 1:
                raise Throttled
            bucket.left -= 1
