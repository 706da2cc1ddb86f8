"""Write the AWS profile by which the AWS CLI and every SDK find this server.

The shared files of the AWS CLI are edited in place: other profiles, comments and order stay as they are.
Source: AWS SDKs and Tools Reference Guide, "Shared config and credentials files", ``endpoint_url``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from keyturn.config import aws_files
from keyturn.errors.base import KeyturnError
from keyturn.sensitive import Sensitive


class AccessKey(Protocol):
    """An access key pair."""

    @property
    def access_key_id(self) -> str:
        """The public half."""
        ...

    @property
    def secret_access_key(self) -> Sensitive[str]:
        """The secret half."""
        ...


def write_profile(name: str, region: str, endpoint_url: str, key: AccessKey) -> None:
    """Add or replace a profile in ``~/.aws/config`` and ``~/.aws/credentials``.

    Raises:
        KeyturnError: The files cannot be written.
    """
    config, credentials = aws_files()
    config_section = "default" if name == "default" else f"profile {name}"
    try:
        _set_section(config, config_section, {"region": region, "endpoint_url": endpoint_url})
        _set_section(
            credentials,
            name,
            {"aws_access_key_id": key.access_key_id, "aws_secret_access_key": key.secret_access_key.reveal()},
        )
    except OSError as error:
        raise KeyturnError(
            f"The AWS profile {name} cannot be written: {error.strerror} ({error.filename}).",
            "Leave it out with --no-profile and give clients --endpoint-url and the access key yourself.",
        ) from error


def remove_profile(name: str) -> None:
    """Remove a profile; other profiles stay as they are."""
    config, credentials = aws_files()
    for path, section in ((config, f"profile {name}"), (credentials, name)):
        if path.exists():
            _write(path, _section(section).sub("", path.read_text()))


def _set_section(path: Path, section: str, values: Mapping[str, str]) -> None:
    text = path.read_text() if path.exists() else ""
    body = f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
    pattern = _section(section)
    if pattern.search(text):
        _write(path, pattern.sub(lambda _: body, text, count=1))
    else:
        _write(path, (text.rstrip("\n") + "\n\n" if text.strip() else "") + body)


def _section(section: str) -> re.Pattern[str]:
    """The section with its lines, up to the next one."""
    return re.compile(rf"^\[{re.escape(section)}\][^\n]*(?:\n|$)(?:(?!\[)[^\n]*(?:\n|$))*?(?=^\[|\Z)", re.MULTILINE)


def _write(path: Path, text: str) -> None:
    path = path.resolve()  # People keep these files elsewhere and link to them.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".keyturn")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
