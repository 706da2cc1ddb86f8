"""Asks by boto3: every page of a reply up to some thousand items, and nothing but what reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .facts import THROTTLED, Parameters

# The newest come first, and what is older than some thousand lines or events explains nothing that happens today.
_MOST_ITEMS = {"FilterLogEvents": 10_000, "ListRotations": 20}
_MOST = 1000
# CloudTrail answers two calls a second, and boto3 has tried three times already.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
# A pre-flight logs in and out and a probe connects, which changes nothing either.
_READING = ("Describe", "Get", "List", "Lookup", "Filter", "Simulate", "PreflightRotation", "ProbeFunctionNetwork")


class ClientsByName(Protocol):
    """boto3's clients by their services' names."""

    def __getitem__(self, service: str) -> Any:
        """Return the client of a service."""
        ...


class AskByBoto3:
    """Makes calls with boto3's clients.

    Args:
        clients: By the names of services.
        pause: Waits for some seconds.
    """

    def __init__(self, clients: ClientsByName, pause: Callable[[float], object] = time.sleep) -> None:
        self._clients = clients
        self._pause = pause

    def __call__(self, service: str, operation: str, parameters: Parameters) -> Mapping[str, Any]:
        """Return the reply to a call, with all of its pages in one.

        Raises:
            ValueError: The call could change something.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415 - see below

        if not operation.startswith(_READING):
            raise ValueError(f"{operation} does not only read")
        for seconds in _PAUSES_SECONDS:
            try:
                return self._call(service, operation, parameters)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in THROTTLED:
                    raise
                self._pause(seconds)
        return self._call(service, operation, parameters)

    def _call(self, service: str, operation: str, parameters: Parameters) -> Mapping[str, Any]:
        # A quarter of a second, which saved facts need not take.
        from botocore import xform_name  # noqa: PLC0415 - see above

        client = self._clients[service]
        name = xform_name(operation)
        # A secret's versions come without a token in one page; a policy's pages are one document.
        if not client.can_paginate(name):
            reply: Mapping[str, Any] = getattr(client, name)(**parameters)
            return reply
        limit = {"MaxItems": _MOST_ITEMS.get(operation, _MOST)}
        found: Mapping[str, Any] = (
            client.get_paginator(name).paginate(**parameters, PaginationConfig=limit).build_full_result()
        )
        return found
