"""The two families of errors.

``AwsError`` is what a **caller** is told: one class per modelled error, named as its shape. The wire code and the HTTP
status come from the service's model; the protocol files in ``wire/`` write it. ``KeyturnError`` is what the
**operator** is told; a caller sees only the service's internal error.
"""

from __future__ import annotations

from typing import ClassVar


class AwsError(Exception):
    """An error of the AWS API.

    Args:
        message: AWS's text; the class's own default if omitted.
        members: Further members of the error's shape, spelled as on the wire.
    """

    default_message: ClassVar[str] = ""

    def __init__(self, message: str | None = None, **members: object) -> None:
        told = self.default_message if message is None else message
        # JSON in a policy can spell a lone surrogate, which no reply and no record could carry.
        self.message = told if told.isascii() else told.encode("utf-8", "replace").decode()
        self.members = members
        super().__init__(self.message)

    @classmethod
    def shape_name(cls) -> str:
        """Name of the error's shape in the service's model."""
        return cls.__name__


class KeyturnError(Exception):
    """A failure that concerns the operator: a full disk, a refused key, a broken package.

    Args:
        message: What happened, one sentence, no secret values.
        hints: What to do about it, one sentence each.
    """

    exit_status: ClassVar[int] = 1
    """Of a command that ends with it."""

    def __init__(self, message: str, *hints: str) -> None:
        super().__init__(message)
        self.message = message
        self.hints = hints
