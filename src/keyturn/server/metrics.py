"""Metrics in Prometheus's form, for whoever holds the token.

Counters are of this process. What is asked of the database is the same on every server of one database. Nothing here
names a secret: the page may be read by people who may not list them.
"""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import keyturn
from keyturn.operations.kit import Kit
from keyturn.operations.meters import Durations
from keyturn.rules.preflight import Heartbeat, Verdict
from keyturn.scheduler.notifying import Sender
from keyturn.scheduler.shipping import Shipper
from keyturn.sensitive import Sensitive
from keyturn.storage import notifications, preflights, rotation_totals
from keyturn.storage.database import StorageError
from keyturn.wire.http import HttpReply
from keyturn.wire.models import OperationModel

_log = logging.getLogger(__name__)

# It goes through every secret that rotates.
_COUNT_AGAIN = timedelta(minutes=1)
_SCHEME = "Bearer "


@dataclass(frozen=True, slots=True)
class Sources:
    """What is counted.

    Attributes:
        kit: For the databases, the clock, the runtime and what rotations came to.
        replies: By operation, None for what is none, and HTTP status.
        shippers: Of the audit sinks.
        senders: Of the notifiers.
    """

    kit: Kit
    replies: Mapping[tuple[OperationModel | None, int], int]
    shippers: Sequence[Shipper]
    senders: Sequence[Sender]


class KeyturnCollector(Collector):
    """Gathers all families at each scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._rotating = 0
        self._preflights: Mapping[tuple[str | None, str | None], int] = {}
        self._count_at: datetime | None = None

    def collect(self) -> Iterator[Metric]:
        """Return the families; those of a database that does not answer are left out."""
        build = {"version": keyturn.__version__, "python": platform.python_version()}
        yield InfoMetricFamily("keyturn_build", "The Keyturn that runs.", build)
        yield from self._requests()
        yield from self._rotations()
        yield from self._environments()
        yield from self._senders()
        yield from self._shippers()
        try:
            of_state, waiting = list(self._state()), list(self._waiting())
        except StorageError as error:
            _log.warning("metrics of the database are missing: %s", error.message)
            of_state, waiting = [], []
        yield _gauge("keyturn_database_up", "1 if the database answered this scrape.", 1 if of_state else 0)
        yield from of_state
        yield from waiting

    def _requests(self) -> Iterator[Metric]:
        family = CounterMetricFamily(
            "keyturn_requests", "Calls answered, by HTTP status.", labels=("service", "operation", "status")
        )
        # Copied at once: the loop goes on counting.
        for (model, status), count in dict(self._sources.replies).items():
            names = ("", "") if model is None else (model.service.name, model.name)
            family.add_metric((*names, str(status)), count)
        yield family

    def _rotations(self) -> Iterator[Metric]:
        meters = self._sources.kit.meters
        succeeded = CounterMetricFamily("keyturn_rotations_succeeded", "Rotations that succeeded.", labels=("kind",))
        ended = HistogramMetricFamily(
            "keyturn_rotation_duration_seconds",
            "From the intent to rotate to its end, or until it was parked; pauses between attempts included.",
            labels=("kind", "outcome"),
        )
        for (kind, outcome), durations in sorted(meters.rotations().items()):
            _add(ended, (kind, outcome), durations)
            if outcome == "succeeded":
                succeeded.add_metric((kind,), sum(durations.counts))
        failed = CounterMetricFamily(
            "keyturn_rotation_attempts_failed", "Failed attempts to rotate.", labels=("kind", "step", "cause")
        )
        for labels, count in sorted(meters.failures().items()):
            failed.add_metric(labels, count)
        steps = HistogramMetricFamily(
            "keyturn_rotation_step_duration_seconds",
            "Invocations of rotation functions, one for each step.",
            labels=("step", "outcome"),
        )
        for labels_, durations in sorted(meters.steps().items()):
            _add(steps, labels_, durations)
        yield from (succeeded, failed, ended, steps)

    def _environments(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "keyturn_function_environments", "Processes of functions that there are.", labels=("state",)
        )
        busy, idle, limit = self._sources.kit.runtime.occupancy()
        family.add_metric(("busy",), busy)
        family.add_metric(("idle",), idle)
        yield family
        yield _gauge("keyturn_function_environments_limit", "Processes of functions that there may be.", limit)

    def _senders(self) -> Iterator[Metric]:
        sent = CounterMetricFamily("keyturn_notifications_sent", "Messages taken.", labels=("notifier",))
        failed = CounterMetricFamily("keyturn_notification_tries_failed", "Messages not taken.", labels=("notifier",))
        given_up = CounterMetricFamily(
            "keyturn_notifications_given_up", "Messages that are not offered any more.", labels=("notifier",)
        )
        for sender in self._sources.senders:
            sent.add_metric((sender.name,), sender.sent)
            failed.add_metric((sender.name,), sender.failures)
            given_up.add_metric((sender.name,), sender.given_up)
        yield from (sent, failed, given_up)

    def _shippers(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            "keyturn_audit_sink_lag_records", "Audit records that a sink does not have yet.", labels=("sink",)
        )
        for shipper in self._sources.shippers:
            family.add_metric((shipper.name,), shipper.lag)
        yield family

    def _state(self) -> Iterator[Metric]:
        kit = self._sources.kit
        now = kit.clock.now()
        with kit.state.read() as connection:
            totals = rotation_totals.load_totals(connection, now)
            if self._count_at is None or now >= self._count_at:
                self._rotating, self._count_at = rotation_totals.count_rotating(connection), now + _COUNT_AGAIN
                self._preflights = preflights.count_preflights(connection)
        waits = max((now - totals.due_since).total_seconds(), 0.0) if totals.due_since else 0.0
        yield _gauge("keyturn_rotation_secrets", "Secrets that rotate.", self._rotating)
        yield from self._verdicts()
        yield _gauge("keyturn_rotations_due", "Rotations whose moment has come and that nobody runs.", totals.due)
        yield _gauge("keyturn_rotations_due_longest_seconds", "How long the first of those waits.", waits)
        yield _gauge("keyturn_rotations_running", "Rotations that a server runs.", totals.running)
        yield _gauge("keyturn_rotations_parked", "Rotations given up until their next window.", totals.parked)
        yield _gauge(
            "keyturn_rotation_failed_secrets", "Secrets whose last rotation failed and has ended.", totals.failed
        )
        yield _gauge(
            "keyturn_rotations_late", "Rotations that had not succeeded when their window closed.", totals.late
        )
        if totals.next_at is not None:
            yield _gauge(
                "keyturn_rotation_next_timestamp_seconds", "When the next is planned.", totals.next_at.timestamp()
            )
        if totals.oldest_at is not None:
            age = (now - totals.oldest_at).total_seconds()
            yield _gauge(
                "keyturn_rotation_oldest_age_seconds",
                "Since the secret that has gone without rotation for longest was rotated, or made.",
                age,
            )

    def _verdicts(self) -> Iterator[Metric]:
        verdicts, heartbeats = dict.fromkeys(Verdict, 0), dict.fromkeys(Heartbeat, 0)
        unseen = max(self._rotating - sum(self._preflights.values()), 0)
        verdicts[Verdict.UNKNOWN] = heartbeats[Heartbeat.UNKNOWN] = unseen
        for (verdict, heartbeat), count in self._preflights.items():
            verdicts[Verdict(verdict) if verdict else Verdict.UNKNOWN] += count
            heartbeats[Heartbeat(heartbeat) if heartbeat else Heartbeat.UNKNOWN] += count
        of_verdict = GaugeMetricFamily(
            "keyturn_rotation_preflight_secrets",
            "Secrets that rotate, by whether the next rotation would succeed.",
            labels=("verdict",),
        )
        for verdict_, count in verdicts.items():
            of_verdict.add_metric((verdict_.value.replace(" ", "_"),), count)
        of_heartbeat = GaugeMetricFamily(
            "keyturn_rotation_heartbeat_secrets",
            "Secrets that rotate, by whether the database has what the secret says.",
            labels=("heartbeat",),
        )
        for heartbeat_, count in heartbeats.items():
            of_heartbeat.add_metric((heartbeat_.value.replace(" ", "_"),), count)
        yield from (of_verdict, of_heartbeat)

    def _waiting(self) -> Iterator[Metric]:
        with self._sources.kit.journal.read() as connection:
            waiting = notifications.waiting(connection)
        family = GaugeMetricFamily("keyturn_notifications_waiting", "Messages not taken yet.", labels=("notifier",))
        for name in sorted({*waiting, *(sender.name for sender in self._sources.senders)}):
            family.add_metric((name,), waiting.get(name, 0))
        yield family


class MetricsPage:
    """Answers ``/metrics``.

    Args:
        token: What a scrape must carry; None for nobody may.
        sources: What is counted.
    """

    def __init__(self, token: Sensitive[str] | None, sources: Sources) -> None:
        self._token = token
        self._registry = CollectorRegistry()
        self._registry.register(KeyturnCollector(sources))
        ProcessCollector(registry=self._registry)
        # One at a time, and not on the loop: it asks the database.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    async def answer(self, headers: Mapping[str, str]) -> HttpReply:
        """Return the metrics, or a refusal.

        Args:
            headers: Of the request, names in lower case.
        """
        if self._token is None:
            return _reply(404, b"There are no metrics here: the setting metrics_token_file is not set.\n")
        scheme, token = (
            headers.get("authorization", "")[: len(_SCHEME)],
            headers.get("authorization", "")[len(_SCHEME) :],
        )
        # Latin-1, as it came.
        if scheme.lower() != _SCHEME.lower() or Sensitive(token.strip().encode("latin-1")) != Sensitive(
            self._token.reveal().encode()
        ):
            return _reply(
                401, b"Metrics need Authorization: Bearer TOKEN.\n", (b"www-authenticate", b'Bearer realm="metrics"')
            )
        accept = headers.get("accept", "")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._render, accept)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _render(self, accept: str) -> HttpReply:
        encode, content_type = choose_encoder(accept)
        return _reply(200, encode(self._registry), content_type=content_type.encode())


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _add(family: HistogramMetricFamily, labels: Sequence[str], durations: Durations) -> None:
    buckets, below = [], 0
    for bound, count in zip((*map(str, durations.bounds), "+Inf"), durations.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    family.add_metric(labels, buckets, durations.total_seconds)


def _reply(
    status: int,
    body: bytes,
    *headers: tuple[bytes, bytes],
    content_type: bytes = b"text/plain; charset=utf-8",
) -> HttpReply:
    own = (
        (b"content-type", content_type),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    )
    return HttpReply(status, (*own, *headers), body)
