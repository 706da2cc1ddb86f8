"""What holds for every root key provider, the fake included. Providers are found by walking the package."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keyturn.crypto.root_key import InstalledProvider, RootKeyProvider, providers
from keyturn.errors.crypto import RootKeyRefused, SealFault, SealRefused
from keyturn.testing.root_key import InMemoryProvider

Make = Callable[[str], RootKeyProvider]


def fake(name: str) -> RootKeyProvider:
    return InMemoryProvider()


@pytest.fixture(params=[*sorted(providers()), "in-memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes root keys of one kind, each under its name."""
    if request.param == "in-memory":
        return fake
    kind = providers()[request.param]
    return lambda name: kind.create(tmp_path / name)


@pytest.fixture(params=sorted(providers()))
def installed(request: pytest.FixtureRequest) -> type[InstalledProvider]:
    return providers()[request.param]


def fault_of(provider: RootKeyProvider, wrapped: bytes, associated_data: bytes) -> SealFault:
    with pytest.raises(SealRefused) as caught:
        provider.unwrap(wrapped, associated_data)
    return caught.value.fault


@pytest.mark.parametrize("size_bytes", [0, 1, 32, 4096])
def test_what_was_wrapped_unwraps(make: Make, size_bytes: int) -> None:
    provider = make("a")
    plaintext = bytes(range(256)) * 16
    plaintext = plaintext[:size_bytes]
    assert provider.unwrap(provider.wrap(plaintext, b"row 1"), b"row 1") == plaintext


def test_wrapping_twice_gives_different_bytes_that_hide_the_plaintext(make: Make) -> None:
    provider = make("a")
    wrapped = {provider.wrap(b"material" * 4, b"") for _ in range(10)}
    assert len(wrapped) == 10
    assert all(b"material" not in one for one in wrapped)


def test_another_place_is_refused(make: Make) -> None:
    provider = make("a")
    assert fault_of(provider, provider.wrap(b"material", b"row 1"), b"row 2") == SealFault.ALTERED


def test_another_root_key_is_refused_by_name(make: Make) -> None:
    one, other = make("one"), make("other")
    assert one.key_id != other.key_id
    with pytest.raises(SealRefused) as caught:
        other.unwrap(one.wrap(b"material", b""), b"")
    assert caught.value.fault == SealFault.WRONG_ROOT_KEY
    assert other.key_id in caught.value.message
    assert caught.value.hints


def test_any_changed_byte_is_refused(make: Make) -> None:
    provider = make("a")
    wrapped = provider.wrap(b"material", b"here")
    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        assert fault_of(provider, bytes(changed), b"here") in SealFault


def test_any_missing_end_is_refused(make: Make) -> None:
    provider = make("a")
    wrapped = provider.wrap(b"material", b"here")
    for length in range(len(wrapped)):
        assert fault_of(provider, wrapped[:length], b"here") in SealFault


def test_many_threads_may_use_one_provider(make: Make) -> None:
    provider = make("a")

    def round_trip(number: int) -> bool:
        plaintext = number.to_bytes(32, "big")
        return provider.unwrap(provider.wrap(plaintext, b"x"), b"x") == plaintext

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(400)))


def test_an_installed_provider_says_its_kind(installed: type[InstalledProvider], tmp_path: Path) -> None:
    assert installed.create(tmp_path / "a").key_id.startswith(f"{installed.kind}:")


def test_an_installed_provider_comes_back_with_the_same_key(installed: type[InstalledProvider], tmp_path: Path) -> None:
    wrapped = installed.create(tmp_path / "a").wrap(b"material", b"here")
    assert installed.open(tmp_path / "a").unwrap(wrapped, b"here") == b"material"


def test_an_installed_provider_refuses_what_is_not_there(installed: type[InstalledProvider], tmp_path: Path) -> None:
    with pytest.raises(RootKeyRefused) as caught:
        installed.open(tmp_path / "nothing")
    assert caught.value.hints
