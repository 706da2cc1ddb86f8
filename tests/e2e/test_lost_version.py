"""A password that the database has and no staging label leads to: found again, on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, wait_until
from .test_main_job import Job
from .test_rotation_timeline import has_succeeded


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


def test_a_version_whose_labels_were_taken_off_becomes_current_again(
    server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    job = Job(server, postgresql, "lost")
    first = job.secret["VersionId"]
    versions = [first]
    for _ in range(2):
        versions.append(job.rotate())
        wait_until(partial(has_succeeded, server, job.name, versions[-1]), "a rotation", server)
    lost = versions[-1]
    move = partial(job.secrets.update_secret_version_stage, SecretId=job.name)
    # As somebody does who thinks that the rotation has failed, and wants to begin afresh.
    move(VersionStage="AWSCURRENT", MoveToVersionId=first, RemoveFromVersionId=lost)
    move(VersionStage="AWSPREVIOUS", MoveToVersionId=versions[1], RemoveFromVersionId=lost)
    assert lost not in job.stages()
    assert not job.accepts(job.password())

    server.client("keyturn").resolve_rotation(SecretId=job.name)
    wait_until(lambda: job.is_current(lost), "the label to come back", server)

    assert job.accepts(job.password())
    assert job.stages() == {lost: ["AWSCURRENT"], first: ["AWSPREVIOUS"]}
    (resolved,) = job.events("RotationResolved")
    assert resolved["additionalEventData"]["Repair"] == "recover"
    version_id = job.rotate()
    wait_until(lambda: job.is_current(version_id), "the next rotation", server)
    assert job.accepts(job.password())
