"""Envelopes: whatever is sealed opens in its place and nowhere else, and no byte of it can be changed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from keyturn.crypto.aead import associated_data
from keyturn.crypto.envelope import Envelope
from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.errors.crypto import SealRefused
from keyturn.testing.root_key import InMemoryProvider

# A machine that is busy with something else is no failure.
unhurried = settings(deadline=None)

CONTEXTS = st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=4)
MATERIAL, ANOTHER = MaterialId("11111111-2222-3333-4444-555555555555"), MaterialId("another", 7)


def new_envelope() -> Envelope:
    keys: dict[MaterialId, WrappedMaterial] = {}
    keyring = Keyring(InMemoryProvider(), keys.__getitem__, keep=10)
    for material_id in (MATERIAL, ANOTHER):
        keys[material_id] = keyring.new_material(material_id)
    return Envelope(keyring)


ENVELOPE = new_envelope()


def opens(sealed: bytes, context: dict[str, str]) -> bool:
    try:
        ENVELOPE.open(sealed, context=context)
    except SealRefused:
        return False
    return True


@unhurried
@given(st.binary(max_size=70_000), CONTEXTS)
def test_what_is_sealed_opens(plaintext: bytes, context: dict[str, str]) -> None:
    sealed = ENVELOPE.seal(plaintext, material_id=MATERIAL, context=context)
    for _ in range(2):  # The second time the data key is kept.
        assert ENVELOPE.open(sealed, context=context).reveal() == plaintext


@unhurried
@given(st.binary(max_size=200), CONTEXTS, st.data())
def test_any_changed_byte_is_refused(plaintext: bytes, context: dict[str, str], data: st.DataObject) -> None:
    sealed = bytearray(ENVELOPE.seal(plaintext, material_id=MATERIAL, context=context))
    assert opens(bytes(sealed), context)
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    assert not opens(bytes(sealed), context)


@settings(unhurried, max_examples=20)
@given(st.binary(max_size=50), CONTEXTS)
def test_every_shortened_value_is_refused(plaintext: bytes, context: dict[str, str]) -> None:
    sealed = ENVELOPE.seal(plaintext, material_id=MATERIAL, context=context)
    assert not any(opens(sealed[:length], context) for length in range(len(sealed)))


@unhurried
@given(st.binary(max_size=50), CONTEXTS, CONTEXTS)
def test_another_context_is_refused(plaintext: bytes, context: dict[str, str], other: dict[str, str]) -> None:
    sealed = ENVELOPE.seal(plaintext, material_id=MATERIAL, context=context)
    assert opens(sealed, context)
    assert opens(sealed, other) == (context == other)


@unhurried
@given(st.binary(max_size=50), CONTEXTS)
def test_a_rewrapped_value_opens_and_keeps_its_ciphertext(plaintext: bytes, context: dict[str, str]) -> None:
    sealed = ENVELOPE.seal(plaintext, material_id=MATERIAL, context=context)
    rewrapped = ENVELOPE.rewrap(sealed, material_id=ANOTHER, context=context)
    assert ENVELOPE.open(rewrapped, context=context).reveal() == plaintext
    assert rewrapped.endswith(sealed[-len(plaintext) - 28 :])


@unhurried
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_as_a_sealed_value(noise: bytes) -> None:
    assert not opens(noise, {})
    assert not opens(b"\x01" + noise, {})


@unhurried
@given(CONTEXTS, CONTEXTS)
def test_two_contexts_have_one_associated_data_only_if_they_are_equal(
    one: dict[str, str], other: dict[str, str]
) -> None:
    assert (associated_data(one) == associated_data(other)) == (one == other)
    assert associated_data(one) == associated_data(dict(reversed(one.items())))
