"""Which interpreter serves which runtime identifier."""

from __future__ import annotations

import sys

import pytest

from keyturn.errors.lambda_ import InvalidParameterValueException
from keyturn.runtime.interpreters import find_interpreter


def test_the_servers_own_interpreter_serves_its_own_version() -> None:
    own = find_interpreter(f"python3.{sys.version_info.minor}")
    assert own.full_version == ".".join(map(str, sys.version_info[:3]))
    assert not own.executable.is_symlink()
    assert own.executable.is_relative_to(own.prefix)
    names = {path.name for path in own.libraries}
    assert {"awslambdaric", "boto3", "botocore", "jmespath", "s3transfer", "six.py", "urllib3"} <= names
    assert any(name.startswith("botocore-") for name in names)
    assert not any(name.startswith("keyturn") for name in names)


@pytest.mark.parametrize("runtime", ["python3.1", "python3.99", "python2.7", "nodejs20.x", "python3.11;ls", ""])
def test_anything_else_is_refused_by_name(runtime: str) -> None:
    with pytest.raises(InvalidParameterValueException) as refusal:
        find_interpreter(runtime)
    assert f"python3.{sys.version_info.minor}" in refusal.value.message
