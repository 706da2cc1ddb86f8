"""Removing directories that functions or their packages may have filled, however deep, closed or strange they are.

``shutil.rmtree`` calls itself for each level, and keeps a file open for each: a directory a thousand levels deep ends
it with RecursionError.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

_MARK = ".removed-"


def remove(directory: Path) -> None:
    """Remove a directory, as far as it can be removed; one that is not there is removed already.

    Directories in it are lifted to its top before anybody looks into them. So no path becomes long, nothing calls
    itself, and a function that still runs cannot put a link in the place of a directory: the top is no longer its own.
    ``directory`` itself must lie where functions cannot write.
    """
    if not directory.is_dir() or directory.is_symlink():
        with contextlib.suppress(OSError):
            directory.unlink()
        return
    with contextlib.suppress(OSError):
        os.chown(directory, os.geteuid(), -1)
    waiting = [directory]
    while waiting:
        current = waiting.pop()
        with contextlib.suppress(OSError):
            current.chmod(0o700)
            waiting += _lift_directories(current, directory)
        if current != directory:
            with contextlib.suppress(OSError):
                current.rmdir()
    with contextlib.suppress(OSError):
        directory.rmdir()


def remake(directory: Path) -> None:
    """Make a directory that is empty, whatever is there: what cannot be removed is put aside until the next time."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    put_aside = f"{_MARK}{directory.name}-"
    if os.path.lexists(directory):
        directory.rename(directory.with_name(put_aside + secrets.token_hex(8)))
    for rest in list(directory.parent.iterdir()):
        if rest.name.startswith(put_aside):
            remove(rest)
    directory.mkdir()


def _lift_directories(directory: Path, top: Path) -> list[Path]:
    """Remove the files of a directory, and return its directories, which are in ``top`` now."""
    lifted: list[Path] = []
    for path in list(directory.iterdir()):
        with contextlib.suppress(OSError):
            if not _is_directory(path):
                path.unlink()
                continue
            there = path if directory == top else _lift(path, top)
            # Looked at again where nobody else can change it.
            if _is_directory(there):
                lifted.append(there)
            else:
                there.unlink()
    return lifted


def _lift(path: Path, top: Path) -> Path:
    target = top / f"{_MARK}{secrets.token_hex(8)}"
    try:
        path.rename(target)
    except PermissionError:
        # Who moves a directory changes it, too; root may without this.
        path.chmod(0o700)
        path.rename(target)
    return target


def _is_directory(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)
