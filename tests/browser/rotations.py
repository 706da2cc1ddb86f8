"""Secrets of a real database that rotate in a browser, and what is done about them there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pg8000.native
from playwright.sync_api import Page, expect
from tests.e2e.conftest import ServerProcess

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import Visitor

SETTLED = 60_000
_PRESS = """
standing => {
  const button = [...standing.querySelectorAll("button")].find(each => each.textContent === "Try again now");
  button?.click();
  return Boolean(button);
}
"""


def stored(server: ServerProcess, postgresql: PostgresqlServer, name: str) -> str:
    """Make a database user and its secret; return the ARN."""
    postgresql.create_user(name, f"first-{name}")
    value = {**postgresql.secret_value(name, f"first-{name}"), "ssl": False}
    made = server.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(value))
    return str(made["ARN"])


def password(server: ServerProcess, name: str) -> str:
    value = server.client("secretsmanager").get_secret_value(SecretId=name)["SecretString"]
    return str(json.loads(value)["password"])


def turned_on(visitor: Visitor, arn: str) -> Page:
    """Have a function made for a secret, and rotation turned on with it; return the page that shows it rotate."""
    page = visitor.open("secret/rotation/setup", id=arn)
    page.get_by_label("One that Keyturn makes for this secret").check()
    page.get_by_role("button", name="Show what would be made").click()
    page.get_by_role("button", name="Make it, and turn on rotation").click()
    expect(page.get_by_role("heading", name="Rotation is on")).to_be_visible()
    return page


def succeeds(page: Page) -> None:
    """Wait until the page says by itself that the rotation has succeeded, and is whole again."""
    expect(page.get_by_text("The rotation has succeeded")).to_be_visible(timeout=SETTLED)
    expect(page.get_by_role("table").last.get_by_text("succeeded").first).to_be_visible(timeout=SETTLED)


def rotated(visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer, name: str) -> tuple[str, Page]:
    """Make a database user and its secret, and have it rotate once; return the ARN, and the page that has shown it."""
    arn = stored(server, postgresql, name)
    page = turned_on(visitor, arn)
    succeeds(page)
    return arn, page


def tried_again(visitor: Visitor, secret_id: str) -> None:
    """Have a rotation that waits tried again from the doctor's page, unless its next attempt has begun by itself.

    The page takes the button away then, at any moment: whether it is there is asked in the browser, as it is pressed.
    """
    page = visitor.page
    has_gone_on = page.get_by_role("link", name="Watch it").or_(page.get_by_text("What became of the rotation since:"))
    expect(page.get_by_role("button", name="Try again now").or_(has_gone_on).first).to_be_visible()
    if not page.locator("#standing").evaluate(_PRESS):
        visitor.open("secret/rotation", id=secret_id)


def apply_fix(page: Page) -> None:
    """Apply the first fix that there is; of one that widens access, say that it was read."""
    form = page.locator("form").filter(has=page.get_by_role("button", name="Apply this fix")).first
    if form.get_by_role("checkbox").count():
        form.get_by_role("checkbox").check()
    form.get_by_role("button", name="Apply this fix").click()


@contextmanager
def nobody_changes_passwords(postgresql: PostgresqlServer) -> Iterator[None]:
    """Keep every change of a role waiting: logins go on."""
    with pg8000.native.Connection(
        "postgres", host="127.0.0.1", port=postgresql.port, password=postgresql.superuser_password, database="postgres"
    ) as connection:
        connection.run("BEGIN")
        connection.run("LOCK TABLE pg_authid IN SHARE MODE")
        try:
            yield
        finally:
            connection.run("ROLLBACK")
