"""Functions: the guide's way from the Monitoring tab to the log's lines, and everything else about a function."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.e2e.conftest import ServerProcess, wait_until

from keyturn.testing.functions import zip_package

from .conftest import NewVisitor, Visitor, each_look
from .functions import SOURCE, create_function, invoke, user_with

_TABS = ("monitoring", "code", "test", "configuration", "versions")
_HOSTILE = "<script>document.title = 'caught'</script>"


@pytest.fixture(scope="module")
def failing(server: ServerProcess) -> str:
    """A function that has failed once, between invocations that went well."""
    variables = {f"VARIABLE_{n}": "a value" for n in range(3)}
    create_function(server, "rotate-orders", Description=f"Rotates {_HOSTILE}", Environment={"Variables": variables})
    server.client("lambda").add_permission(
        FunctionName="rotate-orders",
        StatementId="a-statement-with-a-long-name",
        Action="lambda:InvokeFunction",
        Principal="secretsmanager.amazonaws.com",
        SourceAccount=server.account_id,
    )
    for event in ({"do": "nothing"}, {"do": "fail"}, {"do": "nothing"}):
        invoke(server, "rotate-orders", **event)
    return "rotate-orders"


def _open(visitor: Visitor, name: str, tab: str = "monitoring", **query: str) -> Page:
    return visitor.open("function", name=name, tab=tab, **query)


def test_the_guides_way_to_the_diagnostic_log(visitor: Visitor, failing: str) -> None:
    # Troubleshooting AWS Secrets Manager rotation: choose the function, Monitoring, Invocation errors, Jump to Logs.
    page = visitor.open("functions")
    expect(page.get_by_role("row", name=failing)).to_contain_text("1 error")
    page.get_by_role("link", name=failing).click()
    expect(page.get_by_role("link", name="Monitoring")).to_have_attribute("aria-current", "page")
    errors = page.locator("figure", has_text="Invocation errors")
    expect(errors).to_contain_text("1 error")
    expect(page.locator("figure", has_text="3 invocations")).to_be_visible()

    errors.locator("a.jump").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("Invocation")
    marked = page.locator(".lines .marked")
    expect(marked.filter(has_text="ValueError: the password was refused")).to_be_in_viewport()
    expect(marked.filter(has_text="asked to fail")).to_have_count(1)
    # The lines before and after are there too, and are others.
    expect(page.locator(".lines li:not(.marked)").filter(has_text="asked to nothing")).to_have_count(2)
    page.get_by_text("more lines").first.click()
    expect(page.get_by_text('raise ValueError("the password was refused")')).to_be_visible()


def tab_to(page: Page, wanted: Locator) -> None:
    """Go there with the tab key."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if wanted.evaluate("each => each === document.activeElement"):
            return
    raise AssertionError(f"the tab key does not lead to {wanted}")


def test_a_failed_invocation_leads_to_its_lines_without_a_mouse(visitor: Visitor, failing: str) -> None:
    page = _open(visitor, failing)
    row = page.get_by_role("row", name="ValueError: the password was refused")
    row.get_by_role("link", name="Jump to Logs").press("Enter")
    expect(page.locator(".lines .marked").filter(has_text="ValueError")).to_have_count(1)

    # The charts are for the mouse; the table beside them has the same links. Nothing but the keyboard leads there.
    _open(visitor, failing, over="1h")
    tab_to(page, page.get_by_text("The same numbers as a table"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("table").filter(has_text="Throttles").get_by_role("link", name="Jump to Logs"))
    page.keyboard.press("Enter")

    expect(page.locator(".lines .marked").filter(has_text="ValueError")).to_have_count(1)


def test_each_kind_of_failure_is_told_in_text_and_in_json(visitor: Visitor, server: ServerProcess) -> None:
    for name, settings in (("of-text", {}), ("of-json", {"LoggingConfig": {"LogFormat": "JSON"}})):
        create_function(server, name, Timeout=1, **settings)
        for do in ("fail", "exit", "sleep", "nothing"):
            invoke(server, name, do=do)

        page = _open(visitor, name)

        failed = page.locator(".failures tbody tr")
        expect(failed).to_have_count(3)
        expect(failed.nth(0)).to_contain_text("Task timed out after 1.00 seconds" if name == "of-text" else "timeout")
        expect(failed.nth(1)).to_contain_text("exit status 3" if name == "of-text" else "Runtime.ExitError")
        expect(failed.nth(2)).to_contain_text("ValueError: the password was refused")


def test_a_failed_step_is_told_with_its_secret(visitor: Visitor, server: ServerProcess) -> None:
    arn = create_function(server, "steps")
    server.client("lambda").add_permission(
        FunctionName="steps", StatementId="s", Action="lambda:InvokeFunction", Principal="secretsmanager.amazonaws.com"
    )
    secrets = server.client("secretsmanager")
    secret = secrets.create_secret(Name="app/orders", SecretString="{}")["ARN"]
    secrets.rotate_secret(SecretId="app/orders", RotationLambdaARN=arn, RotationRules={"AutomaticallyAfterDays": 30})
    looked_up = {"LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": secret}]}

    def has_failed() -> bool:
        events = server.client("cloudtrail").lookup_events(**looked_up)["Events"]
        return any('"Step":"setSecret"' in event["CloudTrailEvent"] for event in events)

    wait_until(has_failed, "setSecret fails", server)

    page = _open(visitor, arn)

    row = page.locator(".failures").get_by_role("row", name="setSecret of app/orders").first
    expect(row).to_contain_text("ValueError: the password was refused")
    assert "secret/rotation" in (row.get_by_role("link", name="setSecret").get_attribute("href") or "")


def test_a_time_that_is_none_is_said_beside_the_page(visitor: Visitor, failing: str) -> None:
    page = _open(visitor, failing, **{"from": "yesterday"})

    expect(page.get_by_role("alert")).to_contain_text("“yesterday” is no moment.")
    expect(page.locator("figure", has_text="Invocation errors")).to_be_visible()


def test_a_function_is_created_and_tested(visitor: Visitor, server: ServerProcess, tmp_path: Path) -> None:
    package = tmp_path / "mine.zip"
    package.write_bytes(zip_package({"mine.py": SOURCE}))
    create_function(server, "lends-its-role")
    page = visitor.open("functions/new")
    page.get_by_label("Name").fill("mine")
    page.get_by_label("Package").set_input_files(package)
    page.get_by_role("textbox", name="Handler").fill("mine.lambda_handler")
    page.get_by_label("Execution role").fill(f"arn:aws:iam::{server.account_id}:role/lends-its-role")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("status")).to_contain_text("The function mine is made.")
    policy = json.loads(server.client("lambda").get_policy(FunctionName="mine")["Policy"])
    assert policy["Statement"][0]["Principal"] == {"Service": "secretsmanager.amazonaws.com"}

    page.get_by_label("Event, as JSON").fill('{\n  "do": nothing\n}')
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("line 2, column 9")
    expect(page.get_by_label("Event, as JSON")).to_have_value('{\n  "do": nothing\n}')

    page.get_by_label("Event, as JSON").fill(json.dumps({"do": "fail", "print": _HOSTILE}))
    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("ValueError: the password was refused")
    expect(page.get_by_label("The end of the log")).to_contain_text(_HOSTILE)
    page.get_by_text("Traceback", exact=True).click()
    expect(page.get_by_label("Traceback")).to_contain_text("in lambda_handler")
    page.get_by_role("link", name="Jump to Logs").click()
    expect(page.locator(".lines .marked").filter(has_text="ValueError")).to_have_count(1)


def test_a_form_that_is_refused_keeps_what_was_filled_in(visitor: Visitor, tmp_path: Path) -> None:
    package = tmp_path / "text.zip"
    package.write_bytes(b"no zip at all")
    page = visitor.open("functions/new")
    page.get_by_label("Name").fill("refused")
    page.get_by_label("Package").set_input_files(package)
    page.get_by_label("Execution role").fill("arn:aws:iam::000000000000:role/nobody")
    page.get_by_role("button", name="Create").click()

    expect(page.get_by_role("alert")).to_contain_text("role")
    expect(page.get_by_label("Name")).to_have_value("refused")


def test_the_event_of_a_rotation_step_is_filled_in(visitor: Visitor, server: ServerProcess, failing: str) -> None:
    secret = server.client("secretsmanager").create_secret(Name="app/filled", SecretString="{}")
    page = _open(visitor, failing, "test")
    page.get_by_role("textbox", name="Secret").fill("app/filled")
    page.get_by_label("Step").select_option("testSecret")
    page.get_by_role("button", name="Fill in the event of a rotation").click()

    event = json.loads(page.get_by_label("Event, as JSON").input_value())
    assert (event["Step"], event["SecretId"]) == ("testSecret", secret["ARN"])
    expect(page.get_by_text("The secret has no version AWSPENDING")).to_be_visible()


def test_the_code_is_shown_and_replaced(visitor: Visitor, server: ServerProcess, tmp_path: Path) -> None:
    hostile = f"{_HOSTILE}.txt".replace("/", "_")
    create_function(server, "coded", files={hostile: _HOSTILE, "binary.so": b"\x7fELF\x00"})
    page = _open(visitor, "coded", "code")
    expect(page.get_by_label("Content of lambda_function.py")).to_contain_text("raise ValueError")
    page.get_by_role("link", name=hostile).click()
    expect(page.get_by_label(f"Content of {hostile}")).to_have_text(_HOSTILE)
    page.get_by_role("link", name="binary.so").click()
    expect(page.get_by_text("It is not text.")).to_be_visible()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download the package").click()
    assert waiting.value.suggested_filename == "coded.zip"
    with zipfile.ZipFile(io.BytesIO(waiting.value.path().read_bytes())) as archive:
        assert archive.read(hostile).decode() == _HOSTILE

    package = tmp_path / "new.zip"
    package.write_bytes(zip_package({"lambda_function.py": "def lambda_handler(event, context):\n    return 'new'\n"}))
    page.get_by_text("Upload new code").click()
    page.get_by_label("Package").set_input_files(package)
    page.get_by_role("button", name="Upload").click()

    expect(page.get_by_label("Content of lambda_function.py")).to_contain_text("return 'new'")
    answer = server.client("lambda").invoke(FunctionName="coded", Payload="{}")
    assert answer["Payload"].read() == b'"new"'


def test_values_of_variables_are_hidden_until_they_are_revealed(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "configured", Environment={"Variables": {"TOKEN": "a-value-to-hide", "OTHER": _HOSTILE}})
    page = _open(visitor, "configured", "configuration")
    expect(page.get_by_role("cell", name="TOKEN", exact=True)).to_be_visible()
    assert "a-value-to-hide" not in page.content()

    page.get_by_role("button", name="Reveal the values").click()
    expect(page.get_by_role("cell", name="a-value-to-hide")).to_be_visible()
    expect(page.get_by_role("cell", name=_HOSTILE)).to_be_visible()

    page.get_by_label("Variable").fill("NEW")
    page.get_by_label("Value").fill("set here")
    page.get_by_role("button", name="Set", exact=True).first.click()
    expect(page.get_by_role("status")).to_contain_text("The variable NEW is set.")
    page.get_by_role("button", name="Remove TOKEN").click()
    expect(page.get_by_role("status")).to_contain_text("The variable TOKEN is gone.")
    configuration = server.client("lambda").get_function_configuration(FunctionName="configured")
    assert configuration["Environment"]["Variables"] == {"NEW": "set here", "OTHER": _HOSTILE}


def test_settings_concurrency_and_policy_are_changed(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "changed")
    functions = server.client("lambda")
    page = _open(visitor, "changed", "configuration")
    page.get_by_label("Time limit in seconds").fill("soon")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_role("alert")).to_contain_text("The time limit is a whole number.")
    page.get_by_label("Time limit in seconds").fill("77")
    page.get_by_label("Description").fill("Described")
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_label("Time limit in seconds")).to_have_value("77")
    changed = functions.get_function_configuration(FunctionName="changed")
    assert (changed["Timeout"], changed["Description"]) == (77, "Described")

    page.get_by_label("Reserved concurrency").fill("2")
    page.locator("form", has_text="Reserved concurrency").get_by_role("button").click()
    expect(page.get_by_text("At most 2 invocations at once.")).to_be_visible()

    expect(page.get_by_text("no secret can rotate by it")).to_be_visible()
    page.get_by_role("button", name="Let Secrets Manager invoke it").click()
    expect(page.get_by_text("no secret can rotate by it")).to_have_count(0)
    # For no other account's secrets: that would be a confused deputy.
    [permission] = json.loads(functions.get_policy(FunctionName="changed")["Policy"])["Statement"]
    assert permission["Condition"] == {"StringEquals": {"AWS:SourceAccount": server.account_id}}
    page.get_by_text("Remove SecretsManagerAccess").click()
    expect(page.get_by_role("button", name="Remove this statement")).to_be_disabled()
    page.get_by_label("Type SecretsManagerAccess to confirm").fill("SecretsManagerAccess")
    page.get_by_role("button", name="Remove this statement").click()
    expect(page.get_by_text("no secret can rotate by it")).to_be_visible()


def test_a_version_is_published_and_looked_at(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "published", Description="as it was")
    page = _open(visitor, "published", "versions")
    page.get_by_label("Description").fill("the first")
    page.get_by_role("button", name="Publish a version").click()
    expect(page.get_by_role("status")).to_contain_text("It is version 1.")
    expect(page.get_by_text("create-alias")).to_be_visible()
    server.client("lambda").create_alias(FunctionName="published", Name="live", FunctionVersion="1")
    page.reload()
    page.get_by_role("link", name="live").click()

    expect(page.get_by_text("A published version does not change.")).to_be_visible()
    expect(page.get_by_role("button", name="Delete the function")).to_have_count(0)


def test_a_function_is_deleted_by_its_name(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "short-lived")
    page = _open(visitor, "short-lived", "configuration")
    button = page.get_by_role("button", name="Delete the function")
    page.get_by_label("to confirm").fill("another")
    expect(button).to_be_disabled()
    page.get_by_label("to confirm").fill("short-lived")
    button.click()

    expect(page.get_by_role("status")).to_contain_text("The function short-lived is deleted.")
    expect(_open(visitor, "short-lived").get_by_role("heading", name="Not found")).to_be_visible()


def test_who_may_do_little_sees_that_and_why(new_visitor: NewVisitor, server: ServerProcess, failing: str) -> None:
    visitor = new_visitor()
    visitor.sign_in(user_with(server, "looker", "lambda:ListFunctions", "lambda:GetFunctionConfiguration"))

    page = visitor.open("functions")
    expect(page.get_by_role("row", name=failing)).to_contain_text("not told")
    _open(visitor, failing)
    expect(page.locator(".withheld").filter(has_text="cloudwatch:GetMetricData")).to_be_visible()
    expect(page.locator(".withheld").filter(has_text="logs:FilterLogEvents")).to_be_visible()
    _open(visitor, failing, "code")
    expect(page.locator(".withheld")).to_contain_text("lambda:GetFunction")
    expect(page.get_by_role("button", name="Upload")).to_have_count(0)
    _open(visitor, failing, "test")
    expect(page.get_by_text("Your policies do not allow lambda:InvokeFunction here.")).to_be_visible()
    _open(visitor, failing, "configuration")
    for button in ("Change", "Set", "Remove", "Let Secrets Manager invoke it", "Delete the function"):
        expect(page.get_by_role("button", name=button)).to_have_count(0)
    expect(page.get_by_text("lambda_function.lambda_handler")).to_be_visible()


def test_nothing_that_is_stored_runs(visitor: Visitor, failing: str) -> None:
    for tab in _TABS:
        page = _open(visitor, failing, tab)
        expect(page).not_to_have_title("caught")
    expect(visitor.open("functions").get_by_text(f"Rotates {_HOSTILE}")).to_be_visible()
    expect(visitor.page).not_to_have_title("caught")


@each_look
def test_the_pages_are_accessible(new_visitor: NewVisitor, failing: str, size: tuple[int, int], scheme: str) -> None:
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.sign_in()
    found = {}
    for path, query in [
        ("functions", {}),
        ("functions/new", {}),
        *(
            ("function", {"name": failing, "tab": tab})
            for tab in ("monitoring", "code", "test", "configuration", "versions")
        ),
    ]:
        page = visitor.open(path, **query)
        for summary in page.locator("main summary").all():
            summary.click()
        found[path, query.get("tab")] = visitor.violations()
        is_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not is_wide, f"{path} {query} scrolls sideways"
    assert {where: broken for where, broken in found.items() if broken} == {}
