"""The search for root key providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from keyturn.crypto import providers as provider_package
from keyturn.crypto.providers.local_file import LocalFileProvider
from keyturn.crypto.root_key import providers

ANOTHER = """
class Another:
    kind = {kind!r}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second folder of providers, seen by the search beside the real one."""
    monkeypatch.setattr(provider_package, "__path__", [*provider_package.__path__, str(tmp_path)])
    providers.cache_clear()
    yield tmp_path
    providers.cache_clear()


def test_the_local_file_is_found() -> None:
    assert providers()["local-file"] is LocalFileProvider


def test_one_more_file_is_one_more_provider(folder: Path) -> None:
    (folder / "probe_another.py").write_text(ANOTHER.format(kind="another"))
    assert set(providers()) == {"local-file", "another"}


def test_two_files_of_one_kind_are_refused(folder: Path) -> None:
    (folder / "probe_duplicate.py").write_text(ANOTHER.format(kind="local-file"))
    with pytest.raises(TypeError, match="Two root key providers are called 'local-file'"):
        providers()


def test_a_file_without_a_provider_is_refused(folder: Path) -> None:
    (folder / "probe_empty.py").write_text("")
    with pytest.raises(TypeError, match="exactly one class with a kind"):
        providers()
