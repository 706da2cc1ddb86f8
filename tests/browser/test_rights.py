"""What people with few rights are offered: what they can use, and no way that ends at "Not allowed"."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect
from tests.e2e.callers import Caller, allow, deny, document
from tests.e2e.conftest import Credentials, ServerProcess

from .conftest import PHONE, NewVisitor, Visitor

DEV, PROD = "arn:aws:secretsmanager:*:*:secret:dev/*", "arn:aws:secretsmanager:*:*:secret:prod/*"
PLACES = (
    "Overview", "Secrets", "Schedule", "Doctor", "Functions", "Logs", "Audit", "Access", "Networks", "Keys", "Settings",
)  # fmt: skip
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
# A page has many; each kind of page is there more than once by then.
MOST_OPENED = 50

READS = [
    "secretsmanager:List*", "secretsmanager:Describe*", "secretsmanager:GetResourcePolicy", "keyturn:List*",
    "keyturn:Get*", "keyturn:Count*", "keyturn:Lookup*", "lambda:List*", "lambda:Get*", "logs:Describe*",
    "logs:FilterLogEvents", "cloudwatch:Get*", "cloudtrail:LookupEvents", "ec2:Describe*", "kms:List*", "kms:Describe*",
    "kms:Get*", "iam:List*", "iam:Get*",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of people: what they may, and which pages have something to show to them."""

    statements: tuple[dict[str, Any], ...]
    places: tuple[str, ...]


KINDS = {
    "nobody": Kind((), ("Overview",)),
    "lister": Kind((allow("secretsmanager:ListSecrets"),), ("Overview", "Secrets")),
    "developer": Kind(
        (
            allow("secretsmanager:ListSecrets"),
            allow(
                [
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:PutSecretValue",
                    "secretsmanager:DescribeSecret",
                    "keyturn:GetRotation",
                ],
                DEV,
            ),
        ),
        ("Overview", "Secrets"),
    ),
    "operator": Kind((allow(READS), allow("secretsmanager:RotateSecret")), PLACES),
    "auditor": Kind(
        (allow(["cloudtrail:LookupEvents", "iam:Get*", "iam:List*", "iam:Simulate*"]),),
        ("Overview", "Audit", "Access"),
    ),
}


@pytest.fixture(scope="module")
def credentials(server: ServerProcess) -> dict[str, Credentials]:
    """Keys of somebody of each kind, on a server that has something on each page."""
    secretsmanager, iam = server.client("secretsmanager"), server.client("iam")
    for name in ("dev/orders", "prod/orders"):
        secretsmanager.create_secret(Name=name, SecretString='{"username":"app","password":"sesame"}')
    role = iam.create_role(RoleName="rotate", AssumeRolePolicyDocument=document(TRUST))["Role"]
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("made.py", "def handler(event, context): return event")
    made = server.client("lambda").create_function(
        FunctionName="made", Runtime="python3.11", Role=role["Arn"], Handler="made.handler",
        Code={"ZipFile": package.getvalue()},
    )  # fmt: skip
    server.client("logs").create_log_group(logGroupName="/aws/lambda/made")
    server.client("kms").create_key(Description="of orders")
    server.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    iam.create_policy(PolicyName="reads-dev", PolicyDocument=document(allow("secretsmanager:GetSecretValue", DEV)))
    iam.create_group(GroupName="readers")
    assert made["State"]
    callers = {name: Caller(server, "user", name) for name in KINDS}
    for name, caller in callers.items():
        if KINDS[name].statements:
            caller.may(*KINDS[name].statements)
    return {name: caller.credentials for name, caller in callers.items()}


def menu(page: Page) -> list[str]:
    return page.locator("nav.places > ul a").all_inner_texts()


def apart(page: Page) -> Locator:
    return page.get_by_role("navigation", name="Console").locator("details a")


def ways(page: Page) -> list[str]:
    """The addresses that the page's links lead to, one for each kind of page and what it is about."""
    found = page.locator("main a[href]").evaluate_all("links => links.map(link => link.href)")
    return [each.partition("#")[0] for each in found if "/console/" in each and "/package" not in each]


@pytest.mark.parametrize("name", KINDS)
def test_the_menu_has_what_can_be_used(new_visitor: NewVisitor, credentials: dict[str, Credentials], name: str) -> None:
    visitor = new_visitor()
    page = visitor.sign_in(credentials[name])

    assert menu(page) == list(KINDS[name].places)
    assert set(apart(page).all_text_contents()) == set(PLACES) - set(KINDS[name].places)
    for text in apart(page).all_text_contents():
        path = {"Networks": "networks"}.get(text, text.lower())
        visitor.open(path)
        # A page that is opened by its address says what is missing, and stands where the menu has it.
        expect(page.locator(".withheld, .faint").filter(has_text="Your policies do not allow").first).to_be_visible()
        expect(page.get_by_role("link", name=text, exact=True).and_(apart(page))).to_have_attribute(
            "aria-current", "page"
        )
        expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("name", KINDS)
def test_no_way_ends_at_what_is_not_allowed(
    new_visitor: NewVisitor, credentials: dict[str, Credentials], name: str
) -> None:
    visitor = new_visitor()
    page = visitor.sign_in(credentials[name])
    dead_ends = follow(visitor, [urlsplit(page.url).path])

    assert dead_ends == []


def follow(visitor: Visitor, begin: list[str]) -> list[str]:
    """Open the pages that links lead to, and return those that only say that they may not be looked at."""
    page = visitor.page
    menu_ways = page.locator("nav.places > ul a").evaluate_all("links => links.map(link => link.href)")
    to_open = dict.fromkeys([*begin, *menu_ways])
    opened: set[str] = set()
    kinds: dict[str, int] = {}
    dead_ends = []
    while to_open and len(opened) < MOST_OPENED:
        where = next(iter(to_open))
        del to_open[where]
        path = urlsplit(where).path
        # A handful of each page is enough.
        kinds[path] = kinds.get(path, 0) + 1
        if where in opened or kinds[path] > 3:
            continue
        opened.add(where)
        page.goto(where if where.startswith("http") else f"{visitor.server.endpoint_url}{where}")
        if page.get_by_role("heading", name="Not allowed").count() or page.get_by_role("alert").count():
            dead_ends.append(f"{where}: {page.locator('main').inner_text()[:300]}")
        to_open |= dict.fromkeys(ways(page))
    return dead_ends


def test_everything_is_judged_by_a_request_that_can_be_made(
    visitor: Visitor, credentials: dict[str, Credentials], server: ServerProcess
) -> None:
    assert credentials
    visitor.open("access/user", name="lister")
    follow(visitor, ways(visitor.page))
    for path, query in (
        ("secrets/new", {}),
        ("functions/new", {}),
        ("secret/rotation/setup", {"id": "dev/orders"}),
        ("access/simulator", {}),
        *(("function", {"name": "made", "tab": tab}) for tab in ("code", "test", "configuration", "versions")),
        *(("access/edit", query) for query in ({"of": "managed"}, {"of": "inline", "kind": "user", "name": "lister"})),
        ("access/group", {"name": "readers"}),
    ):
        page = visitor.open(path, **query)
        expect(page.get_by_text("Your policies do not allow")).to_have_count(0)
    assert "is offered unjudged" not in server.log()


def test_a_developer_is_offered_what_is_theirs(new_visitor: NewVisitor, credentials: dict[str, Credentials]) -> None:
    visitor = new_visitor()
    page = visitor.sign_in(credentials["developer"])
    main = page.get_by_role("main")

    visitor.open("secret", id="dev/orders")
    for button in ("Reveal", "Edit value"):
        expect(main.get_by_role("button", name=button, exact=True).first).to_be_visible()
    expect(main.get_by_role("link", name="Store another value")).to_be_visible()
    for link in ("Delete this secret", "Set up rotation"):
        expect(main.get_by_role("link", name=link)).to_have_count(0)
    expect(main.get_by_text("Replicate to another region")).to_have_count(0)

    visitor.open("secret", id="prod/orders")
    expect(main.get_by_role("button")).to_have_count(0)
    expect(main.get_by_text("secretsmanager:GetSecretValue")).to_be_visible()
    visitor.open("secret/edit", id="prod/orders")
    expect(main.get_by_text("Your policies do not allow secretsmanager:PutSecretValue here.")).to_be_visible()
    expect(main.get_by_role("button")).to_have_count(0)
    visitor.open("secrets")
    expect(main.get_by_role("link", name="Create a secret")).to_have_count(0)
    visitor.open("secret/rotation/setup", id="dev/orders")
    expect(main.get_by_text("Your policies do not allow secretsmanager:RotateSecret here.")).to_be_visible()
    expect(main.get_by_role("button")).to_have_count(0)


def test_an_operator_is_offered_rotations_and_no_values(
    new_visitor: NewVisitor, credentials: dict[str, Credentials]
) -> None:
    visitor = new_visitor()
    page = visitor.sign_in(credentials["operator"])
    main = page.get_by_role("main")

    visitor.open("secret", id="prod/orders")
    expect(main.get_by_role("button", name="Reveal")).to_have_count(0)
    visitor.open("secret/rotation", id="prod/orders")
    main.get_by_role("link", name="Turn on rotation").click()
    # A function of theirs is chosen: having one made takes rights that they lack, and are told.
    expect(main.get_by_label("A function of yours", exact=True).first).to_be_checked()
    main.get_by_label("One that Keyturn makes for this secret").check()
    expect(main.get_by_text("iam:CreateRole")).to_be_visible()
    expect(main.get_by_role("button", name="Show what would be made")).to_have_count(0)
    for path, offer in (("functions", "New function"), ("keys", "Create a key"), ("access", "Create a user")):
        visitor.open(path)
        expect(main.get_by_text(offer)).to_have_count(0)
    for tab in ("code", "test", "configuration", "versions"):
        visitor.open("function", name="made", tab=tab)
        for button in ("Upload", "Test", "Change", "Delete the function", "Publish a version"):
            expect(main.get_by_role("button", name=button, exact=True)).to_have_count(0)


def test_an_auditor_can_try_what_others_may(new_visitor: NewVisitor, credentials: dict[str, Credentials]) -> None:
    visitor = new_visitor()
    page = visitor.sign_in(credentials["auditor"])
    main = page.get_by_role("main")

    visitor.open("access/user", name="developer")
    for button in ("Attach", "Add", "Create an access key", "Delete the user"):
        expect(main.get_by_role("button", name=button, exact=True)).to_have_count(0)
    main.get_by_role("link", name="Try what it may do").click()
    expect(main.get_by_label("User, group or role (ARN)")).to_have_value(
        f"arn:aws:iam::{visitor.server.account_id}:user/developer"
    )
    main.get_by_label("Actions").fill("secretsmanager:GetSecretValue")
    main.get_by_role("button", name="Simulate").click()
    expect(main.get_by_role("region", name="Results")).to_be_visible()
    visitor.open("secrets/new")
    expect(main.get_by_text("Your policies do not allow secretsmanager:CreateSecret here.")).to_be_visible()
    expect(main.get_by_role("textbox")).to_have_count(0)


def test_who_may_not_list_opens_a_secret_by_its_name(
    new_visitor: NewVisitor, server: ServerProcess, credentials: dict[str, Credentials]
) -> None:
    assert credentials
    application = Caller(server, "user", "application")
    application.may(allow("secretsmanager:GetSecretValue", DEV))
    visitor = new_visitor()
    page = visitor.sign_in(application.credentials)

    # The page leads to secrets whose names are known, and the menu counts it among what can be used.
    assert menu(page) == ["Overview", "Secrets"]
    expect(page.get_by_text("They show nothing of")).not_to_contain_text("Secrets")
    page.get_by_label("Name or ARN of a secret").fill("dev/orders")
    page.get_by_role("button", name="Open").click()
    expect(page.get_by_role("link", name="Secrets", exact=True).first).to_have_attribute("aria-current", "page")
    expect(page.get_by_text("No moment known")).to_have_count(0)

    expect(page.get_by_role("heading", name="dev/orders", exact=True)).to_be_visible()
    # What is not known is not said: the name is no ARN.
    expect(page.get_by_text("ARN", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Reveal", exact=True).click()
    expect(page.get_by_text("sesame", exact=True)).to_be_visible()


@pytest.mark.parametrize(
    ("statements", "is_offered"),
    [
        ([allow("secretsmanager:CreateSecret", DEV)], True),
        ([allow("secretsmanager:CreateSecret", Condition={"StringEquals": {"aws:RequestTag/team": "a"}})], True),
        ([allow("secretsmanager:CreateSecret"), deny("secretsmanager:CreateSecret", PROD)], True),
        ([allow("secretsmanager:CreateSecret"), deny("secretsmanager:CreateSecret")], False),
        (
            [allow("secretsmanager:CreateSecret", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}})],
            False,
        ),
    ],
)
def test_what_depends_on_what_is_filled_in_is_offered(
    new_visitor: NewVisitor, server: ServerProcess, statements: list[dict[str, Any]], is_offered: bool
) -> None:
    caller = Caller(server, "user")
    caller.may(allow("secretsmanager:ListSecrets"), *statements)
    visitor = new_visitor()
    visitor.sign_in(caller.credentials)

    page = visitor.open("secrets")

    expect(page.get_by_role("link", name="Create a secret").first).to_be_visible(visible=is_offered)
    page = visitor.open("secrets/new")
    expect(page.get_by_role("button", name="Create", exact=True)).to_be_visible(visible=is_offered)


def test_users_are_found_by_name_and_policies_of_ones_own_come_first(
    visitor: Visitor, server: ServerProcess, credentials: dict[str, Credentials]
) -> None:
    assert credentials
    iam = server.client("iam")
    for number in range(120):
        iam.create_user(UserName=f"person-{number:03}")
    page = visitor.open("access")
    expect(page.get_by_role("link", name="person-119")).to_have_count(0)
    page.get_by_role("link", name="More").click()
    page.get_by_role("link", name="First page").click()

    page.get_by_label("Search", exact=True).fill("SON-119")
    page.get_by_role("button", name="Search").click()

    expect(page.get_by_role("link", name="person-119")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    visitor.open("access", tab="policies")
    assert page.locator("td.name a").all_inner_texts() == ["reads-dev"]
    page.get_by_label("Whose").select_option(label="Ready-made by AWS")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("link", name="SecretsManagerReadWrite")).to_be_visible()
    expect(page.get_by_role("link", name="reads-dev")).to_have_count(0)


def test_a_users_page_has_the_policies_of_its_groups(
    visitor: Visitor, server: ServerProcess, credentials: dict[str, Credentials]
) -> None:
    assert credentials
    iam = server.client("iam")
    iam.attach_group_policy(GroupName="readers", PolicyArn="arn:aws:iam::aws:policy/SecretsManagerReadWrite")
    iam.put_group_policy(GroupName="readers", PolicyName="more", PolicyDocument=document(allow("kms:ListKeys")))
    iam.add_user_to_group(GroupName="readers", UserName="nobody")

    page = visitor.open("access/user", name="nobody")

    expect(page.get_by_role("row", name="SecretsManagerReadWrite")).to_contain_text("of the group readers")
    page.get_by_role("row", name="more").get_by_role("link", name="more").click()
    expect(page.get_by_role("heading", name="more of the group readers")).to_be_visible()
    assert "kms:ListKeys" in json.dumps(page.get_by_label("Policy", exact=True).input_value())
    iam.remove_user_from_group(GroupName="readers", UserName="nobody")


@pytest.mark.parametrize("name", ["lister", "auditor"])
def test_pages_with_little_on_them_are_for_everybody(
    new_visitor: NewVisitor, credentials: dict[str, Credentials], name: str
) -> None:
    for options in ({}, {"size": PHONE, "color_scheme": "dark"}):
        visitor = new_visitor(**options)
        visitor.sign_in(credentials[name])
        for path in ("", "secrets", "access", "functions"):
            page = visitor.open(path)
            assert visitor.violations() == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth + 1")
