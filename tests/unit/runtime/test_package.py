"""Deployment packages: which are refused, and how the others are unpacked."""

from __future__ import annotations

import io
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from keyturn.errors.base import KeyturnError
from keyturn.errors.lambda_ import InvalidParameterValueException, RequestEntityTooLargeException
from keyturn.runtime import package
from keyturn.testing.functions import zip_package

COULD_NOT = "Could not unzip uploaded file. Please check your file, then try to upload again."


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def corrupted() -> bytes:
    content = bytearray(zip_package({"lambda_function.py": "x = 1\n" * 100}))
    content[60] ^= 0xFF
    return bytes(content)


def corrupted_lzma() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.py", b"x = 1\n" * 1000)
    content = bytearray(buffer.getvalue())
    # Of what has been compressed, behind the entry's head and LZMA's.
    content[43:53] = b"\xff" * 10
    return bytes(content)


@pytest.mark.parametrize(
    "make",
    [
        lambda: b"",
        corrupted_lzma,
        lambda: b"no zip file",
        lambda: zip_package({"a.py": "x"})[:-8],
        corrupted,
        lambda: zipped(("../a.py", b"")),
        lambda: zipped(("a/../../b.py", b"")),
        lambda: zipped(("/etc/passwd", b"")),
        lambda: zipped(("a\\..\\b.py", b"")),
        lambda: zipped(("./a.py", b"")),
        lambda: zipped(("a//b.py", b"")),
        lambda: zipped(("a.py", b"1"), ("a.py", b"2")),
        lambda: zipped(("a", b"1"), ("a/b.py", b"2")),
        lambda: zipped(link("a", "/etc")),
        lambda: zipped(link("a", "b.py"), ("a/c.py", b"")),
        lambda: zipped(("a", b"1"), ("a/", b"")),
        lambda: zipped(("d/" * 100 + "a.py", b"")),
        lambda: zipped(*(("d/" * depth + "a.py", b"") for depth in (400, 800, 1200, 1600))),
        lambda: zipped(("ö" * 128, b"")),
        lambda: zipped((f"{'n' * 200}/" * 10 + "n" * 39, b"")),
        lambda: zipped(*((f"{number}/{'d/' * 90}a.py", b"") for number in range(600))),
    ],
)
def test_a_broken_or_dangerous_package_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(InvalidParameterValueException) as refusal:
        package.check(make())
    assert refusal.value.message == COULD_NOT


def test_a_package_that_unpacks_to_too_much_is_refused() -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("zeros", "w") as entry:
        for _ in range(251):
            entry.write(bytes(1024 * 1024))
    with pytest.raises(InvalidParameterValueException) as refusal:
        package.check(bomb.getvalue())
    assert refusal.value.message == "Unzipped size must be smaller than 262144000 bytes"


def test_a_package_that_is_itself_too_large_is_refused() -> None:
    with pytest.raises(RequestEntityTooLargeException):
        package.check(bytes(package.ZIPPED_LIMIT_BYTES + 1))


def test_a_good_package_is_measured() -> None:
    assert package.check(zip_package({"a.py": "12345", "b/c.py": "678", "wört.py": ""})) == 8


def test_a_package_as_deep_and_with_names_as_long_as_may_be_is_unpacked(tmp_path: Path) -> None:
    content = zipped(("d/" * 99 + "a.py", b"1"), (f"{'n' * 200}/" * 10 + "n" * 37, b"2"), ("ö" * 127 + "n", b"3"))
    assert package.check(content) == 3
    directory = package.unpack(content, expected_sha256=package.code_sha256(content), into=tmp_path)
    assert sorted(tree(directory).values()) == ["1", "2", "3"]


def test_a_package_is_unpacked_once_readable_by_all_and_writable_by_none(tmp_path: Path) -> None:
    script = zipfile.ZipInfo("bin/run.sh")
    script.external_attr = (stat.S_IFREG | 0o700) << 16
    content = zipped(("lambda_function.py", b"x = 1"), (script, b"#!/bin/sh"), ("empty/", b""))
    directory = package.unpack(content, expected_sha256=package.code_sha256(content), into=tmp_path)
    assert (directory / "lambda_function.py").read_bytes() == b"x = 1"
    assert stat.S_IMODE((directory / "lambda_function.py").stat().st_mode) == 0o444
    assert stat.S_IMODE((directory / "bin/run.sh").stat().st_mode) == 0o555
    assert {stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "bin", directory / "empty")} == {
        0o755
    }
    assert package.unpack(content, expected_sha256=package.code_sha256(content), into=tmp_path) == directory
    assert list(tmp_path.iterdir()) == [directory]


def test_bytes_that_are_not_the_uploaded_ones_are_not_unpacked(tmp_path: Path) -> None:
    with pytest.raises(KeyturnError, match="not the one that was uploaded"):
        package.unpack(zip_package({"a.py": "2"}), expected_sha256=package.code_sha256(b"other"), into=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_breaks_half_way_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyturnError):
        package.unpack(corrupted(), expected_sha256=package.code_sha256(corrupted()), into=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_package_from_before_the_limits_is_not_unpacked(tmp_path: Path) -> None:
    deep = zipped(*(("d/" * depth + "a.py", b"") for depth in (400, 800, 1200, 1600)))
    with pytest.raises(KeyturnError, match="cannot be unpacked"):
        package.unpack(deep, expected_sha256=package.code_sha256(deep), into=tmp_path)
    assert list(tmp_path.iterdir()) == []


def tree(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def unpacked_layers(into: Path, *layers: dict[str, str | bytes]) -> list[Path]:
    packages = [zip_package(files) for files in layers]
    return [package.unpack(each, expected_sha256=package.code_sha256(each), into=into) for each in packages]


def test_of_layers_laid_over_each_other_what_comes_later_wins(tmp_path: Path) -> None:
    first, second = unpacked_layers(
        tmp_path,
        {"python/a.py": "first", "python/b.py": "first", "lib/kept": "first", "x": "file", "y/z": "directory"},
        {"python/b.py": "second", "python/c.py": "second", "x/y": "directory", "y": "file"},
    )

    merged = package.merge([first, second], into=tmp_path)

    assert tree(merged) == {
        "python/a.py": "first",
        "python/b.py": "second",
        "python/c.py": "second",
        "lib/kept": "first",
        "x/y": "directory",
        "y": "file",
    }
    assert tree(first)["python/b.py"] == "first"
    assert stat.S_IMODE((merged / "python").stat().st_mode) == stat.S_IMODE(merged.stat().st_mode) == 0o755


def test_a_sequence_of_layers_is_laid_once_and_shares_its_files(tmp_path: Path) -> None:
    first, second = unpacked_layers(tmp_path, {"a": "first"}, {"a": "second"})

    merged = package.merge([first, second], into=tmp_path)

    assert (merged / "a").samefile(second / "a")
    assert package.merge([first, second], into=tmp_path) == merged
    assert tree(package.merge([second, first], into=tmp_path)) == {"a": "first"}
    assert package.merge([first], into=tmp_path) == first
