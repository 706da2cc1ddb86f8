"""KMS keys and data keys: unwrapped once, kept in memory, never written.

A KMS key has the material it was made with and one more for each rotation, numbered from 0. Its newest encrypts; all of
them decrypt for as long as the key exists. The root key wraps material (associated data: the context
``{"KeyturnKeyId": key id}``, from the first rotation on with ``"KeyturnMaterial": number``, so rows cannot be swapped).
Material encrypts data keys and whatever else KMS callers send, bound to their encryption context::

    version     1   0x01: the first material; 0x02: another
    length      1   of the key id, in bytes
    key id      n   UTF-8
    number      4   of the material, big endian; in version 2 only
    sealed      n   crypto/aead.py; associated data: all of the above, then the context's
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyturn.crypto import aead
from keyturn.crypto.root_key import RootKeyProvider
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.kept import Kept
from keyturn.sensitive import Sensitive

_VERSION, _VERSION_NUMBERED = b"\x01", b"\x02"
_NUMBER_BYTES = {_VERSION: 0, _VERSION_NUMBERED: 4}
_FIXED_BYTES = 2
_MAX_KEY_ID_BYTES = 255
_MAX_MATERIALS = 1_000


class MaterialId(NamedTuple):
    """Which material of which KMS key; without a number the one it was made with."""

    key_id: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class WrappedMaterial:
    """Material of a KMS key as it is stored: wrapped by the root key."""

    material_id: MaterialId
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
class _Material:
    key: Sensitive[bytes]
    cipher: AESGCM


class Keyring:
    """The keys in use. Safe to share between threads.

    Args:
        provider: Wraps and unwraps the material of KMS keys.
        load: Returns stored material; raises LookupError if there is none. Called for each once, so what another server
            has made is found when it is met first.
        keep: How many unwrapped data keys are kept, the least recently used go first.
    """

    def __init__(
        self, provider: RootKeyProvider, load: Callable[[MaterialId], WrappedMaterial], keep: int = 10_000
    ) -> None:
        self._provider = provider
        self._load = load
        self._materials: Kept[MaterialId, _Material] = Kept(_MAX_MATERIALS)
        self._data_keys: Kept[tuple[object, ...], UnwrappedDataKey] = Kept(keep)

    def new_material(self, material_id: MaterialId) -> WrappedMaterial:
        """Return fresh material, to be stored before anything is encrypted with it."""
        if not 1 <= len(material_id.key_id.encode()) <= _MAX_KEY_ID_BYTES:
            raise ValueError("A key id has 1 to 255 bytes.")
        return WrappedMaterial(material_id, self._provider.wrap(aead.new_key(), _material_context(material_id)))

    def hold(self, material: WrappedMaterial) -> None:
        """Keep fresh material ready, so that it can be used in the transaction that stores it.

        Raises:
            SealRefused: It does not unwrap.
        """
        self._materials.put(material.material_id, self._unwrapped(material))

    def encrypt(self, material_id: MaterialId, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        """Return ``plaintext`` encrypted with material of a KMS key and bound to ``context``.

        Raises:
            SealRefused: The material is not there, or does not unwrap.
        """
        header = _header(material_id)
        cipher = self._material(material_id).cipher
        return header + aead.seal(cipher, plaintext, header + aead.associated_data(context))

    def decrypt(self, ciphertext: bytes, context: Mapping[str, str]) -> Sensitive[bytes]:
        """Return the plaintext of what :meth:`encrypt` returned, given the same context.

        Raises:
            SealRefused: MALFORMED, UNKNOWN_VERSION, UNKNOWN_KEY, WRONG_ROOT_KEY, or ALTERED, also for another context.
        """
        material_id = material_id_of(ciphertext)
        header_bytes = _header_bytes(ciphertext)
        header, sealed = ciphertext[:header_bytes], ciphertext[header_bytes:]
        return Sensitive(
            aead.unseal(self._material(material_id).cipher, sealed, header + aead.associated_data(context)),
        )

    def generate_data_key(
        self, material_id: MaterialId, context: Mapping[str, str], *, size_bytes: int = 32
    ) -> DataKey:
        """Return a fresh random data key, also encrypted with material of a KMS key and bound to ``context``."""
        plaintext = os.urandom(size_bytes)
        return DataKey(Sensitive(plaintext), self.encrypt(material_id, plaintext, context))

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
        """Return 32 bytes derived from a KMS key for one purpose: HKDF-SHA-256, no salt, the purpose as info.

        The key's first material is meant, so that what is derived outlives its rotations.
        """
        key = self._material(MaterialId(key_id)).key.reveal()
        return Sensitive(HKDF(SHA256(), aead.KEY_BYTES, salt=None, info=purpose.encode()).derive(key))

    def forget(self) -> None:
        """Drop everything that is kept, because a KMS key was destroyed; what still exists is soon back."""
        self._materials.clear()
        self._data_keys.clear()

    def _material(self, material_id: MaterialId) -> _Material:
        material = self._materials.get(material_id)
        if material is None:
            try:
                stored = self._load(material_id)
            except LookupError as error:
                raise SealRefused(
                    SealFault.UNKNOWN_KEY, f"The KMS key {material_id.key_id} is not in the database."
                ) from error
            material = self._unwrapped(WrappedMaterial(material_id, stored.wrapped))
            self._materials.put(material_id, material)
        return material

    def _unwrapped(self, material: WrappedMaterial) -> _Material:
        key = self._provider.unwrap(material.wrapped, _material_context(material.material_id))
        return _Material(Sensitive(key), AESGCM(key))


def key_id_of(ciphertext: bytes) -> str:
    """Return the id of the KMS key that encrypted ``ciphertext``; not yet verified.

    Raises:
        SealRefused: MALFORMED or UNKNOWN_VERSION.
    """
    return material_id_of(ciphertext).key_id


def material_id_of(ciphertext: bytes) -> MaterialId:
    """Return which material of which KMS key encrypted ``ciphertext``; not yet verified.

    Raises:
        SealRefused: MALFORMED or UNKNOWN_VERSION.
    """
    if ciphertext[:1] not in _NUMBER_BYTES:
        raise SealRefused(SealFault.UNKNOWN_VERSION, "A ciphertext has a format this version does not know.")
    if len(ciphertext) < _FIXED_BYTES or len(ciphertext) < _header_bytes(ciphertext) + aead.OVERHEAD_BYTES:
        raise SealRefused(SealFault.MALFORMED, "A ciphertext is too short to be whole.")
    end = _FIXED_BYTES + ciphertext[1]
    try:
        key_id = ciphertext[_FIXED_BYTES:end].decode()
    except UnicodeDecodeError as error:
        raise SealRefused(SealFault.MALFORMED, "A ciphertext names no key.") from error
    return MaterialId(key_id, int.from_bytes(ciphertext[end : _header_bytes(ciphertext)], "big"))


def rewrap(
    materials: Iterable[WrappedMaterial], *, old: RootKeyProvider, new: RootKeyProvider
) -> list[WrappedMaterial]:
    """Return everything wrapped by the new root key: all of it or, raising, nothing.

    The caller stores the whole list in one transaction, and keeps the old root key until that is on disk.

    Raises:
        SealRefused: Something does not unwrap with the old root key.
    """
    return [
        WrappedMaterial(material.material_id, new.wrap(old.unwrap(material.wrapped, context), context))
        for material in materials
        for context in [_material_context(material.material_id)]
    ]


def _header(material_id: MaterialId) -> bytes:
    key_id = material_id.key_id.encode()
    # The first material is not numbered: whatever a key encrypts before its first rotation looks as it always did.
    version = _VERSION_NUMBERED if material_id.number else _VERSION
    return version + bytes([len(key_id)]) + key_id + material_id.number.to_bytes(_NUMBER_BYTES[version], "big")


def _header_bytes(ciphertext: bytes) -> int:
    return _FIXED_BYTES + ciphertext[1] + _NUMBER_BYTES[ciphertext[:1]]


def _material_context(material_id: MaterialId) -> bytes:
    number = {"KeyturnMaterial": str(material_id.number)} if material_id.number else {}
    return aead.associated_data({"KeyturnKeyId": material_id.key_id, **number})
