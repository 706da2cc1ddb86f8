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

from keyturn.config import Settings, aws_files
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


def write_profile(name: str, settings: Settings, key: AccessKey) -> None:
    """Add or replace a profile in ``~/.aws/config`` and ``~/.aws/credentials``.

    Raises:
        KeyturnError: The files cannot be written.
    """
    config, credentials = aws_files()
    config_section = "default" if name == "default" else f"profile {name}"
    try:
        _set_section(config, config_section, {"region": settings.region, "endpoint_url": settings.endpoint_url})
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


def _set_section(path: Path, section: str, values: Mapping[str, str]) -> None:
    text = path.read_text() if path.exists() else ""
    body = f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())
    pattern = re.compile(rf"^\[{re.escape(section)}\][^\n]*\n(?:(?!\[).*\n?)*", re.MULTILINE)
    if pattern.search(text):
        text = pattern.sub(lambda _: body, text, count=1)
    else:
        text = (text.rstrip("\n") + "\n\n" if text.strip() else "") + body
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".keyturn")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
