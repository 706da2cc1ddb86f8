"""What other sites, other people and stored text can do to somebody who is signed in: nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import pytest
import urllib3
from playwright.sync_api import expect
from tests.e2e.conftest import ServerProcess

from .conftest import NewVisitor, Visitor


@contextmanager
def another_site(html: str) -> Iterator[str]:
    """A page at another origin: another port is one."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield f"http://localhost:{site.server_address[1]}/"
        finally:
            site.shutdown()
            thread.join()


def cookies(visitor: Visitor) -> str:
    return "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in visitor.context.cookies())


def post(visitor: Visitor, path: str, headers: dict[str, str] | None = None, **fields: str) -> urllib3.BaseHTTPResponse:
    """Post a form as a browser would that has this visitor's cookies."""
    return urllib3.request(
        "POST",
        visitor.address(path),
        body=urlencode(fields),
        headers={
            "cookie": cookies(visitor),
            "content-type": "application/x-www-form-urlencoded",
            **(headers or {}),
        },
        redirect=False,
    )


def token_of(visitor: Visitor) -> str:
    token = visitor.page.locator("input[name=csrf_token]").first.get_attribute("value")
    assert token
    return token


def test_a_form_of_another_site_changes_nothing(visitor: Visitor) -> None:
    html = f"""<form method="post" action="{visitor.address("look")}">
      <input name="region" value="eu-west-1"><input name="theme" value="dark"><button>Win a prize</button></form>"""
    with another_site(html) as site:
        visitor.page.goto(site)
        visitor.page.get_by_role("button").click()

    page = visitor.open("secrets")
    expect(page.get_by_text("administrator · us-east-1")).to_be_visible()
    assert page.locator("html").get_attribute("data-theme") == "auto"


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        ({}, "own", 303),
        ({}, "", 403),
        ({}, "another's", 403),
        ({"origin": "http://evil.example"}, "own", 403),
        ({"origin": "null"}, "own", 403),
        ({"sec-fetch-site": "cross-site"}, "own", 403),
        ({"sec-fetch-site": "same-site"}, "own", 403),
    ],
)
def test_a_form_must_carry_the_token_of_its_session_and_come_from_here(
    visitor: Visitor, new_visitor: NewVisitor, headers: dict[str, str], token: str, status: int
) -> None:
    other = new_visitor()
    other.sign_in()
    tokens = {"own": token_of(visitor), "another's": token_of(other), "": ""}

    answered = post(visitor, "sign-out", headers, csrf_token=tokens[token])

    assert answered.status == status
    signed_out = visitor.open("secrets").get_by_label("Access key id").is_visible()
    assert signed_out is (status == 303)


def test_the_console_is_shown_in_no_frame(visitor: Visitor) -> None:
    with another_site(f'<iframe src="{visitor.address()}"></iframe>') as site:
        visitor.page.goto(site)
        frame = visitor.page.frames[1]
        frame.wait_for_load_state()
        assert frame.locator("main").count() == 0
    # Which Chromium complains of.
    visitor.complaints.clear()


def test_a_session_is_made_anew_at_each_sign_in(new_visitor: NewVisitor) -> None:
    visitor, attacker = new_visitor(), new_visitor()
    attacker.sign_in()
    fixed = next(each for each in attacker.context.cookies() if each["name"] == "keyturn-session")
    visitor.context.add_cookies([fixed])  # type: ignore[list-item]  # what one gives the other takes

    visitor.sign_in()

    mine = next(each for each in visitor.context.cookies() if each["name"] == "keyturn-session")
    assert mine["value"] != fixed["value"]
    assert mine["httpOnly"]
    assert mine["sameSite"] == "Lax"
    assert mine["path"] == "/console/"


@pytest.mark.parametrize("path", ["", "secrets", "sign-in", "nothing-there", "static/console.js"])
def test_every_answer_has_the_headers_that_keep_others_out(visitor: Visitor, path: str) -> None:
    answered = urllib3.request("GET", visitor.address(path), headers={"cookie": cookies(visitor)}, redirect=False)

    policy = answered.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answered.headers["x-content-type-options"] == "nosniff"
    assert answered.headers["x-frame-options"] == "DENY"
    assert ("no-store" in answered.headers["cache-control"]) is (path != "static/console.js")


@pytest.mark.parametrize(
    "path", ["static/../application.py", "static/%2e%2e/application.py", "static/..%2fapplication.py"]
)
def test_static_files_are_those_of_their_folder(visitor: Visitor, path: str) -> None:
    pool = urllib3.PoolManager()
    answered = pool.urlopen("GET", visitor.address(path), headers={"cookie": cookies(visitor)}, redirect=False)

    assert b"class Console" not in answered.data


@pytest.mark.parametrize("size_bytes", [2 * 1024 * 1024, 64 * 1024 * 1024])
def test_a_form_that_is_too_large_is_refused(visitor: Visitor, size_bytes: int) -> None:
    answered = post(visitor, "look", csrf_token=token_of(visitor), theme="x" * size_bytes)

    assert answered.status == 413
    assert visitor.open("secrets").get_by_role("heading", name="Secrets").is_visible()


def test_a_forged_cookie_is_nobodys(new_visitor: NewVisitor, server: ServerProcess) -> None:
    visitor = new_visitor()
    visitor.sign_in()
    value = next(each["value"] for each in visitor.context.cookies() if each["name"] == "keyturn-session")
    for forged in ("", "x", value[:-2], value[:-1] + ("A" if value[-1] != "A" else "B"), "é" * 10, value * 30):
        answered = urllib3.request(
            "GET",
            f"{server.endpoint_url}/console/secrets",
            headers={"cookie": f"keyturn-session={forged}".encode("latin-1").decode("latin-1")},
            redirect=False,
        )
        assert answered.status in (303, 400), forged


def test_the_address_alone_leads_a_browser_to_the_console_and_a_client_to_the_api(server: ServerProcess) -> None:
    person = urllib3.request("GET", server.endpoint_url, headers={"accept": "text/html,*/*"}, redirect=False)
    program = urllib3.request("GET", server.endpoint_url, headers={"accept": "*/*"}, redirect=False)

    assert (person.status, person.headers["location"]) == (303, "/console/")
    assert program.status >= 400


def test_a_console_that_is_switched_off_is_not_there(own_server: ServerProcess) -> None:
    own_server.options = (*own_server.options, "--no-console")
    own_server.start()

    answered = urllib3.request("GET", f"{own_server.endpoint_url}/console/", redirect=False)

    assert answered.status >= 400
