"""Facts in a file: collected on one machine, diagnosed on another. No secret value is in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keyturn.errors.base import KeyturnError
from keyturn.owner_only import create_owner_only

from .case import Case
from .facts import FORMAT, Facts
from .subject import Options

_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file holds.

    Attributes:
        facts: The answers.
        secret_ids: The secrets that were looked at.
        at: When.
        options: How.
        endpoint: Where; None for AWS's own.
    """

    facts: Facts
    secret_ids: tuple[str, ...]
    at: datetime
    options: Options
    endpoint: str | None

    def write(self, path: Path) -> None:
        """Write it for its owner only.

        Raises:
            KeyturnError: The file cannot be written.
        """
        document = {
            **self.facts.saved(),
            "secrets": list(self.secret_ids),
            "at": self.at.isoformat(),
            "read_value": self.options.read_value,
            "since": self.options.since.isoformat() if self.options.since else None,
            "database_address": self.options.database_address,
            "is_one_of_many": self.options.is_one_of_many,
            "preflight": self.options.preflight,
            "may_be_keyturn": self.options.may_be_keyturn,
            "endpoint": self.endpoint,
        }
        try:
            create_owner_only(path, json.dumps(document, indent=1))
        except OSError as error:
            raise KeyturnError(f"{path} cannot be written: {error.strerror}.") from error

    @classmethod
    def read(cls, path: Path) -> Saved:
        """Read a file.

        Raises:
            KeyturnError: There is none, or it is something else.
        """
        try:
            document: Any
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            document = json.loads(content) if len(content) <= _MOST_BYTES else None
        except OSError as error:
            raise KeyturnError(f"{path} cannot be read: {error.strerror}.") from error
        except (ValueError, RecursionError) as error:
            raise _something_else(path) from error
        try:
            facts = Facts.load(document)
            since, address = document["since"], document["database_address"]
            options = Options(
                bool(document["read_value"]),
                datetime.fromisoformat(since) if since else None,
                (str(address[0]), int(address[1])) if address else None,
                bool(document["is_one_of_many"]),
                bool(document["preflight"]),
                # Files of an earlier version have no answers of this kind.
                bool(document.get("may_be_keyturn")),
            )
            at = datetime.fromisoformat(document["at"])
            return cls(facts, tuple(map(str, document["secrets"])), at, options, document["endpoint"])
        except (LookupError, TypeError, ValueError, RecursionError) as error:
            raise _something_else(path) from error

    def cases(self) -> list[Case]:
        """Return a case for each secret."""
        return [Case(self.facts, secret_id, self.at, self.options) for secret_id in self.secret_ids]


def _something_else(path: Path) -> KeyturnError:
    return KeyturnError(f"{path} does not hold facts ({FORMAT}).", "keyturn doctor SECRET --save FILE writes them.")
