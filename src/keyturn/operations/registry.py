"""Which operations exist, and what the pipeline must know of each before it runs.

``@operation`` registers a handler; ``discover`` imports every module of this package, so that one more operation is one
more function and no list.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from keyturn import operations
from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.subject import NO_SUBJECT, Subject

R = TypeVar("R")
Response = Mapping[str, Any]
_READ_ONLY = ("Get", "List", "Describe", "Lookup", "Filter", "Count", "BatchGet", "Validate", "Simulate", "Decode")
# What KMS computes changes nothing that is stored; CloudTrail calls it reading.
_COMPUTES = ("Encrypt", "Decrypt", "ReEncrypt", "Generate")


class Runs(Enum):
    """Where a handler runs."""

    # Touches only kept rows or one indexed read of an embedded database.
    ON_LOOP = auto()
    # Writes, or computes for more than some hundred microseconds.
    IN_THREAD = auto()
    # Waits for something slow (a function's answer); has threads of its own, so that it starves nobody.
    WAITING = auto()


Loader = Callable[[Kit, Call, Any], Subject[R]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A registered operation.

    Attributes:
        service: Service name as in botocore.
        name: Operation name as in the model.
        action: IAM action that must be allowed; empty if the call needs no permission.
        runs: Where the handler runs.
        read_only: What CloudTrail's ``readOnly`` says.
        load: Finds the subject.
        handle: Does the work, given the subject's record (None for operations without one).
    """

    service: str
    name: str
    action: str
    runs: Runs
    read_only: bool
    load: Loader[Any]
    handle: Callable[[Kit, Call, Any, Any], Response]


_operations: dict[tuple[str, str], Operation] = {}


def no_subject(_kit: Kit, _call: Call, _request: object) -> Subject[None]:
    """The loader of operations that act on no single resource."""
    return NO_SUBJECT


def operation(
    service: str,
    name: str,
    *,
    subject: Loader[R],
    runs: Runs = Runs.IN_THREAD,
    action: str | None = None,
) -> Callable[[Callable[[Kit, Call, Any, R], Response]], Callable[[Kit, Call, Any, R], Response]]:
    """Register the decorated handler.

    Args:
        service: Service name as in botocore.
        name: Operation name as in the model.
        subject: Loads what the call acts on; :func:`no_subject` for operations without one.
        runs: Where it runs.
        action: IAM action if it differs from ``service:name``; "" if no permission is needed.

    Raises:
        ValueError: The operation is registered already.
    """

    def register(handle: Callable[[Kit, Call, Any, R], Response]) -> Callable[[Kit, Call, Any, R], Response]:
        key = (service, name)
        if key in _operations:
            raise ValueError(f"{service} {name} is registered twice")
        _operations[key] = Operation(
            service=service,
            name=name,
            action=f"{service}:{name}" if action is None else action,
            runs=runs,
            read_only=name.startswith(_READ_ONLY) or (service == "kms" and name.startswith(_COMPUTES)),
            load=subject,
            handle=handle,
        )
        return handle

    return register


def find(service: str, name: str) -> Operation | None:
    """Return the operation, or None if Keyturn does not offer it."""
    return _operations.get((service, name))


def all_operations() -> list[Operation]:
    """Return everything registered, by service and name."""
    return [_operations[key] for key in sorted(_operations)]


def discover() -> None:
    """Import every module of this package, so that its operations register."""
    for module in pkgutil.walk_packages(operations.__path__, operations.__name__ + "."):
        importlib.import_module(module.name)
