"""Users, keys, policies: what may be done is offered, what is destroyed is confirmed, and no name runs."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect
from tests.e2e.callers import Caller, allow, document
from tests.e2e.conftest import ServerProcess

from .conftest import NewVisitor, Visitor, each_look

TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
SCRIPT = "<script>document.title = 'taken over'</script>"


def section(page: Page, heading: str) -> None:
    expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()


def test_a_user_is_made_with_a_key_that_is_shown_once(visitor: Visitor, server: ServerProcess) -> None:
    page = visitor.open("access")
    page.get_by_text("Create a user").click()
    page.get_by_label("Name").fill("carol")
    page.get_by_role("button", name="Create").click()
    section(page, "carol")

    page.get_by_role("button", name="Create an access key").click()

    key_id, secret = page.locator("#made-id").inner_text(), page.locator("#made-secret").inner_text()
    [stored] = server.client("iam").list_access_keys(UserName="carol")["AccessKeyMetadata"]
    assert stored["AccessKeyId"] == key_id
    assert len(secret) == 40
    page = visitor.open("access/user", name="carol")
    expect(page.get_by_text(key_id).first).to_be_visible()
    assert secret not in page.content()

    page.get_by_text("Deactivate", exact=True).first.click()
    expect(page.get_by_text("What signs with it is refused from then on, until it is active again.")).to_be_visible()
    page.get_by_role("button", name=f"Deactivate {key_id}").click()
    expect(page.get_by_text("inactive").first).to_be_visible()
    page.get_by_text("Delete", exact=True).first.click()
    delete = page.get_by_role("button", name="Delete this key")
    expect(delete).to_be_disabled()
    page.get_by_label(f"Type {key_id} to confirm").fill(key_id)
    delete.click()
    expect(page.get_by_text("No access key: nobody can sign calls as this user.")).to_be_visible()
    page.get_by_label("Type carol to confirm").fill("carol")
    page.get_by_role("button", name="Delete the user").click()
    expect(page.get_by_role("status")).to_contain_text("The user carol is deleted.")


def test_the_server_looks_at_the_confirmation_as_well(visitor: Visitor, server: ServerProcess) -> None:
    Caller(server, "user", "stays")
    page = visitor.open("access/user", name="stays")
    page.get_by_label("Type stays to confirm").fill("stay")

    # As without JavaScript.
    page.get_by_role("button", name="Delete the user").evaluate("button => button.form.submit()")

    expect(page.get_by_role("alert")).to_contain_text("type stays to confirm")
    assert server.client("iam").get_user(UserName="stays")


def test_the_editor_says_where_a_policy_is_wrong(visitor: Visitor, server: ServerProcess) -> None:
    Caller(server, "user", "edith")
    page = visitor.open("access/user", name="edith")
    page.get_by_role("link", name="Write a policy").click()
    page.get_by_label("Name of the policy").fill("read")
    wrong = '{"Version": "2012-10-17",\n "Statement": [{"Effect": "allow", "Action": "kms:*", "Resource": "*"},]}'
    page.get_by_label("Policy", exact=True).fill(wrong)

    page.get_by_role("button", name="Put in force").click()

    expect(page.get_by_role("alert")).to_contain_text("Not accepted.")
    expect(page.get_by_text(re.compile(r"Line 2, column \d+:")).first).to_be_visible()
    assert server.client("iam").list_user_policies(UserName="edith")["PolicyNames"] == []
    page.get_by_role("button", name="Put the text right").click()
    expect(page.get_by_text("Accepted: nothing is wrong with it.")).to_be_visible()
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_role("status")).to_contain_text("in force")
    kept = server.client("iam").get_user_policy(UserName="edith", PolicyName="read")["PolicyDocument"]
    assert kept["Statement"][0]["Effect"] == "Allow"


def test_a_first_policy_is_about_one_secret(visitor: Visitor, server: ServerProcess) -> None:
    Caller(server, "user", "nora")
    for name in ("chosen/one", "chosen/other"):
        server.client("secretsmanager").create_secret(Name=name, SecretString="x")
    page = visitor.open("access/user", name="nora")
    page.get_by_role("link", name="Write a policy").click()
    # Nothing is given away by who puts in force what the page begins with.
    text = page.get_by_label("Policy", exact=True)
    expect(text).to_have_value(re.compile(r"secret:NAME-\?{6}"))
    expect(text).not_to_have_value(re.compile(r'"\*"'))
    page.get_by_label("Which secret may be read").fill("chosen/one")
    page.get_by_role("button", name="Fill in the policy").click()

    arn = server.client("secretsmanager").describe_secret(SecretId="chosen/one")["ARN"]
    expect(text).to_have_value(re.compile(re.escape(arn)))
    page.get_by_label("Name of the policy").fill("read-one")
    page.get_by_role("button", name="Put in force").click()

    expect(page.get_by_role("link", name="read-one")).to_be_visible()
    kept = server.client("iam").get_user_policy(UserName="nora", PolicyName="read-one")["PolicyDocument"]
    assert kept["Statement"] == [{"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": arn}]


def test_a_doubtful_policy_is_put_on_a_second_word(visitor: Visitor, server: ServerProcess) -> None:
    Caller(server, "user", "dora")
    page = visitor.open("access/edit", of="inline", kind="user", name="dora")
    page.get_by_label("Name of the policy").fill("doubtful")
    page.get_by_label("Policy", exact=True).fill(document(allow("secretsmanager:GetSecretValu")))

    page.get_by_role("button", name="Put in force").click()

    expect(page.get_by_text("Accepted, and probably not what is meant:")).to_be_visible()
    assert server.client("iam").list_user_policies(UserName="dora")["PolicyNames"] == []
    page.get_by_label("Put it in spite of the warnings").check()
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_role("link", name="doubtful")).to_be_visible()


def test_a_managed_policy_is_written_attached_and_changed(visitor: Visitor, server: ServerProcess) -> None:
    Caller(server, "user", "mona")
    page = visitor.open("access", tab="policies")
    page.get_by_role("link", name="Create a policy").click()
    page.get_by_label("Name of the policy").fill("read-all")
    page.get_by_role("button", name="Put in force").click()
    section(page, "read-all")
    arn = f"arn:aws:iam::{server.account_id}:policy/read-all"

    page = visitor.open("access/user", name="mona")
    page.get_by_label("ARN of a managed policy").fill(arn)
    page.get_by_role("button", name="Attach").click()
    expect(page.get_by_role("link", name="read-all")).to_be_visible()
    page = visitor.open("access/policy", arn=arn)
    expect(page.get_by_role("link", name="mona")).to_be_visible()
    page.get_by_role("link", name="Write a new version").click()
    page.get_by_label("Policy", exact=True).fill(document(allow("secretsmanager:DescribeSecret")))
    page.get_by_role("button", name="Put in force").click()

    expect(page.get_by_role("heading", name=re.compile("^Version v2 in force"))).to_be_visible()
    page.get_by_role("button", name="Put v1 in force").click()
    expect(page.get_by_role("status")).to_contain_text("Version v1 is in force.")
    page = visitor.open("access/user", name="mona")
    page.get_by_role("button", name="Detach read-all").click()
    expect(page.get_by_role("status")).to_contain_text("not attached any more")


def test_a_role_shows_its_functions_and_its_trust(visitor: Visitor) -> None:
    page = visitor.open("access", tab="roles")
    page.get_by_text("Create a role").click()
    page.get_by_label("Name").fill("rotation")
    page.get_by_label("Description").fill(SCRIPT)
    page.get_by_role("button", name="Create", exact=True).click()

    section(page, "rotation")
    expect(page.get_by_role("region", name="Trust policy")).to_contain_text("lambda.amazonaws.com")
    expect(page.get_by_text(SCRIPT)).to_be_visible()
    expect(page).to_have_title("rotation · Keyturn")


def test_the_simulator_says_which_statement_decides(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "simon")
    user.may(allow("secretsmanager:Describe*", "*"), {**allow("secretsmanager:DescribeSecret", "*"), "Effect": "Deny"})
    page = visitor.open("access/user", name="simon")
    page.get_by_role("link", name="Try what it may do").click()
    page.get_by_label("Actions").fill("secretsmanager:DescribeSecret\nsecretsmanager:GetSecretValue")

    page.get_by_role("button", name="Simulate").click()

    rows = page.get_by_role("row")
    expect(rows.filter(has_text="DescribeSecret")).to_contain_text("denied explicitly")
    expect(rows.filter(has_text="DescribeSecret")).to_contain_text("inline")
    expect(rows.filter(has_text="GetSecretValue")).to_contain_text("no statement allows it")
    page.get_by_label("Condition keys").fill("aws:SecureTransport")
    page.get_by_role("button", name="Simulate").click()
    expect(page.get_by_role("alert")).to_contain_text("aws:SecureTransport has no value")


def test_the_simulator_counts_the_policy_of_the_secret_that_a_user_is_to_use(
    visitor: Visitor, server: ServerProcess
) -> None:
    user = Caller(server, "user", "guest")
    secret = server.client("secretsmanager").create_secret(Name="lent", SecretString="x")["ARN"]
    arn = f"arn:aws:iam::{server.account_id}:user/guest"
    lent = {**allow("secretsmanager:GetSecretValue"), "Principal": {"AWS": arn}}
    document = json.dumps({"Version": "2012-10-17", "Statement": [lent]})
    server.client("secretsmanager").put_resource_policy(SecretId=secret, ResourcePolicy=document)
    page = visitor.open("access/simulator", principal=arn, actions="secretsmanager:GetSecretValue", resources=secret)

    page.get_by_role("button", name="Simulate").click()

    expect(page.get_by_text("With the resource policy of the secret.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="GetSecretValue")).to_contain_text("allowed")
    # Which is so.
    assert server.client("secretsmanager", user.credentials).get_secret_value(SecretId=secret)["SecretString"] == "x"


def test_who_may_only_look_is_offered_nothing(new_visitor: NewVisitor, server: ServerProcess) -> None:
    Caller(server, "user", "watched")
    looker = Caller(server, "user", "looker")
    looker.may(allow(["iam:Get*", "iam:List*", "lambda:ListFunctions"]))
    visitor = new_visitor()
    visitor.sign_in(looker.credentials)

    page = visitor.open("access")
    expect(page.get_by_role("link", name="watched")).to_be_visible()
    expect(page.get_by_text("Create a user")).to_have_count(0)
    page.get_by_role("link", name="watched").click()
    expect(page.get_by_role("heading", name="watched")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("button")).to_have_count(0)
    page = visitor.open("access/edit", of="inline", kind="user", name="watched")
    expect(page.get_by_text("Your policies do not allow iam:PutUserPolicy here.")).to_be_visible()
    # Whoever makes the form themselves is refused by the policies.
    told = page.evaluate(
        """async () => {
            const token = document.querySelector("[name=csrf_token]").value;
            const body = new URLSearchParams({csrf_token: token, kind: "user", name: "looker", policy: "more",
                document: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'});
            return (await fetch("/console/access/inline/put", {method: "POST", body})).status;
        }"""
    )
    assert told == 403
    assert server.client("iam").list_user_policies(UserName="looker")["PolicyNames"] == ["inline"]


def test_who_may_nothing_sees_why(new_visitor: NewVisitor, server: ServerProcess) -> None:
    visitor = new_visitor()
    visitor.sign_in(Caller(server, "user", "empty").credentials)

    for path in ("access", "keys", "networks", "settings"):
        page = visitor.open(path)
        expect(page.get_by_text("Your policies do not allow").first).to_be_visible()
        expect(page.get_by_role("row")).to_have_count(0)


def test_a_stored_policy_does_not_run(visitor: Visitor, server: ServerProcess) -> None:
    user = Caller(server, "user", "mallory")
    hostile = document(allow("secretsmanager:*", f"arn:aws:secretsmanager:*:*:secret:</textarea></pre>{SCRIPT}"))
    server.client("iam").put_user_policy(UserName=user.name, PolicyName="p", PolicyDocument=hostile)
    server.client("iam").create_policy(
        PolicyName="scripted", Description=SCRIPT, PolicyDocument=document(allow("*", f"arn:aws:s3:::{SCRIPT}"))
    )

    page = visitor.open("access/edit", of="inline", kind="user", name="mallory", policy="p")
    expect(page).to_have_title("p of the user mallory · Keyturn")
    expect(page.get_by_label("Policy", exact=True)).to_have_value(re.compile("taken over"))
    page.get_by_role("button", name="Check").click()
    expect(page).to_have_title("p of the user mallory · Keyturn")
    page = visitor.open("access/policy", arn=f"arn:aws:iam::{server.account_id}:policy/scripted")
    expect(page).to_have_title("scripted · Keyturn")


@each_look
def test_the_pages_are_accessible(
    new_visitor: NewVisitor, server: ServerProcess, size: tuple[int, int], scheme: str
) -> None:
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.sign_in()
    user = Caller(server, "user")
    user.may(allow("secretsmanager:GetSecretValu"))
    iam = server.client("iam")
    iam.create_role(RoleName=f"of-{user.name}", AssumeRolePolicyDocument=document(TRUST))
    made = iam.create_policy(PolicyName=f"of-{user.name}", PolicyDocument=document(allow("secretsmanager:*")))

    for path, query in (
        ("access", {}),
        ("access", {"tab": "groups"}),
        ("access", {"tab": "policies"}),
        ("access/user", {"name": user.name}),
        ("access/role", {"name": f"of-{user.name}"}),
        ("access/policy", {"arn": made["Policy"]["Arn"]}),
        ("access/edit", {"of": "inline", "kind": "user", "name": user.name, "policy": "inline"}),
        ("access/simulator", {}),
        ("settings", {}),
    ):
        visitor.open(path, **query)
        assert visitor.violations() == [], path
        assert visitor.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_settings_show_what_the_server_runs_with(visitor: Visitor, server: ServerProcess) -> None:
    page = visitor.open("settings")

    expect(page.get_by_text(re.compile("^SQLite 3"))).to_be_visible()
    expect(page.get_by_text("local-file")).to_be_visible()
    expect(page.get_by_text(server.account_id, exact=True)).to_be_visible()
    # No path of the machine's, where keys and databases are.
    assert str(server.home) not in page.content()
