"""The picture of a secret's versions: newest first, each with its labels, those without any folded together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

# Where what has no moment yet stands.
_NEWEST: Final = datetime.max.replace(tzinfo=UTC)
# The labels that the service moves, and what each says.
MEANINGS: Final[Mapping[str, str]] = {
    "AWSCURRENT": "what applications read",
    "AWSPREVIOUS": "what was current before",
    "AWSPENDING": "made by a rotation that has not ended",
}


@dataclass(frozen=True, slots=True)
class Version:
    """One stored value.

    Attributes:
        labels: AWSCURRENT first, then AWSPENDING and AWSPREVIOUS, then those that people gave.
        created_at: None if nobody says: of a version that a rotation has labelled and not filled yet.
        accessed_at: The day it was read last.
        kms_key_ids: What it can be opened with.
        has_value: Whether there is one.
    """

    version_id: str
    labels: tuple[str, ...]
    created_at: datetime | None
    accessed_at: datetime | None
    kms_key_ids: tuple[str, ...]
    has_value: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """All versions that are known."""

    labelled: Sequence[Version]
    others: Sequence[Version]

    @property
    def current_id(self) -> str:
        """The version that applications read; empty if there is none."""
        return self.holder_of("AWSCURRENT")

    def holder_of(self, label: str) -> str:
        """Return the version that has a label; empty if none has."""
        return next((version.version_id for version in self.labelled if label in version.labels), "")

    def find(self, version_id: str) -> Version | None:
        """Return one of them."""
        return next((each for each in (*self.labelled, *self.others) if each.version_id == version_id), None)


def drawn(listed: Iterable[Mapping[str, Any]], stages: Mapping[str, Sequence[str]]) -> Picture:
    """Return the picture.

    Args:
        listed: Of ListSecretVersionIds, which does not list a version that has no value.
        stages: Labels by version id, of DescribeSecret, which does.
    """
    entries = {entry["VersionId"]: entry for entry in listed}
    versions = [
        _version(version_id, entries.get(version_id, {}), stages.get(version_id), is_listed=bool(entries))
        for version_id in {**entries, **stages}
    ]
    versions.sort(key=lambda each: each.created_at or _NEWEST, reverse=True)
    return Picture([each for each in versions if each.labels], [each for each in versions if not each.labels])


def _version(version_id: str, entry: Mapping[str, Any], stages: Sequence[str] | None, *, is_listed: bool) -> Version:
    labels = entry.get("VersionStages", ()) if stages is None else stages
    return Version(
        version_id,
        tuple(sorted(labels, key=_rank)),
        entry.get("CreatedDate"),
        entry.get("LastAccessedDate"),
        tuple(entry.get("KmsKeyIds", ())),
        # If nobody said which there are, it is taken to have one.
        bool(entry) or not is_listed,
    )


def _rank(label: str) -> tuple[int, str]:
    order = ("AWSCURRENT", "AWSPENDING", "AWSPREVIOUS")
    return (order.index(label) if label in order else len(order), label)
