"""KMS keys and data keys: unwrapped once, kept in memory, never written.

The root key wraps the material of KMS keys (associated data: the context ``{"KeyturnKeyId": key id}``, so rows cannot
be swapped). A KMS key encrypts data keys and whatever else KMS callers send, bound to their encryption context::

    version     1   0x01
    length      1   of the key id, in bytes
    key id      n   UTF-8
    sealed      n   crypto/aead.py; associated data: all of the above, then the context's
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyturn.crypto import aead
from keyturn.crypto.root_key import RootKeyProvider
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.kept import Kept
from keyturn.sensitive import Sensitive

_VERSION = b"\x01"
_FIXED_BYTES = 2
_MAX_KEY_ID_BYTES = 255
_MAX_KMS_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A KMS key as it is stored: its material wrapped by the root key."""

    key_id: str
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class DataKey:
    """A fresh data key, in the clear and as it is stored."""

    plaintext: Sensitive[bytes]
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class UnwrappedDataKey:
    """A data key ready for use, with the associated data of the context it is bound to."""

    cipher: AESGCM
    associated_data: bytes


@dataclass(frozen=True, slots=True)
class _KmsKey:
    material: Sensitive[bytes]
    cipher: AESGCM


class Keyring:
    """The keys in use. Safe to share between threads.

    Args:
        provider: Wraps and unwraps KMS keys.
        load_key: Returns the stored KMS key of an id; raises LookupError if there is none.
        keep: How many unwrapped data keys are kept, the least recently used go first.
    """

    def __init__(self, provider: RootKeyProvider, load_key: Callable[[str], WrappedKey], keep: int = 10_000) -> None:
        self._provider = provider
        self._load_key = load_key
        self._kms_keys: Kept[str, _KmsKey] = Kept(_MAX_KMS_KEYS)
        self._data_keys: Kept[tuple[object, ...], UnwrappedDataKey] = Kept(keep)

    def new_key(self, key_id: str) -> WrappedKey:
        """Return a fresh KMS key, to be stored before anything is encrypted with it."""
        if not 1 <= len(key_id.encode()) <= _MAX_KEY_ID_BYTES:
            raise ValueError("A key id has 1 to 255 bytes.")
        return WrappedKey(key_id, self._provider.wrap(aead.new_key(), _key_context(key_id)))

    def hold(self, key: WrappedKey) -> None:
        """Keep a fresh KMS key ready, so that it can be used in the transaction that stores it.

        Raises:
            SealRefused: It does not unwrap.
        """
        self._kms_keys.put(key.key_id, self._unwrapped(key))

    def encrypt(self, key_id: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """Return ``plaintext`` encrypted with a KMS key and bound to ``context``.

        Raises:
            SealRefused: The KMS key is not there, or does not unwrap.
        """
        encoded = key_id.encode()
        header = _VERSION + bytes([len(encoded)]) + encoded
        return header + aead.seal(self._kms_key(key_id).cipher, plaintext, header + aead.associated_data(context))

    def decrypt(self, ciphertext: bytes, context: Mapping[str, str]) -> Sensitive[bytes]:
        """Return the plaintext of what :meth:`encrypt` returned, given the same context.

        Raises:
            SealRefused: MALFORMED, UNKNOWN_VERSION, UNKNOWN_KEY, WRONG_ROOT_KEY, or ALTERED, also for another context.
        """
        key_id = key_id_of(ciphertext)
        header_bytes = _FIXED_BYTES + ciphertext[1]
        header, sealed = ciphertext[:header_bytes], ciphertext[header_bytes:]
        return Sensitive(
            aead.unseal(self._kms_key(key_id).cipher, sealed, header + aead.associated_data(context)),
        )

    def generate_data_key(self, key_id: str, context: Mapping[str, str], *, size_bytes: int = 32) -> DataKey:
        """Return a fresh random data key, also encrypted with the KMS key and bound to ``context``."""
        plaintext = os.urandom(size_bytes)
        return DataKey(Sensitive(plaintext), self.encrypt(key_id, plaintext, context))

    def unwrap_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> UnwrappedDataKey:
        """Return a data key ready for use, from memory if it was unwrapped before in the same context.

        Raises:
            SealRefused: As :meth:`decrypt`.
        """
        # The context is part of the place: what was verified for one context is not thereby good for another.
        place = (wrapped, *context.items())
        data_key = self._data_keys.get(place)
        if data_key is None:
            cipher = AESGCM(self.decrypt(wrapped, context).reveal())
            data_key = UnwrappedDataKey(cipher, aead.associated_data(context))
            self._data_keys.put(place, data_key)
        return data_key

    def forget_data_key(self, wrapped: bytes, context: Mapping[str, str]) -> None:
        """Drop a data key whose value was erased."""
        self._data_keys.forget((wrapped, *context.items()))

    def derive_key(self, key_id: str, purpose: str) -> Sensitive[bytes]:
        """Return 32 bytes derived from a KMS key for one purpose: HKDF-SHA-256, no salt, the purpose as info."""
        material = self._kms_key(key_id).material.reveal()
        return Sensitive(HKDF(SHA256(), aead.KEY_BYTES, salt=None, info=purpose.encode()).derive(material))

    def forget(self, key_id: str) -> None:
        """Drop what is kept of a KMS key that was destroyed, with every data key; the others are soon back."""
        self._kms_keys.forget(key_id)
        self._data_keys.clear()

    def _kms_key(self, key_id: str) -> _KmsKey:
        key = self._kms_keys.get(key_id)
        if key is None:
            try:
                stored = self._load_key(key_id)
            except LookupError as error:
                raise SealRefused(SealFault.UNKNOWN_KEY, f"The KMS key {key_id} is not in the database.") from error
            key = self._unwrapped(WrappedKey(key_id, stored.wrapped))
            self._kms_keys.put(key_id, key)
        return key

    def _unwrapped(self, key: WrappedKey) -> _KmsKey:
        material = self._provider.unwrap(key.wrapped, _key_context(key.key_id))
        return _KmsKey(Sensitive(material), AESGCM(material))


def key_id_of(ciphertext: bytes) -> str:
    """Return the id of the KMS key that encrypted ``ciphertext``; not yet verified.

    Raises:
        SealRefused: MALFORMED or UNKNOWN_VERSION.
    """
    if ciphertext[:1] != _VERSION:
        raise SealRefused(SealFault.UNKNOWN_VERSION, "A ciphertext has a format this version does not know.")
    if len(ciphertext) < _FIXED_BYTES or len(ciphertext) < _FIXED_BYTES + ciphertext[1] + aead.OVERHEAD_BYTES:
        raise SealRefused(SealFault.MALFORMED, "A ciphertext is too short to be whole.")
    try:
        return ciphertext[_FIXED_BYTES : _FIXED_BYTES + ciphertext[1]].decode()
    except UnicodeDecodeError as error:
        raise SealRefused(SealFault.MALFORMED, "A ciphertext names no key.") from error


def rewrap(keys: Iterable[WrappedKey], *, old: RootKeyProvider, new: RootKeyProvider) -> list[WrappedKey]:
    """Return every key wrapped by the new root key: all of them or, raising, none.

    The caller stores the whole list in one transaction, and keeps the old root key until that is on disk.

    Raises:
        SealRefused: A key does not unwrap with the old root key.
    """
    return [
        WrappedKey(key.key_id, new.wrap(old.unwrap(key.wrapped, context), context))
        for key in keys
        for context in [_key_context(key.key_id)]
    ]


def _key_context(key_id: str) -> bytes:
    return aead.associated_data({"KeyturnKeyId": key_id})
