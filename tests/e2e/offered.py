"""What the server offers: tables of calls are held to it, so that a new operation is called as soon as there is one."""

from __future__ import annotations

from keyturn.operations import registry


def offered(service: str) -> set[str]:
    """Names of a service's operations that the server offers."""
    registry.discover()
    return {operation.name for operation in registry.all_operations() if operation.service == service}
