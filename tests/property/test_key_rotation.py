"""Rotated keys: whatever was encrypted decrypts for ever and on every server, under its key and context alone."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule

from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial, material_id_of, rewrap
from keyturn.errors.crypto import SealRefused
from keyturn.testing.root_key import InMemoryProvider

KEYS = ("one", "two")
CONTEXTS = st.dictionaries(st.sampled_from(["a", "b"]), st.text(max_size=3), max_size=2)


class RotatedKeys(RuleBasedStateMachine):
    """Two servers with one database: they rotate keys, encrypt, decrypt, start again and change the root key."""

    ciphertexts: Bundle[tuple[bytes, str, bytes, dict[str, str]]] = Bundle("ciphertexts")

    @initialize()
    def make(self) -> None:
        self.provider = InMemoryProvider()
        self.stored: dict[MaterialId, WrappedMaterial] = {}
        self.newest = dict.fromkeys(KEYS, 0)
        self.servers = [self.server(), self.server()]
        for key_id in KEYS:
            self.stored[MaterialId(key_id)] = self.servers[0].new_material(MaterialId(key_id))

    def server(self) -> Keyring:
        return Keyring(self.provider, lambda material_id: self.stored[material_id], keep=3)

    @rule(number=st.integers(0, 1), key_id=st.sampled_from(KEYS))
    def rotate(self, number: int, key_id: str) -> None:
        material_id = MaterialId(key_id, self.newest[key_id] + 1)
        self.stored[material_id] = self.servers[number].new_material(material_id)
        self.newest[key_id] += 1

    @rule(number=st.integers(0, 1), key_id=st.sampled_from(KEYS))
    def die_while_rotating(self, number: int, key_id: str) -> None:
        # The material was made and its transaction never committed.
        self.servers[number].hold(self.servers[number].new_material(MaterialId(key_id, self.newest[key_id] + 1)))
        self.servers[number] = self.server()

    @rule(number=st.integers(0, 1))
    def start_again(self, number: int) -> None:
        self.servers[number] = self.server()

    @rule(number=st.integers(0, 1))
    def forget(self, number: int) -> None:
        self.servers[number].forget()

    @rule()
    def change_the_root_key(self) -> None:
        new = InMemoryProvider()
        self.stored = {each.material_id: each for each in rewrap(self.stored.values(), old=self.provider, new=new)}
        self.provider = new
        self.servers = [self.server(), self.server()]

    @rule(
        target=ciphertexts,
        number=st.integers(0, 1),
        key_id=st.sampled_from(KEYS),
        plaintext=st.binary(max_size=9),
        context=CONTEXTS,
    )
    def encrypt(
        self, number: int, key_id: str, plaintext: bytes, context: dict[str, str]
    ) -> tuple[bytes, str, bytes, dict[str, str]]:
        material_id = MaterialId(key_id, self.newest[key_id])
        ciphertext = self.servers[number].encrypt(material_id, plaintext, context)
        assert material_id_of(ciphertext) == material_id
        return ciphertext, key_id, plaintext, context

    @rule(number=st.integers(0, 1), made=ciphertexts, other=CONTEXTS)
    def decrypt(self, number: int, made: tuple[bytes, str, bytes, dict[str, str]], other: dict[str, str]) -> None:
        ciphertext, key_id, plaintext, context = made
        server = self.servers[number]
        assert server.decrypt(ciphertext, context).reveal() == plaintext
        assert opens(server, ciphertext, other) == (other == context)
        # It does not pass for another key's, nor for other material's of its own.
        another = "two" if key_id == "one" else "one"
        assert not opens(server, ciphertext.replace(key_id.encode(), another.encode(), 1), context)
        for material_id in self.stored:
            if material_id.key_id == key_id and material_id != material_id_of(ciphertext):
                assert not opens(server, relabelled(ciphertext, material_id), context)


def opens(server: Keyring, ciphertext: bytes, context: dict[str, str]) -> bool:
    try:
        server.decrypt(ciphertext, context)
    except SealRefused:
        return False
    return True


def relabelled(ciphertext: bytes, material_id: MaterialId) -> bytes:
    """The same sealed bytes behind the header of other material."""
    header_bytes = 2 + ciphertext[1] + (4 if ciphertext[:1] == b"\x02" else 0)
    number = material_id.number.to_bytes(4, "big") if material_id.number else b""
    version = b"\x02" if material_id.number else b"\x01"
    return version + bytes([len(material_id.key_id)]) + material_id.key_id.encode() + number + ciphertext[header_bytes:]


RotatedKeys.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestRotatedKeys = RotatedKeys.TestCase
