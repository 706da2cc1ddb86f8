"""Layers made of what is installed beside the tests: the drivers that rotation functions import."""

from __future__ import annotations

import importlib.metadata
import io
import zipfile
from functools import cache
from pathlib import Path

import pytest


@cache
def layer_of(*distributions: str) -> bytes:
    """Return the archive of a layer with these distributions, where Python looks; skip if one is missing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in distributions:
            for path, content in _files(name):
                archive.writestr(f"python/{path}", content)
    return buffer.getvalue()


def _files(distribution: str) -> list[tuple[str, bytes]]:
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed beside the tests")
    return [
        (str(path), Path(str(path.locate())).read_bytes())
        for path in files
        if ".." not in path.parts and "__pycache__" not in path.parts
    ]


def package_of(folder: Path) -> bytes:
    """Return a deployment package with the Python files of a folder, byte for byte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.glob("*.py")):
            archive.writestr(file.name, file.read_bytes())
    return buffer.getvalue()
