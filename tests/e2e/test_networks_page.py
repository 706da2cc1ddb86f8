"""What docs/networks.md prints confines a rotation function to its database: done in a shell, word for word."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import DEADLINE_SECONDS, ServerProcess, clean_environ, run_keyturn, wait_until
from .pages import after_init, examples
from .test_main_job import Job

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
ADDRESS = "10.20.3.15"


class Blocks(NamedTuple):
    """What the page says to type, in its order."""

    chosen: str
    confine: str
    attach: str
    move: str
    see: str
    demo: str


BLOCKS = Blocks(*(example.code for example in examples(PAGE.read_text()) if example.language == "sh"))


def run(commands: str, environ: Mapping[str, str], directory: Path) -> str:
    """Do what the page says in a shell that ends with the first failure, and return what it prints."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        env={**environ, "PATH": path},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS * 2,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def value_of(job: Job, stage: str = "AWSCURRENT") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        job.secrets.get_secret_value(SecretId=job.name, VersionStage=stage)["SecretString"]
    )
    return value


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
    job = Job(server, postgresql, "orders")
    # Isolated, with the host that it had: what is waiting then is ended by the new value.
    job.rotate()
    wait_until(lambda: job.events("RotationFailed"), "the failure", server)
    assert value_of(job)["host"] == "127.0.0.1"
    chosen = BLOCKS.chosen.replace("5432", str(postgresql.port))
    for placeholder in ("SECRET", "NAME", "ROLE"):
        chosen = chosen.replace(placeholder, "orders")
    environ = after_init(server)
    run(chosen + BLOCKS.confine + BLOCKS.attach + BLOCKS.move, environ, server.home)
    assert value_of(job) == {**value_of(job, "AWSPREVIOUS"), "host": ADDRESS}

    seen = run(chosen + BLOCKS.see, environ, server.home)

    assert seen.startswith(f"passes: orders reaches {ADDRESS}:{postgresql.port}\n")
    assert seen.endswith("Rotated.\n")
    assert job.accepts(job.password())
    assert not job.accepts(job.first_password)
    assert job.events("PutSecretValue")[-1]["vpcEndpointId"].startswith("vpce-")

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


def test_these_are_five_lines() -> None:
    assert len(BLOCKS.confine.splitlines()) == 5


def test_the_demo_can_be_confined_as_the_page_says(tmp_path: Path) -> None:
    environ = {**clean_environ(tmp_path), "AWS_PAGER": ""}
    run_keyturn("demo", home=tmp_path, directory=tmp_path)
    try:
        said = run("".join([BLOCKS.demo, *BLOCKS[1:5]]), environ, tmp_path)
    finally:
        run_keyturn("demo", "--stop", home=tmp_path, directory=tmp_path)

    assert f"passes: rotate-postgresql reaches {ADDRESS}:" in said
    assert said.endswith("Rotated.\n")
