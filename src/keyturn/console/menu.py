"""The navigation: the pages that have something to show to somebody, and apart from them all others.

It stands on every page, so it is kept for some seconds; that long a change of policies takes to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from keyturn.console.routing import Place
from keyturn.console.visit import Visit
from keyturn.kept import Kept

_KEPT_FOR: Final = timedelta(seconds=5)
_MOST_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Menu:
    """The navigation of one principal in one region.

    Attributes:
        usable: Lines that lead to something.
        others: Lines that lead to pages which can only say what is not allowed.
    """

    usable: Sequence[Place]
    others: Sequence[Place]

    def offers(self, path: str) -> bool:
        """Return whether a page of the navigation has something to show."""
        return any(place.path == path for place in self.usable)


class Menus:
    """Makes menus; safe to share between threads.

    Args:
        places: All lines, in order.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._kept: Kept[tuple[str, str], tuple[datetime, Menu]] = Kept(_MOST_KEPT)

    def of(self, visit: Visit) -> Menu:
        """Return the menu of whoever visits."""
        key = (visit.session.access_key_id, visit.session.region)
        kept = self._kept.get(key)
        if kept is not None and visit.now - kept[0] < _KEPT_FOR:
            return kept[1]
        judged = [(place, _is_usable(visit, place)) for place in self._places]
        menu = Menu([place for place, yes in judged if yes], [place for place, yes in judged if not yes])
        self._kept.put(key, (visit.now, menu))
        return menu


def _is_usable(visit: Visit, place: Place) -> bool:
    if not place.calls:
        return True
    if any(visit.clients.allow(service, each) for service, operations in place.calls.items() for each in operations):
        return True
    return any(
        visit.clients.allow_some(service, operation, **parameters)
        for service, operations in place.calls_about_one.items()
        for operation, parameters in operations.items()
    )
