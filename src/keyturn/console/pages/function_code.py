"""Code: what is in a function's package; another in its place."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Final

from keyturn.client.shown import shown
from keyturn.console.function_facts import FunctionFacts, function_facts, function_page
from keyturn.console.pages.functions import PACKAGE_FORM_BYTES, package_of
from keyturn.console.replies import Download, Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Refused, Visit

_LISTED: Final = 500
_SHOWN_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Opened:
    """A package, looked into: its files, by their names, and the text of one of them."""

    files: list[zipfile.ZipInfo]
    file: str = ""
    text: str | None = None
    is_cut: bool = False


def show(visit: Visit) -> Reply:
    """Show the files."""
    facts = function_facts(visit)
    found = visit.look("lambda", "get_function", **facts.named)
    content = visit.clients.fetch(found["Code"]["Location"]) if found else None
    opened = None if content is None else _opened(content, visit.asked("file"))
    may = visit.clients.allow("lambda", "update_function_code", FunctionName=facts.name, ZipFile=b"")
    shown_ = {
        "refused": found.refused,
        "opened": opened,
        "files": opened.files[:_LISTED] if opened else [],
        "may_upload": may and not facts.qualifier,
    }
    return function_page(facts, "code", shown_)


@page("function/package", needs="name", chosen_in="functions")
def download(visit: Visit) -> Reply:
    """Give the package as it was uploaded."""
    facts = function_facts(visit)
    found = visit.clients["lambda"].get_function(**facts.named)
    content = visit.clients.fetch(found["Code"]["Location"])
    if content is None:
        return Html("refused.html", {"refused": _NO_PACKAGE, "section": "functions"}, 404)
    return Download(_file_name(facts), content, "application/zip")


@action("function/code", shows=show, most_bytes=PACKAGE_FORM_BYTES)
def upload(visit: Visit) -> Reply:
    """Put another package in its place."""
    name = visit.asked("name")
    visit.clients["lambda"].update_function_code(FunctionName=name, ZipFile=package_of(visit).content)
    return Redirect(address("function", name=name, tab="code"), "The new code runs from the next invocation on.")


_NO_PACKAGE = Refused("", "The package is not here any more. Load the page again.", is_denial=False, status=404)


def _file_name(facts: FunctionFacts) -> str:
    return f"{facts.name}{'-' + facts.qualifier if facts.qualifier else ''}.zip"


def _opened(content: bytes, file: str) -> _Opened:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = sorted((each for each in archive.infolist() if not each.is_dir()), key=lambda each: each.filename)
        entry = next((each for each in files if each.filename == file), None)
        # One that has a single source shows it at once.
        sources = [each for each in files if each.filename.endswith(".py")]
        if entry is None and not file and len(sources) == 1:
            entry = sources[0]
        if entry is None:
            return _Opened(files)
        with archive.open(entry) as source:
            read = source.read(_SHOWN_BYTES)
    text = _text(read)
    return _Opened(files, entry.filename, text, is_cut=text is not None and entry.file_size > len(read))


def _text(content: bytes) -> str | None:
    """Return content as text that does nothing; None if it is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        # The end may have been cut within a character.
        if len(content) < _SHOWN_BYTES or error.start < len(content) - 3:
            return None
        text = content[: error.start].decode()
    if "\0" in text:
        return None
    return "\n".join(shown(line.expandtabs(4)) for line in text.split("\n"))
