"""Dry runs: everything is checked, and nothing is done. Text as recorded by localstack, 2025."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.errors.kms import DryRunOperationException


def check_in_earnest(request: Mapping[str, Any]) -> None:
    """Check, last of all, that a request was meant in earnest.

    Raises:
        DryRunOperationException: It was not, and would have succeeded.
    """
    if request.get("DryRun", False):
        raise DryRunOperationException("The request would have succeeded, but the DryRun option is set.")
