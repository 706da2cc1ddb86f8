"""Deployment packages: look inside a zip file before trusting it, and unpack each one once.

A package comes from a caller of the API, so its central directory is judged in full before one byte is written: names
that climb, are absolute, too long or too deep, links, names given twice, and sizes that do not fit the real content are
all refused with the answer Lambda gives to a file it cannot unzip. Source of the limits of size: AWS Lambda Developer
Guide, "Lambda quotas".
"""

from __future__ import annotations

import base64
import hashlib
import io
import lzma
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from keyturn.errors.base import KeyturnError
from keyturn.errors.lambda_ import InvalidParameterValueException, RequestEntityTooLargeException
from keyturn.runtime.removal import remove

ZIPPED_LIMIT_BYTES = 52_428_800
UNZIPPED_LIMIT_BYTES = 262_144_000
# Of files, and of directories: an entry may imply many.
_ENTRY_LIMIT = 50_000
# What Linux allows for a name, and half of what it allows for a path: the other half is for where it is unpacked.
# Source: limits.h(0p), NAME_MAX and PATH_MAX. The depth is Keyturn's choice, several times that of real packages.
_NAME_LIMIT_BYTES = 255
_PATH_LIMIT_BYTES = 2_048
_DEPTH_LIMIT = 100
_CHUNK_BYTES = 1024 * 1024
_BROKEN = "Could not unzip uploaded file. Please check your file, then try to upload again."
_TOO_LARGE = f"Unzipped size must be smaller than {UNZIPPED_LIMIT_BYTES} bytes"
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OSError,
)


def check(package: bytes) -> int:
    """Read every entry of a deployment package.

    Returns:
        The size of all its files, unpacked, in bytes.

    Raises:
        InvalidParameterValueException: It is no zip file, or not one that may be unpacked.
        RequestEntityTooLargeException: The zip file itself is too large.
    """
    if len(package) > ZIPPED_LIMIT_BYTES:
        raise RequestEntityTooLargeException(f"Zipped size must be smaller than {ZIPPED_LIMIT_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            return _copy_entries(archive, None)
    except _ZIP_FAULTS as error:
        raise InvalidParameterValueException(_BROKEN) from error


def code_sha256(package: bytes) -> str:
    """SHA-256 of a package in base64, as Lambda shows it."""
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


def unpack(package: bytes, *, expected_sha256: str, into: Path) -> Path:
    """Unpack a package below ``into``, once per content, and return the directory.

    Files are readable by every user and writable by none. The directory appears complete or not at all.

    Raises:
        KeyturnError: The bytes are not those the function was created with, or they cannot be unpacked.
    """
    if code_sha256(package) != expected_sha256:
        raise KeyturnError(
            "A function's deployment package is not the one that was uploaded.",
            "Upload the function's code again with UpdateFunctionCode.",
        )
    target = unpacked_path(expected_sha256, into=into)
    if target.is_dir():
        return target
    staging = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=into))
    try:
        with zipfile.ZipFile(io.BytesIO(package)) as archive:
            _copy_entries(archive, staging)
        # The umask of the server may be stricter than a function's own user can live with.
        for directory in (staging, *(path for path in staging.rglob("*") if path.is_dir())):
            directory.chmod(0o755)
        _publish(staging, target)
    except InvalidParameterValueException as error:
        raise KeyturnError(f"A function's deployment package cannot be unpacked: {error.message}") from error
    except _ZIP_FAULTS as error:
        raise KeyturnError(f"A function's deployment package cannot be unpacked: {type(error).__name__}.") from error
    finally:
        remove(staging)
    return target


def _publish(staging: Path, target: Path) -> None:
    # Two threads may unpack the same package; the second finds the first one's directory, with equal content.
    try:
        staging.rename(target)
    except OSError:
        if not target.is_dir():
            raise


def unzipped_size_bytes(package: bytes) -> int:
    """Size of all files of a package that :func:`check` let pass."""
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def check_together(code_bytes: int, *layers_bytes: int) -> None:
    """Return if a function's code and its layers may be unpacked beside each other.

    Raises:
        InvalidParameterValueException: They are too large together.
    """
    total = code_bytes + sum(layers_bytes)
    if layers_bytes and total > UNZIPPED_LIMIT_BYTES:
        raise InvalidParameterValueException(
            f"Function code combined with layers exceeds the maximum allowed size of {UNZIPPED_LIMIT_BYTES} bytes."
            f" The actual size is {total} bytes."
        )


def merge(layers: Sequence[Path], *, into: Path) -> Path:
    """Lay unpacked layers over each other, once per sequence, and return the directory: what comes later wins.

    Files are links to those of the layers, so that layers that functions share take their room, and the memory of their
    pages, once. The directory appears complete or not at all.
    """
    if len(layers) == 1:
        return layers[0]
    name = hashlib.sha256("\n".join(layer.name for layer in layers).encode()).hexdigest()
    target = into / f"layers-{name}"
    if target.is_dir():
        return target
    staging = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=into))
    try:
        for layer in layers:
            _lay_over(layer, staging)
        staging.chmod(0o755)
        _publish(staging, target)
    finally:
        remove(staging)
    return target


def _lay_over(layer: Path, directory: Path) -> None:
    # Calls itself for each level of an unpacked package, which are not many: see _DEPTH_LIMIT.
    for source in layer.iterdir():
        target = directory / source.name
        if source.is_dir():
            if target.is_file():
                target.unlink()
            target.mkdir(exist_ok=True)
            target.chmod(0o755)
            _lay_over(source, target)
        else:
            if target.is_dir():
                shutil.rmtree(target)
            target.unlink(missing_ok=True)
            target.hardlink_to(source)


def unpacked_path(sha256_base64: str, *, into: Path) -> Path:
    """Where a package with this hash is unpacked; base64 has characters that file names should not."""
    return into / base64.b64decode(sha256_base64).hex()


def _copy_entries(archive: zipfile.ZipFile, directory: Path | None) -> int:
    """Judge all entries, then read each to its end (into ``directory`` if given); return the size of all."""
    entries = archive.infolist()
    if len(entries) > _ENTRY_LIMIT:
        raise InvalidParameterValueException(_BROKEN)
    if sum(entry.file_size for entry in entries) >= UNZIPPED_LIMIT_BYTES:
        raise InvalidParameterValueException(_TOO_LARGE)
    paths = _entry_paths(entries)
    return sum(
        _copy_entry(archive, entry, None if directory is None else directory / path)
        for entry, path in zip(entries, paths, strict=True)
    )


def _entry_paths(entries: list[zipfile.ZipInfo]) -> list[Path]:
    """The entries' relative paths, all of them different, none of them below a file or outside the package."""
    paths: list[Path] = []
    files: set[Path] = set()
    directories: set[Path] = set()
    for entry in entries:
        parts = entry.filename.rstrip("/").split("/")
        unsafe = any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts)
        if unsafe or not _is_plain(entry) or not _fits(parts):
            raise InvalidParameterValueException(_BROKEN)
        path = Path(*parts)
        if path in files:
            raise InvalidParameterValueException(_BROKEN)
        if entry.is_dir():
            directories.add(path)
        else:
            files.add(path)
        directories.update(takewhile(lambda parent: parent not in directories, path.parents))
        if len(directories) > _ENTRY_LIMIT:
            raise InvalidParameterValueException(_BROKEN)
        paths.append(path)
    if files & directories:
        raise InvalidParameterValueException(_BROKEN)
    return paths


def _fits(parts: list[str]) -> bool:
    """Whether a path can be made, and removed again, on any file system that serves."""
    lengths = [len(part.encode()) for part in parts]
    return (
        len(parts) <= _DEPTH_LIMIT
        and max(lengths) <= _NAME_LIMIT_BYTES
        and sum(lengths) + len(parts) <= _PATH_LIMIT_BYTES
    )


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """Whether the entry is a file or a directory. Archives made on Windows carry no mode at all."""
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _copy_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path | None) -> int:
    if entry.is_dir():
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
        return 0
    size = 0
    with archive.open(entry) as source:
        if target is None:
            while chunk := source.read(_CHUNK_BYTES):
                size += len(chunk)
            return size
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as sink:
            while chunk := source.read(_CHUNK_BYTES):
                size += sink.write(chunk)
    executable = (entry.external_attr >> 16) & stat.S_IXUSR
    target.chmod(0o555 if executable else 0o444)
    return size
