"""Erase secrets whose recovery window is over: their values first, then whatever tells of them.

The order, so that a server can die at any moment and the next one goes on:

1. The values are removed and StartSecretVersionDelete is told. The secret stays, and from now on cannot be restored.
2. What memory keeps of them is dropped, and the database's files are rid of their bytes.
3. EndSecretVersionDelete is told and the secret is removed. Its row was the intent: it goes last.
"""

from __future__ import annotations

from datetime import datetime

from keyturn.operations.audit_trail import deletion_events
from keyturn.operations.kit import Kit
from keyturn.operations.sealing import forget_value
from keyturn.rules.audit_event import ServiceEventName
from keyturn.storage import secret_erasure, secrets
from keyturn.storage.secret_erasure import ErasedVersion

# The rest follows in the next turn, between which the scheduler does its other work.
_AT_ONCE = 50


def erase_past_recovery(kit: Kit, now: datetime) -> bool:
    """Erase some secrets that are past recovery, and rid the files of whatever else was erased.

    Returns:
        Whether the files could be rid of it; if not, the rest is to be tried again a little later.

    Raises:
        StorageError: The database failed; what was begun goes on the next time.
    """
    with kit.state.read() as connection:
        ends_at = secret_erasure.next_deletion(connection)
    is_due = ends_at is not None and ends_at <= now
    if is_due:
        _erase_values(kit, now)
    if not kit.state.purge():
        return False
    if is_due:
        _erase_secrets(kit, now)
    return True


def _erase_values(kit: Kit, now: datetime) -> None:
    """Steps 1 and 2, as far as memory goes."""
    with kit.state.write() as transaction:
        over = secret_erasure.lock_past_recovery(transaction, now, _AT_ONCE)
        held = [version for version in secret_erasure.valued_versions(transaction.connection, over) if version.head]
        for secret in over:
            # Over by every server's clock: nobody must restore what has lost its values.
            secrets.update_secret(transaction, secret, deletion_at=secret.deleted_at)
        secret_erasure.erase_values(transaction, held)
        deletion_events(kit, ServiceEventName.START_SECRET_VERSION_DELETE, _named(held), now)
    for version in held:
        forget_value(kit, version.arn, version.version_id, version.head, version.former_wrapped)
    for secret in over:
        kit.accesses.forget(secret.secret_id)
    kit.kept.refresh()


def _erase_secrets(kit: Kit, now: datetime) -> None:
    """Step 3; what another server erases at the same time is left to it."""
    with kit.state.write() as transaction:
        over = secret_erasure.lock_past_recovery(transaction, now, _AT_ONCE)
        versions = secret_erasure.valued_versions(transaction.connection, over)
        unfinished = {version.secret_id for version in versions if version.head}
        for secret in over:
            if secret.secret_id not in unfinished:
                secret_erasure.erase_secret(transaction, secret)
        ended = [version for version in versions if version.secret_id not in unfinished]
        deletion_events(kit, ServiceEventName.END_SECRET_VERSION_DELETE, _named(ended), now)


def _named(versions: list[ErasedVersion]) -> list[tuple[str, str]]:
    return [(version.arn, version.version_id) for version in versions]
