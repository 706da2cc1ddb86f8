"""Patients of the doctor: a rotation that has gone well is broken, fails, is diagnosed, mended as it says, and rotates.

Most of that is waiting, so all patients of a module are treated at the same time; each test looks at its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pytest

from .conftest import ServerProcess, wait_until
from .doctor import DoctorHere, causes_of
from .test_main_job import Database, Job

_AT_ONCE = 6


class Patient(Job):
    """A rotation that is to be broken in one way.

    Args:
        doctor: Who looks at it.
        database: As for :class:`Job`, like everything further.
        name: Likewise.
        cause_id: What breaks it.
        more: Further arguments of Job.
    """

    def __init__(self, doctor: DoctorHere, database: Database, name: str, cause_id: str, **more: Any) -> None:
        self.doctor, self.cause_id = doctor, cause_id
        super().__init__(doctor.server, database, name, **more)

    @property
    def secrets(self) -> Any:
        return self.client("secretsmanager")

    def client(self, service: str) -> Any:
        """The administrator's client, the same for all patients."""
        return self.doctor.clients[service]

    def begins(self) -> bool:
        """Whether a rotation begins now: not if one is tried again, has just been abandoned, or fails at once."""
        try:
            self.secrets.rotate_secret(SecretId=self.name)
        except self.secrets.exceptions.InvalidRequestException:
            return False
        return True

    def rotated_at(self) -> Any:
        return self.secrets.describe_secret(SecretId=self.name)["LastRotatedDate"]

    def fix(self) -> None:
        """Let the doctor apply its remedy."""
        printed = self.doctor.fix(self.name, self.cause_id)
        assert f"\nfixed: {self.cause_id} is found no longer." in printed, printed

    def fix_by_value(self) -> None:
        """Let the doctor apply a remedy that it only applies if it may read the value."""
        printed = self.doctor.fix(self.name, self.cause_id, read_value=True)
        assert f"\nfixed: {self.cause_id} is found no longer." in printed, printed

    def follow(self) -> None:
        """Run the commands that the doctor prints, as it prints them, in a shell."""
        self.doctor.follow(self.name, self.cause_id)

    def follow_by_value(self) -> None:
        """Run the commands that it only prints if it may read the value."""
        self.doctor.follow(self.name, self.cause_id, read_value=True)

    def take_off_pending(self) -> None:
        """Take AWSPENDING off, which gives up the attempt."""
        [version_id] = [version_id for version_id, labels in self.stages().items() if labels == ["AWSPENDING"]]
        self.secrets.update_secret_version_stage(
            SecretId=self.name, VersionStage="AWSPENDING", RemoveFromVersionId=version_id
        )


P = TypeVar("P", bound=Patient)


@dataclass(frozen=True)
class Ailment(Generic[P]):
    """What is done to a patient, what the doctor must say of it, and how it is mended.

    Attributes:
        cause_id: What it must name first, and as the only cause.
        breaks: Breaks it.
        mends: Mends it: ``Patient.fix``, ``Patient.follow``, or what the doctor leaves to people.
        said: Is part of the title.
        step: In which the rotation fails; None if it is not known.
        read_value: Whether the doctor may read the value.
        ends: The event after which everything about the broken rotation is written down.
    """

    cause_id: str
    breaks: Callable[[P], object]
    mends: Callable[[P], object]
    said: str
    step: str | None = "setSecret"
    read_value: bool = False
    ends: str = "RotationFailed"


@dataclass(frozen=True)
class Course:
    """How it went with a patient."""

    ill: dict[str, Any]
    well: dict[str, Any]

    def assert_right(self, ailment: Ailment[Any]) -> None:
        """The doctor was right when it was ill, and when it was well again."""
        told = [(each["id"], each["role"], each["title"]) for each in self.ill["findings"]]
        assert (self.ill["verdict"], causes_of(self.ill)) == ("broken", [ailment.cause_id]), told
        first = self.ill["findings"][0]
        assert first["id"] == ailment.cause_id, told
        assert ailment.said in first["title"], first["title"]
        assert first["step"] == ailment.step, first["step"]
        wrong = [check for check in self.well["checks"] if check["status"] not in ("pass", "skipped")]
        assert self.well["verdict"] == "healthy", (self.well["summary"], wrong)


Courses = Mapping[str, "Future[Course]"]


def treat(patient: P, ailment: Ailment[P]) -> Course:
    """Break a healthy rotation, see it fail, diagnose and mend it, see it succeed, and look again."""
    ended_before, has_begun = len(patient.events(ailment.ends)), False
    ailment.breaks(patient)

    def ends() -> bool:
        nonlocal has_begun
        has_begun = has_begun or patient.begins()
        return len(patient.events(ailment.ends)) > ended_before

    wait_until(ends, ailment.ends, patient.server)
    ill = patient.doctor.diagnose(patient.name, read_value=ailment.read_value)
    ailment.mends(patient)
    rotated_at = patient.rotated_at()

    def rotates() -> bool:
        described = patient.secrets.describe_secret(SecretId=patient.name)
        if described["LastRotatedDate"] == rotated_at:
            patient.begins()
            return False
        # Between the look and the call it may have ended, so that another one has begun: that one ends, too.
        return ["AWSPENDING"] not in described["VersionIdsToStages"].values()

    wait_until(rotates, "it rotates", patient.server)
    return Course(ill, patient.doctor.diagnose(patient.name, read_value=ailment.read_value))


@contextmanager
def treated(
    request: pytest.FixtureRequest, server: ServerProcess, ailments: Mapping[str, Ailment[P]], make: Callable[..., P]
) -> Iterator[Courses]:
    """Treat those patients that the module's tests name, all at the same time.

    Args:
        request: Of the module's fixture.
        server: Where they are.
        ailments: By the names of patients.
        make: Of a doctor and a name makes a patient whose rotation has gone well once.
    """
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if item.path == request.path and hasattr(item, "callspec")
    }
    doctor = DoctorHere(server)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            name: pool.submit(lambda name: treat(make(doctor, name), ailments[name]), name)
            for name in ailments
            if name in asked
        }
