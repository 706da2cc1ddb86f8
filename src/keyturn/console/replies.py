"""What a page or an action answers, before it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Html:
    """A page: a template and what it shows."""

    template: str
    shown: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """The page to go on with.

    Attributes:
        path: Under ``/console/``, with its query; made by :func:`address`.
        notice: One sentence that this page says once.
    """

    path: str
    notice: str = ""


@dataclass(frozen=True, slots=True)
class Download:
    """A file to keep."""

    name: str
    content: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a page that has changed.

    Attributes:
        template: What it is made with.
        shown: What it shows.
        target: The ``id`` of the element that it goes into.
        is_added: Whether it is put behind what is there, in place of taking its place.
        mark: What a browser that asks again says it has (``Visit.mark``), so that it gets what comes after it; empty if
            it gets all again.
    """

    template: str
    shown: Mapping[str, Any]
    target: str
    is_added: bool = False
    mark: str = ""


Reply = Html | Redirect | Download


def address(path: str, /, **query: str | int | None) -> str:
    """Return an address under ``/console/``; members that are None or empty are left out."""
    given = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path
