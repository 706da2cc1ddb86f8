"""Errors of Keyturn's own service. It is about Secrets Manager's secrets, and tells them as that service does."""

from __future__ import annotations

from keyturn.errors.secretsmanager import (
    InternalServiceError,
    InvalidNextTokenException,
    InvalidParameterException,
    InvalidRequestException,
    ResourceNotFoundException,
)

__all__ = [
    "InternalServiceError",
    "InvalidNextTokenException",
    "InvalidParameterException",
    "InvalidRequestException",
    "ResourceNotFoundException",
]
