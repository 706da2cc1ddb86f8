"""Which function answers which address: pages, actions and live parts register themselves by decorators.

``/console/secret?id=…``: a page has a fixed address, and what it is about is in the query, because names of secrets
hold slashes and much else. A page only reads. An action changes something; it is posted with the session's CSRF token,
and answers by leading to a page. Its form names what it is about in the query, too: who loads the address of an action
again, or comes back to it, is led to its page. A live part is a stream of pieces of pages.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyturn.console import pages
from keyturn.console.replies import Part, Reply
from keyturn.console.visit import Visit

ShowPage = Callable[[Visit], Reply]
Act = Callable[[Visit], Reply]
Watch = Callable[[Visit], Iterator[Sequence[Part]]]
# What a form of text may hold; a deployment package is the one thing that is larger.
FORM_BYTES = 1024 * 1024
_NOTHING: Final[Mapping[str, Sequence[str]]] = {}
_NONE: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {}


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        show: Makes it.
        needs: The member of the query that says what it is about; empty if it needs none.
        chosen_in: The page to choose that in.
    """

    show: ShowPage
    needs: str = ""
    chosen_in: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """What happens when a form is posted.

    Attributes:
        act: Does it.
        shows: The page that shows what kept it from being done, with the form as it was filled in; None if there is a
            page for errors only.
        most_bytes: How large the form may be.
    """

    act: Act
    shows: ShowPage | None = None
    most_bytes: int = FORM_BYTES


@dataclass(frozen=True, slots=True)
class Live:
    """A stream of pieces of a page.

    Attributes:
        watch: Yields what has changed, maybe nothing, as often as it is asked, until there is nothing more to come.
        every_seconds: How often that is.
    """

    watch: Watch
    every_seconds: float


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the navigation.

    Attributes:
        title: What it says.
        path: Where it leads.
        order: Its rank.
        calls: Operations by service, as clients name them: without one of these the page has nothing to show.
        calls_about_one: Likewise, of which one that is allowed about something will do.
    """

    title: str
    path: str
    order: int
    calls: Mapping[str, Sequence[str]]
    calls_about_one: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(slots=True)
class Routes:
    """All addresses of the console, without ``/console/``."""

    pages: dict[str, Page] = field(default_factory=dict)
    actions: dict[str, Action] = field(default_factory=dict)
    lives: dict[str, Live] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)

    def has(self, path: str) -> bool:
        """Return whether there is a page or an action of an address."""
        return path in self.pages or path in self.actions

    def page_of(self, path: str) -> str:
        """Return the address of the page that an address belongs to: of itself, of an action, or else the nearest."""
        if path not in self.pages and path in self.actions:
            shows = self.actions[path].shows
            path = next((there for there, page in self.pages.items() if page.show is shows), path)
        # Anybody may ask for a path of thousands of parts: it is not taken apart.
        above = (there for there in self.pages if f"{path}/".startswith(f"{there}/"))
        return max(above, key=len, default="")


_routes = Routes()


def page(
    path: str,
    *,
    title: str = "",
    order: int = 0,
    calls: Mapping[str, Sequence[str]] = _NOTHING,
    calls_about_one: Mapping[str, Mapping[str, Mapping[str, str]]] = _NONE,
    needs: str = "",
    chosen_in: str = "",
) -> Callable[[ShowPage], ShowPage]:
    """Register a page.

    Args:
        path: Its address; empty for the home page.
        title: Its name in the navigation; empty if it is not in it.
        order: Its rank there.
        calls: Operations by service, as clients name them, none of which takes parameters: who is allowed none of these
            finds nothing on the page. Empty if there is always something.
        calls_about_one: Operations by service that are about one thing, with parameters that the service accepts: who
            is allowed one of these about whichever thing finds something on the page nevertheless.
        needs: See :class:`Page`.
        chosen_in: See :class:`Page`.
    """

    def register(show: ShowPage) -> ShowPage:
        _refuse_duplicate(path, _routes.pages)
        _routes.pages[path] = Page(show, needs, chosen_in)
        if title:
            _routes.places.append(Place(title, path, order, calls, calls_about_one))
        return show

    return register


def action(path: str, *, shows: ShowPage | None = None, most_bytes: int = FORM_BYTES) -> Callable[[Act], Act]:
    """Register what happens when a form is posted to an address; see :class:`Action`."""

    def register(act: Act) -> Act:
        _refuse_duplicate(path, _routes.actions)
        _routes.actions[path] = Action(act, shows, most_bytes)
        return act

    return register


def live(path: str, *, every_seconds: float = 1.0) -> Callable[[Watch], Watch]:
    """Register a live part: a generator; see :class:`Live`.

    A browser that asks again gets all of it again, but for what came before the last :attr:`Part.mark` that it has.
    """

    def register(watch: Watch) -> Watch:
        _refuse_duplicate(path, _routes.lives)
        _routes.lives[path] = Live(watch, every_seconds)
        return watch

    return register


def discover() -> Routes:
    """Import every page, and return all routes."""
    for module in pkgutil.iter_modules(pages.__path__):
        importlib.import_module(f"{pages.__name__}.{module.name}")
    _routes.places.sort(key=lambda place: place.order)
    return _routes


def _refuse_duplicate(path: str, taken: Iterable[str]) -> None:
    if path in taken:
        raise TypeError(f"/console/{path} is registered twice")
