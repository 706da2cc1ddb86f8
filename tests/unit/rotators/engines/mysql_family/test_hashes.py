"""What servers store for a password, against values that others have computed."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from keyturn.rotators.engines.mysql_family import hashes


def test_native_is_the_one_of_the_manual() -> None:
    # MySQL 5.7 Reference Manual, PASSWORD(): its example is 'mypass'.
    assert hashes.native("mypass") == "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"


def test_ed25519_is_what_mariadb_10_11_computes() -> None:
    # As SELECT ed25519_password('x') of that server says; 'secret' is the example of MariaDB's documentation.
    assert hashes.ed25519("x") == "Gv2JI8Env2fd5YGonZ082tX3UAW+yJYldOlj4R1bfK4"
    assert hashes.ed25519("secret") == "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"


def test_caching_sha2_is_the_one_that_crackers_are_tested_with() -> None:
    # hashcat's example for mode 7401; its password is "hashcat".
    salt = bytes.fromhex("F9CC98CE08892924F50A213B6BC571A2C11778C5")
    form = hashes.caching_sha2("hashcat", salt)
    assert form.startswith("$A$005$")
    assert form.endswith("bTy95Y99eAME1dwEkHOA1ndHGBWz.1bxSSRkuTXFGV/")
    assert len(form) == 70


@pytest.mark.parametrize("password", ["", "x", "x" * 31, "x" * 32, "x" * 33, "ü" * 200])
def test_forms_of_any_password_are_text_without_quotes_and_differ_by_their_salt(password: str) -> None:
    one, other = hashes.caching_sha2(password), hashes.caching_sha2(password)
    assert one != other
    assert len(one) == 70
    assert one.isascii()
    assert not set("'\\`\"") & set(one + hashes.native(password) + hashes.ed25519(password))


def test_an_answer_of_caching_sha2_proves_the_password() -> None:
    # As the server checks it: what it keeps is SHA-256 of SHA-256.
    nonce = bytes(range(20))
    kept = hashlib.sha256(hashlib.sha256(b"marked").digest()).digest()
    mask = hashlib.sha256(kept + nonce).digest()
    once = bytes(left ^ right for left, right in zip(hashes.caching_sha2_answer(b"marked", nonce), mask, strict=True))
    assert hashlib.sha256(once).digest() == kept


def test_an_ed25519_signature_verifies_for_a_password_of_thirty_two_bytes() -> None:
    # There MariaDB's scheme is RFC 8032's, which this library checks.
    password, message = b"x" * 32, bytes(range(32))
    key = Ed25519PrivateKey.from_private_bytes(password)
    assert hashes.ed25519_signature(password, message) == key.sign(message)
