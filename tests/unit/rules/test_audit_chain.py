from __future__ import annotations

import hashlib
import hmac

import msgspec
import pytest

from keyturn.rules.audit_chain import START, ChainKey, Position
from keyturn.sensitive import Sensitive

SECRET = bytes(range(32))
KEY = ChainKey(Sensitive(SECRET))


def test_a_link_is_what_the_module_says_it_is() -> None:
    message = msgspec.msgpack.encode([START, 1, "a", 5, None, True])

    assert KEY.link(START, 1, ("a", 5, None, True)) == hmac.digest(SECRET, message, "sha256")
    assert KEY.seal("checkpoint", 7, b"x") == hmac.digest(
        SECRET, msgspec.msgpack.encode(["checkpoint", 7, b"x"]), hashlib.sha256
    )


def test_what_is_sealed_depends_on_everything() -> None:
    links = {
        KEY.link(START, 1, ("ab", "c")),
        KEY.link(START, 1, ("a", "bc")),
        KEY.link(START, 1, ("ab", "c", None)),
        KEY.link(START, 2, ("ab", "c")),
        KEY.link(b"\1" * 32, 1, ("ab", "c")),
        KEY.link(START, 1, ("ab", None)),
        KEY.link(START, 1, ("ab", "")),
        KEY.link(START, 1, (1, "c")),
        KEY.link(START, 1, (True, "c")),
        KEY.link(START, 1, ("1", "c")),
        ChainKey(Sensitive(SECRET[::-1])).link(START, 1, ("ab", "c")),
        KEY.seal("checkpoint", 1, "ab", "c"),
    }
    assert len(links) == 12


def test_a_seal_is_good_for_its_own_statement_only() -> None:
    seal = KEY.seal("checkpoint", 7, b"x")

    assert KEY.is_seal(seal, "checkpoint", 7, b"x")
    assert not KEY.is_seal(seal, "checkpoint", 8, b"x")
    assert not KEY.is_seal(seal, "state", 7, b"x")
    assert not KEY.is_seal(b"", "checkpoint", 7, b"x")


def test_a_position_is_written_and_read() -> None:
    position = Position(12, bytes(range(32)))

    assert str(position) == f"12:{bytes(range(32)).hex()}"
    assert Position.parse(f" {str(position).upper()}\n") == position
    link = "a" * 64
    for text in ("", "12", "12:", "12:ab", f"-1:{link}", f"1:{link[1:]}g", f"1:{link}a", f"{'9' * 19}:{link}"):
        with pytest.raises(ValueError, match="A position is"):
            Position.parse(text)


def test_a_long_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        ChainKey(Sensitive(b"k" * 65))
