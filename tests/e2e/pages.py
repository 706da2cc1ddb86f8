"""What the pages of docs/ say can be run: their examples, and the profile that they begin with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .conftest import ServerProcess, clean_environ

ADDRESS = "http://127.0.0.1:4773"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTS = re.compile(r"(?:print|console\.log)\(.*\);?  ?(?:#|//) (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One piece of code on a page and what it says that it prints."""

    language: str
    code: str

    @property
    def prints(self) -> list[str]:
        return _PRINTS.findall(self.code)


def examples(text: str) -> list[Example]:
    return [Example(*match.groups()) for match in _FENCE.finditer(text)]


def after_init(server: ServerProcess) -> dict[str, str]:
    """What a person has after ``keyturn init``: a profile, which the commands of a page choose."""
    folder = server.home / ".aws"
    folder.mkdir()
    (folder / "config").write_text(
        f"[profile keyturn]\nregion = {server.region}\nendpoint_url = {server.endpoint_url}\n"
    )
    (folder / "credentials").write_text(
        f"[keyturn]\naws_access_key_id = {server.admin.access_key_id}\n"
        f"aws_secret_access_key = {server.admin.secret_access_key}\n"
    )
    return {**clean_environ(server.home), "AWS_PAGER": ""}
