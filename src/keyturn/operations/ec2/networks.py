"""The networks of an account's region, read in one snapshot or changed in one transaction.

Whoever changes them takes turns with all others that do, so what was looked at first (whether addresses are free,
whether somebody uses something) holds when it is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from keyturn.arn import Place
from keyturn.call import Call
from keyturn.operations.ec2.kinds import Kind
from keyturn.operations.kit import Kit
from keyturn.storage import network_objects
from keyturn.storage.database import Transaction
from keyturn.storage.network_objects import Document, NetworkObject

Request = Mapping[str, Any]
Response = Mapping[str, Any]


class Networks:
    """What there is, in one snapshot.

    Attributes:
        place: Whose.
        at: The moment for what changes with time.
    """

    def __init__(self, connection: Connection, place: Place, at: datetime) -> None:
        self._connection = connection
        # What was read already: describing many objects asks for the same ones again and again.
        self._read: dict[tuple[str, ...], Any] = {}
        self.place = place
        self.at = at

    def get(self, kind: Kind | str, object_id: str) -> NetworkObject | None:
        """Return an object, or None."""
        key = ("one", _name(kind), object_id)
        if key not in self._read:
            self._read[key] = network_objects.load_object(self._connection, self.place, key[1], object_id)
        found: NetworkObject | None = self._read[key]
        return found

    def require(self, kind: Kind, object_id: str) -> NetworkObject:
        """Return an object.

        Raises:
            Ec2Error: There is none by this id.
        """
        found = self.get(kind, object_id)
        if found is None:
            raise kind.missing(object_id)
        return found

    def all(self, kind: Kind | str) -> list[NetworkObject]:
        """Return every object of a kind, oldest first."""
        return network_objects.list_objects(self._connection, self.place, _name(kind))

    def of_vpc(self, vpc_id: str, *kinds: Kind | str) -> list[NetworkObject]:
        """Return what is of a VPC, oldest first: of all kinds, or of some."""
        names = {_name(kind) for kind in kinds}
        key = ("vpc", vpc_id)
        if key not in self._read:
            self._read[key] = network_objects.list_objects_of_vpc(self._connection, self.place, vpc_id)
        every: list[NetworkObject] = self._read[key]
        return [one for one in every if not names or one.kind in names]


class ChangingNetworks(Networks):
    """What there is, to be changed; nobody else changes it meanwhile."""

    def __init__(self, transaction: Transaction, place: Place, at: datetime) -> None:
        super().__init__(transaction.connection, place, at)
        self._transaction = transaction

    def add(self, kind: Kind | str, object_id: str, body: Document, *, vpc_id: str | None = None) -> NetworkObject:
        """Store a new object, which is of a VPC or of none."""
        made = NetworkObject(
            self.place.account_id, self.place.region, _name(kind), object_id, vpc_id, dict(body), self.at
        )
        return self.put(made)

    def update(self, record: NetworkObject, **members: Any) -> NetworkObject:
        """Store an object with some members of its body replaced; one of None is removed."""
        body = {**record.body, **members}
        return self.put(replace(record, body={name: one for name, one in body.items() if one is not None}))

    def put(self, record: NetworkObject) -> NetworkObject:
        """Store an object as it is now."""
        self._read.clear()
        network_objects.put_object(self._transaction, record)
        return record

    def delete(self, record: NetworkObject) -> None:
        """Remove an object."""
        self._read.clear()
        network_objects.delete_object(self._transaction, record)


@contextmanager
def reading(kit: Kit, call: Call) -> Iterator[Networks]:
    """Read the networks of the caller's account and region in one snapshot."""
    with kit.state.read() as connection:
        yield Networks(connection, call.place, call.at)


@contextmanager
def changing(kit: Kit, call: Call) -> Iterator[ChangingNetworks]:
    """Change the networks of the caller's account and region in one transaction."""
    with kit.state.write() as transaction:
        network_objects.lock_networks(kit.state, transaction, call.place)
        yield ChangingNetworks(transaction, call.place, call.at)


def _name(kind: Kind | str) -> str:
    return kind if isinstance(kind, str) else kind.name
