"""The audit trail: what was refused is explained, the printed policy is put, and then it is allowed."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import Locator, Page, expect
from tests.e2e.callers import Caller, allow, deny
from tests.e2e.conftest import ServerProcess

from .conftest import NewVisitor, Visitor, each_look

SCRIPT = "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">"


def refused_once(caller: Caller, secret_id: str) -> None:
    with pytest.raises(ClientError, match="not authorized"):
        caller.client("secretsmanager").get_secret_value(SecretId=secret_id)


def row(page: Page, user: str) -> Locator:
    return page.get_by_role("row").filter(has_text=user)


def test_a_refused_call_is_explained_and_allowed(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "ada")
    user.may(allow("secretsmanager:*", "arn:aws:secretsmanager:*:*:secret:staging/*", Sid="Staging"))
    server.client("secretsmanager").create_secret(Name="prod/db", SecretString="x")
    refused_once(user, "prod/db")
    page = visitor.open("audit")

    page.get_by_role("link", name="Refused calls").click()
    row(page, "user/ada").get_by_role("link", name="why?").click()

    expect(page.get_by_role("heading", name="GetSecretValue")).to_contain_text("refused")
    expect(page.get_by_text("no identity-based policy allows it.")).to_be_visible()
    expect(page.get_by_text("statement 1 (Staging) allows the action, but for")).to_be_visible()
    command = shlex.split(page.get_by_role("region", name="Command").inner_text())
    assert command[:5] == ["aws", "iam", "put-user-policy", "--user-name", "ada"]
    assert command[-2:] == ["--endpoint-url", server.endpoint_url]
    page.get_by_role("button", name="Add it to the user ada").click()

    expect(page.get_by_role("status")).to_contain_text("is in force")
    assert user.client("secretsmanager").get_secret_value(SecretId="prod/db")["SecretString"] == "x"
    # What it could do before it can do still.
    kept = server.client("iam").get_user_policy(UserName="ada", PolicyName="inline")
    assert kept["PolicyDocument"]["Statement"][0]["Sid"] == "Staging"


def test_a_deny_is_shown_and_nothing_is_offered(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "dee")
    user.may(allow("*"), deny("secretsmanager:Get*", Sid="NotThese"))
    refused_once(user, "anything")
    page = visitor.open("audit", denied="1")

    row(page, "user/dee").get_by_role("link", name="why?").click()

    expect(page.get_by_text("Denied explicitly", exact=True)).to_be_visible()
    expect(page.get_by_role("region", name="The statement that decided")).to_contain_text("NotThese")
    expect(page.get_by_role("heading", name="What would allow it")).to_have_count(0)
    expect(page.get_by_role("button", name="Add it")).to_have_count(0)


def test_filters_find_events(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "finder")
    user.may(allow("*"))
    made = user.client("secretsmanager").create_secret(Name="found", SecretString="x")
    user.client("secretsmanager").describe_secret(SecretId="found")
    page = visitor.open("audit")
    page.get_by_text("Filters").click()

    page.get_by_label("User or session").fill("finder")
    page.get_by_label("Event", exact=True).fill("CreateSecret")
    page.get_by_role("button", name="Find").click()

    expect(page.get_by_role("row").filter(has_text="CreateSecret")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="DescribeSecret")).to_have_count(0)
    page.get_by_role("link", name=re.compile("^secret:found")).click()
    expect(page).to_have_url(re.compile(r"/console/secret\?id=arn"))
    page = visitor.open("audit", resource=made["ARN"], read="true")
    # The page of the secret has asked as well.
    expect(row(page, "user/finder").filter(has_text="DescribeSecret")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="CreateSecret")).to_have_count(0)
    request_id = made["ResponseMetadata"]["RequestId"]
    page = visitor.open("audit", request=request_id)
    page.get_by_role("link", name="CreateSecret").click()
    record = json.loads(page.get_by_role("region", name="The record as JSON").inner_text())
    assert (record["requestID"], record["userIdentity"]["userName"]) == (request_id, "finder")


def test_older_events_are_behind_a_link(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "busy")
    user.may(allow("*"))
    client = user.client("secretsmanager")
    for _ in range(55):
        client.list_secrets()
    page = visitor.open("audit", user="busy", event="ListSecrets")

    expect(page.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Older").click()

    expect(page.get_by_role("row")).to_have_count(6)
    expect(page.get_by_role("link", name="Older")).to_have_count(0)


def test_a_moment_that_is_none_is_told(visitor: Visitor) -> None:
    page = visitor.open("audit", **{"from": "yesterday"})

    expect(page.get_by_role("alert")).to_contain_text("“yesterday” is no moment")


def test_changes_come_first_and_reads_are_a_tab_away(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "reader")
    user.may(allow("*"))
    user.client("secretsmanager").create_secret(Name="read", SecretString="x")
    user.client("secretsmanager").get_secret_value(SecretId="read")

    page = visitor.open()
    page.get_by_role("navigation", name="Console").get_by_role("link", name="Audit").click()
    expect(page.get_by_role("link", name="Changes")).to_have_attribute("aria-current", "page")
    expect(row(page, "user/reader").filter(has_text="CreateSecret")).to_have_count(1)
    expect(page.get_by_role("row").filter(has_text="GetSecretValue")).to_have_count(0)

    page.get_by_text("Filters").click()
    page.get_by_label("User or session").fill("reader")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("row").filter(has_text="GetSecretValue")).to_have_count(1)
    page.get_by_role("link", name="All", exact=True).click()
    expect(page.get_by_role("link", name="All events")).to_have_attribute("aria-current", "page")
    page.get_by_role("link", name="Changes").click()
    expect(page.get_by_role("row").filter(has_text="GetSecretValue")).to_have_count(0)


def test_the_trail_is_unbroken(visitor: Visitor) -> None:
    page = visitor.open("audit")

    page.get_by_role("link", name="The trail").click()

    expect(page.get_by_text("unbroken")).to_be_visible()
    expect(page.get_by_role("region", name="Head")).to_have_text(re.compile(r"^\d+:[0-9a-f]{64}$"))


def test_what_events_say_does_not_run(visitor: Visitor, server: ServerProcess) -> None:
    hostile = Caller(server, "user", "mallory")
    with pytest.raises(ClientError):
        server.client("secretsmanager", hostile.credentials, user_agent=SCRIPT).describe_secret(SecretId="x")
    page = visitor.open("audit", denied="1")

    row(page, "user/mallory").get_by_role("link", name="why?").click()

    expect(page.get_by_role("region", name="The record as JSON")).to_contain_text("taken over")
    expect(page).to_have_title("DescribeSecret · Keyturn")
    page = visitor.open("audit", event=SCRIPT, user=SCRIPT)
    expect(page).to_have_title("Audit · Keyturn")


def test_who_may_not_look_sees_nothing_of_the_trail(new_visitor: NewVisitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "nobody")
    visitor = new_visitor()
    visitor.sign_in(user.credentials)

    page = visitor.open("audit")

    expect(page.locator(".withheld")).to_contain_text("is not authorized to perform: cloudtrail:LookupEvents")
    expect(page.get_by_text("unbroken")).to_have_count(0)
    expect(page.get_by_role("row")).to_have_count(0)


def test_who_may_look_and_not_change_is_offered_nothing(new_visitor: NewVisitor, server: ServerProcess) -> None:
    refused_once(Caller(server, "user", "poor"), "prod/db")
    auditor = Caller(server, "user", "auditor")
    auditor.may(allow(["cloudtrail:LookupEvents", "keyturn:LookupDeniedEvents", "sts:DecodeAuthorizationMessage"]))
    visitor = new_visitor()
    visitor.sign_in(auditor.credentials)

    page = visitor.open("audit", denied="1", user="poor")
    page.get_by_role("link", name="why?").first.click()

    expect(page.get_by_role("region", name="Command")).to_be_visible()
    expect(page.get_by_role("button", name="Add it to the user poor")).to_have_count(0)


@each_look
def test_the_pages_are_accessible(
    new_visitor: NewVisitor, server: ServerProcess, size: tuple[int, int], scheme: str
) -> None:
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.sign_in()
    user = Caller(server, "user")
    refused_once(user, "looked/at")
    [explained] = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": user.name}]
    )["Events"]

    for path, query in (
        ("audit", {}),
        ("audit", {"denied": "1", "event": "GetSecretValue"}),
        ("audit", {"event": "NoSuchEvent"}),
        ("audit/event", {"id": explained["EventId"]}),
        ("audit/trail", {}),
    ):
        visitor.open(path, **query)
        assert visitor.violations() == [], path
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
