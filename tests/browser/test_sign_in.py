"""Who gets in, and for how long."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Credentials, ServerProcess

from .conftest import NewVisitor, Visitor, each_look


def test_an_access_key_signs_in_and_out(new_visitor: NewVisitor) -> None:
    visitor = new_visitor()
    page = visitor.open("secrets", search="wanted")

    page.get_by_label("Access key id").fill(visitor.server.admin.access_key_id)
    page.get_by_label("Secret access key").fill(visitor.server.admin.secret_access_key)
    page.get_by_role("button", name="Sign in").click()

    # Where one wanted to go.
    expect(page).to_have_url(visitor.address("secrets", search="wanted"))
    page.get_by_text("administrator").first.click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Keyturn")).to_be_visible()
    visitor.open("secrets")
    expect(page.get_by_label("Access key id")).to_be_visible()


def test_a_session_that_was_signed_out_is_dead_wherever_its_cookie_is(new_visitor: NewVisitor) -> None:
    visitor, thief = new_visitor(), new_visitor()
    visitor.sign_in()
    thief.context.add_cookies(visitor.context.cookies())  # type: ignore[arg-type]  # what one gives the other takes
    expect(thief.open("secrets").get_by_role("heading", name="Secrets")).to_be_visible()

    visitor.page.get_by_text("administrator").first.click()
    visitor.page.get_by_role("button", name="Sign out").click()

    expect(thief.open("secrets").get_by_label("Access key id")).to_be_visible()


def test_temporary_credentials_sign_in(new_visitor: NewVisitor, server: ServerProcess) -> None:
    made = server.client("sts").get_session_token()["Credentials"]
    visitor = new_visitor()

    visitor.sign_in(Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]))

    expect(visitor.open("secrets").get_by_role("heading", name="Secrets")).to_be_visible()


def test_a_session_ends_with_its_access_key(new_visitor: NewVisitor, server: ServerProcess) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="leaver")
    key = iam.create_access_key(UserName="leaver")["AccessKey"]
    visitor = new_visitor()
    visitor.sign_in(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    iam.update_access_key(UserName="leaver", AccessKeyId=key["AccessKeyId"], Status="Inactive")

    expect(visitor.open("secrets").get_by_label("Access key id")).to_be_visible()


@pytest.mark.parametrize("wrong", ["key", "secret"])
def test_who_guesses_is_told_the_same_and_slowed_down(new_visitor: NewVisitor, wrong: str) -> None:
    visitor = new_visitor()
    key = "AKIAUNKNOWN"
    if wrong == "secret":
        iam = visitor.server.client("iam")
        iam.create_user(UserName="target")
        key = iam.create_access_key(UserName="target")["AccessKey"]["AccessKeyId"]
    told = []

    for _ in range(7):
        page = visitor.open("sign-in")
        page.get_by_label("Access key id").fill(key)
        page.get_by_label("Secret access key").fill("guess")
        page.get_by_role("button", name="Sign in").click()
        told.append(page.get_by_role("alert").inner_text())

    assert set(told[:6]) == {"No access key with this secret is known here. Check both, and that the key is active."}
    assert told[6].startswith("Too many sign-ins have failed. Try again in ")


def test_sign_ins_are_in_the_audit_trail(visitor: Visitor) -> None:
    events = visitor.server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "ConsoleLogin"}]
    )["Events"]

    told = [event["CloudTrailEvent"] for event in events]
    assert any('"ConsoleLogin":"Success"' in event and '"userName":"administrator"' in event for event in told)
    assert any('"ConsoleLogin":"Failure"' in event and "AKIAUNKNOWN" not in event for event in told)


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/console/../x"])
def test_signing_in_leads_nowhere_else(new_visitor: NewVisitor, elsewhere: str) -> None:
    visitor = new_visitor()
    page = visitor.open("sign-in", next=elsewhere)
    page.get_by_label("Access key id").fill(visitor.server.admin.access_key_id)
    page.get_by_label("Secret access key").fill(visitor.server.admin.secret_access_key)

    page.get_by_role("button", name="Sign in").click()

    expect(page).to_have_url(visitor.address())


@each_look
def test_the_page_is_accessible(new_visitor: NewVisitor, size: tuple[int, int], scheme: str) -> None:
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.open("sign-in")

    assert visitor.violations() == []
