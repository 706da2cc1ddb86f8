"""What changes while somebody looks: shown by itself, without taking anything away from them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import ServerProcess, wait_until
from tests.e2e.rotation_function import create_rotation_function

from .conftest import NewVisitor, Visitor
from .functions import create_function, invoke, user_with

# How many parts have come, whatever became of them.
_COUNTING = """
const Source = EventSource;
let parts = 0;
window.EventSource = class extends Source {
  constructor(address) {
    super(address);
    this.addEventListener("part", () => { parts += 1; document.documentElement.dataset.parts = parts; });
  }
};
"""


@pytest.fixture(scope="module")
def function(server: ServerProcess) -> str:
    return create_rotation_function(server)


def rotate(server: ServerProcess, function: str, name: str) -> str:
    """Have a new secret rotate once, and return when it has."""
    secrets = server.client("secretsmanager")
    arn: str = secrets.create_secret(Name=name, SecretString="first")["ARN"]
    secrets.rotate_secret(
        SecretId=arn,
        RotationLambdaARN=function,
        RotationRules={"AutomaticallyAfterDays": 30},
        ClientRequestToken="1" * 32,
    )
    wait_until(lambda: secrets.get_secret_value(SecretId=arn)["VersionId"] == "1" * 32, f"{name} has rotated", server)
    return arn


def ended(page: Page, name: str) -> None:
    """Wait until the page says that a secret has rotated."""
    expect(page.get_by_role("region", name="What rotated last").get_by_role("link", name=name)).to_be_visible()


def has_got_parts(page: Page, count: int) -> None:
    """Wait until this many parts have come, or more."""
    more = "|".join(str(number) for number in range(count, count + 20))
    expect(page.locator("html")).to_have_attribute("data-parts", re.compile(f"^({more})$"))


def test_the_overview_shows_what_happens(visitor: Visitor, server: ServerProcess, function: str) -> None:
    page = visitor.open()
    expect(page.get_by_text("Nothing has rotated yet.")).to_be_visible()
    page.evaluate("window.isTheSamePage = true")

    rotate(server, function, "seen")

    ended(page, "seen")
    assert page.evaluate("window.isTheSamePage")
    assert visitor.violations() == []


def test_nothing_is_taken_away_from_who_is_at_it(visitor: Visitor, server: ServerProcess, function: str) -> None:
    rotate(server, function, "first")
    visitor.context.add_init_script(_COUNTING)
    page = visitor.open()
    has_got_parts(page, 1)
    link = page.get_by_role("region", name="What rotated last").get_by_role("link", name="first")
    link.focus()

    rotate(server, function, "second")
    has_got_parts(page, 2)

    expect(link).to_be_focused()
    expect(page.get_by_role("link", name="second")).to_have_count(0)
    page.get_by_role("navigation").get_by_role("link", name="Overview").focus()
    ended(page, "second")

    # Selected text is not taken away either.
    page.evaluate("getSelection().selectAllChildren(document.getElementById('ended').parentElement)")
    parts = int(page.locator("html").get_attribute("data-parts") or "")
    rotate(server, function, "third")
    has_got_parts(page, parts + 1)

    assert "second" in page.evaluate("getSelection().toString()")
    page.evaluate("getSelection().removeAllRanges()")
    ended(page, "third")


def test_an_overview_that_shows_less_is_not_renewed_and_fills_no_list_of_refused_calls(
    new_visitor: NewVisitor, server: ServerProcess
) -> None:
    visitor = new_visitor()
    visitor.sign_in(user_with(server, "lister", "keyturn:ListPlannedRotations", "secretsmanager:ListSecrets"))
    visitor.open()

    expect(visitor.page.locator("#seen")).to_have_attribute("data-state", "over")
    expect(visitor.page.get_by_text("Your policies do not allow cloudtrail:LookupEvents.")).to_be_visible()


def test_who_looks_is_told_when_nothing_is_renewed_any_more(new_visitor: NewVisitor) -> None:
    visitor = new_visitor()
    visitor.sign_in()
    windows = [visitor.page, *(visitor.context.new_page() for _ in range(4))]
    for window in windows:
        window.goto(visitor.address())

    other = visitor.context.new_page()
    other.goto(visitor.address("settings"))
    other.get_by_text("administrator ·").click()
    other.get_by_role("button", name="Sign out").click()

    # Those that are told at once, and those that ask again.
    for window in windows:
        told = "The session has ended. Load the page again to see what has changed."
        expect(window.get_by_role("alert")).to_have_text(told)


def test_many_windows_are_live_and_keep_none_from_being_loaded(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "chatty")
    invoke(server, "chatty", print="before")
    windows = [visitor.context.new_page() for _ in range(8)]
    for window in windows:
        window.goto(visitor.address("log", group="/aws/lambda/chatty", live="1"))
        expect(window.get_by_text("before")).to_be_visible()

    # A browser has six connections to a server: none of the eight keeps this one from having one.
    page = visitor.open("secrets")
    expect(page.get_by_role("heading", name="Secrets")).to_be_visible()

    invoke(server, "chatty", print="after")
    for window in windows:
        expect(window.get_by_text("after")).to_be_visible()
        expect(window.get_by_text("after")).to_have_count(1)
