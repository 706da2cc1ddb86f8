"""The doctor, run as a person runs it: the command, its JSON, its remedies applied by itself or through a shell."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

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
        printed = self.run(secret, *options).stdout.splitlines()
        begin = next(number for number, line in enumerate(printed) if f" {cause_id} " in line)
        commands = []
        for line in printed[begin + 1 :]:
            if line.startswith("        aws "):
                commands.append(line.strip())
            elif commands and not line.startswith("        "):
                break
        assert commands, "\n".join(printed)
        for command in commands:
            done = subprocess.run(
                command,
                shell=True,
                env=self.server.environ(self.credentials),
                capture_output=True,
                text=True,
                timeout=DEADLINE_SECONDS,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stderr}"


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
