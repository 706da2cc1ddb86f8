"""A server whose functions reach it and nothing else: ``keyturn serve --isolate-functions``."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess, run_keyturn, wait_until
from .rotation_function import create_rotation_function
from .test_main_job import Job


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"), "--isolate-functions")
    process.start()
    yield process
    assert process.stop() == 0, process.log()


def test_a_rotation_that_needs_keyturn_alone_goes_on_as_ever(server: ServerProcess) -> None:
    function = create_rotation_function(server)
    secrets = server.client("secretsmanager")
    secrets.create_secret(Name="token", SecretString="first")
    secrets.rotate_secret(SecretId="token", RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 30})

    wait_until(lambda: secrets.get_secret_value(SecretId="token")["SecretString"] == "rotated", "it rotates", server)

    trail = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "PutSecretValue"}]
    )["Events"]
    # On this machine, as it is: no way out of a VPC has been taken.
    event = json.loads(trail[0]["CloudTrailEvent"])
    assert event["sourceIPAddress"] == "127.0.0.1"
    assert "vpcEndpointId" not in event


def test_a_database_is_out_of_its_reach(server: ServerProcess) -> None:
    with PostgresqlServer.start() as postgresql:
        job = Job(server, postgresql, "isolated")
        job.rotate()
        wait_until(lambda: job.events("RotationFailed"), "the failure", server)

        assert job.accepts(job.first_password)
        assert job.events("RotationFailed")[0]["errorMessage"].endswith("during setSecret step")


def test_it_is_refused_where_it_would_not_hold(server: ServerProcess) -> None:
    done = run_keyturn("serve", "--data-dir", str(server.home / "other"), "--isolate-functions", "--sandbox", "none",
        "--port", "0", home=server.home, environ={}, check=False)  # fmt: skip

    assert done.returncode != 0
    assert "error: Functions cannot be isolated: process limits only." in done.stderr
    assert "hint: Install the package bubblewrap" in done.stderr


def test_a_map_that_cannot_be_is_refused_before_anything_is_made(server: ServerProcess) -> None:
    data = server.home / "mapped"
    done = run_keyturn("serve", "--data-dir", str(data), "--network-map", "10.0.0.0/24=10.1.0.0/16",
        "--port", "0", home=server.home, environ={}, check=False)  # fmt: skip

    assert done.returncode != 0
    assert done.stderr.startswith("error: The setting network_map cannot be used: ")
    assert not data.exists()
