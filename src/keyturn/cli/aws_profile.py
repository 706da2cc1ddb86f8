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

_NAME = re.compile(r"[A-Za-z0-9_.@+-]+")


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


def check_profile_name(name: str) -> None:
    """Refuse a name that would not survive the files' syntax, or the shell's.

    Raises:
        KeyturnError: It is no name.
    """
    if not _NAME.fullmatch(name):
        raise KeyturnError(
            f"{name!r} cannot be the name of an AWS profile.", "Use letters, digits and any of _ . @ + - only."
        )


def check_profile_is_free(name: str, *hints: str) -> None:
    """Refuse a name that has a section in either file already: whose keys are in it, nobody knows.

    Raises:
        KeyturnError: There is such a profile, with the hints given; or a file cannot be read.
    """
    for path in aws_files():
        try:
            text = path.read_text() if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise KeyturnError(f"{path} cannot be read: {error}.", *hints) from error
        if _section(f"profile {name}").search(text) or _section(name).search(text):
            raise KeyturnError(f"The AWS profile {name} exists already, in {path}.", *hints)


def profile_sections(name: str, region: str, endpoint_url: str, key: AccessKey) -> tuple[str, Sensitive[str]]:
    """Return what stands of a profile in the config file and in the credentials file."""
    config = _text(_config_section(name), {"region": region, "endpoint_url": endpoint_url})
    secret = key.secret_access_key.reveal()
    credentials = _text(name, {"aws_access_key_id": key.access_key_id, "aws_secret_access_key": secret})
    return config, Sensitive(credentials)


def write_profile(name: str, region: str, endpoint_url: str, key: AccessKey) -> None:
    """Add or replace a profile in ``~/.aws/config`` and ``~/.aws/credentials``.

    Raises:
        KeyturnError: The files cannot be written.
    """
    config, credentials = aws_files()
    config_text, credentials_text = profile_sections(name, region, endpoint_url, key)
    try:
        _set_section(config, _config_section(name), config_text)
        _set_section(credentials, name, credentials_text.reveal())
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


def _config_section(name: str) -> str:
    return "default" if name == "default" else f"profile {name}"


def _text(section: str, values: Mapping[str, str]) -> str:
    return f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def _set_section(path: Path, section: str, body: str) -> None:
    text = path.read_text() if path.exists() else ""
    pattern = _section(section)
    if pattern.search(text):
        _write(path, pattern.sub(lambda _: body, text, count=1))
    else:
        _write(path, (text.rstrip("\n") + "\n\n" if text.strip() else "") + body)


def _section(section: str) -> re.Pattern[str]:
    """The section with its lines, up to the next one; its name may stand in quotes, as botocore reads it."""
    kind, _, name = section.rpartition(" ")
    header = (rf"{kind}[ \t]+" if kind else "") + rf"([\"']?){re.escape(name)}\1"
    return re.compile(rf"^\[[ \t]*{header}[ \t]*\][^\n]*(?:\n|$)(?:(?!\[)[^\n]*(?:\n|$))*?(?=^\[|\Z)", re.MULTILINE)


def _write(path: Path, text: str) -> None:
    path = path.resolve()  # People keep these files elsewhere and link to them.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".keyturn")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)
