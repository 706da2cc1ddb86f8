"""Envelopes against known answers, which name the failure they expect, and against the documented layout."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from keyturn.crypto.envelope import Envelope, sealed_under, with_wrapped_key, wrapped_key_of
from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.testing.root_key import InMemoryProvider

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "envelope.json").read_text("utf-8"))
ROOT_KEY = bytes.fromhex(VECTORS["root_key"])
KEY_ID: str = VECTORS["kms_key_id"]
MATERIAL = MaterialId(KEY_ID)
OPENS = VECTORS["cases"][0]


def envelope_of(case: dict[str, Any]) -> Envelope:
    wrapped = {0: case["wrapped_kms_key"], **case.get("wrapped_later_materials", {})}
    ids = {number: MaterialId(KEY_ID, int(number)) for number in wrapped}
    materials = {ids[number]: WrappedMaterial(ids[number], bytes.fromhex(text)) for number, text in wrapped.items()}
    return Envelope(Keyring(InMemoryProvider(ROOT_KEY), materials.__getitem__))


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_each_known_answer_ends_as_it_says(case: dict[str, Any]) -> None:
    envelope, sealed = envelope_of(case), bytes.fromhex(case["sealed"])
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
    envelope = envelope_of(OPENS)
    sealed = envelope.seal(bytes.fromhex(OPENS["plaintext"]), material_id=MATERIAL, context=OPENS["context"])
    assert sealed.hex() == OPENS["sealed"]


def test_a_value_is_sealed_under_later_material_in_the_documented_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    randomness = iter([bytes.fromhex(VECTORS["data_key"]), b"\2" * 12, b"\3" * 12])
    monkeypatch.setattr(os, "urandom", lambda size: next(randomness))
    (case,) = [case for case in VECTORS["cases"] if case["name"] == "a value from after the second rotation"]
    sealed = envelope_of(case).seal(
        bytes.fromhex(case["plaintext"]), material_id=MaterialId(KEY_ID, 2), context=case["context"]
    )
    assert sealed.hex() == case["sealed"]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_material_is_wrapped_in_the_documented_layout(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    later = next(case["wrapped_later_materials"] for case in VECTORS["cases"] if "wrapped_later_materials" in case)
    wrapped = {0: (VECTORS["kms_key"], OPENS["wrapped_kms_key"])}
    wrapped |= {int(n): (VECTORS["later_materials"][n], text) for n, text in later.items()}
    material, expected = wrapped[number]
    randomness = iter([bytes.fromhex(material), b"\1" * 12])
    monkeypatch.setattr(os, "urandom", lambda size: next(randomness))
    stored: dict[MaterialId, WrappedMaterial] = {}
    keyring = Keyring(InMemoryProvider(ROOT_KEY), stored.__getitem__)
    assert keyring.new_material(MaterialId(KEY_ID, number)).wrapped.hex() == expected


def test_the_same_value_is_never_sealed_alike_and_never_seen() -> None:
    envelope = envelope_of(OPENS)
    sealed = {envelope.seal(b"password" * 4, material_id=MATERIAL, context={}) for _ in range(10)}
    assert len(sealed) == 10
    assert not any(b"password" in one for one in sealed)


def test_a_kept_data_key_does_not_open_a_value_elsewhere() -> None:
    envelope, sealed = envelope_of(OPENS), bytes.fromhex(OPENS["sealed"])
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
        envelope_of(OPENS).rewrap(bytes.fromhex(OPENS["sealed"]), material_id=MATERIAL, context={})
    assert caught.value.fault == SealFault.ALTERED


def test_a_value_opens_with_its_former_key_and_with_its_new_one_alone() -> None:
    keys: dict[MaterialId, WrappedMaterial] = {}
    keyring = Keyring(InMemoryProvider(), keys.__getitem__)
    old, new = MaterialId("old"), MaterialId("new")
    for material_id in (old, new):
        keys[material_id] = keyring.new_material(material_id)
    envelope, context = Envelope(keyring), {"where": "here"}
    before = envelope.seal(b"value", material_id=old, context=context)

    after = envelope.rewrap(before, material_id=new, context=context)
    former = with_wrapped_key(after, wrapped_key_of(before))

    assert (sealed_under(after), sealed_under(former)) == ("new", "old")
    assert former == before
    del keys[old]
    keyring.forget()
    assert envelope.open(after, context=context).reveal() == b"value"
    with pytest.raises(SealRefused) as caught:
        envelope.open(former, context=context)
    assert caught.value.fault == SealFault.UNKNOWN_KEY


def test_an_opened_value_and_a_refusal_show_no_plaintext() -> None:
    envelope, sealed = envelope_of(OPENS), bytes.fromhex(OPENS["sealed"])
    assert "example" not in repr(envelope.open(sealed, context=OPENS["context"]))
    with pytest.raises(SealRefused) as caught:
        envelope.open(sealed[:-1] + b"\0", context=OPENS["context"])
    assert "example" not in caught.value.message + "".join(caught.value.hints)


def test_of_an_erased_value_no_data_key_is_kept() -> None:
    envelope, sealed = envelope_of(OPENS), bytes.fromhex(OPENS["sealed"])
    envelope.open(sealed, context=OPENS["context"])
    assert len(envelope._keyring._data_keys) == 1

    envelope.forget(b"damaged", context=OPENS["context"])
    envelope.forget(sealed, context={**OPENS["context"], "SecretVersionId": "another"})
    assert len(envelope._keyring._data_keys) == 1
    envelope.forget(sealed[:200], context=OPENS["context"])

    assert len(envelope._keyring._data_keys) == 0
