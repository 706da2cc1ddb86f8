"""When access keys and roles were last used. Written now and then, never on the hot path."""

from __future__ import annotations

import itertools
from datetime import datetime

from keyturn.call import Principal
from keyturn.storage.database import Database
from keyturn.storage.uses import Use, record_uses

_AT_ONCE = 500
_OF_USERS = "AKIA"


class Uses:
    """Remembers the last call of each access key and role that this server has seen; stores what is new.

    Safe to share between threads: what is done with a dictionary is one atomic step each. There is one entry for each
    key and role, and none goes.
    """

    def __init__(self) -> None:
        # By the id of the key, or the ARN of the role; plain tuples, because one is made for every call.
        self._last: dict[str, tuple[datetime, str, str]] = {}
        self._stored: dict[str, tuple[datetime, str, str]] = {}

    def note(self, principal: Principal, service: str, region: str, at: datetime) -> None:
        """Remember that a principal has signed a call. Temporary keys other than a role's are not counted."""
        used = principal.role_arn or principal.access_key_id
        if principal.role_arn or used.startswith(_OF_USERS):
            self._last[used] = (at, service, region)

    def last(self, used: str, stored: Use | None) -> Use | None:
        """Return the last use of an access key by its id, or of a role by its ARN.

        Args:
            used: Which one.
            stored: Its last use as far as the database knows.
        """
        noted = self._last.get(used)
        seen = None if noted is None else Use(*noted)
        if seen is None or stored is None:
            return seen or stored
        return max(seen, stored, key=lambda use: use.used_at)

    def store(self, state: Database) -> None:
        """Write what is new.

        Raises:
            StorageError: The database failed; what is not written is written the next time.
        """
        new = (item for item in self._last.copy().items() if self._stored.get(item[0]) is not item[1])
        # A few at a time: whoever else writes must not wait for all keys of a large server.
        while batch := dict(itertools.islice(new, _AT_ONCE)):
            keys = {used: Use(*noted) for used, noted in batch.items() if used.startswith(_OF_USERS)}
            roles = {used: Use(*noted) for used, noted in batch.items() if used not in keys}
            with state.write() as transaction:
                record_uses(transaction, keys, roles)
            self._stored.update(batch)
