"""From a verdict to a rotation that succeeds: what is to be done next stands where the verdict does."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect
from tests.e2e.conftest import ServerProcess

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import NewVisitor, Visitor
from .functions import user_with
from .rotations import SETTLED, nobody_changes_passwords, password, rotated, stored, succeeds, turned_on

THEIRS = "somebody-elses"


def changed_outside(visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer, name: str) -> str:
    """Make a secret that has rotated once, change its user's password in the database, and have it fail; its ARN.

    The rotation is given up then: no further attempt fails while somebody mends it.
    """
    arn, page = rotated(visitor, server, postgresql, name)
    postgresql.run(f"ALTER ROLE {name} PASSWORD '{THEIRS}'")
    page.get_by_role("button", name="Rotate now").click()
    expect(page.get_by_text("every version was refused at")).to_be_visible(timeout=SETTLED)
    give_up(server, arn)
    visitor.open("secret/rotation", id=arn)
    expect(page.get_by_text("The resolution has failed")).to_be_visible(timeout=SETTLED)
    # The page has loaded itself anew.
    expect(page.get_by_role("table").last.get_by_text("failed", exact=True)).to_be_visible(timeout=SETTLED)
    expect(page.get_by_text("The database refuses every stored password.")).to_be_visible()
    return arn


def give_up(server: ServerProcess, arn: str) -> None:
    """Take AWSPENDING off: no further attempt is made."""
    client = server.client("secretsmanager")
    stages = client.describe_secret(SecretId=arn)["VersionIdsToStages"]
    pending = next(version_id for version_id, labels in stages.items() if "AWSPENDING" in labels)
    client.update_secret_version_stage(SecretId=arn, VersionStage="AWSPENDING", RemoveFromVersionId=pending)


def look_from_inside(page: Page) -> None:
    """Look from inside the sandbox: again, while an attempt of the rotation keeps it waiting."""
    while True:
        with page.expect_navigation():
            page.get_by_role("button", name="Look from inside the sandbox, too").click()
        if not page.get_by_text("ask again in a moment").count():
            return


def first_choices(page: Page) -> list[str]:
    """Return what the page offers first."""
    return page.locator("main .first").all_inner_texts()


def test_a_password_that_was_changed_in_the_database_is_stored_and_rotated_from_the_verdict(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = changed_outside(visitor, server, postgresql, "elsewhere")
    page = visitor.open("secret/doctor", id=arn)
    expect(page.get_by_role("heading", name="broken")).to_be_visible()
    assert first_choices(page) == ["Edit value"]
    page.get_by_role("article").first.get_by_role("button", name="Edit value").click()

    # The password is at hand.
    field = page.locator("textarea:focus")
    expect(field).to_have_value(password(server, "elsewhere"))
    field.fill(THEIRS)
    page.get_by_role("button", name="Store", exact=True).click()

    # Nobody has logged in with it yet.
    expect(page.get_by_text("Whether db-login-failed is mended")).to_contain_text("has not been tried yet")
    assert first_choices(page) == ["Look from inside the sandbox, too"]
    # The database has refused what was stored before, and was not asked about this.
    visitor.open("secret/rotation", id=arn)
    expect(page.get_by_text("The current value has not been tried yet.")).to_be_visible()
    expect(page.get_by_text("The database refuses every stored password.")).to_have_count(0)
    visitor.open("secret/doctor", id=arn)
    look_from_inside(page)
    expect(page.get_by_text("from inside the function's sandbox, too")).to_be_visible()
    # Now somebody has.
    expect(page.get_by_role("heading", name="What failed is mended")).to_contain_text("healthy")
    assert first_choices(page) == ["Rotate now"]
    page.get_by_role("button", name="Rotate now").click()
    succeeds(page)
    assert password(server, "elsewhere") != THEIRS
    assert postgresql.accepts("elsewhere", password(server, "elsewhere"))


def test_what_is_seen_from_inside_and_in_the_log_is_one_cause(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = changed_outside(visitor, server, postgresql, "twice")
    page = visitor.open("secret/doctor", id=arn)
    look_from_inside(page)

    expect(page.get_by_role("heading", name="Cause and what to change")).to_be_visible()
    cause = page.get_by_role("article")
    expect(cause).to_have_count(1)
    expect(cause).to_contain_text("preflight-login-refused")
    expect(cause).to_contain_text("db-login-failed says the same")

    # What was mended there is seen from there only.
    expect(cause).to_contain_text("Shows the current value, which is recorded like Reveal.")
    cause.get_by_role("button", name="Edit value").click()
    expect(page.get_by_role("heading", name="Edit value")).to_be_visible()
    page.locator("textarea:focus").fill(THEIRS)
    page.get_by_role("button", name="Store", exact=True).click()
    expect(page.get_by_text("Whether preflight-login-refused is mended is not seen from outside")).to_be_visible()
    look_from_inside(page)
    expect(page.get_by_role("article")).to_have_count(0)


def test_what_was_mended_in_the_database_is_not_called_broken_once_it_was_looked_from_inside(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = changed_outside(visitor, server, postgresql, "setback")
    page = visitor.open("secret/doctor", id=arn)
    expect(page.get_by_role("heading", name="broken")).to_be_visible()

    postgresql.run(f"ALTER ROLE setback PASSWORD '{password(server, 'setback')}'")
    look_from_inside(page)

    expect(page.get_by_role("heading", name="What failed is mended")).to_contain_text("healthy")
    expect(page.get_by_role("article")).to_have_count(0)
    expect(page.get_by_text("the database accepts AWSCURRENT now")).to_be_visible()
    # Whoever comes back is told the same.
    visitor.open("secret/doctor", id=arn)
    expect(page.get_by_role("heading", name="What failed is mended")).to_be_visible()
    page.get_by_role("button", name="Rotate now").click()
    succeeds(page)


def test_another_wrong_host_is_not_called_a_mend_and_is_the_cause_once_it_was_looked_from_inside(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, page = rotated(visitor, server, postgresql, "elsewhere_twice")
    client = server.client("secretsmanager")
    value = json.loads(client.get_secret_value(SecretId=arn)["SecretString"])
    client.put_secret_value(SecretId=arn, SecretString=json.dumps({**value, "host": "first.invalid"}))
    visitor.open("secret/rotation", id=arn)
    page.get_by_role("button", name="Rotate now").click()
    visitor.open("secret/doctor", id=arn)
    cause = page.get_by_role("article").filter(has_text="db-host-gone")
    while not cause.count():
        page.get_by_role("link", name="Look again").click()
    give_up(server, arn)

    client.put_secret_value(SecretId=arn, SecretString=json.dumps({**value, "host": "second.invalid"}))
    visitor.open("secret/doctor", id=arn, fixed="db-host-gone")
    expect(page.get_by_text("Whether db-host-gone is mended")).to_contain_text("has not been tried yet")
    look_from_inside(page)

    expect(page.get_by_role("article").first).to_contain_text("preflight-database-unreachable")
    # Whoever comes back is told the same.
    visitor.open("secret/doctor", id=arn)
    expect(page.get_by_role("heading", name="broken")).to_be_visible()
    expect(page.get_by_role("article").first).to_contain_text("second.invalid")


def test_a_verdict_says_by_itself_what_became_of_the_rotation_since(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, page = rotated(visitor, server, postgresql, "beside")

    with nobody_changes_passwords(postgresql):
        page.get_by_role("button", name="Rotate now").click()
        expect(page.get_by_text("setSecret began")).to_be_visible(timeout=SETTLED)
        page = visitor.open("secret/doctor", id=arn)
        expect(page.get_by_text("It is running.")).to_be_visible()
        page.evaluate("window.isTheSamePage = true")

    told = page.locator("#standing").get_by_text("What became of the rotation since:").locator("..")
    expect(told).to_contain_text("succeeded", timeout=SETTLED)
    expect(page.get_by_text("It is running.")).to_have_count(0)
    assert page.evaluate("window.isTheSamePage")
    told.get_by_role("link", name="look again").click()
    expect(told).to_have_count(0)


def test_one_thing_is_offered_by_where_the_rotation_stands(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = stored(server, postgresql, "stands")
    retry, rotate = (visitor.page.get_by_role("button", name=name) for name in ("Try again now", "Rotate now"))
    page = visitor.open("secret/doctor", id=arn)
    assert first_choices(page) == ["Turn on rotation"]

    # Neither while it runs, on both pages.
    page = visitor.open("secret/rotation/setup", id=arn)
    page.get_by_role("button", name="Show what would be made").click()
    with nobody_changes_passwords(postgresql):
        page.get_by_role("button", name="Make it, and turn on rotation").click()
        expect(page.get_by_text("setSecret began")).to_be_visible(timeout=SETTLED)
        expect(page.get_by_text("It is running.")).to_be_visible()
        expect(rotate.or_(retry)).to_have_count(0)
        visitor.open("secret/doctor", id=arn)
        expect(page.get_by_text("It is running.")).to_be_visible()
        expect(rotate.or_(retry)).to_have_count(0)
        page.get_by_role("link", name="Watch it").click()
        card = page.get_by_role("region", name="Rotation is on")
        expect(card).to_contain_text("A rotation runs")
        # What is being typed keeps the page from being loaded anew.
        typed = page.get_by_label("Type the secret's name to confirm")
        typed.fill("st")

    # All of the card tells the end: badges, what is next and why.
    expect(card).to_contain_text("It rotated last at", timeout=SETTLED)
    expect(card).not_to_contain_text("running")
    expect(rotate).to_have_count(1)
    expect(typed).to_have_value("st")
    visitor.open("secret/rotation", id=arn)
    succeeds(page)

    # Nothing waits: it can be rotated, and need not be.
    expect(rotate).to_have_count(1)
    visitor.open("secret/doctor", id=arn)
    expect(rotate).to_have_count(1)
    assert first_choices(page) == []

    # The role loses what it needs: the page says by itself that it can be tried again, and no more that it runs.
    function = server.client("secretsmanager").describe_secret(SecretId=arn)["RotationLambdaARN"]
    role = server.client("lambda").get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    server.client("iam").delete_role_policy(RoleName=role, PolicyName="SecretsManagerRotation")
    visitor.open("secret/rotation", id=arn)
    rotate.click()
    expect(retry).to_have_count(1, timeout=SETTLED)
    expect(rotate).to_have_count(0)
    visitor.open("")
    wrong = page.get_by_role("region", name="What is wrong now")
    expect(wrong).to_contain_text("failed last: the function may not call secretsmanager:")


def test_who_may_not_rotate_is_told_what_is_missing(
    new_visitor: NewVisitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = stored(server, postgresql, "looked_only")
    succeeds(turned_on_by_administrator(new_visitor, arn))
    visitor = new_visitor()
    reads = ("secretsmanager:Describe*", "secretsmanager:List*", "keyturn:Get*", "keyturn:List*")
    visitor.sign_in(user_with(server, "looks", *reads))

    for path in ("secret/rotation", "secret/doctor"):
        page = visitor.open(path, id=arn)
        expect(page.get_by_text("Your policies do not allow secretsmanager:RotateSecret")).to_be_visible()
        expect(page.get_by_role("button", name="Rotate now")).to_have_count(0)


def turned_on_by_administrator(new_visitor: NewVisitor, arn: str) -> Page:
    visitor = new_visitor()
    visitor.sign_in()
    return turned_on(visitor, arn)


def test_a_section_that_was_not_looked_at_is_not_called_well(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, _ = rotated(visitor, server, postgresql, "sections")
    page = visitor.open("secret/doctor", id=arn)
    database = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Database", exact=True))
    expect(database).to_contain_text("partly seen")
    expect(database).to_contain_text("a look from inside the sandbox")

    page.get_by_role("button", name="Look from inside the sandbox, too").click()
    expect(page.get_by_text("from inside the function's sandbox, too")).to_be_visible()
    expect(database).to_contain_text("well")


def test_a_refused_rotation_leads_to_the_doctor(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, page = rotated(visitor, server, postgresql, "uninvited")
    function = server.client("secretsmanager").describe_secret(SecretId=arn)["RotationLambdaARN"]
    statements = json.loads(server.client("lambda").get_policy(FunctionName=function)["Policy"])["Statement"]
    for statement in statements:
        server.client("lambda").remove_permission(FunctionName=function, StatementId=statement["Sid"])

    page.get_by_role("button", name="Rotate now").click()

    page.get_by_role("alert").get_by_role("link", name="Ask the doctor").click()
    expect(page.get_by_role("heading", name="broken")).to_be_visible()


def test_who_may_not_see_the_rotation_is_told_what_a_label_tells(
    new_visitor: NewVisitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = stored(server, postgresql, "labelled")
    succeeds(turned_on_by_administrator(new_visitor, arn))
    function = server.client("secretsmanager").describe_secret(SecretId=arn)["RotationLambdaARN"]
    role = server.client("lambda").get_function_configuration(FunctionName=function)["Role"].rpartition("/")[2]
    server.client("iam").delete_role_policy(RoleName=role, PolicyName="SecretsManagerRotation")
    server.client("secretsmanager").rotate_secret(SecretId=arn)
    visitor = new_visitor()
    visitor.sign_in(user_with(server, "rotates", "secretsmanager:DescribeSecret", "secretsmanager:RotateSecret"))

    page = visitor.open("secret/rotation", id=arn)
    expect(page.get_by_text("An attempt may be under way, or wait:")).to_be_visible()
    assert first_choices(page) == []
    expect(page.get_by_role("link", name="log", exact=True)).to_have_count(0)

    page = visitor.open("secret/rotation/setup", id=arn, how="own")
    expect(page.get_by_text("Your policies do not allow lambda:ListFunctions")).to_be_visible()
    assert visitor.violations() == []


def test_a_misspelt_handler_leads_to_the_functions_configuration(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, _ = rotated(visitor, server, postgresql, "misspelt")
    function, client = "SecretsManager-misspelt", server.client("lambda")
    handler = client.get_function_configuration(FunctionName=function)["Handler"]
    client.update_function_configuration(FunctionName=function, Handler=f"x{handler}")
    page = visitor.open("secret/rotation", id=arn)
    page.get_by_role("button", name="Rotate now").click()
    expect(page.get_by_text("createSecret failed").first).to_be_visible(timeout=SETTLED)

    visitor.open("secret/doctor", id=arn)
    cause = page.get_by_role("article").first
    expect(cause).to_contain_text("lambda-handler-missing")
    expect(cause).to_contain_text(f"--function-name {function} --handler {handler}")
    cause.get_by_role("link", name=f"Configuration of {function}").click()
    expect(page.get_by_label("Handler")).to_have_value(f"x{handler}")


def test_an_address_where_nobody_answers_is_corrected_or_traced(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, _ = rotated(visitor, server, postgresql, "misported")
    client = server.client("secretsmanager")
    value = json.loads(client.get_secret_value(SecretId=arn)["SecretString"])
    # Nobody may listen there without being root.
    client.put_secret_value(SecretId=arn, SecretString=json.dumps({**value, "port": 1}))
    page = visitor.open("secret/rotation", id=arn)
    page.get_by_role("button", name="Rotate now").click()
    expect(page.get_by_text("setSecret failed").first).to_be_visible(timeout=SETTLED)

    visitor.open("secret/doctor", id=arn)
    cause = page.get_by_role("article").first
    expect(cause).to_contain_text("db-connection-refused")
    expect(cause.get_by_role("button", name="Edit value")).to_be_visible()
    cause.get_by_role("link", name="Trace what the function reaches").click()
    expect(page).to_have_title(re.compile(f"SecretsManager-misported to {re.escape(value['host'])}:1 "))
