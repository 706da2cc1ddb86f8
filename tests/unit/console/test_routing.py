from __future__ import annotations

import pytest

from keyturn.console import routing
from keyturn.console.routing import Routes, action, discover, live, page


def test_every_page_is_found_once() -> None:
    routes = discover()

    assert {"", "secrets"} <= set(routes.pages)
    assert [place.order for place in routes.places] == sorted({place.order for place in routes.places})
    assert len({place.title for place in routes.places}) == len(routes.places)
    assert all(place.path in routes.pages for place in routes.places)


def test_two_pages_of_one_address_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_routes", Routes())
    for register in (page, action, live):
        register("here")(None)  # type: ignore[arg-type]  # what is registered does not matter
        with pytest.raises(TypeError, match="/console/here is registered twice"):
            register("here")(None)  # type: ignore[arg-type]  # as above
