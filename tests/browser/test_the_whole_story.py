"""The console's reason to be, from signing in to a mended rotation, with nothing but a browser.

What breaks is broken from outside, as it is in life.
"""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import NewVisitor
from .rotations import tried_again

SETTLED = 60_000


def test_it_is_created_rotated_broken_looked_up_in_the_log_diagnosed_and_mended(
    new_visitor: NewVisitor, postgresql: PostgresqlServer
) -> None:
    postgresql.create_user("story", "first password")
    visitor = new_visitor()
    page = visitor.sign_in()

    # A secret for a PostgreSQL user.
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Secrets").click()
    page.get_by_role("main").get_by_role("link", name="Create a secret").first.click()
    page.get_by_role("combobox", name="Engine").select_option("PostgreSQL")
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Port").fill(str(postgresql.port))
    page.get_by_label("Database name").fill("postgres")
    page.get_by_label("User name").fill("story")
    page.get_by_label(re.compile("^Password")).fill("first password")
    page.get_by_label(re.compile("^Name")).fill("the/story")
    page.get_by_role("button", name="Create").click()

    # Its function, made for it; it rotates.
    page.get_by_role("link", name="Set up rotation").first.click()
    page.get_by_role("button", name="Show what would be made").click()
    page.get_by_role("button", name="Make it, and turn on rotation").click()
    succeeded(page)
    assert not postgresql.accepts("story", "first password")
    function = page.get_by_role("link", name="SecretsManager-the-story").first.inner_text()

    # The role loses what it needs.
    visitor.server.client("iam").delete_role_policy(RoleName=function, PolicyName="SecretsManagerRotation")
    page.get_by_role("button", name="Rotate now").click()
    expect(page.get_by_text("createSecret failed").first).to_be_visible(timeout=SETTLED)

    # As AWS's guide has it: the function, Monitoring, Invocation errors, Jump to Logs.
    page.get_by_role("link", name="SecretsManager-the-story").first.click()
    errors = page.locator("figure", has_text="Invocation errors")
    expect(errors).to_contain_text(re.compile(r"[1-9]\d* error"))
    page.get_by_role("row", name="createSecret").first.get_by_role("link", name="Jump to Logs").click()
    expect(page.locator(".lines .marked").filter(has_text="is not authorized to perform").first).to_be_visible()

    # The verdict, and what mends it.
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Overview").click()
    page.get_by_role("main").get_by_role("link", name="the/story").first.click()
    page.get_by_role("navigation", name="Secret").get_by_role("link", name="Doctor").click()
    expect(page.get_by_role("heading", name="broken")).to_be_visible()
    form = page.locator("form").filter(has=page.get_by_role("button", name="Apply this fix")).first
    if form.get_by_role("checkbox").count():
        form.get_by_role("checkbox").check()
    form.get_by_role("button", name="Apply this fix").click()
    expect(page.get_by_text("is found no longer.")).to_be_visible()

    # It is tried again from there, and rotates.
    tried_again(visitor, "the/story")
    succeeded(page)

    # The list says what it is for, and that it would rotate again.
    visitor.server.client("keyturn").preflight_rotation(SecretId="the/story")
    row = visitor.open("secrets").get_by_role("row", name="the/story")
    expect(row).to_contain_text("PostgreSQL")
    expect(row).to_contain_text("ready")


def succeeded(page: Page) -> None:
    expect(page.get_by_text("The rotation has succeeded")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_role("table").last.get_by_text("succeeded").first).to_be_visible(timeout=SETTLED)
