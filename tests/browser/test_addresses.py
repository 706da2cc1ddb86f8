"""What a browser does with addresses: loading again, going back, signing in again; and what it sends twice."""

from __future__ import annotations

from playwright.sync_api import expect
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
