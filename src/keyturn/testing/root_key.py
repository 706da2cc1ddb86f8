"""A root key that is forgotten when the test ends."""

from __future__ import annotations

from keyturn.crypto import aead
from keyturn.crypto.root_key import HeldRootKey


class InMemoryProvider(HeldRootKey):
    """A :class:`keyturn.crypto.root_key.RootKeyProvider` with a fresh key, or with the one given."""

    def __init__(self, key: bytes | None = None) -> None:
        super().__init__(aead.new_key() if key is None else key, kind="in-memory")
