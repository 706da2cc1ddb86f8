"""A password rotates, is broken, diagnosed, mended and rotates again: all of it in a browser, with a real database."""

from __future__ import annotations

import json
from datetime import UTC

import pytest
from playwright.sync_api import expect
from tests.e2e.conftest import Credentials, ServerProcess

from keyturn.testing.postgresql import PostgresqlServer

from .conftest import NewVisitor, Visitor, each_look
from .rotations import (
    SETTLED,
    apply_fix,
    nobody_changes_passwords,
    password,
    rotated,
    stored,
    succeeds,
    tried_again,
    turned_on,
)


def test_it_rotates_breaks_is_diagnosed_mended_and_rotates(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn = stored(server, postgresql, "orders")
    page = visitor.open("secret/rotation", id=arn)
    expect(page.get_by_text("This secret does not rotate yet.")).to_be_visible()
    page.get_by_role("link", name="Turn on rotation").click()

    # A function is made for it; the steps come while one looks.
    page.get_by_role("button", name="Show what would be made").click()
    expect(page.get_by_role("cell", name="role policy")).to_be_visible()
    with nobody_changes_passwords(postgresql):
        page.get_by_role("button", name="Make it, and turn on rotation").click()
        attempts = page.get_by_role("region", name="Attempts by step")
        expect(attempts.get_by_text("✓")).to_have_count(1, timeout=SETTLED)
        expect(attempts.get_by_text("…")).to_have_count(1, timeout=SETTLED)
        expect(page.get_by_text("setSecret began")).to_be_visible()
    succeeds(page)
    expect(attempts.get_by_text("✓")).to_have_count(4)
    assert password(server, "orders") != "first-orders"
    assert postgresql.accepts("orders", password(server, "orders"))

    # Somebody takes the role's policy away: the rotation fails, and the page says so by itself.
    role = page.get_by_role("link", name="SecretsManager-orders").inner_text()
    server.client("iam").delete_role_policy(RoleName=role, PolicyName="SecretsManagerRotation")
    page.get_by_role("button", name="Rotate now").click()
    expect(page.get_by_text("createSecret failed").first).to_be_visible(timeout=SETTLED)
    expect(page.get_by_role("link", name="why it was denied").first).to_be_visible(timeout=SETTLED)

    # The doctor says why, applies the fix, and finds it no longer.
    page.get_by_role("link", name="Ask the doctor").click()
    expect(page.get_by_role("heading", name="broken")).to_be_visible()
    cause = page.get_by_role("article").filter(has=page.get_by_role("button", name="Apply this fix")).first
    expect(cause.get_by_text("put-role-policy").first).to_be_visible()
    # The server asks as well whether the change was read.
    cause.get_by_role("checkbox").evaluate("box => { box.required = false; }")
    cause.get_by_role("button", name="Apply this fix").click()
    expect(page.get_by_role("alert")).to_contain_text("it widens access")
    apply_fix(page)
    expect(page.get_by_text("is found no longer.")).to_be_visible()

    # It is tried again from there, and rotates.
    before = password(server, "orders")
    tried_again(visitor, arn)
    succeeds(page)
    assert password(server, "orders") != before
    assert postgresql.accepts("orders", password(server, "orders"))


def test_a_password_that_was_changed_by_hand_is_told(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, page = rotated(visitor, server, postgresql, "by_hand")
    postgresql.run("ALTER ROLE by_hand PASSWORD 'somebody-elses'")

    page.get_by_role("button", name="Rotate now").click()
    expect(page.get_by_text("all refused").first).to_be_visible(timeout=SETTLED)

    expect(page.get_by_text("every version was refused at")).to_be_visible(timeout=SETTLED)
    page = visitor.open("secret/doctor", id=arn)
    expect(page.get_by_text("db-login-failed").first).to_be_visible()
    expect(page.get_by_role("heading", name="broken")).to_be_visible()
    # A database is none of a program's business: it is said what to do, and no button does it.
    expect(page.get_by_role("article").first.get_by_role("button", name="Apply this fix")).to_have_count(0)
    home = visitor.open()
    expect(
        home.get_by_role("region", name="What is wrong now").get_by_role("link", name="by_hand").first
    ).to_be_visible()


def test_a_fix_that_is_another_one_by_now_is_not_applied(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, page = rotated(visitor, server, postgresql, "raced")
    function = page.get_by_role("link", name="SecretsManager-raced").inner_text()
    client = server.client("lambda")
    client.remove_permission(FunctionName=function, StatementId="SecretsManagerAccess")
    page = visitor.open("secret/doctor", id=arn)
    expect(page.get_by_text("invoke-permission-missing").first).to_be_visible()

    # Somebody is faster, with a statement of the same name for something else: another one is needed now.
    client.add_permission(
        FunctionName=function, StatementId="SecretsManagerAccess", Action="lambda:GetFunction", Principal="000000000000"
    )
    apply_fix(page)

    expect(page.get_by_role("alert")).to_contain_text("It is another change that is needed by now")
    apply_fix(page)
    expect(page.get_by_text("is found no longer.")).to_be_visible()


def test_a_schedule_is_previewed_as_it_is_typed_and_refused_in_aws_words(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, _ = rotated(visitor, server, postgresql, "planned")
    page = visitor.open("secret/rotation/setup", id=arn)

    page.get_by_label("Schedule").fill("rate(2 hours)")
    expect(page.get_by_role("alert")).to_contain_text("RotateSecret would refuse this schedule.")
    page.get_by_label("Schedule").fill("cron(0 4 1 * ? *)")
    page.get_by_label("Duration of the window").fill("3h")
    expect(page.get_by_text("Each window is 3 hours long (Duration=3h).")).to_be_visible()
    expect(page.get_by_role("region", name="The next windows").get_by_role("row")).to_have_count(11)
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("status")).to_contain_text("Rotation is on.")
    rules = server.client("secretsmanager").describe_secret(SecretId=arn)["RotationRules"]
    assert (rules["ScheduleExpression"], rules["Duration"]) == ("cron(0 4 1 * ? *)", "3h")


def test_a_function_of_ones_own_is_allowed_to_be_invoked_first(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    succeeds(turned_on(visitor, stored(server, postgresql, "lender")))
    arn = stored(server, postgresql, "borrower")
    page = visitor.open("secret/rotation/setup", id=arn)

    page.get_by_role("radio", name="A function of yours").check()
    page.get_by_label("Which of them").select_option(
        label="SecretsManager-lender (Secrets Manager may not invoke it yet)"
    )
    expect(page.get_by_text("Secrets Manager cannot invoke this function yet.")).to_be_visible()
    page.get_by_role("button", name="Turn on rotation, and rotate now").click()
    # In AWS's words.
    expect(page.get_by_role("alert")).to_contain_text("Secrets Manager cannot invoke the specified Lambda function.")
    page.get_by_role("button", name="Allow it, for this secret only").click()

    expect(page.get_by_role("status")).to_contain_text("Secrets Manager may invoke the function for this secret now.")
    page.get_by_role("button", name="Turn on rotation, and rotate now").click()
    expect(page.get_by_role("heading", name="Rotation is on")).to_be_visible()


def test_rotation_is_turned_off_by_name_only(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, page = rotated(visitor, server, postgresql, "quiet")
    off = page.get_by_role("region", name="Turn rotation off")
    expect(off.get_by_role("button")).to_be_disabled()
    off.get_by_label("Type the secret's name to confirm").fill("quiet")
    off.get_by_role("button").click()

    expect(page.get_by_role("heading", name="Rotation is off")).to_be_visible()
    assert server.client("secretsmanager").describe_secret(SecretId=arn)["RotationEnabled"] is False


def test_who_may_read_the_superuser_secret_is_asked(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    value = json.dumps({**postgresql.superuser_value(), "ssl": False})
    server.client("secretsmanager").create_secret(Name="superuser", SecretString=value)
    arn = stored(server, postgresql, "turns")
    page = visitor.open("secret/rotation/setup", id=arn)
    page.get_by_text("Strategy and superuser secret").click()
    page.get_by_role("textbox", name="Superuser secret").fill("superuser")
    page.get_by_role("button", name="Show what would be made").click()
    expect(page.get_by_role("heading", name="alternating-users")).to_be_visible()
    expect(page.get_by_text("will be changed")).to_be_visible()

    page.get_by_role("button", name="Make it, and turn on rotation").click()
    expect(page.get_by_role("alert")).to_contain_text("All is made, and rotation is still off.")
    assert "RotationEnabled" not in server.client("secretsmanager").describe_secret(SecretId=arn)
    page.get_by_label("Let the function's role read the superuser secret").check()
    page.get_by_role("button", name="Make it, and turn on rotation").click()

    succeeds(page)
    secret = json.loads(server.client("secretsmanager").get_secret_value(SecretId=arn)["SecretString"])
    assert secret["username"] == "turns_clone"
    assert postgresql.accepts("turns_clone", secret["password"])


def test_it_is_looked_at_from_inside_the_sandbox(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    arn, _ = rotated(visitor, server, postgresql, "inside")
    page = visitor.open("secret/doctor", id=arn)
    expect(page.get_by_role("heading", name="healthy")).to_be_visible()
    page.get_by_role("button", name="Look from inside the sandbox, too").click()

    expect(page.get_by_text("from inside the function's sandbox, too")).to_be_visible()
    expect(page.get_by_role("heading", name="healthy")).to_be_visible()


def test_all_secrets_are_looked_at_with_progress(
    visitor: Visitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    succeeds(turned_on(visitor, stored(server, postgresql, "looked_at")))
    page = visitor.open("doctor", show="all", prefix="looked_at")
    page.get_by_role("link", name="Look at these now").click()

    expect(page.get_by_text("1 of 1 looked at.")).to_be_visible(timeout=SETTLED)
    row = page.get_by_role("region", name="Verdicts").get_by_role("row").filter(has_text="looked_at")
    expect(row).to_contain_text("healthy")


def test_the_schedule_shows_when_and_why(
    visitor: Visitor, new_visitor: NewVisitor, server: ServerProcess, postgresql: PostgresqlServer
) -> None:
    rotated(visitor, server, postgresql, "monthly")
    planned = server.client("keyturn").list_planned_rotations(NamePrefix="monthly")["PlannedRotations"][0]
    day = planned["NextRotationAt"].strftime("%Y-%m-%d")

    page = visitor.open("schedule", prefix="monthly")
    # The month in which it happens, whichever it is now.
    expect(page.get_by_role("heading", name=f"{planned['NextRotationAt'].astimezone(UTC):%B %Y}")).to_be_visible()
    page = visitor.open("schedule", day=day, prefix="monthly")
    expect(page.get_by_text("· the next rotation of 1 secret")).to_be_visible()
    expect(page.get_by_role("heading", name="By hour on")).to_be_visible()
    page.get_by_text("Why then").first.click()
    expect(page.get_by_text("30 days later is")).to_be_visible()
    # The calendar is of UTC's days: the list beside it says so, too, and which zone is the viewer's.
    at = planned["NextRotationAt"].astimezone(UTC)
    expect(page.get_by_role("contentinfo")).to_contain_text("Times are in UTC.")
    expect(page.get_by_text(f"{at:%Y-%m-%d %H:%M} UTC")).to_be_hidden()
    elsewhere = new_visitor(timezone_id="Asia/Tokyo")
    elsewhere.sign_in()
    page = elsewhere.open("schedule", day=day, prefix="monthly")
    expect(page.get_by_role("region", name="Planned rotations")).to_contain_text(f"{at:%Y-%m-%d %H:%M} UTC")
    expect(page.get_by_role("contentinfo")).to_contain_text("Times are in Asia/Tokyo unless they say UTC.")
    page.get_by_label("Names that begin with").fill("nothing-of-this-name")
    expect(page.get_by_text("Nothing is planned here.")).to_be_visible()


PAGES = ["", "secret/rotation", "secret/rotation/setup", "secret/doctor", "doctor", "schedule"]


@pytest.fixture(scope="module")
def new_secret(server: ServerProcess, postgresql: PostgresqlServer) -> str:
    """A secret that does not rotate yet."""
    return stored(server, postgresql, "accessible")


@each_look
def test_the_pages_are_accessible(
    new_visitor: NewVisitor, new_secret: str, server: ServerProcess, size: tuple[int, int], scheme: str
) -> None:
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.sign_in()
    # What has rotated and failed, and what never did.
    arns = [new_secret, *(each["ARN"] for each in server.client("secretsmanager").list_secrets()["SecretList"])][:3]
    for path in PAGES:
        for arn in arns if path.startswith("secret/") else arns[:1]:
            page = visitor.open(path, **({"id": arn} if path.startswith("secret/") else {"show": "all", "look": "1"}))
            assert visitor.violations() == [], path
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size[0], path


def test_somebody_with_few_rights_sees_what_they_may(
    new_visitor: NewVisitor, server: ServerProcess, new_secret: str
) -> None:
    iam = server.client("iam")
    iam.create_user(UserName="reader")
    allowed = {"Effect": "Allow", "Action": "secretsmanager:DescribeSecret", "Resource": new_secret}
    iam.put_user_policy(
        UserName="reader",
        PolicyName="few",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    )
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    visitor = new_visitor()
    page = visitor.sign_in(Credentials(key["AccessKeyId"], key["SecretAccessKey"]))

    # Home says what is not allowed, and no more.
    expect(page.locator(".withheld")).to_contain_text("keyturn:ListPlannedRotations")
    page = visitor.open("secret/rotation", id=new_secret)
    expect(page.get_by_text("This secret does not rotate yet.")).to_be_visible()
    expect(page.get_by_role("link", name="Turn on rotation")).to_have_count(0)
    page = visitor.open("secret/doctor", id=new_secret)
    expect(page.get_by_text("rotation-not-configured").first).to_be_visible()
    for path in ("doctor", "schedule"):
        expect(visitor.open(path).locator(".withheld").first).to_contain_text("keyturn:")
    page = visitor.open("secret/rotation", id="not-of-theirs")
    expect(page.locator(".withheld").first).to_contain_text("secretsmanager:DescribeSecret")
    assert visitor.violations() == []
