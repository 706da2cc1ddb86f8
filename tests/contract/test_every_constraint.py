"""Every constraint of Secrets Manager's model, broken once through the front door: AWS's error, word for word.

The requests and the words come from the model (``violations.py``); an operation is tried as soon as it is offered.
"""

from __future__ import annotations

import pytest

from keyturn.operations import registry

from .door import Door
from .violations import MODEL, Violation, broken_constraints, joined, request_of, wrong_types

registry.discover()
OFFERED = [name for name in MODEL["operations"] if registry.find("secretsmanager", name)]


def _id(violation: Violation) -> str:
    return f"{violation.operation} {violation.what}"


def test_the_model_has_the_operations_that_are_counted_on() -> None:
    assert len(MODEL["operations"]) == 26
    assert set(OFFERED) <= set(MODEL["operations"])


@pytest.mark.parametrize("violation", [one for name in OFFERED for one in broken_constraints(name)], ids=_id)
def test_a_broken_constraint_is_told_in_awss_words(door: Door, violation: Violation) -> None:
    reply = door.send(violation.operation, violation.request)

    assert reply.status == 400
    assert reply.json == {"__type": "ValidationException", "message": joined([violation.told])}


@pytest.mark.parametrize("violation", [one for name in OFFERED for one in wrong_types(name)], ids=_id)
def test_a_wrong_type_is_told_in_awss_words(door: Door, violation: Violation) -> None:
    reply = door.send(violation.operation, violation.request)

    assert reply.status == 400
    assert reply.json == {"__type": "SerializationException", "Message": violation.told}


@pytest.mark.parametrize("operation", OFFERED)
def test_all_that_is_broken_is_told_at_once_in_the_order_of_the_request(door: Door, operation: str) -> None:
    request, told, missing = request_of(operation), list[str](), list[str]()
    first = {one.member: one for one in reversed(list(broken_constraints(operation)))}
    for member, one in reversed(first.items()):
        request.pop(member, None)
        if member in one.request:
            request[member] = one.request[member]
        (told if request.get(member) is not None else missing).append(one.told)

    reply = door.send(operation, request)

    assert reply.json == {"__type": "ValidationException", "message": joined(told + missing)}


@pytest.mark.parametrize("operation", OFFERED)
def test_what_cannot_be_read_is_told_before_what_is_broken(door: Door, operation: str) -> None:
    unreadable = next(wrong_types(operation))
    broken = next(broken_constraints(operation))

    reply = door.send(operation, {**broken.request, **unreadable.request})

    assert reply.json == {"__type": "SerializationException", "Message": unreadable.told}
