"""The root key file: how it is made, and what the operator is told when it cannot be used."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from keyturn.crypto.providers.local_file import LocalFileProvider
from keyturn.errors.crypto import RootKeyRefused


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "root.key"


def test_a_new_root_key_is_readable_by_its_owner_only(location: Path) -> None:
    mask = os.umask(0)
    try:
        LocalFileProvider.create(location)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(location.stat().st_mode) == 0o600
    assert location.read_bytes().startswith(b"keyturn-root-key-1:")
    assert len(location.read_bytes()) == 64


def test_a_root_key_is_the_same_after_it_was_read(location: Path) -> None:
    created = LocalFileProvider.create(location)
    opened = LocalFileProvider.open(location)
    assert opened.key_id == created.key_id
    assert opened.unwrap(created.wrap(b"material", b"here"), b"here") == b"material"


def test_a_root_key_is_never_overwritten(location: Path) -> None:
    LocalFileProvider.create(location)
    before = location.read_bytes()
    with pytest.raises(RootKeyRefused, match="never overwritten") as caught:
        LocalFileProvider.create(location)
    assert caught.value.hints
    assert location.read_bytes() == before


def test_a_root_key_is_not_made_where_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(RootKeyRefused, match="cannot be created: No such file or directory") as caught:
        LocalFileProvider.create(tmp_path / "missing" / "root.key")
    assert caught.value.hints


def test_half_a_root_key_is_not_left_behind(location: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RootKeyRefused, match="cannot be written: No space left on device"):
        LocalFileProvider.create(location)
    assert not location.exists()


def damage(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def apply(location: Path) -> None:
        location.write_bytes(change(location.read_bytes()))

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "There is no root key at"),
        (damage(lambda _: b""), "has 0 bytes; 64 are right"),
        (damage(lambda text: text[:-1]), "has 63 bytes; 64 are right"),
        (damage(lambda text: text + b"\n"), "has more than 64 bytes; 64 are right"),
        (damage(lambda text: b"keyturn-root-key-2:" + text[19:]), "is not a root key of this version"),
        (damage(lambda text: text[:19] + b"!" * 44 + b"\n"), "is damaged"),
        (damage(lambda text: text[:19] + b"AAA=" * 11 + b"\n"), "is damaged"),
        (lambda location: location.chmod(0o640), "has mode 0640: others than its owner may use it"),
        (lambda location: location.chmod(0o604), "has mode 0604: others than its owner may use it"),
    ],
    ids=["missing", "empty", "short", "long", "version", "not-base64", "short-base64", "group", "others"],
)
def test_a_root_key_that_cannot_be_used_is_refused_with_a_hint(
    location: Path, spoil: Callable[[Path], None], message: str
) -> None:
    LocalFileProvider.create(location)
    secret = location.read_text()[19:-1]
    spoil(location)
    with pytest.raises(RootKeyRefused, match=message) as caught:
        LocalFileProvider.open(location)
    assert str(location) in caught.value.message
    assert caught.value.hints
    assert secret not in caught.value.message + "".join(caught.value.hints)


def test_a_directory_or_a_pipe_is_no_root_key(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(RootKeyRefused, match="is not a regular file"):
        LocalFileProvider.open(pipe)
    with pytest.raises(RootKeyRefused):
        LocalFileProvider.open(tmp_path)


def test_a_root_key_does_not_show_itself(location: Path) -> None:
    provider = LocalFileProvider.create(location)
    secret = location.read_text()[19:-1]
    assert secret not in repr(provider) + str(provider) + provider.key_id
