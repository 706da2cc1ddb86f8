"""Tokens that callers carry for us."""

from __future__ import annotations

import re

import pytest

from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.testing.root_key import InMemoryProvider

PAYLOAD = {"access_key_id": "ASIAEXAMPLE", "role_arn": "arn:aws:iam::000000000000:role/rotate", "session": "é ✓"}


def new_keyring() -> Keyring:
    keys: dict[MaterialId, WrappedMaterial] = {}
    keyring = Keyring(InMemoryProvider(), keys.__getitem__)
    keys[MaterialId("system")] = keyring.new_material(MaterialId("system"))
    return keyring


@pytest.fixture
def keyring() -> Keyring:
    return new_keyring()


@pytest.fixture
def sealer(keyring: Keyring) -> TokenSealer:
    return TokenSealer(keyring, key_id="system", purpose="sts-session")


@pytest.mark.parametrize("payload", [PAYLOAD, {}, {"": ""}, {"long": "x" * 5000}], ids=["usual", "no", "empty", "long"])
def test_what_was_sealed_opens(sealer: TokenSealer, payload: dict[str, str]) -> None:
    assert sealer.open(sealer.seal(payload)) == payload


def test_a_token_is_url_safe_and_opaque_and_never_the_same(sealer: TokenSealer) -> None:
    tokens = {sealer.seal(PAYLOAD) for _ in range(10)}
    assert len(tokens) == 10
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{100,}", token) for token in tokens)


def test_a_token_outlives_the_sealer(keyring: Keyring, sealer: TokenSealer) -> None:
    assert TokenSealer(keyring, key_id="system", purpose="sts-session").open(sealer.seal(PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("payload", [{}, {"a": "1"}, {"a": "12"}])
def test_any_changed_character_is_refused(sealer: TokenSealer, payload: dict[str, str]) -> None:
    token = sealer.seal(payload)
    for position, character in enumerate(token):
        # The neighbour in the alphabet differs in the last bit only, which base64 does not always use.
        changed = token[:position] + chr(ord(character) ^ 1) + token[position + 1 :]
        with pytest.raises(ForeignToken):
            sealer.open(changed)


@pytest.mark.parametrize("change", ["{}=", "{}==", " {}", "{}\n", "{}A", "{}AAAA", "\n{}"])
def test_another_spelling_is_refused(sealer: TokenSealer, change: str) -> None:
    with pytest.raises(ForeignToken):
        sealer.open(change.format(sealer.seal(PAYLOAD)))


@pytest.mark.parametrize("token", ["", "A", "AQ", "AQAA", "AgAA" * 20, "AQAA" * 20, "é", "FwoGZXIvYXdzE//+=="])
def test_a_foreign_token_is_refused(sealer: TokenSealer, token: str) -> None:
    with pytest.raises(ForeignToken, match=r"^The token is not one of ours\.$"):
        sealer.open(token)


def test_a_token_of_another_purpose_or_server_is_refused(keyring: Keyring, sealer: TokenSealer) -> None:
    token = sealer.seal(PAYLOAD)
    for other in (
        TokenSealer(keyring, key_id="system", purpose="page:ListSecrets"),
        TokenSealer(new_keyring(), key_id="system", purpose="sts-session"),
    ):
        with pytest.raises(ForeignToken):
            other.open(token)
