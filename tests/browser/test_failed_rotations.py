"""A rotation that has failed for good is in sight on every page until one succeeds, whatever was expected before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from playwright.sync_api import expect
from tests.e2e.conftest import ServerProcess, wait_until

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import Visitor
from .rotations import password, rotated, succeeds

NAME = "prod-hr"


def planned(server: ServerProcess, **wanted: Any) -> dict[str, Any]:
    """What ListPlannedRotations says of the secret; empty if it is not among those that are asked for."""
    found = server.client("keyturn").list_planned_rotations(NamePrefix=NAME, **wanted)["PlannedRotations"]
    return found[0] if found else {}


def change_waiting(server: ServerProcess, columns: str) -> int:
    """Change the rotation that waits for its next attempt, if one does: nobody waits a minute for the last one."""
    waits = "status = 'pending' AND attempt > 1 AND step = 'createSecret' AND lease_owner IS NULL"
    with closing(sqlite3.connect(server.data_dir / "keyturn.db", timeout=30)) as database, database:
        return database.execute(f"UPDATE rotations SET {columns} WHERE {waits}").rowcount


def wake_scheduler(server: ServerProcess) -> None:
    """Have the server look what is due, as it does when something was deleted."""
    server.client("secretsmanager").create_secret(Name="other", SecretString="x")
    server.client("secretsmanager").delete_secret(SecretId="other", RecoveryWindowInDays=7)


def test_it_is_told_everywhere_until_a_rotation_succeeds(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, _ = rotated(visitor, server, postgresql, NAME)
    server.client("keyturn").preflight_rotation(SecretId=arn)
    page = visitor.open("secrets", search=NAME)
    expect(page.get_by_role("link", name="ready")).to_be_visible()

    # It logs in, and may change nothing: what no pre-flight tries.
    postgresql.run(f'ALTER ROLE "{NAME}" SET default_transaction_read_only = on')
    before = password(server, NAME)
    server.client("secretsmanager").rotate_secret(SecretId=arn)
    # A moment more than ten minutes ahead would be one of a clock that was set back since, and due.
    last_in_minutes = "attempt = 5, due_at = due_at + 300000"
    wait_until(lambda: change_waiting(server, last_in_minutes), "an attempt failed, and the next one waits", server)
    # Overview and doctor agree on who is in trouble.
    failing = visitor.open().locator(".card").filter(has_text="Tried again soon")
    expect(failing.get_by_role("link", name=NAME)).to_be_visible()
    found = visitor.open("doctor").get_by_role("region", name="Secrets")
    expect(found.get_by_role("row").filter(has_text=NAME)).to_contain_text("pending")

    assert change_waiting(server, "due_at = 0") == 1
    wake_scheduler(server)
    wait_until(lambda: planned(server, States=["failed"]), "it has failed for good", server)

    assert password(server, NAME) == before
    page = visitor.open()
    expect(page.get_by_role("status").filter(has_text="something")).to_be_visible()
    failed = page.locator(".card").filter(has_text="Not tried again before the next window")
    expect(failed.get_by_role("listitem").filter(has_text=NAME)).to_contain_text("failed last: ")
    # In what rotates next it stands as well, and why it failed is told once.
    assert page.get_by_text("failed last: ").count() == 1
    failed.get_by_role("link", name=NAME).click()
    expect(page.get_by_role("heading", name="broken")).to_be_visible()

    page = visitor.open("doctor")
    row = page.get_by_role("region", name="Secrets").get_by_role("row").filter(has_text=NAME)
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text("older than the last rotation")
    page = visitor.open("secrets", search=NAME)
    expect(page.get_by_role("link", name="rotation failed")).to_be_visible()
    expect(page.get_by_text("ready")).to_have_count(0)
    row = (
        visitor.open("schedule", prefix=NAME).get_by_role("region", name="Planned rotations").get_by_role("row").nth(1)
    )
    expect(row).to_contain_text("failed")
    expect(row).to_contain_text("older than the last rotation")
    page = visitor.open("secret/rotation", id=arn)
    expect(page.get_by_text("Its last rotation failed at")).to_be_visible()
    expect(page.get_by_text("It is expected to succeed")).to_have_count(0)

    # Mended, and rotated: nothing of it is left.
    postgresql.run(f'ALTER ROLE "{NAME}" RESET default_transaction_read_only')
    page.get_by_role("button", name="Rotate now").click()
    succeeds(page)
    assert password(server, NAME) != before
    assert planned(server, Troubled=True) == {}
    page = visitor.open()
    expect(page.get_by_role("status").filter(has_text="nothing known")).to_be_visible()
    expect(page.get_by_text("of functions failed")).to_be_visible()
    page = visitor.open("secrets", search=NAME)
    expect(page.get_by_role("link", name="rotation failed")).to_have_count(0)
    assert visitor.violations() == []
