"""What the operator is told when a root key or a sealed value cannot be used. A caller sees the internal error only."""

from __future__ import annotations

from enum import StrEnum

from keyturn.errors.base import KeyturnError


class SealFault(StrEnum):
    """Why something sealed does not open."""

    MALFORMED = "malformed"
    UNKNOWN_VERSION = "unknown-version"
    UNKNOWN_KEY = "unknown-key"
    WRONG_ROOT_KEY = "wrong-root-key"
    ALTERED = "altered"


class SealRefused(KeyturnError):
    """Something sealed does not open: it was altered, it belongs elsewhere, or its key is not here.

    Args:
        fault: The kind of failure, for those who must tell them apart.
        message: What happened, one sentence, no secret values.
        hints: What to do about it, one sentence each.
    """

    def __init__(self, fault: SealFault, message: str, *hints: str) -> None:
        super().__init__(message, *hints)
        self.fault = fault


class RootKeyRefused(KeyturnError):
    """The root key is missing, unreadable, damaged or not protected."""
