"""Which of the lines that a function prints are below its ApplicationLogLevel.

Records of Python's logging come in frames, and awslambdaric filters them: a level that the function sets in its code
wins. All else that it prints is filtered here: a line of JSON by its ``level``, any other as INFO.

Source: AWS Lambda Developer Guide, "Log-level filtering".
"""

from __future__ import annotations

import json

_LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "WARNING": 3, "ERROR": 4, "FATAL": 5, "CRITICAL": 5}
_UNKNOWN = "INFO"


class ApplicationFilter:
    """Keeps printed lines of a level and above.

    Args:
        level: Of LoggingConfig; None keeps everything.
    """

    def __init__(self, level: str | None) -> None:
        self._least = 0 if level is None else _LEVELS[level]

    def __call__(self, line: bytes) -> bool:
        """Whether a line is kept."""
        return not self._least or _LEVELS[_level_of(line)] >= self._least


def _level_of(line: bytes) -> str:
    if not line.startswith(b"{"):
        return _UNKNOWN
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return _UNKNOWN
    level = str(said.get("level", _UNKNOWN)).upper()
    return level if level in _LEVELS else _UNKNOWN
