"""What the server was started with, as far as it may be shown: no path, address or URL that could hold a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Installation:
    """What does not change as long as the server runs.

    Attributes:
        region: Where clients begin that say none.
        endpoint: Where functions on this machine find the server.
        started_at: Aware UTC.
        root_key_provider: The kind of provider.
        audit_sinks: Their kinds.
        notifiers: Likewise.
        settings: Their names and values.
        warnings: For people.
    """

    region: str
    endpoint: str
    started_at: datetime
    root_key_provider: str
    audit_sinks: tuple[str, ...]
    notifiers: tuple[str, ...]
    settings: Mapping[str, str]
    warnings: tuple[str, ...]
