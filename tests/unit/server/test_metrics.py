"""The page of metrics: who may read it, and that the documentation and the alerts name what is on it."""

from __future__ import annotations

import asyncio
import platform
import re
import secrets as randomness
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

import keyturn
from keyturn.notifiers.base import open_notifiers
from keyturn.runtime.pool import Runtime
from keyturn.scheduler.notifying import Sender
from keyturn.scheduler.shipping import Shipper
from keyturn.sensitive import Sensitive
from keyturn.server.metrics import MetricsPage, Sources
from keyturn.storage.database import StorageError
from keyturn.testing.handlers import HandlerBench, open_bench
from keyturn.wire.http import HttpReply
from keyturn.wire.models import service as service_model

DOCS = Path(__file__).parents[3] / "docs"
TOKEN = "a token of metrics"
# What Prometheus's client calls a family, and what its samples are called, differ by these.
ENDINGS = re.compile(r"_(total|bucket|count|sum|info)$")


def families(reply: HttpReply) -> list[Metric]:
    parse: Any = text_string_to_metric_families
    return list(parse(reply.body.decode()))


class BusyRuntime:
    def occupancy(self) -> tuple[int, int, int]:
        return 3, 2, 32


class Desk:
    """A page of a server at which something of everything has happened."""

    def __init__(self, handlers: HandlerBench) -> None:
        kit = handlers.kit = replace(handlers.kit, runtime=cast("Runtime", BusyRuntime()))
        self.handlers = handlers
        (named,) = open_notifiers("https://hooks.example.org/#name=pager")
        sender = Sender(kit.audit_log, named, kit.clock, randomness)
        sender.sent = 7
        shipper = Shipper(
            kit.audit_log, "json-lines:/a", cast("Any", None), kit.clock, owner="o", limit_records=0, limit_seconds=0
        )
        read = service_model("secretsmanager").operation("GetSecretValue")
        self.replies = {(read, 200): 41, (None, 403): 1}
        self.sources = Sources(kit, self.replies, [shipper], [sender])
        self.page = MetricsPage(Sensitive(TOKEN), self.sources)
        kit.meters.note_step("rotation", "setSecret", "succeeded", "", timedelta(seconds=2))
        kit.meters.note_step("rotation", "setSecret", "functionError", "ValueError", timedelta(seconds=-1))
        kit.meters.note_end("rotation", "succeeded", timedelta(days=3))
        self.make_secret_due()

    def make_secret_due(self) -> None:
        handlers = self.handlers
        handlers.call("secretsmanager", "CreateSecret", Name="db", SecretString="s", ClientRequestToken="t" * 32)
        now = int(handlers.clock.now().timestamp() * 1000)
        with handlers.kit.state.write() as transaction:
            transaction.connection.exec_driver_sql(
                f"UPDATE secrets SET rotation_enabled = 1, next_rotation_at = {now - 5000},"
                f" next_rotation_closes_at = {now - 1000}, last_rotated_at = {now - 90_000}"
            )

    def ask(self, token: str | None = TOKEN, **headers: str) -> HttpReply:
        given = {} if token is None else {"authorization": f"Bearer {token}"}
        return asyncio.run(self.page.answer({**given, **headers}))

    def samples(self) -> dict[str, float]:
        """Values by name and labels."""
        return {
            sample.name + "".join(f",{name}={value}" for name, value in sample.labels.items()): sample.value
            for family in families(self.ask())
            for sample in family.samples
        }


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as handlers:
        made = Desk(handlers)
        yield made
        made.page.close()


def test_everything_is_counted(desk: Desk) -> None:
    samples = desk.samples()

    expected = {
        f"keyturn_build_info,python={platform.python_version()},version={keyturn.__version__}": 1,
        "keyturn_requests_total,operation=GetSecretValue,service=secretsmanager,status=200": 41,
        "keyturn_requests_total,operation=,service=,status=403": 1,
        "keyturn_rotations_succeeded_total,kind=rotation": 1,
        "keyturn_rotation_attempts_failed_total,cause=ValueError,kind=rotation,step=setSecret": 1,
        "keyturn_rotation_duration_seconds_bucket,kind=rotation,le=86400.0,outcome=succeeded": 0,
        "keyturn_rotation_duration_seconds_bucket,kind=rotation,le=+Inf,outcome=succeeded": 1,
        "keyturn_rotation_duration_seconds_sum,kind=rotation,outcome=succeeded": 3 * 86_400,
        "keyturn_rotation_step_duration_seconds_bucket,le=1.0,outcome=succeeded,step=setSecret": 0,
        "keyturn_rotation_step_duration_seconds_bucket,le=2.5,outcome=succeeded,step=setSecret": 1,
        "keyturn_rotation_step_duration_seconds_count,outcome=functionError,step=setSecret": 1,
        "keyturn_rotation_step_duration_seconds_sum,outcome=functionError,step=setSecret": 0,
        "keyturn_function_environments,state=busy": 3,
        "keyturn_function_environments,state=idle": 2,
        "keyturn_function_environments_limit": 32,
        "keyturn_notifications_sent_total,notifier=pager": 7,
        "keyturn_notifications_waiting,notifier=pager": 0,
        "keyturn_database_up": 1,
        "keyturn_rotation_secrets": 1,
        "keyturn_rotation_preflight_secrets,verdict=ready": 0,
        "keyturn_rotation_preflight_secrets,verdict=will_fail": 0,
        "keyturn_rotation_preflight_secrets,verdict=unknown": 1,
        "keyturn_rotation_heartbeat_secrets,heartbeat=in_step": 0,
        "keyturn_rotation_heartbeat_secrets,heartbeat=drift": 0,
        "keyturn_rotation_heartbeat_secrets,heartbeat=unknown": 1,
        "keyturn_rotations_due": 1,
        "keyturn_rotations_due_longest_seconds": 5,
        "keyturn_rotations_late": 1,
        "keyturn_rotation_oldest_age_seconds": 90,
    }
    assert {_ordered(name): value for name, value in samples.items()}.items() >= {
        _ordered(name): value for name, value in expected.items()
    }.items()
    assert "process_resident_memory_bytes" in samples


def _ordered(name: str) -> str:
    first, *labels = name.split(",")
    return ",".join([first, *sorted(labels)])


def test_openmetrics_is_spoken_to_whoever_asks(desk: Desk) -> None:
    reply = desk.ask(accept="application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")

    assert dict(reply.headers)[b"content-type"].startswith(b"application/openmetrics-text; version=1.0.0")
    parse: Any = openmetrics_parser.text_string_to_metric_families
    names = {family.name for family in parse(reply.body.decode())}
    assert "keyturn_rotations_late" in names
    assert dict(desk.ask().headers)[b"content-type"] == b"text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN[:-1], "\xff"])
def test_nobody_reads_it_without_the_token(desk: Desk, token: str | None) -> None:
    reply = desk.ask(token)

    assert reply.status == 401
    assert b"www-authenticate" in dict(reply.headers)
    assert b"keyturn_" not in reply.body


def test_another_scheme_is_refused(desk: Desk) -> None:
    for header in (f"Basic {TOKEN}", TOKEN, f"Bearer{TOKEN}"):
        assert asyncio.run(desk.page.answer({"authorization": header})).status == 401
    assert asyncio.run(desk.page.answer({"authorization": f"bearer  {TOKEN} "})).status == 200


def test_without_a_token_set_there_is_no_page(desk: Desk) -> None:
    page = MetricsPage(None, desk.sources)
    reply = asyncio.run(page.answer({"authorization": "Bearer None"}))
    page.close()

    assert reply.status == 404
    assert b"metrics_token_file" in reply.body


def test_a_database_that_fails_leaves_the_rest(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise StorageError("The disk is gone.")

    monkeypatch.setattr(desk.handlers.kit.state, "read", fail)
    samples = desk.samples()

    assert samples["keyturn_database_up"] == 0
    assert "keyturn_rotations_due" not in samples
    assert samples["keyturn_function_environments_limit"] == 32


def test_secrets_that_rotate_are_counted_once_a_minute(desk: Desk) -> None:
    assert desk.samples()["keyturn_rotation_secrets"] == 1
    with desk.handlers.kit.state.write() as transaction:
        transaction.connection.exec_driver_sql("UPDATE secrets SET rotation_enabled = 0")
    assert desk.samples()["keyturn_rotation_secrets"] == 1
    desk.handlers.clock.advance(timedelta(minutes=2))
    assert desk.samples()["keyturn_rotation_secrets"] == 0


def test_no_label_names_a_secret(desk: Desk) -> None:
    labels = {name for family in families(desk.ask()) for sample in family.samples for name in sample.labels}
    assert labels <= {
        "version", "python", "service", "operation", "status", "kind", "outcome", "step", "cause", "state", "notifier",
        "verdict", "heartbeat", "sink", "le", "implementation", "major", "minor", "patchlevel",
    }  # fmt: skip


def documented() -> set[str]:
    return set(re.findall(r"^\| `(keyturn_\w+)", (DOCS / "metrics.md").read_text(), re.MULTILINE))


def test_the_documentation_names_every_metric_and_no_other(desk: Desk) -> None:
    # A label of each is there, so every family has samples.
    shown = {ENDINGS.sub("", name.partition(",")[0]) for name in desk.samples()}
    missing = {name for name in shown if name.startswith("keyturn_")} ^ {ENDINGS.sub("", n) for n in documented()}
    assert missing <= {"keyturn_rotation_next_timestamp_seconds"} - shown


def test_the_alerts_name_metrics_and_labels_that_there_are(desk: Desk) -> None:
    rules = yaml.safe_load((DOCS / "prometheus-alerts.yaml").read_text())
    names = {name.partition(",")[0] for name in desk.samples()}
    labels = {"job", *re.findall(r",(\w+)=", " ".join(desk.samples()))}
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]

    assert {"KeyturnRotationLate", "KeyturnRotationParked", "KeyturnSecretTooOld"} <= {rule["alert"] for rule in alerts}
    for rule in alerts:
        used = set(re.findall(r"keyturn_\w+", rule["expr"]))
        assert used, rule
        assert used <= names, rule
        for grouped in re.findall(r"(?:by|ignoring) \(([\w, ]+)\)", rule["expr"]):
            assert set(grouped.split(", ")) <= labels, rule
        assert set(rule["annotations"]) >= {"summary"}
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
