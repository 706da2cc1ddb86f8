from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from keyturn.crypto.keyring import Keyring, MaterialId, WrappedMaterial
from keyturn.crypto.tokens import TokenSealer
from keyturn.server.downloads import Downloads
from keyturn.storage import functions
from keyturn.storage.database import Stores
from keyturn.testing.clock import FakeClock
from keyturn.testing.root_key import InMemoryProvider
from keyturn.testing.sqlite import new_database

PACKAGE = b"PK a package"
SHA = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
ENDPOINT = "http://127.0.0.1:4773"


class Bench:
    def __init__(self, stores: Stores) -> None:
        keys: dict[MaterialId, WrappedMaterial] = {}
        keyring = Keyring(InMemoryProvider(), keys.__getitem__)
        keys[MaterialId("system")] = keyring.new_material(MaterialId("system"))
        self.clock = FakeClock()
        self.downloads = Downloads(TokenSealer(keyring, key_id="system", purpose="package"), stores.state, self.clock)
        self.other_tokens = TokenSealer(keyring, key_id="system", purpose="page")
        with stores.state.write() as transaction:
            functions.store_package(transaction, SHA, PACKAGE)

    def path(self, code_sha256: str = SHA) -> bytes:
        url = self.downloads.url(ENDPOINT, code_sha256, self.clock.now())
        return url.removeprefix(ENDPOINT).encode()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    stores = Stores.open(new_database(tmp_path))
    yield Bench(stores)
    stores.close()


def test_a_link_leads_to_the_package(bench: Bench) -> None:
    path = bench.path()

    assert path.startswith(b"/_keyturn/packages/")
    reply = bench.downloads.answer(path, b"")
    assert reply is not None
    assert (reply.status, reply.body) == (200, PACKAGE)
    assert (b"content-type", b"application/zip") in reply.headers
    assert (b"content-length", str(len(PACKAGE)).encode()) in reply.headers


def test_a_link_is_good_for_ten_minutes(bench: Bench) -> None:
    path = bench.path()

    bench.clock.advance(timedelta(minutes=10, milliseconds=-1))
    reply = bench.downloads.answer(path, b"")
    assert reply is not None
    assert reply.status == 200

    bench.clock.advance(timedelta(milliseconds=1))
    reply = bench.downloads.answer(path, b"")
    assert reply is not None
    assert reply.status == 403
    assert PACKAGE not in reply.body


@pytest.mark.parametrize("end", [b"", b"x", b"\xff", b"%2e%2e/root.key"])
def test_a_link_that_was_made_up_is_refused(bench: Bench, end: bytes) -> None:
    reply = bench.downloads.answer(b"/_keyturn/packages/" + end, b"")

    assert reply is not None
    assert reply.status == 403


def test_no_character_of_a_link_can_be_changed(bench: Bench) -> None:
    path = bench.path()

    for index in range(len(b"/_keyturn/packages/"), len(path), 7):
        changed = path[:index] + (b"A" if path[index : index + 1] != b"A" else b"B") + path[index + 1 :]
        reply = bench.downloads.answer(changed, b"")
        assert reply is not None
        assert reply.status == 403


def test_a_token_made_for_something_else_is_no_link(bench: Bench) -> None:
    token = bench.other_tokens.seal({"code_sha256": SHA, "expires_at": "99999999999999"})

    reply = bench.downloads.answer(f"/_keyturn/packages/{token}".encode(), b"")

    assert reply is not None
    assert reply.status == 403


def test_a_package_that_no_function_uses_any_more_is_gone(bench: Bench) -> None:
    reply = bench.downloads.answer(bench.path("other"), b"")

    assert reply is not None
    assert reply.status == 404


def test_other_paths_are_left_to_others(bench: Bench) -> None:
    assert bench.downloads.answer(b"/2015-03-31/functions", b"") is None
