"""Seal and open values at rest: a data key for each value, wrapped by a KMS key, bound to where the value belongs.

A sealed value::

    version      1   0x01
    length       2   of the wrapped data key, big endian
    wrapped key  n   crypto/keyring.py: version, KMS key id, sealed data key; bound to the context
    sealed       n   crypto/aead.py with the data key; associated data: the version byte, then the context's

The context of a secret value is ``{"SecretARN": …, "SecretVersionId": …}`` (AWS Secrets Manager User Guide, "Secret
encryption and decryption"), so a row copied to another secret or version does not open. The wrapped key is no part of
the associated data: a data key can be wrapped by another KMS key without touching the value, as UpdateSecret does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyturn.crypto import aead
from keyturn.crypto.keyring import Keyring, MaterialId, key_id_of
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.sensitive import Sensitive

_VERSION = b"\x01"
_FIXED_BYTES = 3


class Envelope:
    """Seals and opens with the keys of a keyring. Safe to share between threads."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def seal(self, plaintext: bytes, *, material_id: MaterialId, context: Mapping[str, str]) -> bytes:
        """Return ``plaintext`` sealed under material of a KMS key for the place that ``context`` names.

        Raises:
            SealRefused: The material is not there, or does not unwrap.
        """
        data_key = self._keyring.generate_data_key(material_id, context)
        cipher = AESGCM(data_key.plaintext.reveal())
        return _join(data_key.wrapped, aead.seal(cipher, plaintext, _VERSION + aead.associated_data(context)))

    def open(self, sealed: bytes, *, context: Mapping[str, str]) -> Sensitive[bytes]:
        """Return the plaintext of what :meth:`seal` returned, given the same context.

        Raises:
            SealRefused: MALFORMED, UNKNOWN_VERSION, UNKNOWN_KEY, WRONG_ROOT_KEY, or ALTERED, also for another context.
        """
        wrapped, value = _split(sealed)
        data_key = self._keyring.unwrap_data_key(wrapped, context)
        return Sensitive(aead.unseal(data_key.cipher, value, _VERSION + data_key.associated_data))

    def forget(self, sealed: bytes, *, context: Mapping[str, str]) -> None:
        """Drop what is kept in memory for opening a sealed value, which was erased; its beginning will do."""
        # What is damaged was never opened, and so nothing is kept of it.
        with suppress(SealRefused):
            self._keyring.forget_data_key(_split(sealed)[0], context)

    def rewrap(self, sealed: bytes, *, material_id: MaterialId, context: Mapping[str, str]) -> bytes:
        """Return the same sealed value with its data key wrapped by another KMS key.

        Raises:
            SealRefused: As :meth:`open`; the value itself is not opened.
        """
        wrapped, value = _split(sealed)
        data_key = self._keyring.decrypt(wrapped, context).reveal()
        return _join(self._keyring.encrypt(material_id, data_key, context), value)


def sealed_under(sealed: bytes) -> str:
    """Return the id of the KMS key that wraps the data key of a sealed value; not yet verified.

    Raises:
        SealRefused: MALFORMED or UNKNOWN_VERSION.
    """
    return key_id_of(_split(sealed)[0])


def wrapped_key_of(sealed: bytes) -> bytes:
    """Return the wrapped data key of a sealed value; not yet verified.

    Raises:
        SealRefused: MALFORMED or UNKNOWN_VERSION.
    """
    return _split(sealed)[0]


def with_wrapped_key(sealed: bytes, wrapped: bytes) -> bytes:
    """Return a sealed value with its data key as it was, or will be, wrapped by another KMS key.

    Raises:
        SealRefused: MALFORMED or UNKNOWN_VERSION.
    """
    return _join(wrapped, _split(sealed)[1])


def _join(wrapped: bytes, value: bytes) -> bytes:
    return _VERSION + len(wrapped).to_bytes(2, "big") + wrapped + value


def _split(sealed: bytes) -> tuple[bytes, bytes]:
    if sealed[:1] != _VERSION:
        raise SealRefused(SealFault.UNKNOWN_VERSION, "A sealed value has a format this version does not know.")
    end = _FIXED_BYTES + int.from_bytes(sealed[1:_FIXED_BYTES], "big")
    if len(sealed) < end + aead.OVERHEAD_BYTES:
        raise SealRefused(SealFault.MALFORMED, "A sealed value is too short to be whole.")
    return sealed[_FIXED_BYTES:end], sealed[end:]
