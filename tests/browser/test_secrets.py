"""The pages of secrets: found, created, revealed, edited, labelled, deleted, as a person does it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import Credentials, ServerProcess, wait_until
from tests.e2e.rotation_function import create_rotation_function

from .conftest import NewVisitor, Visitor, each_look

SCRIPT = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def secretsmanager(server: ServerProcess) -> Any:
    return server.client("secretsmanager")


def user_with(server: ServerProcess, name: str, *actions: str) -> Credentials:
    """A user who may do these things and no others."""
    iam = server.client("iam")
    iam.create_user(UserName=name)
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="inline", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(key["AccessKeyId"], key["SecretAccessKey"])


def buttons(page: Page) -> list[str]:
    """What the page offers to do, beside the frame."""
    main = page.get_by_role("main")
    return [*main.get_by_role("button").all_inner_texts(), *main.locator("a.button").all_inner_texts()]


# Finding.


def test_an_empty_list_teaches_how_to_begin(visitor: Visitor, server: ServerProcess) -> None:
    # Another region has no secrets.
    page = visitor.open("secrets")
    page.get_by_text("administrator").first.click()
    page.get_by_role("combobox", name="Region").select_option("eu-central-1")
    page.get_by_role("button", name="Apply").click()

    expect(page.get_by_text("No secret is here yet.")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Create a secret").first.click()
    expect(page.get_by_role("heading", name="Create a secret")).to_be_visible()


def test_secrets_are_found_while_one_types(visitor: Visitor, secretsmanager: Any) -> None:
    for name in ("find/app-db", "find/app", "find/other"):
        secretsmanager.create_secret(
            Name=name, SecretString="x", Description="Found by pear" if "other" in name else ""
        )
    page = visitor.open("secrets")

    # What has a separator begins a name.
    page.get_by_label("Search").press_sequentially("find/app")
    expect(page.get_by_role("link", name="find/other")).to_have_count(0)
    assert page.locator("td.name a").all_inner_texts() == ["find/app", "find/app-db"]

    page.get_by_label("Search").fill("pear")
    expect(page.locator("td.name a")).to_have_text(["find/other"])
    expect(page.locator("[data-found]")).to_have_text("1 secret")
    page.get_by_label("Search").fill("nothing-like-it")
    expect(page.get_by_text("No secret is found by this.")).to_be_visible()


def test_secrets_are_found_by_what_is_chosen_and_sorted(visitor: Visitor, secretsmanager: Any) -> None:
    for name, team in (("sort-b", "blue"), ("sort-a", "blue"), ("sort-c", "green")):
        secretsmanager.create_secret(Name=name, SecretString="x", Tags=[{"Key": "team", "Value": team}])
    page = visitor.open("secrets")

    page.get_by_label("In").select_option("tag-value")
    page.get_by_label("Search").fill("blue")
    expect(page.locator("td.name a")).to_have_text(["sort-a", "sort-b"])
    page.get_by_label("Sorted by").select_option("Created last")
    expect(page.locator("td.name a")).to_have_text(["sort-a", "sort-b"])
    expect(page.get_by_role("columnheader", name="Created")).to_be_visible()
    page.get_by_label("Sorted by").select_option("Created first")
    expect(page.locator("td.name a")).to_have_text(["sort-b", "sort-a"])


def test_a_long_list_has_pages(visitor: Visitor, secretsmanager: Any) -> None:
    for number in range(51):
        secretsmanager.create_secret(Name=f"page-{number:02}", SecretString="x")
    page = visitor.open("secrets", search="page-")

    expect(page.locator("td.name a")).to_have_count(50)
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("td.name a")).to_have_text(["page-50"])
    page.get_by_role("link", name="First page").click()
    expect(page.locator("td.name a").first).to_have_text("page-00")


def test_the_list_says_how_rotation_stands(visitor: Visitor, server: ServerProcess, secretsmanager: Any) -> None:
    broken = "def lambda_handler(event, context):\n    raise ValueError('broken')\n"
    function_arn = create_rotation_function(server, "never-rotates", broken)
    made = secretsmanager.create_secret(Name="stands/broken", SecretString="x")
    secretsmanager.create_secret(Name="stands/still", SecretString="x")
    rules = {"AutomaticallyAfterDays": 30}
    secretsmanager.rotate_secret(SecretId=made["ARN"], RotationLambdaARN=function_arn, RotationRules=rules)

    def has_failed() -> bool:
        planned = server.client("keyturn").list_planned_rotations(SecretARNs=[made["ARN"]])["PlannedRotations"]
        return bool(planned[0].get("Cause"))

    wait_until(has_failed, "the first attempt has failed", server)
    page = visitor.open("secrets", search="stands/")
    rows = page.get_by_role("row").filter(has_text="stands/")
    expect(rows.nth(0)).to_contain_text("never-rotates")
    expect(rows.nth(0)).to_contain_text(re.compile("tries again|rotation failed"))
    expect(rows.nth(1)).to_contain_text("none")
    rows.nth(0).get_by_role("link", name="stands/broken").click()
    expect(page.get_by_text(re.compile("tries again|rotation failed"))).to_be_visible()


def test_the_list_works_without_scripts(new_visitor: NewVisitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="still-there", SecretString="x")
    visitor = new_visitor(java_script_enabled=False)
    page = visitor.sign_in()
    visitor.open("secrets")

    page.get_by_label("Search").fill("still-there")
    page.get_by_label("Search").press("Enter")

    expect(page.locator("td.name a")).to_have_text(["still-there"])


# Creating.


def test_a_database_secret_is_created_as_functions_read_it(visitor: Visitor, secretsmanager: Any) -> None:
    page = visitor.open("secrets")
    page.get_by_role("main").get_by_role("link", name="Create a secret").first.click()
    page.get_by_role("combobox", name="Engine").select_option("PostgreSQL")
    page.get_by_label("Host").fill("db.example")
    page.get_by_label("Database name").fill("orders")
    page.get_by_label("User name").fill("app")
    page.get_by_label(re.compile("^Password")).fill("hunter2")
    page.get_by_label(re.compile("^Name")).fill("made/orders")
    page.get_by_label("Description").fill("The orders")
    page.get_by_label("Tag 1", exact=True).fill("team")
    page.get_by_label("Value of tag 1").fill("orders")
    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("status")).to_have_text("made/orders is created.")
    expect(page.get_by_role("heading", name="Next: let it rotate")).to_be_visible()
    # The next step.
    expect(page.get_by_role("link", name="Set up rotation").first).to_be_visible()
    stored = secretsmanager.get_secret_value(SecretId="made/orders")["SecretString"]
    assert json.loads(stored) == {
        "engine": "postgres",
        "host": "db.example",
        "port": 5432,
        "dbname": "orders",
        "username": "app",
        "password": "hunter2",
    }
    described = secretsmanager.describe_secret(SecretId="made/orders")
    assert described["Description"] == "The orders"
    assert described["Tags"] == [{"Key": "team", "Value": "orders"}]


def test_what_is_missing_is_told_and_nothing_that_was_typed_is_lost(visitor: Visitor) -> None:
    page = visitor.open("secrets/new")
    page.get_by_role("combobox", name="Engine").select_option("Db2")
    page.get_by_label("Host").fill("db.example")
    page.get_by_label("User name").fill("app")
    page.get_by_label(re.compile("^Password")).fill("hunter2")
    page.get_by_label(re.compile("^Name")).fill("made/db2")
    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("alert")).to_contain_text("dbname key is missing")
    expect(page.get_by_label("Host")).to_have_value("db.example")
    expect(page.get_by_role("combobox", name="Engine")).to_have_value("db2")
    expect(page.get_by_label(re.compile("^Password"))).to_have_value("hunter2")


def test_a_generated_password_goes_into_keys_and_values(visitor: Visitor, secretsmanager: Any) -> None:
    page = visitor.open("secrets/new", kind="pairs")
    page.get_by_label("Key 1").fill("user")
    page.get_by_label("Value 1").fill("app")
    page.get_by_label("Key 2").fill("password")
    page.get_by_text("Generate a password").click()
    page.get_by_label("Length").fill("40")
    page.get_by_label("without punctuation").check()
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_label("Value 2")).to_have_value(re.compile("^[A-Za-z0-9]{40}$"))
    password = page.get_by_label("Value 2").input_value()
    page.get_by_role("button", name="More rows").first.click()
    expect(page.get_by_label("Key 8")).to_be_visible()
    page.get_by_label("Key 8").fill("note")
    page.get_by_label("Value 8").fill("two\nlines ünd 'quotes'")
    page.get_by_label(re.compile("^Name")).fill("made/pairs")
    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("status")).to_have_text("made/pairs is created.")
    expect(page.get_by_role("heading", name="Next: let it rotate")).to_have_count(0)
    stored = json.loads(secretsmanager.get_secret_value(SecretId="made/pairs")["SecretString"])
    assert stored == {"user": "app", "password": password, "note": "two\nlines ünd 'quotes'"}


def test_a_secret_is_created_by_keyboard_alone(visitor: Visitor, secretsmanager: Any) -> None:
    page = visitor.open("secrets/new", kind="text")
    press = page.keyboard.press
    while not page.get_by_role("textbox", name="Text", exact=True).evaluate("each => each === document.activeElement"):
        press("Tab")
    page.keyboard.type("by hand")
    while not page.get_by_label(re.compile("^Name")).evaluate("each => each === document.activeElement"):
        press("Tab")
    page.keyboard.type("made/keyboard")
    # Enter creates; it does not press the first button of the page, whatever that is.
    press("Enter")

    expect(page.get_by_role("status")).to_have_text("made/keyboard is created.")
    while not page.get_by_role("button", name="Reveal", exact=True).first.evaluate(
        "each => each === document.activeElement"
    ):
        press("Tab")
    press("Enter")
    expect(page.get_by_text("by hand")).to_be_visible()
    assert secretsmanager.get_secret_value(SecretId="made/keyboard")["SecretString"] == "by hand"


# Looking at a value, and changing it.


def test_a_value_is_revealed_on_purpose_and_hidden_again(visitor: Visitor, secretsmanager: Any) -> None:
    made = secretsmanager.create_secret(Name="reveal/me", SecretString='{"user": "app", "password": "sesame"}')
    page = visitor.open("secret", id="reveal/me")
    assert "sesame" not in page.content()

    page.get_by_role("button", name="Reveal", exact=True).first.click()
    expect(page.get_by_role("cell", name="sesame")).to_be_visible()
    page.reload()
    expect(page.get_by_text("hidden", exact=True)).to_be_visible()
    assert "sesame" not in page.content()

    page.get_by_role("button", name="Reveal", exact=True).first.click()
    expect(page.get_by_role("cell", name="sesame")).to_be_visible()
    # A browser may keep a page that is left, and show it again for its Back button; this one is told not to.
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    assert "sesame" not in page.content()
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    expect(page.get_by_text("hidden", exact=True)).to_be_visible()

    events = visitor.server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "GetSecretValue"}]
    )["Events"]
    assert [event for event in events if made["ARN"] in event["CloudTrailEvent"]]


def test_a_value_is_copied(new_visitor: NewVisitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="copy/me", SecretString="\nfirst line is empty\n  and spaces  ")
    visitor = new_visitor(permissions=["clipboard-read", "clipboard-write"])
    page = visitor.sign_in()
    visitor.open("secret", id="copy/me")
    page.get_by_role("button", name="Reveal", exact=True).first.click()
    page.locator("#value-text + button").click()

    assert page.evaluate("navigator.clipboard.readText()") == "\nfirst line is empty\n  and spaces  "


def test_a_binary_value_is_downloaded(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="some/blob", SecretBinary=b"\0\1\xff")
    page = visitor.open("secret", id="some/blob")
    page.get_by_role("button", name="Reveal", exact=True).first.click()
    expect(page.get_by_text("3 B that are no text")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("button", name="Download").click()

    assert downloading.value.suggested_filename == "blob.bin"
    assert downloading.value.path().read_bytes() == b"\0\1\xff"


def test_a_value_is_edited_and_what_is_no_text_keeps_its_kind(visitor: Visitor, secretsmanager: Any) -> None:
    value = {"user": "app", "port": 5432, "tls": True, "hosts": ["a", "b"]}
    secretsmanager.create_secret(Name="edit/me", SecretString=json.dumps(value))
    page = visitor.open("secret", id="edit/me")
    page.get_by_role("button", name="Edit value").click()
    page.get_by_label("Value 1").fill("other")
    page.get_by_label("Key 5").fill("more")
    page.get_by_label("Value 5").fill("7")
    page.get_by_role("button", name="Store").click()

    expect(page.get_by_role("status")).to_have_text("The new value is stored, and current.")
    stored = json.loads(secretsmanager.get_secret_value(SecretId="edit/me")["SecretString"])
    assert stored == {**value, "user": "other", "more": "7"}


def test_keys_and_values_are_edited_as_text_and_back(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="edit/text", SecretString='{"a": "1"}')
    page = visitor.open("secret", id="edit/text")
    page.get_by_role("button", name="Edit value").click()
    page.get_by_label("Value 1").fill("2")
    page.get_by_role("button", name="As JSON text").click()
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value('{"a": "2"}')
    page.get_by_role("button", name="As keys and values").click()
    expect(page.get_by_label("Value 1")).to_have_value("2")
    page.get_by_role("button", name="As JSON text").click()
    page.get_by_role("textbox", name="Text", exact=True).fill("\n\nplain\n")
    page.get_by_role("button", name="Store").click()

    expect(page.get_by_role("status")).to_have_text("The new value is stored, and current.")
    assert secretsmanager.get_secret_value(SecretId="edit/text")["SecretString"] == "\n\nplain\n"


def test_two_editors_do_not_overwrite_each_other_unawares(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="edit/both", SecretString="before")
    page = visitor.open("secret", id="edit/both")
    page.get_by_role("button", name="Edit value").click()
    secretsmanager.put_secret_value(SecretId="edit/both", SecretString="theirs")
    page.get_by_role("textbox", name="Text", exact=True).fill("mine")
    page.get_by_role("button", name="Store").click()

    expect(page.get_by_role("alert")).to_contain_text("Somebody has stored another value since you began")
    assert secretsmanager.get_secret_value(SecretId="edit/both")["SecretString"] == "theirs"
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value("mine")

    page.get_by_role("button", name="Store nevertheless").click()
    expect(page.get_by_role("status")).to_contain_text("stored")
    assert secretsmanager.get_secret_value(SecretId="edit/both")["SecretString"] == "mine"
    previous = secretsmanager.get_secret_value(SecretId="edit/both", VersionStage="AWSPREVIOUS")
    assert previous["SecretString"] == "theirs"


def test_description_and_key_are_changed(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="settings", SecretString="x", Description="before")
    key = visitor.server.client("kms").create_key()["KeyMetadata"]["KeyId"]
    page = visitor.open("secret", id="settings")
    page.get_by_text("Change description and key").click()
    page.get_by_label("Description").fill("after")
    page.get_by_label("KMS key").fill(key)
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status")).to_have_text("Saved.")
    described = secretsmanager.describe_secret(SecretId="settings")
    assert (described["Description"], described["KmsKeyId"].rpartition("/")[2]) == ("after", key)

    page.get_by_text("Change description and key").click()
    page.get_by_label("KMS key").fill("alias/nothing")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("KMS key")).to_have_value("alias/nothing")


# Versions and labels.


def test_versions_are_drawn_newest_first_with_their_labels(visitor: Visitor, secretsmanager: Any) -> None:
    ids = [secretsmanager.create_secret(Name="labels/draw", SecretString="0")["VersionId"]]
    ids += [
        secretsmanager.put_secret_value(SecretId="labels/draw", SecretString=str(n))["VersionId"] for n in (1, 2, 3)
    ]
    secretsmanager.update_secret_version_stage(SecretId="labels/draw", VersionStage="good", MoveToVersionId=ids[0])
    page = visitor.open("secret", id="labels/draw")

    drawn = page.get_by_role("list", name="Versions, newest first").get_by_role("listitem")
    expect(drawn).to_have_count(3)
    for entry, version_id, label in zip(
        drawn.all(), (ids[3], ids[2], ids[0]), ("AWSCURRENT", "AWSPREVIOUS", "good"), strict=True
    ):
        expect(entry).to_contain_text(version_id)
        expect(entry.locator(".flag")).to_have_text(label)
    page.get_by_text("1 older version without a label").click()
    page.get_by_role("button", name=f"Reveal version {ids[1]}").click()
    expect(page.locator("#value-text")).to_have_text("1")


def test_a_version_is_made_current_again(visitor: Visitor, secretsmanager: Any) -> None:
    first = secretsmanager.create_secret(Name="labels/back", SecretString="old")["VersionId"]
    secretsmanager.put_secret_value(SecretId="labels/back", SecretString="new")
    page = visitor.open("secret", id="labels/back")
    page.get_by_role("link", name=f"Labels of version {first}").click()
    button = page.get_by_role("button", name="Make this version current")
    expect(button).to_be_disabled()
    page.get_by_label("Type AWSCURRENT to confirm").fill("AWSCURRENT")
    button.click()

    expect(page.get_by_role("status")).to_have_text(f"AWSCURRENT is on version {first} now.")
    assert secretsmanager.get_secret_value(SecretId="labels/back")["SecretString"] == "old"
    assert secretsmanager.get_secret_value(SecretId="labels/back", VersionStage="AWSPREVIOUS")["SecretString"] == "new"


def test_a_label_that_somebody_has_moved_meanwhile_is_not_moved(visitor: Visitor, secretsmanager: Any) -> None:
    first = secretsmanager.create_secret(Name="labels/both", SecretString="old")["VersionId"]
    secretsmanager.put_secret_value(SecretId="labels/both", SecretString="new")
    page = visitor.open("secret/labels", id="labels/both", version=first)
    page.get_by_label("Type AWSCURRENT to confirm").fill("AWSCURRENT")
    secretsmanager.put_secret_value(SecretId="labels/both", SecretString="newest")
    page.get_by_role("button", name="Make this version current").click()

    expect(page.get_by_role("alert").first).to_contain_text("must be set to the version that currently has")
    assert secretsmanager.get_secret_value(SecretId="labels/both")["SecretString"] == "newest"


def test_a_label_of_ones_own_is_given_and_taken_off(visitor: Visitor, secretsmanager: Any) -> None:
    version = secretsmanager.create_secret(Name="labels/own", SecretString="x")["VersionId"]
    page = visitor.open("secret/labels", id="labels/own", version=version)
    page.get_by_label("Label", exact=False).last.fill("blue")
    page.get_by_role("button", name="Give it to this version").click()
    expect(page.get_by_role("status")).to_have_text(f"blue is on version {version} now.")
    page.get_by_role("link", name=f"Labels of version {version}").click()
    page.get_by_role("button", name="Take blue off").click()

    expect(page.get_by_role("status")).to_have_text("blue was taken off.")
    assert secretsmanager.describe_secret(SecretId="labels/own")["VersionIdsToStages"] == {version: ["AWSCURRENT"]}


# Deleting and restoring; replicas.


def test_a_secret_is_deleted_by_its_name_and_restored(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="leave/me", SecretString="x")
    page = visitor.open("secret", id="leave/me")
    page.get_by_role("link", name="Delete this secret").click()
    page.get_by_label("Days of the recovery window").fill("9")
    page.get_by_label("Type the name").fill("leave/m")
    expect(page.get_by_role("button", name="Delete")).to_be_disabled()
    page.get_by_label("Type the name").fill("leave/me")
    page.get_by_role("button", name="Delete").click()

    expect(page.get_by_role("status")).to_contain_text("It can be restored until")
    assert "DeletedDate" in secretsmanager.describe_secret(SecretId="leave/me")
    visitor.open("secrets", search="leave/")
    expect(page.get_by_text("No secret is found by this.")).to_be_visible()
    page.get_by_label("deleted, too").check()
    page.get_by_role("link", name="leave/me").click()
    assert "Reveal" not in buttons(page)
    page.get_by_role("button", name="Restore this secret").click()
    expect(page.get_by_role("status")).to_have_text("The secret is restored.")
    assert "DeletedDate" not in secretsmanager.describe_secret(SecretId="leave/me")


def test_the_server_asks_for_the_name_as_well(new_visitor: NewVisitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="keep/me", SecretString="x")
    visitor = new_visitor(java_script_enabled=False)
    page = visitor.sign_in()
    visitor.open("secret/delete", id="keep/me")
    page.get_by_label("Now, for ever").check()
    page.get_by_role("button", name="Delete").click()

    expect(page.get_by_role("alert")).to_contain_text("type keep/me to confirm")
    assert "DeletedDate" not in secretsmanager.describe_secret(SecretId="keep/me")
    # And does it when it is typed.
    expect(page.get_by_label("Now, for ever")).to_be_checked()
    page.get_by_label("Type the name").fill("keep/me")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status")).to_have_text("keep/me is erased.")
    with pytest.raises(secretsmanager.exceptions.ResourceNotFoundException):
        secretsmanager.describe_secret(SecretId="keep/me")


def test_replicas_are_made_removed_and_promoted(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(Name="copied", SecretString="x")
    page = visitor.open("secret", id="copied")
    page.get_by_text("Replicate to another region").click()
    page.get_by_role("main").get_by_role("combobox", name="Region").select_option("eu-west-1")
    page.get_by_role("button", name="Replicate").click()
    expect(page.locator(".replicas")).to_contain_text("InSync")

    page.get_by_text("Remove", exact=False).first.click()
    page.get_by_label("Type eu-west-1 to confirm").fill("eu-west-1")
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("status")).to_have_text("The replica in eu-west-1 is removed.")
    assert not secretsmanager.describe_secret(SecretId="copied").get("ReplicationStatus")

    secretsmanager.replicate_secret_to_regions(SecretId="copied", AddReplicaRegions=[{"Region": "eu-west-2"}])
    page.get_by_text("administrator").first.click()
    page.get_by_role("banner").get_by_role("combobox", name="Region").select_option("eu-west-2")
    page.get_by_role("button", name="Apply").click()
    visitor.open("secret", id="copied")
    expect(page.get_by_text("This is a replica of the secret in us-east-1")).to_be_visible()
    assert "Edit value" not in buttons(page)
    page.get_by_text("Make it a secret of its own").click()
    page.get_by_label("Type the name").fill("copied")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("button", name="Edit value")).to_be_visible()


# What one may, and what was stored to do harm.


def test_who_may_only_look_is_offered_nothing_else(
    new_visitor: NewVisitor, server: ServerProcess, secretsmanager: Any
) -> None:
    secretsmanager.create_secret(Name="look/only", SecretString="sesame")
    reader = user_with(
        server, "reader", "secretsmanager:Describe*", "secretsmanager:List*", "secretsmanager:GetResourcePolicy"
    )
    visitor = new_visitor()
    page = visitor.sign_in(reader)

    visitor.open("secrets", search="look/only")
    assert buttons(page) == ["Search"]
    visitor.open("secret", id="look/only")
    assert set(buttons(page)) <= {"Copy"}
    expect(page.get_by_text("do not allow secretsmanager:GetSecretValue")).to_be_visible()
    visitor.open("secret/access", id="look/only")
    assert set(buttons(page)) <= {"Copy"}
    for path in ("secret/delete", "secret/labels"):
        visitor.open(
            path,
            id="look/only",
            version=secretsmanager.describe_secret(SecretId="look/only")["VersionIdsToStages"].copy().popitem()[0],
        )
        expect(page.get_by_text("Your policies do not allow")).to_be_visible()


def test_a_form_that_is_sent_nevertheless_is_refused(
    new_visitor: NewVisitor, server: ServerProcess, secretsmanager: Any
) -> None:
    secretsmanager.create_secret(Name="look/refused", SecretString="sesame")
    reader = user_with(server, "blind", "secretsmanager:Describe*", "secretsmanager:List*")
    visitor = new_visitor()
    page = visitor.sign_in(reader)
    visitor.open("secret", id="look/refused")
    # As somebody would whose rights were taken while they looked.
    page.evaluate(
        """() => {
            const form = document.createElement("form");
            form.method = "post";
            form.append(document.querySelector("input[name=csrf_token]").cloneNode());
            document.querySelector("main").append(form);
            form.submit();
        }"""
    )

    expect(page.get_by_role("alert")).to_contain_text("Not allowed")
    expect(page.get_by_role("alert")).to_contain_text("secretsmanager:GetSecretValue")
    assert "sesame" not in page.content()


def test_who_may_only_read_the_value_can_do_that(
    new_visitor: NewVisitor, server: ServerProcess, secretsmanager: Any
) -> None:
    secretsmanager.create_secret(Name="value/only", SecretString="sesame")
    application = user_with(server, "application", "secretsmanager:GetSecretValue")
    visitor = new_visitor()
    page = visitor.sign_in(application)
    visitor.open("secret", id="value/only")

    expect(page.locator(".withheld").first).to_contain_text("secretsmanager:DescribeSecret")
    page.get_by_role("button", name="Reveal", exact=True).click()
    expect(page.get_by_text("sesame")).to_be_visible()


def test_a_secret_that_there_is_not_is_not_found(visitor: Visitor) -> None:
    page = visitor.open("secret", id="no/such")
    expect(page.get_by_role("heading", name="Not found")).to_be_visible()


def test_nothing_that_was_stored_runs(visitor: Visitor, secretsmanager: Any) -> None:
    secretsmanager.create_secret(
        Name="script/here",
        Description=SCRIPT,
        SecretString=json.dumps({SCRIPT: SCRIPT}),
        Tags=[{"Key": "k", "Value": "a"}],
    )
    secretsmanager.create_secret(Name="script/text", SecretString=f"</pre></textarea>{SCRIPT}")
    for name, query in (
        ("secrets", {"search": "script/"}),
        ("secret", {"id": "script/here"}),
        ("secret/delete", {"id": "script/here"}),
    ):
        page = visitor.open(name, **query)
        expect(page).not_to_have_title("taken")
    page = visitor.open("secret", id="script/here")
    page.get_by_role("button", name="Reveal", exact=True).first.click()
    expect(page.locator("code.value")).to_have_text(SCRIPT)
    visitor.open("secret", id="script/here")
    page.get_by_role("button", name="Edit value").click()
    expect(page.get_by_label("Value 1")).to_have_value(SCRIPT)
    visitor.open("secret", id="script/text")
    page.get_by_role("button", name="Edit value").click()
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_have_value(f"</pre></textarea>{SCRIPT}")
    # What a link brings is shown as text as well.
    visitor.open("secrets", search=SCRIPT, sort="name")
    expect(page.get_by_label("Search")).to_have_value(SCRIPT)
    visitor.open("secret", id=SCRIPT)
    expect(page).not_to_have_title("taken")
    assert page.locator("main img, main script").count() == 0


@each_look
def test_the_pages_are_accessible(
    new_visitor: NewVisitor, secretsmanager: Any, size: tuple[int, int], scheme: str
) -> None:
    name = f"accessible/{scheme}-{size[0]}"
    made = secretsmanager.create_secret(
        Name=name, SecretString='{"a": "1"}', Description="Some words", Tags=[{"Key": "k", "Value": "v"}]
    )
    secretsmanager.replicate_secret_to_regions(SecretId=name, AddReplicaRegions=[{"Region": "eu-west-1"}])
    secretsmanager.put_secret_value(SecretId=name, SecretString='{"a": "2"}')
    visitor = new_visitor(size=size, color_scheme=scheme)
    page = visitor.sign_in()
    found = {}
    for path in ("secrets", "secrets/new", "secret", "secret/edit", "secret/labels", "secret/delete", "secret/access"):
        visitor.open(path, id=made["ARN"], version=made["VersionId"])
        page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
        found[path] = visitor.violations()
        # Nothing makes the page itself wider than the screen.
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
    visitor.open("secret", id=made["ARN"])
    page.get_by_role("button", name="Reveal", exact=True).first.click()
    found["revealed"] = visitor.violations()
    assert {path: violations for path, violations in found.items() if violations} == {}
