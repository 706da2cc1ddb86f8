"""KMS keys and data keys in memory."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial, key_id_of, material_id_of, rewrap
from keyturn.errors.crypto import SealFault, SealRefused
from keyturn.testing.root_key import InMemoryProvider

ONE, TWO, THREE = MaterialId("one"), MaterialId("two"), MaterialId("three")
ROTATED = MaterialId("one", 1)
CONTEXT = {"SecretARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:a-AbCdEf", "SecretVersionId": "v1"}


class Keys:
    """The stored material, and how often it was asked for."""

    def __init__(self) -> None:
        self.stored: dict[MaterialId, WrappedMaterial] = {}
        self.loads = 0

    def load(self, material_id: MaterialId) -> WrappedMaterial:
        self.loads += 1
        return self.stored[material_id]


@pytest.fixture
def provider() -> InMemoryProvider:
    return InMemoryProvider()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def keyring(provider: InMemoryProvider, keys: Keys) -> Keyring:
    keyring = Keyring(provider, keys.load, keep=3)
    for material_id in (ONE, TWO, ROTATED):
        keys.stored[material_id] = keyring.new_material(material_id)
    return keyring


def test_what_was_encrypted_decrypts_and_names_its_key(keyring: Keyring) -> None:
    ciphertext = keyring.encrypt(ONE, b"plain", CONTEXT)
    assert key_id_of(ciphertext) == "one"
    assert keyring.decrypt(ciphertext, dict(reversed(CONTEXT.items()))).reveal() == b"plain"


@pytest.mark.parametrize(
    "context", [{}, {**CONTEXT, "SecretVersionId": "v2"}, {**CONTEXT, "more": ""}, {"SecretARNa": "rn"}]
)
def test_another_context_is_refused(keyring: Keyring, context: dict[str, str]) -> None:
    with pytest.raises(SealRefused) as caught:
        keyring.decrypt(keyring.encrypt(ONE, b"plain", CONTEXT), context)
    assert caught.value.fault == SealFault.ALTERED


def test_a_ciphertext_of_one_key_does_not_pass_for_anothers(keyring: Keyring) -> None:
    ciphertext = keyring.encrypt(ONE, b"plain", CONTEXT)
    with pytest.raises(SealRefused) as caught:
        keyring.decrypt(ciphertext.replace(b"one", b"two"), CONTEXT)
    assert caught.value.fault == SealFault.ALTERED


def test_new_material_encrypts_and_all_of_it_decrypts(keyring: Keyring, keys: Keys, provider: InMemoryProvider) -> None:
    before, after = (keyring.encrypt(material_id, b"plain", CONTEXT) for material_id in (ONE, ROTATED))

    assert (before[:1], after[:1]) == (b"\x01", b"\x02")
    assert (material_id_of(before), material_id_of(after)) == (ONE, ROTATED)
    assert key_id_of(after) == "one"
    # Another server, that has not seen the rotation, finds the material when it meets it.
    for ring in (keyring, Keyring(provider, keys.load)):
        assert {ring.decrypt(ciphertext, CONTEXT).reveal() for ciphertext in (before, after)} == {b"plain"}


def test_one_material_does_not_pass_for_another(keyring: Keyring, keys: Keys) -> None:
    after = keyring.encrypt(ROTATED, b"plain", CONTEXT)
    keys.stored[MaterialId("one", 2)] = keyring.new_material(MaterialId("one", 2))
    for number in (0, 2):
        with pytest.raises(SealRefused) as caught:
            keyring.decrypt(after.replace(b"one\0\0\0\1", b"one\0\0\0" + bytes([number])), CONTEXT)
        assert caught.value.fault == SealFault.ALTERED
    keyring.forget()
    keys.stored[ROTATED] = keys.stored[MaterialId("one", 2)]
    with pytest.raises(SealRefused) as caught:
        keyring.decrypt(after, CONTEXT)
    assert caught.value.fault == SealFault.ALTERED


def test_an_unknown_key_is_refused(keyring: Keyring) -> None:
    with pytest.raises(SealRefused, match="The KMS key three is not in the database") as caught:
        keyring.encrypt(THREE, b"plain", CONTEXT)
    assert caught.value.fault == SealFault.UNKNOWN_KEY


def test_swapped_rows_are_refused(keyring: Keyring, keys: Keys) -> None:
    keys.stored[ONE], keys.stored[TWO] = keys.stored[TWO], keys.stored[ONE]
    with pytest.raises(SealRefused) as caught:
        keyring.encrypt(ONE, b"plain", CONTEXT)
    assert caught.value.fault == SealFault.ALTERED


def test_a_kms_key_is_loaded_once(keyring: Keyring, keys: Keys) -> None:
    for _ in range(5):
        keyring.encrypt(ONE, b"plain", CONTEXT)
    assert keys.loads == 1


def test_a_data_key_is_unwrapped_once_for_each_context(keyring: Keyring) -> None:
    wrapped = keyring.generate_data_key(ONE, CONTEXT).wrapped
    assert keyring.unwrap_data_key(wrapped, CONTEXT) is keyring.unwrap_data_key(wrapped, dict(CONTEXT))
    with pytest.raises(SealRefused):
        keyring.unwrap_data_key(wrapped, {})


def test_data_keys_are_random_and_as_long_as_asked(keyring: Keyring) -> None:
    data_keys = [keyring.generate_data_key(ONE, CONTEXT, size_bytes=16) for _ in range(5)]
    assert {len(key.plaintext.reveal()) for key in data_keys} == {16}
    assert len({key.plaintext.reveal() for key in data_keys}) == 5
    assert keyring.decrypt(data_keys[0].wrapped, CONTEXT) == data_keys[0].plaintext


def test_a_forgotten_key_is_loaded_again(keyring: Keyring, keys: Keys) -> None:
    wrapped = keyring.generate_data_key(ONE, CONTEXT).wrapped
    keyring.unwrap_data_key(wrapped, CONTEXT)
    del keys.stored[ONE]
    keyring.unwrap_data_key(wrapped, CONTEXT)
    keyring.forget()
    with pytest.raises(SealRefused) as caught:
        keyring.unwrap_data_key(wrapped, CONTEXT)
    assert caught.value.fault == SealFault.UNKNOWN_KEY


def test_a_fresh_key_is_used_before_it_is_stored(keyring: Keyring, keys: Keys) -> None:
    key = keyring.new_material(THREE)
    keyring.hold(key)
    ciphertext = keyring.encrypt(THREE, b"plain", CONTEXT)

    assert keyring.decrypt(ciphertext, CONTEXT).reveal() == b"plain"
    assert keys.loads == 0
    keyring.forget()
    with pytest.raises(SealRefused) as caught:
        keyring.decrypt(ciphertext, CONTEXT)
    assert caught.value.fault == SealFault.UNKNOWN_KEY


def test_a_key_of_another_root_key_is_not_held(keyring: Keyring, keys: Keys) -> None:
    with pytest.raises(SealRefused):
        keyring.hold(Keyring(InMemoryProvider(), keys.load).new_material(THREE))


def test_derived_keys_differ_by_purpose_and_by_key(keyring: Keyring) -> None:
    derived = {keyring.derive_key(key_id, purpose).reveal() for key_id in ("one", "two") for purpose in ("sts", "page")}
    assert {len(key) for key in derived} == {32}
    assert len(derived) == 4
    assert keyring.derive_key("one", "sts") == keyring.derive_key("one", "sts")


@pytest.mark.parametrize("key_id", ["", "x" * 256, "é" * 128])
def test_a_key_id_that_does_not_fit_the_format_is_refused(keyring: Keyring, key_id: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        keyring.new_material(MaterialId(key_id))


def test_a_new_root_key_takes_over_all_keys(keyring: Keyring, keys: Keys, provider: InMemoryProvider) -> None:
    ciphertexts = [keyring.encrypt(material_id, b"plain", CONTEXT) for material_id in keys.stored]
    new = InMemoryProvider()
    keys.stored = {each.material_id: each for each in rewrap(keys.stored.values(), old=provider, new=new)}
    assert set(keys.stored) == {ONE, TWO, ROTATED}
    for ciphertext in ciphertexts:
        assert Keyring(new, keys.load).decrypt(ciphertext, CONTEXT).reveal() == b"plain"
        with pytest.raises(SealRefused) as caught:
            Keyring(provider, keys.load).decrypt(ciphertext, CONTEXT)
        assert caught.value.fault == SealFault.WRONG_ROOT_KEY


def test_a_root_key_takes_over_all_keys_or_none(keys: Keys, keyring: Keyring, provider: InMemoryProvider) -> None:
    stranger = Keyring(InMemoryProvider(), keys.load).new_material(THREE)
    with pytest.raises(SealRefused):
        rewrap([*keys.stored.values(), stranger], old=provider, new=InMemoryProvider())


def test_many_threads_may_use_one_keyring(keyring: Keyring) -> None:
    wrapped = [keyring.generate_data_key(ONE, {"n": str(n)}) for n in range(10)]
    start = threading.Barrier(8)

    def use(worker: int) -> bool:
        start.wait(timeout=10)
        for number in range(worker, worker + 100):
            data_key, context = wrapped[number % 10], {"n": str(number % 10)}
            nonce = number.to_bytes(12, "big")
            sealed = AESGCM(data_key.plaintext.reveal()).encrypt(nonce, b"value", None)
            if keyring.unwrap_data_key(data_key.wrapped, context).cipher.decrypt(nonce, sealed, None) != b"value":
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(8)))


def test_keys_do_not_show_themselves(keyring: Keyring) -> None:
    data_key = keyring.generate_data_key(ONE, CONTEXT)
    assert repr(data_key.plaintext.reveal()) not in repr(data_key)
    assert "***" in repr(data_key)
