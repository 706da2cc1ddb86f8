"""Tokens that callers carry for us and cannot read or alter: session tokens, page tokens.

A token is base64url without padding of::

    version    1   0x01
    sealed     n   crypto/aead.py; plaintext: a JSON object of strings; associated data: version, then the purpose

The key is derived from a system key (a KMS key no caller can name, wrapped by the root key like the others) for one
purpose, so a token of one purpose means nothing to another. Whether a token has expired is for its payload to say. One
purpose of one system key is good for 2**32 tokens: at AWS's 600 AssumeRole calls in every second, 82 days.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyturn.crypto import aead
from keyturn.crypto.keyring import Keyring
from keyturn.errors.crypto import SealRefused

_VERSION = b"\x01"


class ForeignToken(ValueError):
    """The token was not sealed here for this purpose, or it was altered. The caller is at fault, not the operator."""


class TokenSealer:
    """Seals and opens the tokens of one purpose. Safe to share between threads.

    Args:
        keyring: Holds the system key.
        key_id: The system key.
        purpose: For instance ``sts-session`` or ``page:ListSecrets``.
    """

    def __init__(self, keyring: Keyring, *, key_id: str, purpose: str) -> None:
        self._cipher = AESGCM(keyring.derive_key(key_id, f"keyturn token {purpose}").reveal())
        self._associated_data = _VERSION + purpose.encode()
        self._decoder = msgspec.json.Decoder(dict[str, str])

    def seal(self, payload: Mapping[str, str]) -> str:
        """Return an opaque token, URL-safe text."""
        sealed = aead.seal(self._cipher, msgspec.json.encode(dict(payload)), self._associated_data)
        return _text(_VERSION + sealed)

    def open(self, token: str) -> dict[str, str]:
        """Return the payload of a token.

        Raises:
            ForeignToken: It was not sealed here for this purpose, or it was altered.
        """
        try:
            data = base64.urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            # Base64 leaves bits unused and decoders skip what they do not know: only the spelling we gave out counts.
            if data[:1] != _VERSION or _text(data) != token:
                raise ForeignToken("The token is not one of ours.")
            plaintext = aead.unseal(self._cipher, data[1:], self._associated_data)
        except (UnicodeEncodeError, binascii.Error, SealRefused) as error:
            raise ForeignToken("The token is not one of ours.") from error
        return self._decoder.decode(plaintext)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
