from __future__ import annotations

import pytest

from keyturn.console import routing
from keyturn.console.routing import Page, Routes, action, discover, live, page


def test_every_page_is_found_once() -> None:
    routes = discover()

    assert {"", "secrets"} <= set(routes.pages)
    assert [place.order for place in routes.places] == sorted({place.order for place in routes.places})
    assert len({place.title for place in routes.places}) == len(routes.places)
    assert all(place.path in routes.pages for place in routes.places)


@pytest.mark.parametrize(
    ("path", "page_path"),
    [
        ("secret", "secret"),
        # What an action's refusal is shown on.
        ("secret/value", "secret/edit"),
        ("key/create", "keys"),
        ("logs/group/retain", "logs/group"),
        # A tab is no page of its own.
        ("function/settings", "function"),
        ("secret/rotation/setup/create", "secret/rotation/setup"),
        ("access/inline/put", "access"),
        ("overview/live", ""),
        ("secret/rotation/live", "secret/rotation"),
        ("nothing/there", ""),
        ("a/" * 5000, ""),
    ],
)
def test_every_address_belongs_to_a_page(path: str, page_path: str) -> None:
    assert discover().page_of(path) == page_path


def test_an_address_of_many_parts_is_not_taken_apart() -> None:
    class Counted(dict[str, Page]):
        asked = 0

        def __contains__(self, path: object) -> bool:
            self.asked += 1
            return super().__contains__(path)

    pages = Counted(discover().pages)

    assert Routes(pages=pages).page_of("secret/" + "a/" * 5000) == "secret"
    assert pages.asked <= 1


def test_what_a_page_needs_is_chosen_in_another_that_needs_nothing() -> None:
    pages = discover().pages

    for shown in pages.values():
        assert bool(shown.needs) == bool(shown.chosen_in)
        if shown.needs:
            assert not pages[shown.chosen_in.partition("?")[0]].needs


def test_two_pages_of_one_address_are_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "_routes", Routes())
    for register in (page, action, live):
        register("here")(None)  # type: ignore[arg-type]  # what is registered does not matter
        with pytest.raises(TypeError, match="/console/here is registered twice"):
            register("here")(None)  # type: ignore[arg-type]  # as above
