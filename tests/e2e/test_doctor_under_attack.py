"""The doctor where nothing is as it should be: odd terminals, no input, no credentials, files of an enemy."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import ServerProcess
from .doctor import Doctor, rotate_well
from .test_main_job import FIVE_ACTIONS, Job

COMMAND = [sys.executable, "-m", "keyturn.cli.main", "doctor"]


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    with PostgresqlServer.start() as running:
        yield running


@pytest.fixture
def doctor(server: ServerProcess) -> Doctor:
    return Doctor(server)


@pytest.fixture
def job(server: ServerProcess, postgresql: PostgresqlServer, request: pytest.FixtureRequest) -> Job:
    """A rotation that has gone well once."""
    letters = "".join(each for each in request.node.name.removeprefix("test_") if each.isalnum())
    healthy = Job(server, postgresql, f"{letters[:30]}_{letters[-15:]}")
    rotate_well(healthy)
    return healthy


def run(server: ServerProcess, *arguments: str, **environ: str | None) -> subprocess.CompletedProcess[str]:
    given = {name: value for name, value in {**server.environ(), **environ}.items() if value is not None}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_terminal_without_the_characters_is_given_their_numbers(server: ServerProcess, job: Job) -> None:
    told = run(server, job.name, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")

    assert told.stderr == ""
    assert told.stdout.startswith("healthy:")
    assert "\\u2713" in told.stdout


def test_without_credentials_nothing_is_said_to_be_broken(server: ServerProcess, job: Job) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_PROFILE": None}

    assert [run(server, job.name, **nobody).returncode, run(server, "--all", **nobody).returncode] == [3, 3]
    nowhere = run(server, job.name, "--endpoint-url", "http://127.0.0.1:1")
    assert (nowhere.returncode, "What could not be asked:" in nowhere.stdout) == (3, True)
    assert "allow:" not in nowhere.stdout


def test_a_fix_with_nobody_to_ask_changes_nothing(doctor: Doctor, job: Job, server: ServerProcess) -> None:
    job.allow([action for action in FIVE_ACTIONS if action != "GetRandomPassword"])
    closed = subprocess.run(
        ["/bin/sh", "-c", '"$@" <&-', "sh", *COMMAND, job.name, "--fix", "role-missing-secret-actions"],
        env=server.environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert "Nothing was changed." in closed.stderr
    assert "Traceback" not in closed.stderr
    assert doctor.causes(job.name) == ["role-missing-secret-actions"]


def test_what_somebody_else_has_changed_meanwhile_is_not_overwritten(
    doctor: Doctor, job: Job, server: ServerProcess
) -> None:
    job.allow([action for action in FIVE_ACTIONS if action != "GetRandomPassword"])
    asks = [*COMMAND, job.name, "--fix", "role-missing-secret-actions"]
    with subprocess.Popen(
        asks, env=server.environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        while "To be changed" not in process.stdout.readline():
            pass
        job.allow(FIVE_ACTIONS)
        _, said = process.communicate("y\n", timeout=60)

    assert "Nothing was changed." in said
    assert server.client("iam").list_role_policies(RoleName=job.name)["PolicyNames"] == ["rotate"]
    assert doctor.causes(job.name) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema": "keyturn.facts/1", "answers": [{"service": "x"}]}',
        "[" * 100_000,
        '{"schema": "keyturn.facts/1", "answers": {}, "secrets": 5, "at": "2026-01-01", "since": 1}',
    ],
)
def test_a_file_that_is_something_else_ends_in_a_message(server: ServerProcess, tmp_path: Path, content: str) -> None:
    file = tmp_path / "facts.json"
    file.write_text(content)
    told = run(server, "--from", str(file))

    assert (told.returncode, told.stderr.startswith("error: ")) == (3, True), told.stderr


def test_a_file_with_odd_answers_ends_in_a_message(
    doctor: Doctor, job: Job, server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "facts.json"
    doctor.run(job.name, "--save", str(file))
    document = json.loads(file.read_text())
    odd: object
    for odd in ({}, {"ARN": "x", "Name": 5, "RotationLambdaARN": ["a"]}, [], {"ARN": "arn:a:b:c:d:e:f", "Tags": 7}):
        for answer in document["answers"]:
            answer["found"] = odd
        file.write_text(json.dumps(document))
        told = run(server, "--from", str(file))
        assert told.returncode in (1, 3, 4)
        assert "Traceback" not in told.stderr


def test_a_moment_before_all_logs_and_a_port_that_is_none_are_wrong_usage(server: ServerProcess, job: Job) -> None:
    for wrong in (["--since", "0001-01-01"], ["--db-host", "db:99999"], ["--db-host", f"db:{'9' * 5000}"]):
        told = run(server, job.name, *wrong)
        assert (told.returncode, told.stderr.startswith("error: ")) == (4, True), told.stderr
