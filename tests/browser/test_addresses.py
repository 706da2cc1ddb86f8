"""What a browser does with addresses: loading again, going back, signing in again; and what it sends twice."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect
from tests.e2e.conftest import ServerProcess

from .conftest import Visitor


def test_a_refused_form_is_loaded_again_and_signed_in_for_again(visitor: Visitor, server: ServerProcess) -> None:
    server.client("iam").create_user(UserName="ann")
    page = visitor.open("access/user", name="ann")
    page.get_by_label("ARN of a managed policy").fill("nonsense")
    page.get_by_role("button", name="Attach").click()
    expect(page.get_by_role("alert")).to_be_visible()

    # Enter in the address line.
    page.goto(page.url)
    expect(page.get_by_role("heading", name="ann", exact=True)).to_be_visible()
    expect(page).to_have_url(visitor.address("access/user", name="ann"))

    # The form of colours leads back to where one was.
    page.get_by_label("ARN of a managed policy").fill("nonsense")
    page.get_by_role("button", name="Attach").click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_text("administrator ·").click()
    page.get_by_label("Colours").select_option("dark")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(visitor.address("access/user", name="ann"))

    # The session ends while a form is filled in.
    page.get_by_label("ARN of a managed policy").fill("arn:aws:iam::aws:policy/ReadOnlyAccess")
    visitor.context.clear_cookies()
    page.get_by_role("button", name="Attach").click()
    page.get_by_label("Access key id").fill(server.admin.access_key_id)
    page.get_by_label("Secret access key").fill(server.admin.secret_access_key)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(visitor.address("access/user", name="ann"))
    expect(page.get_by_role("heading", name="ann", exact=True)).to_be_visible()


@pytest.mark.parametrize("again", ["mouse", "keyboard"])
def test_what_is_pressed_again_while_it_is_done_is_done_once(
    visitor: Visitor, server: ServerProcess, again: str
) -> None:
    iam = server.client("iam")
    iam.create_user(UserName=f"by-{again}")
    page = visitor.open("access/user", name=f"by-{again}")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/access/user/key/create*", hold)
    button = page.get_by_role("button", name="Create an access key")
    place = button.bounding_box()
    assert place is not None

    with page.expect_request("**/access/user/key/create*"):
        button.click(no_wait_after=True)
    if again == "mouse":
        page.mouse.click(place["x"] + 5, place["y"] + 5)
    else:
        page.keyboard.press("Enter")
    # The first request is the one that is answered: another one would have taken its place.
    held[0].continue_()

    expect(page.get_by_role("heading", name="A new access key")).to_be_visible()
    assert len(iam.list_access_keys(UserName=f"by-{again}")["AccessKeyMetadata"]) == 1
    # On the page that came it can be pressed once more.
    page.unroute_all()
    page.get_by_role("button", name="Create an access key").click()
    expect(page.get_by_role("row").nth(2)).to_be_visible()
    assert len(iam.list_access_keys(UserName=f"by-{again}")["AccessKeyMetadata"]) == 2


def test_a_file_is_downloaded_as_often_as_it_is_asked_for(visitor: Visitor, server: ServerProcess) -> None:
    made = server.client("secretsmanager").create_secret(Name="binary", SecretBinary=b"\x00\x01")
    page = visitor.open("secret", id=made["ARN"])
    page.get_by_role("button", name="Reveal", exact=True).click()

    for _ in range(2):
        with page.expect_download() as download:
            page.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename == "binary.bin"


def test_a_page_that_is_come_back_to_can_be_sent_again(visitor: Visitor) -> None:
    page = visitor.open("keys")
    page.get_by_text("Create a key").click()
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.get_by_text("The key is there.")).to_be_visible()

    page.go_back()
    page.get_by_text("Create a key").click()
    page.get_by_role("button", name="Create", exact=True).click()

    expect(page.get_by_text("The key is there.")).to_be_visible()
