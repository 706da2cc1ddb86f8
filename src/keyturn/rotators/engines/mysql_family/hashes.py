"""What MySQL and MariaDB servers store for a password, and MariaDB's Ed25519 login, in pure Python.

The algorithms are the servers'. Computed by the client they keep the password out of statements. There is no pure
Python library that has them: MariaDB's Ed25519 takes a password of any length where RFC 8032 takes 32 bytes, and
MySQL's SHA-crypt a salt of 20 bytes where libraries end at 16. The integers are not of constant time; each runs a few
times in the life of a password, behind a network.

Sources: MySQL Internals, "Secure Password Authentication"; MySQL 8.0 Reference Manual, "Caching SHA-2 Pluggable
Authentication"; U. Drepper, "Unix crypt using SHA-256 and SHA-512"; MariaDB documentation, "Authentication Plugin -
ed25519"; RFC 8032, section 5.1.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

_ALPHABET = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SALT_LENGTH = 20
# MySQL counts in thousands, and stores the number as three hexadecimal digits.
_ROUNDS = 5000
# Which bytes of a digest become which four letters: Drepper's order.
_TRIPLES = (
    (0, 10, 20), (21, 1, 11), (12, 22, 2), (3, 13, 23), (24, 4, 14),
    (15, 25, 5), (6, 16, 26), (27, 7, 17), (18, 28, 8), (9, 19, 29),
)  # fmt: skip

# The field, the order of the base point, the curve's constant, the base point in extended coordinates.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_Y = 4 * pow(5, -1, _P) % _P
_Point = tuple[int, int, int, int]
_BASE: _Point = (_X, _Y, 1, _X * _Y % _P)


def native(password: str) -> str:
    """Return the form of mysql_native_password: SHA-1 of SHA-1."""
    once = hashlib.sha1(password.encode(), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(once, usedforsecurity=False).hexdigest().upper()


def caching_sha2(password: str, salt: bytes | None = None) -> str:
    """Return the form of caching_sha2_password: SHA-crypt with 5,000 rounds and a salt of 20 bytes.

    Args:
        password: Of any length.
        salt: Random letters unless given, so that the form is text in any character set.
    """
    salt = salt or "".join(secrets.choice(_ALPHABET) for _ in range(_SALT_LENGTH)).encode()
    return f"$A${_ROUNDS // 1000:03X}$" + salt.decode("latin-1") + _sha256_crypt(password.encode(), salt)


def caching_sha2_answer(password: bytes, nonce: bytes) -> bytes:
    """Return what proves a password to a server that remembers the user."""
    once = hashlib.sha256(password).digest()
    mask = hashlib.sha256(hashlib.sha256(once).digest() + nonce).digest()
    return bytes(left ^ right for left, right in zip(once, mask, strict=True))


def _sha256_crypt(password: bytes, salt: bytes) -> str:
    """Return Drepper's digest, 43 letters; of his numbered steps only what they come to."""
    alternate = hashlib.sha256(password + salt + password).digest()
    mixed = hashlib.sha256(password + salt + _repeated(alternate, len(password)))
    length = len(password)
    while length:
        mixed.update(alternate if length & 1 else password)
        length >>= 1
    digest = mixed.digest()
    p = _repeated(hashlib.sha256(password * len(password)).digest(), len(password))
    s = _repeated(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    for number in range(_ROUNDS):
        first, last = (p, digest) if number & 1 else (digest, p)
        middle = (s if number % 3 else b"") + (p if number % 7 else b"")
        digest = hashlib.sha256(first + middle + last).digest()
    letters = [_letters(digest[a] << 16 | digest[b] << 8 | digest[c], 4) for a, b, c in _TRIPLES]
    return "".join([*letters, _letters(digest[31] << 8 | digest[30], 3)])


def _repeated(block: bytes, length: int) -> bytes:
    return (block * (length // len(block) + 1))[:length]


def _letters(number: int, count: int) -> str:
    return "".join(_ALPHABET[number >> 6 * place & 63] for place in range(count))


def ed25519(password: str) -> str:
    """Return the form of MariaDB's ed25519: the public key."""
    scalar, _ = _ed25519_private(password.encode())
    return base64.b64encode(_encoded(_multiplied(scalar))).decode().rstrip("=")


def ed25519_signature(password: bytes, message: bytes) -> bytes:
    """Return what MariaDB's ed25519 takes as a login: the server's random message, signed."""
    scalar, prefix = _ed25519_private(password)
    once = int.from_bytes(hashlib.sha512(prefix + message).digest(), "little") % _L
    commitment, public_key = _encoded(_multiplied(once)), _encoded(_multiplied(scalar))
    challenge = int.from_bytes(hashlib.sha512(commitment + public_key + message).digest(), "little")
    return commitment + ((once + challenge * scalar) % _L).to_bytes(32, "little")


def _ed25519_private(password: bytes) -> tuple[int, bytes]:
    digest = hashlib.sha512(password).digest()
    scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
    return scalar, digest[32:]


def _multiplied(scalar: int) -> _Point:
    """Return the base point times a number."""
    point, sum_ = _BASE, (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            sum_ = _added(sum_, point)
        point, scalar = _added(point, point), scalar >> 1
    return sum_


def _added(one: _Point, other: _Point) -> _Point:
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, other
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _encoded(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    return (y * inverse % _P | (x * inverse % _P & 1) << 255).to_bytes(32, "little")
