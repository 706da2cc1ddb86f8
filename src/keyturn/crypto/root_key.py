"""Root keys: what a provider offers, a root key held in memory, and the search for providers.

The root key wraps KMS keys and nothing else. A provider is a file in ``providers/`` with one class that has a ``kind``.
Those that hold the key themselves use :class:`HeldRootKey`; those that ask another service have a format of their own.

What a held root key wraps::

    version      1   0x01
    fingerprint  8   first bytes of HKDF-SHA-256(root key, info "keyturn root key fingerprint"), tells root keys apart
    sealed       n   crypto/aead.py; associated data: version, fingerprint, then the caller's
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Protocol, Self, runtime_checkable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyturn.crypto import aead
from keyturn.crypto import providers as provider_package
from keyturn.errors.crypto import SealFault, SealRefused

_VERSION = b"\x01"
_FINGERPRINT_BYTES = 8
_HEADER_BYTES = 1 + _FINGERPRINT_BYTES


class RootKeyProvider(Protocol):
    """Something that wraps and unwraps with the root key."""

    @property
    def key_id(self) -> str:
        """Name of the root key in use: shown to operators, says nothing about the key itself."""
        ...

    def wrap(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return ``plaintext`` encrypted and bound to ``associated_data``."""
        ...

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            SealRefused: WRONG_ROOT_KEY, ALTERED, MALFORMED or UNKNOWN_VERSION.
        """
        ...


@runtime_checkable
class InstalledProvider(RootKeyProvider, Protocol):
    """A provider that settings can name."""

    kind: ClassVar[str]

    @classmethod
    def create(cls, location: Path) -> Self:
        """Make a new root key at ``location``; raises RootKeyRefused rather than touch an existing one."""
        ...

    @classmethod
    def open(cls, location: Path) -> Self:
        """Use the root key at ``location``; raises RootKeyRefused."""
        ...


class HeldRootKey:
    """A root key of 32 bytes, held in memory."""

    def __init__(self, key: bytes, *, kind: str) -> None:
        self._cipher = AESGCM(key)
        derivation = HKDF(SHA256(), _FINGERPRINT_BYTES, salt=None, info=b"keyturn root key fingerprint")
        self._header = _VERSION + derivation.derive(key)
        self.key_id = f"{kind}:{self._header[1:].hex()}"

    def wrap(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return ``plaintext`` encrypted and bound to ``associated_data``."""
        return self._header + aead.seal(self._cipher, plaintext, self._header + associated_data)

    def unwrap(self, wrapped: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext.

        Raises:
            SealRefused: WRONG_ROOT_KEY, ALTERED, MALFORMED or UNKNOWN_VERSION.
        """
        if wrapped[:1] != _VERSION:
            raise SealRefused(SealFault.UNKNOWN_VERSION, "A wrapped key has a format this version does not know.")
        if len(wrapped) < _HEADER_BYTES:
            raise SealRefused(SealFault.MALFORMED, "A wrapped key is too short to be whole.")
        if wrapped[:_HEADER_BYTES] != self._header:
            raise SealRefused(
                SealFault.WRONG_ROOT_KEY,
                f"A key was wrapped by the root key …:{wrapped[1:_HEADER_BYTES].hex()}, but {self.key_id} is in use.",
                "Start with the root key this database was created with.",
            )
        return aead.unseal(self._cipher, wrapped[_HEADER_BYTES:], self._header + associated_data)


@cache
def providers() -> Mapping[str, type[InstalledProvider]]:
    """Return every root key provider by its kind.

    Raises:
        TypeError: A file has no provider or several, or two files claim one kind.
    """
    found: dict[str, type[InstalledProvider]] = {}
    for info in pkgutil.iter_modules(provider_package.__path__, f"{provider_package.__name__}."):
        provider = _provider_of(importlib.import_module(info.name))
        if provider.kind in found:
            raise TypeError(f"Two root key providers are called {provider.kind!r}.")
        found[provider.kind] = provider
    return found


def _provider_of(module: ModuleType) -> type[InstalledProvider]:
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "kind")
    ]
    if len(classes) != 1:
        raise TypeError(f"{module.__name__} must hold exactly one class with a kind.")
    provider: type[InstalledProvider] = classes[0]
    return provider
