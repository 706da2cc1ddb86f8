"""AES-256-GCM as everything in this package uses it, and how an encryption context becomes associated data.

Sealed bytes::

    nonce       12   random
    ciphertext   n   as long as the plaintext
    tag         16

Random nonces of 96 bits are good for 2**32 sealings under one key (NIST SP 800-38D, section 8.3). A data key seals one
value; a root key seals KMS keys; a KMS key seals one data key for each stored version.

Associated data of a context, pairs sorted by name, lengths in bytes, big endian; no two contexts have the same::

    (name length 4, name, value length 4, value)*   names and values in UTF-8
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyturn.errors.crypto import SealFault, SealRefused

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
OVERHEAD_BYTES = NONCE_BYTES + TAG_BYTES


def new_key() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(KEY_BYTES)


def seal(cipher: AESGCM, plaintext: bytes, associated_data: bytes) -> bytes:
    """Return nonce, ciphertext and tag."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plaintext, associated_data)


def unseal(cipher: AESGCM, sealed: bytes, associated_data: bytes) -> bytes:
    """Return the plaintext of what :func:`seal` returned.

    Raises:
        SealRefused: MALFORMED if it is too short; ALTERED if key, bytes or associated data differ from the sealing's.
    """
    if len(sealed) < OVERHEAD_BYTES:
        raise SealRefused(SealFault.MALFORMED, "A sealed value is too short to be whole.")
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], associated_data)
    except InvalidTag as error:
        raise SealRefused(
            SealFault.ALTERED,
            "A sealed value was altered, or it was sealed for another place than where it was found.",
            "If the database was edited or restored in part, restore it whole from a backup.",
        ) from error


def associated_data(context: Mapping[str, str]) -> bytes:
    """Return the one byte string that stands for ``context``, whatever the order of its pairs."""
    parts: list[bytes] = []
    for pair in sorted(context.items()):
        for text in pair:
            encoded = text.encode()
            parts += (len(encoded).to_bytes(4, "big"), encoded)
    return b"".join(parts)
