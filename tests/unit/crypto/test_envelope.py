"""Envelopes against known answers, which name the failure they expect, and against the documented layout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from keyturn.crypto.envelope import Envelope, sealed_under, with_wrapped_key, wrapped_key_of
from keyturn.crypto.keyring import Keyring, WrappedKey
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.testing.root_key import InMemoryProvider

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "envelope.json").read_text("utf-8"))
ROOT_KEY = bytes.fromhex(VECTORS["root_key"])
KEY_ID: str = VECTORS["kms_key_id"]
OPENS = VECTORS["cases"][0]


def envelope_of(wrapped_kms_key: str) -> Envelope:
    keys = {KEY_ID: WrappedKey(KEY_ID, bytes.fromhex(wrapped_kms_key))}
    return Envelope(Keyring(InMemoryProvider(ROOT_KEY), keys.__getitem__))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_each_known_answer_ends_as_it_says(case: dict[str, Any]) -> None:
    envelope, sealed = envelope_of(case["wrapped_kms_key"]), bytes.fromhex(case["sealed"])
    if case["expect"] == "opens":
        assert envelope.open(sealed, context=case["context"]).reveal().hex() == case["plaintext"]
        return
    with pytest.raises(SealRefused) as caught:
        envelope.open(sealed, context=case["context"])
    assert caught.value.fault == case["expect"]


def test_every_kind_of_failure_has_a_known_answer() -> None:
    assert {case["expect"] for case in VECTORS["cases"]} == {"opens", *SealFault}


def test_a_value_is_sealed_in_the_documented_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is random, in the order it is asked for: the data key, the nonce that seals it, the value's nonce.
    randomness = iter([bytes.fromhex(VECTORS["data_key"]), b"\2" * 12, b"\3" * 12])
    monkeypatch.setattr(os, "urandom", lambda size: next(randomness))
    envelope = envelope_of(OPENS["wrapped_kms_key"])
    sealed = envelope.seal(bytes.fromhex(OPENS["plaintext"]), key_id=KEY_ID, context=OPENS["context"])
    assert sealed.hex() == OPENS["sealed"]


def test_a_kms_key_is_wrapped_in_the_documented_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    randomness = iter([bytes.fromhex(VECTORS["kms_key"]), b"\1" * 12])
    monkeypatch.setattr(os, "urandom", lambda size: next(randomness))
    stored: dict[str, WrappedKey] = {}
    keyring = Keyring(InMemoryProvider(ROOT_KEY), stored.__getitem__)
    assert keyring.new_key(KEY_ID).wrapped.hex() == OPENS["wrapped_kms_key"]


def test_the_same_value_is_never_sealed_alike_and_never_seen() -> None:
    envelope = envelope_of(OPENS["wrapped_kms_key"])
    sealed = {envelope.seal(b"password" * 4, key_id=KEY_ID, context={}) for _ in range(10)}
    assert len(sealed) == 10
    assert not any(b"password" in one for one in sealed)


def test_a_kept_data_key_does_not_open_a_value_elsewhere() -> None:
    envelope, sealed = envelope_of(OPENS["wrapped_kms_key"]), bytes.fromhex(OPENS["sealed"])
    envelope.open(sealed, context=OPENS["context"])
    with pytest.raises(SealRefused) as caught:
        envelope.open(sealed, context={**OPENS["context"], "SecretVersionId": "another"})
    assert caught.value.fault == SealFault.ALTERED


def test_a_sealed_value_names_its_kms_key() -> None:
    assert sealed_under(bytes.fromhex(OPENS["sealed"])) == KEY_ID
    with pytest.raises(SealRefused):
        sealed_under(b"\x02")


def test_a_value_is_not_rewrapped_for_another_place() -> None:
    with pytest.raises(SealRefused) as caught:
        envelope_of(OPENS["wrapped_kms_key"]).rewrap(bytes.fromhex(OPENS["sealed"]), key_id=KEY_ID, context={})
    assert caught.value.fault == SealFault.ALTERED


def test_a_value_opens_with_its_former_key_and_with_its_new_one_alone() -> None:
    keys: dict[str, WrappedKey] = {}
    keyring = Keyring(InMemoryProvider(), keys.__getitem__)
    for key_id in ("old", "new"):
        keys[key_id] = keyring.new_key(key_id)
    envelope, context = Envelope(keyring), {"where": "here"}
    before = envelope.seal(b"value", key_id="old", context=context)

    after = envelope.rewrap(before, key_id="new", context=context)
    former = with_wrapped_key(after, wrapped_key_of(before))

    assert (sealed_under(after), sealed_under(former)) == ("new", "old")
    assert former == before
    del keys["old"]
    keyring.forget("old")
    assert envelope.open(after, context=context).reveal() == b"value"
    with pytest.raises(SealRefused) as caught:
        envelope.open(former, context=context)
    assert caught.value.fault == SealFault.UNKNOWN_KEY


def test_an_opened_value_and_a_refusal_show_no_plaintext() -> None:
    envelope, sealed = envelope_of(OPENS["wrapped_kms_key"]), bytes.fromhex(OPENS["sealed"])
    assert "example" not in repr(envelope.open(sealed, context=OPENS["context"]))
    with pytest.raises(SealRefused) as caught:
        envelope.open(sealed[:-1] + b"\0", context=OPENS["context"])
    assert "example" not in caught.value.message + "".join(caught.value.hints)


def test_of_an_erased_value_no_data_key_is_kept() -> None:
    envelope, sealed = envelope_of(OPENS["wrapped_kms_key"]), bytes.fromhex(OPENS["sealed"])
    envelope.open(sealed, context=OPENS["context"])
    assert len(envelope._keyring._data_keys) == 1

    envelope.forget(b"damaged", context=OPENS["context"])
    envelope.forget(sealed, context={**OPENS["context"], "SecretVersionId": "another"})
    assert len(envelope._keyring._data_keys) == 1
    envelope.forget(sealed[:200], context=OPENS["context"])

    assert len(envelope._keyring._data_keys) == 0
