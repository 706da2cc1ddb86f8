"""The doctor, run as a person runs it: the command, its JSON, its remedies applied by itself or through a shell.

And the same without a process for each question, so that many secrets can be looked at in threads.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from rich.console import Console

from keyturn.cli.doctor_fix import apply_fix
from keyturn.cli.doctor_text import print_report
from keyturn.doctor.asking import AskByBoto3
from keyturn.doctor.collect import collect
from keyturn.doctor.facts import Facts
from keyturn.doctor.formats import document
from keyturn.doctor.model import Report
from keyturn.doctor.runner import examine
from keyturn.doctor.subject import Options

from .conftest import DEADLINE_SECONDS, Credentials, ServerProcess, run_keyturn, wait_until
from .test_main_job import Job

STATUSES = {"healthy": 0, "at-risk": 0, "broken": 1, "inconclusive": 3}


@dataclass(frozen=True)
class Doctor:
    """``keyturn doctor`` on one server."""

    server: ServerProcess
    credentials: Credentials | None = None

    def run(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        environ = {**self.server.environ(self.credentials), "COLUMNS": "80"}
        return run_keyturn("doctor", *arguments, home=self.server.home, environ=environ, check=check)

    def diagnose(self, secret: str, *options: str) -> dict[str, Any]:
        """Return the diagnosis; the status that the command ends with must be its verdict's."""
        done = self.run(secret, "--output", "json", *options)
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == STATUSES[document["verdict"]], (done.returncode, document["verdict"])
        return document

    def causes(self, secret: str, *options: str) -> list[str]:
        """Return the ids of the causes that it names, in its order."""
        return causes_of(self.diagnose(secret, *options))

    def fix(self, secret: str, cause_id: str, *options: str) -> str:
        """Apply a remedy without being asked, and return what is printed."""
        done = self.run(secret, "--fix", cause_id, "--yes", *options)
        assert f"fixed: {cause_id} is found no longer." in done.stdout, done.stdout + done.stderr
        return done.stdout

    def follow(self, secret: str, cause_id: str, *options: str) -> None:
        """Run the commands that are printed for a cause, as they are printed, in a shell."""
        run_in_shell(commands_below(cause_id, self.run(secret, *options).stdout), self.server, self.credentials)


@dataclass(frozen=True)
class DoctorHere:
    """What ``keyturn doctor`` does, as the administrator, in this process: it may be called by many threads."""

    server: ServerProcess

    @cached_property
    def clients(self) -> dict[str, Any]:
        """Clients by the names of their services."""
        names = ("secretsmanager", "lambda", "iam", "kms", "logs", "cloudtrail", "cloudwatch", "cloudformation", "sts")
        return {name: self.server.client(name) for name in (*names, "ec2", "rds")}

    def report(self, secret: str, *, read_value: bool = False) -> Report:
        """Look at a secret."""
        facts = Facts(AskByBoto3(self.clients))
        return examine(collect(facts, secret, datetime.now(UTC), Options(read_value)), self.server.endpoint_url)

    def diagnose(self, secret: str, *, read_value: bool = False) -> dict[str, Any]:
        """Return the diagnosis, as ``--output json`` prints it."""
        told: dict[str, Any] = json.loads(json.dumps(document(self.report(secret, read_value=read_value)), default=str))
        return told

    def causes(self, secret: str) -> list[str]:
        """Return the ids of the causes that it names, in its order."""
        return causes_of(self.diagnose(secret))

    def fix(self, secret: str, cause_id: str, *, read_value: bool = False) -> str:
        """Apply a remedy without being asked, and return what is printed."""

        def look() -> list[Report]:
            return [self.report(secret, read_value=read_value)]

        console = _paper()
        apply_fix(console, self.clients, look()[0], cause_id, yes=True, look_again=look, options=self._options)
        printed: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the paper's
        return printed

    def follow(self, secret: str, *cause_ids: str, read_value: bool = False) -> None:
        """Run the commands that are printed for causes, as they are printed at one time, in a shell."""
        console = _paper()
        print_report(console, self.report(secret, read_value=read_value), verbose=False, options=self._options)
        printed: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the paper's
        commands = [command for cause_id in cause_ids for command in commands_below(cause_id, printed)]
        assert all(self._options in command for command in commands), commands
        run_in_shell(commands, self.server)

    @property
    def _options(self) -> str:
        return f" --endpoint-url {self.server.endpoint_url}"


def _paper() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False, emoji=False)


def commands_below(cause_id: str, printed: str) -> list[str]:
    """Return the lines with commands of the AWS CLI that are printed for a cause, as they are to be pasted."""
    lines = printed.splitlines()
    begin = next(number for number, line in enumerate(lines) if f" {cause_id} " in line)
    commands = []
    for line in lines[begin + 1 :]:
        if re.match(r" {8}([A-Z_]+=\$\()?aws ", line):
            commands.append(line.strip())
        elif commands and not line.startswith("        "):
            break
    assert commands, printed
    return commands


def run_in_shell(commands: Iterable[str], server: ServerProcess, credentials: Credentials | None = None) -> None:
    """Run commands one after the other, in one shell, as a person pastes them."""
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        env=server.environ(credentials),
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stderr}"


def causes_of(document: dict[str, Any]) -> list[str]:
    """Return the ids of a diagnosis' causes."""
    return [finding["id"] for finding in document["findings"] if finding["role"] == "cause"]


def wait_for_failure(job: Job) -> None:
    """Wait until a rotation has failed, for as far as the trail tells."""
    trail = job.server.client("cloudtrail")
    attribute = [{"AttributeKey": "EventName", "AttributeValue": "RotationFailed"}]

    def has_failed() -> bool:
        events = trail.lookup_events(LookupAttributes=attribute)["Events"]
        records = [json.loads(event["CloudTrailEvent"]) for event in events]
        return any(record["additionalEventData"]["SecretId"] == job.secret["ARN"] for record in records)

    wait_until(has_failed, "the rotation failed", job.server)


def rotate_well(job: Job) -> None:
    """Rotate, and wait until the new version is current."""
    version_id = job.rotate()
    wait_until(lambda: job.is_current(version_id), "the version finished", job.server)
