"""Addresses of the console that nobody meant to ask for: those of actions, and of pages without what they are about."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3

from keyturn.console.routing import discover

from .conftest import ServerProcess
from .console_session import ConsoleSession
from .rotation_function import create_rotation_function

_ROUTES = discover()
_FORM = re.compile(r'<form method="post" [^>]*?action="/console/([^"]+)"')
# What every page has; they lead back to it by what the form holds.
_OF_EVERY_PAGE = {"look", "sign-out"}


@pytest.fixture(scope="module")
def session(server: ServerProcess) -> ConsoleSession:
    return ConsoleSession(server)


@pytest.fixture(scope="module")
def pages(server: ServerProcess) -> dict[str, dict[str, str]]:
    """Pages of things that there are, with what one of them is called."""
    secret = server.client("secretsmanager").create_secret(Name="kept/db", SecretString='{"engine": "postgres"}')["ARN"]
    deleted = server.client("secretsmanager").create_secret(Name="deleted", SecretString="x")["ARN"]
    server.client("secretsmanager").delete_secret(SecretId=deleted)
    function = create_rotation_function(server, "rotates")
    server.client("lambda").put_function_concurrency(FunctionName="rotates", ReservedConcurrentExecutions=1)
    server.client("lambda").update_function_configuration(
        FunctionName="rotates", Environment={"Variables": {"LEVEL": "1"}}
    )
    server.client("secretsmanager").rotate_secret(
        SecretId=secret, RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 30}
    )
    server.client("logs").create_log_group(logGroupName="/kept/group")
    iam = server.client("iam")
    iam.create_user(UserName="ann")
    iam.create_access_key(UserName="ann")
    iam.create_group(GroupName="staff")
    iam.add_user_to_group(UserName="ann", GroupName="staff")
    document = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}'
    iam.put_user_policy(UserName="ann", PolicyName="mine", PolicyDocument=document)
    policy = iam.create_policy(PolicyName="all", PolicyDocument=document)["Policy"]["Arn"]
    iam.create_policy_version(PolicyArn=policy, PolicyDocument=document)
    iam.attach_user_policy(UserName="ann", PolicyArn=policy)
    key = server.client("kms").create_key()["KeyMetadata"]["KeyId"]
    return {
        "secret": {"id": secret},
        "secret/access": {"id": secret},
        "secret/delete": {"id": secret},
        "secret/doctor": {"id": secret},
        "secret/rotation": {"id": secret},
        "secret/rotation/setup": {"id": secret, "how": "new", "schedule": "rate(7 days)"},
        "function": {"name": "rotates"},
        "logs/group": {"group": "/kept/group"},
        "access": {"tab": "roles"},
        "access/user": {"name": "ann"},
        "access/group": {"name": "staff"},
        "access/role": {"name": "rotates"},
        "access/policy": {"arn": policy},
        "access/edit": {"of": "managed", "arn": policy},
        "keys": {},
        "key": {"id": key},
    }


def followed(session: ConsoleSession, path: str) -> tuple[urllib3.BaseHTTPResponse, str]:
    """Go where an address leads, as a browser does; return the page, and its address without ``/console/``."""
    for _ in range(3):
        answered = session.ask("GET", path)
        if answered.status != 303:
            break
        path = answered.headers["location"].removeprefix("/console/")
    return answered, path


@pytest.mark.parametrize("path", sorted({*_ROUTES.pages, *_ROUTES.actions}))
def test_without_what_it_is_about_every_address_leads_to_a_page(session: ConsoleSession, path: str) -> None:
    # A form leads there, too.
    assert session.post(path).status < 500
    session.cookies.pop("keyturn-notice", None)

    answered, there = followed(session, path)

    told = answered.data.decode()
    assert answered.status == 200
    assert urlsplit(there).path in _ROUTES.pages
    needed = _ROUTES.pages[_ROUTES.page_of(path)].needs
    assert ("The address does not say which one: choose it here." in told) == bool(needed)
    assert "ParamValidation" not in told


def test_every_form_leads_back_to_its_page_if_its_address_is_loaded(
    session: ConsoleSession, pages: dict[str, dict[str, str]]
) -> None:
    seen: set[str] = set()
    for path, query in pages.items():
        tabs = ("monitoring", "code", "test", "configuration", "versions") if path == "function" else ("",)
        for tab in tabs:
            shown = session.get(path, **query, **({"tab": tab} if tab else {}))
            assert shown.status == 200
            for action in {html.unescape(each) for each in _FORM.findall(shown.data.decode())} - _OF_EVERY_PAGE:
                answered, there = followed(session, action)
                assert (answered.status, action) == (200, action)
                # The same thing, not the list of all.
                was, now = parse_qs(urlsplit(action).query), parse_qs(urlsplit(there).query)
                assert now == was
                assert query.items() <= {name: values[0] for name, values in now.items()}.items()
                seen.add(urlsplit(action).path)

    assert len(seen) > 25


def test_what_is_refused_is_told_on_a_page_that_can_be_loaded_again(
    server: ServerProcess, session: ConsoleSession
) -> None:
    server.client("iam").create_user(UserName="bob")

    refused = session.post("access/user/attach?name=bob", arn="nonsense")

    told = refused.data.decode()
    assert refused.status == 400
    # Where the form of region and colours leads back to.
    assert 'name="next" value="/console/access/user?name=bob"' in told
    answered, there = followed(session, "access/user/attach?name=bob")
    assert (answered.status, there) == (200, "access/user?name=bob")


def test_who_has_to_sign_in_again_is_led_on_to_the_page_of_what_they_did(
    server: ServerProcess, session: ConsoleSession
) -> None:
    nobody = ConsoleSession(server, is_signed_in=False)

    answered = nobody.post("access/user/key/create?name=ann")

    assert answered.status == 303
    location = urlsplit(answered.headers["location"])
    assert location.path == "/console/sign-in"
    assert parse_qs(location.query) == {"next": ["/console/access/user?name=ann"]}


@pytest.mark.parametrize("path", ["look", "sign-out"])
def test_what_every_page_offers_leads_home(session: ConsoleSession, path: str) -> None:
    answered, there = followed(session, path)

    assert (answered.status, there) == (200, "")


def test_who_mistypes_is_led_to_the_same_page_when_they_sign_in(server: ServerProcess) -> None:
    nobody = ConsoleSession(server, is_signed_in=False)
    nobody.open_sign_in()

    refused = nobody.post("sign-in?next=/console/keys", access_key_id="AKIA", secret_access_key="wrong")

    assert refused.status == 403
    assert 'action="/console/sign-in?next=%2Fconsole%2Fkeys"' in refused.data.decode()


def test_a_form_of_another_session_leads_to_its_page(server: ServerProcess) -> None:
    session = ConsoleSession(server)
    session.csrf_token = "another"

    answered = session.post("logs/group/delete?group=/a/b")

    assert answered.status == 403
    assert '<a href="/console/logs/group?group=%2Fa%2Fb">' in answered.data.decode()


def test_a_thing_that_is_gone_leads_to_the_list(session: ConsoleSession) -> None:
    answered = session.get("key", id="gone")

    told = answered.data.decode()
    assert answered.status == 404
    assert '<p><a href="/console/keys">Keys</a></p>' in told
    assert '<a href="/console/keys" aria-current="page">' in told


@pytest.mark.parametrize("path", ["a/" * 5000 + "b", "secrets//", "static/none"])
def test_what_is_no_address_is_not_found(session: ConsoleSession, path: str) -> None:
    assert session.ask("GET", path).status == 404


def test_what_an_address_says_to_be_mended_is_told_of_causes_only(
    session: ConsoleSession, pages: dict[str, dict[str, str]]
) -> None:
    told = session.get("secret/doctor", **pages["secret/doctor"], fixed="db-login-failed").data.decode()
    assert "db-login-failed" in told
    made_up = session.get(
        "secret/doctor", **pages["secret/doctor"], fixed="Call 555 0100. Whatever is wrong"
    ).data.decode()
    assert "555 0100" not in re.sub(r'value="[^"]*"', "", made_up)
