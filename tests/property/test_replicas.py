"""Replicas against their primary, over random histories: whatever is done to the one is in the others.

Nothing here knows what an operation does: what is stored for primary and replicas is compared after each, values
opened.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keyturn.errors.base import AwsError
from keyturn.ids import new_version_id
from keyturn.operations.accesses import Accesses
from keyturn.operations.sealing import open_value
from keyturn.operations.secretsmanager import rotation
from keyturn.rules.replication import replica_arn
from keyturn.scheduler.due import begin_due
from keyturn.storage import inline_policies, replications, secret_versions, secrets
from keyturn.storage.secrets import SecretRecord
from keyturn.testing.handlers import ALLOW_ALL, PLACE, HandlerBench, open_bench

HERE, THERE, ELSEWHERE = PLACE.region, "eu-west-1", "ap-southeast-2"
REGIONS = st.lists(st.sampled_from([THERE, ELSEWHERE]), min_size=1, max_size=2, unique=True)
LABELS = st.sampled_from(["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "BLUE", "GREEN"])
STAGES = st.lists(LABELS, max_size=2, unique=True)
FOLLOWED = (
    *("name", "description", "type", "resource_policy", "rotation_enabled", "rotation_function_arn"),
    *("rotation_rules", "last_rotated_at", "next_rotation_closes_at", "last_changed_at", "labels"),
)


POLICY = json.dumps(
    {
        "Version": "VERSION",
        "Statement": {
            "Effect": "Deny",
            "Principal": {"AWS": "999999999999"},
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
        },
    }
)


class _Middle:
    """Chance that always falls in the middle."""

    def randbelow(self, limit: int) -> int:
        return limit // 2


class Replicas(RuleBasedStateMachine):
    """One secret in one region, and what becomes of it in two others."""

    bench: HandlerBench

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        directory = Path(tempfile.mkdtemp())
        self.closing.callback(shutil.rmtree, directory)
        self.bench = self.closing.enter_context(open_bench(directory))
        self.bench.kit = replace(
            self.bench.kit,
            regions=frozenset({HERE, THERE, ELSEWHERE}),
            accesses=Accesses(),
            random=_Middle(),
            wake_scheduler=lambda: None,
        )
        with self.bench.kit.state.write() as transaction:
            inline_policies.put_inline_policy(transaction, self.bench.caller.arn, "everything", ALLOW_ALL)
        self.ids: list[str] = []
        self.arn = self.call("CreateSecret", SecretString="first", ClientRequestToken=self.version_id(None))["ARN"]

    def teardown(self) -> None:
        self.closing.close()

    def call(self, operation: str, **request: Any) -> Any:
        """Make a call in the primary's region; a refusal is none of this test's business."""
        return self.call_in(HERE, operation, **request)

    def call_in(self, region: str, operation: str, **request: Any) -> Any:
        if operation == "CreateSecret":
            request["Name"] = "a"
        else:
            request.setdefault("SecretId", "a")
        call = self.bench.as_(self.bench.caller)
        try:
            return self.bench.call_as(
                call._replace(place=replace(PLACE, region=region)), "secretsmanager", operation, **request
            )
        except AwsError as refused:
            return refused

    def version_id(self, pick: int | None) -> str:
        """A version that was asked for before, or a new one."""
        if pick is None or not self.ids:
            self.ids.append(new_version_id())
            return self.ids[-1]
        return self.ids[-1 - pick % len(self.ids)]

    @initialize(regions=REGIONS)
    def begin(self, regions: Sequence[str]) -> None:
        self.replicate(regions, force=False)

    @rule(regions=REGIONS, force=st.booleans())
    def replicate(self, regions: Sequence[str], force: bool) -> None:
        added = [{"Region": region} for region in regions]
        self.call("ReplicateSecretToRegions", AddReplicaRegions=added, ForceOverwriteReplicaSecret=force)

    @rule(regions=REGIONS)
    def remove(self, regions: Sequence[str]) -> None:
        self.call("RemoveRegionsFromReplication", RemoveReplicaRegions=regions)

    @rule(region=st.sampled_from([THERE, ELSEWHERE]))
    def promote_and_change(self, region: str) -> None:
        self.call_in(region, "StopReplicationToReplica")
        self.call_in(region, "PutSecretValue", ClientRequestToken=self.version_id(0), SecretString="its own")

    @rule(region=st.sampled_from([THERE, ELSEWHERE]))
    def occupy(self, region: str) -> None:
        self.call_in(region, "CreateSecret", ClientRequestToken=self.version_id(0), SecretString="its own")

    @rule(pick=st.none() | st.integers(0, 5), value=st.sampled_from(["a", "b", b"c"]), stages=STAGES)
    def put(self, pick: int | None, value: str | bytes, stages: Sequence[str]) -> None:
        member = {"SecretString": value} if isinstance(value, str) else {"SecretBinary": value}
        labels = {"VersionStages": stages} if stages else {}
        self.call("PutSecretValue", ClientRequestToken=self.version_id(pick), **member, **labels)

    @rule(description=st.sampled_from(["", "x", "y"]), with_value=st.booleans())
    def update(self, description: str, with_value: bool) -> None:
        value = {"SecretString": "u", "ClientRequestToken": self.version_id(None)} if with_value else {}
        self.call("UpdateSecret", Description=description, **value)

    @rule(
        stage=LABELS,
        move_to=st.none() | st.integers(0, 5),
        remove=st.booleans(),
    )
    def move(self, stage: str, move_to: int | None, remove: bool) -> None:
        holder = self.primary().labels.get(stage) if remove else None
        request = {"MoveToVersionId": None if move_to is None else self.version_id(move_to)}
        request["RemoveFromVersionId"] = holder
        self.call(
            "UpdateSecretVersionStage",
            VersionStage=stage,
            **{name: value for name, value in request.items() if value is not None},
        )

    @rule(keys=st.lists(st.sampled_from("abc"), min_size=1, unique=True), away=st.booleans())
    def tag(self, keys: Sequence[str], away: bool) -> None:
        if away:
            self.call("UntagResource", TagKeys=keys)
        else:
            self.call("TagResource", Tags=[{"Key": key, "Value": str(len(keys))} for key in keys])

    @rule(version=st.sampled_from(["2012-10-17", "2008-10-17", None]))
    def put_policy(self, version: str | None) -> None:
        if version is None:
            self.call("DeleteResourcePolicy")
        else:
            self.call("PutResourcePolicy", ResourcePolicy=POLICY.replace("VERSION", version))

    @rule(immediately=st.booleans(), days=st.none() | st.just(30))
    def rotate(self, immediately: bool, days: int | None) -> None:
        rules = {"RotationRules": {"AutomaticallyAfterDays": days}} if days else {}
        self.call(
            "RotateSecret",
            ClientRequestToken=self.version_id(None),
            RotationLambdaARN=PLACE.function_arn("rotate"),
            RotateImmediately=immediately,
            **rules,
        )

    @rule(value=st.sampled_from(["a", b"c"]), finish=st.booleans())
    def rotate_through(self, value: str | bytes, finish: bool) -> None:
        self.rotate(immediately=True, days=30)
        pending, current = (self.primary().labels.get(label) for label in ("AWSPENDING", "AWSCURRENT"))
        member = {"SecretString": value} if isinstance(value, str) else {"SecretBinary": value}
        if pending is not None:
            self.call("PutSecretValue", ClientRequestToken=pending, VersionStages=["AWSPENDING"], **member)
            self.replicas_are_as_their_primary()
        if finish and pending is not None and current is not None:
            moved = {"MoveToVersionId": pending, "RemoveFromVersionId": current}
            self.call("UpdateSecretVersionStage", VersionStage="AWSCURRENT", **moved)

    @rule()
    def the_next_rotation_is_due(self) -> None:
        planned_at = self.primary().next_rotation_at
        if planned_at is not None:
            begin_due(self.bench.kit, self.primary().arn, planned_at)

    @rule()
    def cancel(self) -> None:
        self.call("CancelRotateSecret")

    @rule(hours=st.sampled_from([1, 30]), burst=st.sampled_from([0, 0, 0, 0, 60]))
    def time_passes(self, hours: int, burst: int) -> None:
        # Many versions, so that old ones are cleaned up one day.
        for _ in range(burst):
            self.put(None, "a", [])
        self.bench.clock.advance(timedelta(hours=hours))

    def primary(self) -> SecretRecord:
        with self.bench.kit.state.read() as connection:
            record = secrets.load_secret(connection, self.arn)
        assert record is not None
        return record

    @invariant()
    def replicas_are_as_their_primary(self) -> None:
        kit, primary = self.bench.kit, self.primary()
        with kit.state.read() as connection:
            listed = replications.load_replications(connection, self.arn)
            in_sync = {record.replica_arn for record in listed if record.status == "InSync"}
            assert (primary.primary_arn == self.arn) == bool(listed)
            for region in (THERE, ELSEWHERE):
                arn = replica_arn(self.arn, region)
                replica = secrets.load_secret(connection, arn)
                assert (replica is not None and replica.is_replica) == (arn in in_sync)
                if replica is None or arn not in in_sync:
                    continue
                for name in FOLLOWED:
                    assert getattr(replica, name) == getattr(primary, name), name
                assert (replica.tags or {}) == (primary.tags or {})
                assert replica.next_rotation_at is None
                versions = [secret_versions.load_versions(connection, each.secret_id) for each in (primary, replica)]
                mine, copied = (
                    {
                        version.version_id: (
                            version.created_at,
                            version.is_binary,
                            version.sealed and open_value(kit, owner.arn, version.version_id, version.sealed).reveal(),
                        )
                        for version in held
                    }
                    for owner, held in zip((primary, replica), versions, strict=True)
                )
                assert copied == mine


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=25, stateful_step_count=30, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def any_function_may_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "check_function", lambda *_: None)
