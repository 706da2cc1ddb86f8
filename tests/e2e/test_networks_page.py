"""What docs/networks.md prints confines a rotation function to its database: done in a shell, word for word."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import DEADLINE_SECONDS, ServerProcess, wait_until
from .pages import examples
from .test_main_job import Job

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
ADDRESS = "10.20.3.15"


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    options = ["--isolate-functions", f"--network-map={ADDRESS}=127.0.0.1"]
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"), *options)
    process.start()
    yield process
    assert process.stop() == 0, process.log()


def test_the_five_lines_confine_a_function_to_its_database(server: ServerProcess, postgresql: PostgresqlServer) -> None:
    job = Job(server, postgresql, "orders", more={"host": ADDRESS})
    confine, attach = [example.code for example in examples(PAGE.read_text()) if example.language == "sh"]
    assert len(confine.splitlines()) == 5
    commands = (
        f"{confine}{attach}".replace("5432", str(postgresql.port)).replace("ROLE", "orders").replace("NAME", "orders")
    )
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euc", commands],
        env={**server.environ(), "PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, done.stderr

    version_id = job.rotate()
    wait_until(lambda: job.is_current(version_id), "the rotation", server)

    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)
    [put] = job.events("PutSecretValue")
    assert put["vpcEndpointId"].startswith("vpce-")

    with PostgresqlServer.start() as other:
        out = Job(server, other, "other", more={"host": ADDRESS})
        configuration = server.client("lambda").get_function_configuration(FunctionName="orders")["VpcConfig"]
        server.client("iam").attach_role_policy(
            RoleName="other",
            PolicyArn="arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole",
        )
        server.client("lambda").update_function_configuration(
            FunctionName="other",
            Timeout=3,
            VpcConfig={name: configuration[name] for name in ("SubnetIds", "SecurityGroupIds")},
        )
        out.rotate()
        # Another port of the same host, which is this machine.
        wait_until(lambda: out.events("RotationFailed"), "the failure", server)
        assert out.events("RotationFailed")[0]["errorMessage"].endswith("during setSecret step")
