"""A secret's policy and tags: written, checked with line and column, put, taken off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import ServerProcess

from .conftest import NewVisitor, Visitor
from .test_secrets import SCRIPT, user_with


@pytest.fixture(scope="module")
def secretsmanager(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


def policy(server: ServerProcess, **statement: Any) -> str:
    """A policy of one statement."""
    principal = {"AWS": f"arn:aws:iam::{server.account_id}:root"}
    whole = {"Effect": "Allow", "Principal": principal, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**whole, **statement}]}, indent=1)


def test_a_policy_is_put_and_deleted_by_name(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="policy/put", SecretString="x")
    text = policy(visitor.server, Sid="All")
    page = visitor.open("secret/access", id="policy/put")
    expect(page.get_by_text("An example to begin with")).to_be_visible()
    page.get_by_role("textbox", name="Policy").fill(text)
    page.get_by_role("button", name="Put the policy").click()

    expect(page.get_by_role("status")).to_have_text("The policy is put, and holds from now on.")
    stored = secretsmanager.get_resource_policy(SecretId="policy/put")["ResourcePolicy"]
    assert json.loads(stored) == json.loads(text)

    page.get_by_text("Delete the policy").first.click()
    expect(page.get_by_role("button", name="Delete the policy")).to_be_disabled()
    page.get_by_label("Type the name").fill("policy/put")
    page.get_by_role("button", name="Delete the policy").click()
    expect(page.get_by_role("status")).to_have_text("The policy is deleted.")
    assert "ResourcePolicy" not in secretsmanager.get_resource_policy(SecretId="policy/put")


def test_what_is_wrong_is_told_with_line_and_column_and_put_right(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="policy/wrong", SecretString="x")
    text = policy(visitor.server).replace('"Effect"', '"Efect"').replace('"*"', '"*",')
    lines = text.splitlines()
    place = next((number, line.index('"Efect"') + 1) for number, line in enumerate(lines, 1) if '"Efect"' in line)
    page = visitor.open("secret/access", id="policy/wrong")
    page.get_by_role("textbox", name="Policy").fill(text)
    page.get_by_role("button", name="Put the policy").click()

    expect(page.get_by_role("alert")).to_contain_text("The policy was not put")
    expect(page.locator(".faults")).to_contain_text(f"Line {place[0]}, column {place[1]}:")
    expect(page.locator(".faults li")).to_have_count(2)
    expect(page.get_by_role("textbox", name="Policy")).to_have_value(text)
    assert "ResourcePolicy" not in secretsmanager.get_resource_policy(SecretId="policy/wrong")

    page.get_by_text("The text put right").click()
    page.get_by_role("button", name="Put this into the editor").click()
    expect(page.get_by_text("The policy is well-formed.")).to_be_visible()
    page.get_by_role("button", name="Put the policy").click()
    expect(page.get_by_role("status")).to_have_text("The policy is put, and holds from now on.")
    assert "ResourcePolicy" in secretsmanager.get_resource_policy(SecretId="policy/wrong")


def test_what_speaks_against_a_policy_is_told_before_it_is_put(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="policy/public", SecretString="x")
    page = visitor.open("secret/access", id="policy/public")
    page.get_by_role("textbox", name="Policy").fill(policy(visitor.server, Principal="*"))
    page.get_by_role("button", name="Check only").click()
    expect(page.get_by_text("BlockPublicPolicyCheck")).to_be_visible()

    page.get_by_role("button", name="Put the policy").click()
    expect(page.get_by_role("alert")).to_contain_text("PublicPolicyException")
    page.get_by_label("refuse a policy that gives broad access").uncheck()
    page.get_by_role("button", name="Put the policy").click()
    expect(page.get_by_role("status")).to_have_text("The policy is put, and holds from now on.")


def test_two_who_write_a_policy_do_not_overwrite_each_other_unawares(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="policy/both", SecretString="x")
    theirs, mine = policy(visitor.server, Sid="Theirs"), policy(visitor.server, Sid="Mine")
    page = visitor.open("secret/access", id="policy/both")
    page.get_by_role("textbox", name="Policy").fill(mine)
    secretsmanager.put_resource_policy(SecretId="policy/both", ResourcePolicy=theirs)
    page.get_by_role("button", name="Put the policy").click()

    expect(page.get_by_role("alert")).to_contain_text("Somebody has put another policy since you began")
    expect(page.get_by_role("textbox", name="Policy")).to_have_value(mine)
    page.get_by_role("button", name="Put the policy").click()
    expect(page.get_by_role("status")).to_contain_text("The policy is put")
    assert "Mine" in secretsmanager.get_resource_policy(SecretId="policy/both")["ResourcePolicy"]


def test_tags_are_changed_and_what_others_add_stays(visitor: Visitor, secretsmanager: Any) -> None:
    tags = [{"Key": "team", "Value": "blue"}, {"Key": "old", "Value": "1"}]
    secretsmanager.create_secret(Name="tags", SecretString="x", Tags=tags)
    page = visitor.open("secret/access", id="tags")
    page.get_by_label("Value of tag 1").fill("green")
    page.get_by_label("Tag 2", exact=True).fill("")
    page.get_by_label("Value of tag 2").fill("")
    page.get_by_label("Tag 3", exact=True).fill("new")
    secretsmanager.tag_resource(SecretId="tags", Tags=[{"Key": "theirs", "Value": "2"}])
    page.get_by_role("button", name="Save tags").click()

    expect(page.get_by_role("status")).to_have_text("The tags are saved.")
    stored = {tag["Key"]: tag["Value"] for tag in secretsmanager.describe_secret(SecretId="tags")["Tags"]}
    assert stored == {"team": "green", "theirs": "2", "new": ""}

    page.get_by_label("Value of tag 4").fill("of nothing")
    page.get_by_role("button", name="Save tags").click()
    expect(page.get_by_role("alert")).to_contain_text("A tag has a value and no key")
    expect(page.get_by_label("Value of tag 4")).to_have_value("of nothing")


def test_who_may_look_reads_policy_and_tags(
    new_visitor: NewVisitor, server: ServerProcess, secretsmanager: Any
) -> None:
    secretsmanager.create_secret(Name="policy/look", SecretString="x", Tags=[{"Key": "team", "Value": "blue"}])
    secretsmanager.put_resource_policy(SecretId="policy/look", ResourcePolicy=policy(server, Sid="Shown"))
    visitor = new_visitor()
    page = visitor.sign_in(
        user_with(server, "watcher", "secretsmanager:DescribeSecret", "secretsmanager:GetResourcePolicy")
    )
    visitor.open("secret/access", id="policy/look")

    expect(page.get_by_text('"Sid" : "Shown"')).to_be_visible()
    expect(page.get_by_text("blue")).to_be_visible()
    assert page.get_by_role("main").locator("textarea, button:visible").count() == 0


def test_a_policy_that_holds_a_script_is_text(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="policy/script", SecretString="x")
    page = visitor.open("secret/access", id="policy/script")
    text = policy(visitor.server, Sid=f"</textarea>{SCRIPT}") + ","
    page.get_by_role("textbox", name="Policy").fill(text)
    page.get_by_role("button", name="Check only").click()
    expect(page.locator(".faults li").first).to_be_visible()

    expect(page.get_by_role("textbox", name="Policy")).to_have_value(text)
    expect(page).not_to_have_title("taken")
    assert page.locator("main img, main script").count() == 0
    assert visitor.violations() == []


def test_a_policy_that_is_probably_not_meant_takes_a_second_word(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="access/slip", SecretString="x")
    slip = {"Effect": "Deny", "Principal": "*", "Action": "secretsmanager:DeleteSecrt", "Resource": "*"}
    page = visitor.open("secret/access", id="access/slip")
    page.get_by_label("Policy", exact=True).fill(json.dumps({"Version": "2012-10-17", "Statement": [slip]}))
    page.get_by_role("button", name="Put the policy").click()

    expect(page.get_by_text("DeleteSecret").first).to_be_visible()
    assert "ResourcePolicy" not in secretsmanager.get_resource_policy(SecretId="access/slip")
    page.get_by_label("Put it in spite of the warnings").check()
    page.get_by_role("button", name="Put the policy").click()

    expect(page.get_by_role("status")).to_contain_text("The policy is put")
    assert "DeleteSecrt" in secretsmanager.get_resource_policy(SecretId="access/slip")["ResourcePolicy"]
