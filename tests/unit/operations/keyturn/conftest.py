from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.arn import Place
from keyturn.call import Principal
from keyturn.clock import to_milliseconds
from keyturn.ids import new_event_id
from keyturn.rules.audit_record import AuditRecord
from keyturn.rules.lanes import Lane, Limits
from keyturn.storage import function_logs, inline_policies, rotation_leases, rotations, secrets
from keyturn.storage.rotations import RotationKind, RotationRecord, RotationStatus
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench, user

FUNCTION = PLACE.function_arn("rotate")
GROUP = "/aws/lambda/rotate"
SECOND = timedelta(seconds=1)


class Desk:
    """A secret, and what a scheduler, a function and a pipeline would store about its rotations."""

    def __init__(self, bench: HandlerBench) -> None:
        self.bench, self.kit, self.clock = bench, bench.kit, bench.clock
        self.arn: str = bench.call(
            "secretsmanager", "CreateSecret", Name="db", SecretString="hunter22", ClientRequestToken="v" * 32
        )["ARN"]
        self.reader = user("reader")
        self.allow(json.loads(ALLOW_ALL)["Statement"][0])
        with self.kit.state.write() as transaction:
            self.secret = secrets.lock_secret(transaction, self.arn)
            assert self.secret is not None
            self.secret_id = self.secret.secret_id
            secrets.update_secret(transaction, self.secret, rotation_enabled=True, rotation_function_arn=FUNCTION)

    def allow(self, *statements: dict[str, Any]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        with self.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, self.reader.arn, "inline", document)

    def begin(
        self, version_id: str = "v2", kind: RotationKind = RotationKind.ROTATION, function_arn: str = FUNCTION
    ) -> RotationRecord:
        with self.kit.state.write() as transaction:
            rotations.start_rotation(
                transaction,
                self.secret_id,
                version_id,
                kind,
                "createSecret",
                self.clock.now(),
                None,
                Lane(function_arn, ""),
            )
        return self.rotation(version_id)

    def rotation(self, version_id: str = "v2") -> RotationRecord:
        with self.kit.state.read() as connection:
            found = rotations.load_rotation(connection, self.secret_id, version_id)
        assert found is not None
        return found

    def claim(self) -> RotationRecord:
        now = self.clock.now()
        (claimed,) = rotation_leases.claim_due(self.kit.state, "me", now, {}, Limits(9, 9, 9))
        return claimed

    def step(
        self,
        rotation: RotationRecord,
        step: str,
        request_id: str,
        outcome: str | None = "succeeded",
        error: str | None = None,
    ) -> None:
        """A step of one second; one without outcome does not end."""
        with self.kit.state.write() as transaction:
            position = rotations.next_position(transaction, rotation)
            rotations.insert_step(transaction, replace(rotation, step=step), position, request_id, self.clock.now())
        self.clock.advance(SECOND)
        if outcome is not None:
            with self.kit.state.write() as transaction:
                rotations.end_step(
                    transaction, rotation, position, self.clock.now(), outcome=outcome, error=error, cause=None
                )

    def log(self, *lines: str, at: datetime | None = None, stream: str = "s", place: Place = PLACE) -> None:
        at_ms = to_milliseconds(at or self.clock.now())
        function_logs.append_events(
            self.kit.journal, place, GROUP, stream, [(at_ms, line) for line in lines], self.clock.now()
        )

    def record(
        self,
        name: str,
        at: datetime,
        *,
        reads: bool = False,
        about: str | None = None,
        key: str = "ASIA1",
        who: str = "rotate",
        **more: Any,
    ) -> str:
        event_id = new_event_id(at)
        event = {
            "eventName": name,
            "userIdentity": {"arn": f"arn:aws:sts::000000000000:assumed-role/rotate/{who}"},
            **more,
        }
        record = AuditRecord(
            PLACE.account_id, PLACE.region, event_id, to_milliseconds(at), "secretsmanager.amazonaws.com", name, who,
            key, reads, about or self.arn, None, None, "r", json.dumps(event),
        )  # fmt: skip
        self.kit.audit_log.append([record])
        return event_id

    def end(self, status: RotationStatus, error: str | None = None) -> None:
        """End the rotation that is under way."""
        with self.kit.state.write() as transaction:
            rotations.end_unfinished(transaction, self.secret_id, status, self.clock.now(), error)

    def get(self, who: Principal | None = None, **request: Any) -> Any:
        call = self.bench.as_(who or self.reader)
        return self.bench.call_as(call, "keyturn", "GetRotation", SecretId="db", **request)

    def notes(self) -> list[str]:
        return [entry["Message"] for entry in self.get()["Timeline"] if entry["Kind"] == "note"]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_bench(tmp_path) as bench:
        yield Desk(bench)
