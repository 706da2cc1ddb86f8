"""Logs: found, searched, paged, followed live; and whatever stands in them does nothing."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from tests.e2e.conftest import ServerProcess

from .conftest import NewVisitor, Visitor, each_look
from .functions import create_function, invoke, user_with

_HOSTILE = [
    "<script>document.title = 'caught'</script>",
    "<img src=x onerror=\"document.title = 'caught'\">",
    "\x1b[31mred\x1b[0m\x07 \x08\x08",
    "\u202egnp.exe\u2069",
    "a line\rover it\x85next\u2028more",
    '{"level": "ERROR", "message": "<b>bold</b>", "requestId": "\\"><script>document.title=1</script>"}',
    '{"type":"platform.report","record":{"requestId":["<script>"],"metrics":7}}',
    "{" * 2000,
    "x" * 20_000,
]


def _put(server: ServerProcess, group: str, lines: list[str], *, stream: str = "one", begin: datetime) -> None:
    """Log lines a second apart."""
    logs = server.client("logs")
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    with suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
    at = int(begin.timestamp() * 1000)
    events = [{"timestamp": at + 1000 * number, "message": line} for number, line in enumerate(lines)]
    logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


def _lines(page: Page) -> list[str]:
    return [line.strip() for line in page.locator(".lines .said").all_inner_texts()]


@pytest.fixture(scope="module")
def hostile(server: ServerProcess) -> str:
    _put(server, "/hostile", _HOSTILE, stream="<script>x", begin=datetime.now(UTC) - timedelta(hours=1))
    return "/hostile"


@pytest.fixture(scope="module")
def long(server: ServerProcess) -> str:
    _put(server, "/long", [f"line {n:03}" for n in range(450)], begin=datetime.now(UTC) - timedelta(hours=5))
    return "/long"


def test_a_group_is_found_and_its_streams_are_listed(visitor: Visitor, long: str) -> None:
    page = visitor.open("logs")
    page.get_by_label("Name begins with").fill("/lon")
    expect(page).to_have_url(re.compile("prefix=%2Flon"))
    page.get_by_role("link", name=long).click()
    expect(page.locator(".lines")).to_contain_text("line 449")
    page.get_by_role("link", name=long).first.click()
    page.get_by_role("link", name="one").click()

    expect(page.get_by_text("Stream one")).to_be_visible()


def test_lines_are_paged_from_the_newest_to_the_oldest_and_back(visitor: Visitor, long: str) -> None:
    page = visitor.open("log", group=long)
    assert _lines(page) == [f"line {n:03}" for n in range(250, 450)]
    # The newest are in sight.
    expect(page.get_by_text("line 449")).to_be_in_viewport()
    page.get_by_role("link", name="Older lines").click()
    assert _lines(page) == [f"line {n:03}" for n in range(50, 250)]
    page.get_by_role("link", name="Older lines").click()
    assert _lines(page) == [f"line {n:03}" for n in range(50)]
    expect(page.get_by_role("link", name="Older lines")).to_have_count(0)

    # A moment's link shows what was before and after it.
    page.locator(".lines .when").nth(30).click()
    assert _lines(page)[:21] == [f"line {n:03}" for n in range(10, 31)]
    expect(page.locator(".lines .marked")).to_have_text(re.compile("line 030"))
    page.get_by_role("link", name="Newer lines").click()
    assert _lines(page)[0] == "line 130"


def test_lines_are_searched_and_bounded_in_time(visitor: Visitor, server: ServerProcess) -> None:
    begin = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=4)
    _put(server, "/searched", [f"minute {n} {'odd' if n % 2 else 'even'}" for n in range(20)], begin=begin)
    page = visitor.open("log", group="/searched")
    page.get_by_label("Search").fill('"odd" -17')
    page.get_by_label("From, UTC").fill(f"{begin + timedelta(seconds=10):%Y-%m-%dT%H:%M:%S}")
    page.get_by_label("To, UTC").fill(f"{begin + timedelta(seconds=18):%Y-%m-%dT%H:%M:%S}")
    page.get_by_role("button", name="Show").click()

    assert _lines(page) == ["minute 11 odd", "minute 13 odd", "minute 15 odd"]
    expect(page.get_by_label("From, UTC")).to_have_value(re.compile("T.*:10"))
    page.get_by_label("Search").fill("[unreadable")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("Invalid filter pattern")
    visitor.open("log", group="/searched", filter="nowhere")
    expect(page.get_by_text("Nothing that was looked at matches the search")).to_be_visible()


def test_failed_invocations_are_shown_and_the_search_is_left_free(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "failing")
    invoke(server, "failing", print="all is well")
    invoke(server, "failing", do="fail")
    page = visitor.open("log", group="/aws/lambda/failing")
    page.get_by_role("link", name="Failed invocations").click()

    expect(page.get_by_text("the password was refused").first).to_be_visible()
    expect(page.get_by_text("all is well")).to_have_count(0)
    expect(page.get_by_label("Search")).to_have_value("")
    page.get_by_role("link", name="All lines").click()
    expect(page.get_by_text("all is well").first).to_be_visible()


def test_following_shows_an_invocation_made_meanwhile(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "followed")
    invoke(server, "followed", print="before")
    page = visitor.open("log", group="/aws/lambda/followed")
    page.get_by_role("link", name="Follow live").click()
    expect(page.locator(".lines")).to_contain_text("before")

    invoke(server, "followed", print="meanwhile")

    expect(page.locator(".lines li", has_text="meanwhile")).to_be_in_viewport(timeout=20_000)
    invoke(server, "followed", do="fail")
    failed = page.locator(".lines .bad", has_text="ValueError")
    expect(failed).to_be_visible(timeout=20_000)
    # Each line is there once, however often it was sent.
    expect(page.locator(".lines li", has_text="before")).to_have_count(1)
    expect(page.locator(".lines li", has_text="meanwhile")).to_have_count(1)
    failed.locator(".when").click()
    expect(page.locator(".lines .marked").filter(has_text="asked to fail")).to_have_count(1)


def test_following_ends_with_the_permission(new_visitor: NewVisitor, server: ServerProcess, long: str) -> None:
    credentials = user_with(server, "follower", "logs:*")
    visitor = new_visitor()
    visitor.sign_in(credentials)
    page = visitor.open("log", group=long, live="1")
    expect(page.get_by_text("Following: new lines appear at the end.")).to_be_visible()

    server.client("iam").delete_user_policy(UserName="follower", PolicyName="some")

    expect(page.locator("#following .withheld")).to_contain_text("logs:FilterLogEvents", timeout=20_000)


def test_nothing_in_a_line_does_anything(visitor: Visitor, hostile: str) -> None:
    page = visitor.open("log", group=hostile)
    said = _lines(page)

    assert said[0] == _HOSTILE[0]
    assert said[1] == _HOSTILE[1]
    assert said[2] == r"\x1b[31mred\x1b[0m\x07 \x08\x08"
    assert said[3] == r"\u202egnp.exe\u2069"
    assert said[5] == "ERROR <b>bold</b>"
    assert len(said[8]) == 8001
    assert not set(page.locator(".lines").inner_text()) & set("\x1b\x07\x08\u202e\u2069\x85\u2028")
    for path, query in [("log", {"group": hostile, "stream": "<script>x"}), ("logs/group", {"group": hostile})]:
        visitor.open(path, **query)
        expect(page).not_to_have_title("caught")
        expect(page.get_by_text("<script>x").first).to_be_visible()


@pytest.mark.parametrize("hostile_query", ["<script>document.title='caught'</script>", "\x1b[31m", "\u202e", '"', "%"])
def test_nothing_in_an_address_does_anything(visitor: Visitor, long: str, hostile_query: str) -> None:
    asked = [(path, {"group": long}) for path in ("log", "logs", "logs/group")]
    asked += [("function", {"tab": tab}) for tab in ("monitoring", "code", "test", "configuration", "versions")]
    for path, query in asked:
        for name in ("group", "stream", "request", "at", "from", "before", "filter", "next", "name", "secret"):
            answer = visitor.page.request.get(visitor.address(path, **{**query, name: hostile_query}))
            assert answer.status < 500, f"{path} {name}"
            assert "<script>document" not in answer.text()
        page = visitor.open(path, **dict.fromkeys([*query, "stream", "filter", "name"], hostile_query))
        expect(page.get_by_role("navigation", name="Console")).to_be_visible()
        expect(page).not_to_have_title("caught")


def test_lines_of_others_are_not_shown(new_visitor: NewVisitor, server: ServerProcess, long: str) -> None:
    visitor = new_visitor()
    visitor.sign_in(user_with(server, "lister", "logs:DescribeLogGroups"))
    page = visitor.open("logs")
    expect(page.get_by_role("link", name=long)).to_be_visible()
    page.get_by_role("link", name=long).click()
    expect(page.locator(".withheld")).to_contain_text("logs:FilterLogEvents")
    expect(page.locator(".lines")).to_have_count(0)
    visitor.open("logs/group", group=long)
    expect(page.locator(".withheld").first).to_contain_text("logs:DescribeLogStreams")
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    expect(page.get_by_role("button", name="Set")).to_have_count(0)


def test_a_function_that_has_never_run_has_no_log_and_a_way_to_one(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "never-run")
    page = visitor.open("function", name="never-run")
    expect(page.get_by_text("It was not invoked in this time.").last).to_be_visible()
    page.get_by_role("link", name="View the log").click()
    page.get_by_role("link", name="test never-run").click()

    expect(page.get_by_role("link", name="Test")).to_have_attribute("aria-current", "page")


def test_lines_are_saved_as_they_were_written(visitor: Visitor, hostile: str) -> None:
    page = visitor.open("log", group=hostile)
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Save these lines").click()

    assert waiting.value.suggested_filename == "hostile.txt"
    saved = waiting.value.path().read_text()
    assert all(line in saved for line in _HOSTILE if "\r" not in line)


def test_a_group_is_kept_for_some_days_and_deleted(visitor: Visitor, server: ServerProcess) -> None:
    _put(server, "/kept", ["a line"], begin=datetime.now(UTC))
    page = visitor.open("logs/group", group="/kept")
    page.get_by_label("Show lines for").select_option("7 days")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_role("status")).to_contain_text("Lines are shown for 7 days.")
    page.get_by_label("Show lines for").select_option("no limit")
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_text("Lines are shown without a limit of time.").first).to_be_visible()
    page.get_by_label("to confirm").fill("/kept")
    page.get_by_role("button", name="Delete the log group").click()

    expect(page.get_by_role("status")).to_contain_text("The log group /kept is deleted.")
    expect(visitor.open("logs/group", group="/kept").get_by_role("heading", name="Not found")).to_be_visible()


def test_a_request_is_found_without_its_time(visitor: Visitor, server: ServerProcess) -> None:
    create_function(server, "asked-for", LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    invoke(server, "asked-for", print="one")
    request_id = invoke(server, "asked-for", do="warn", print=json.dumps({"said": "two"}))
    invoke(server, "asked-for", print="three")

    page = visitor.open("log", group="/aws/lambda/asked-for", request=request_id)

    marked = page.locator(".lines .marked")
    expect(marked).to_have_count(3)
    expect(marked.nth(1)).to_contain_text("two")
    expect(marked.nth(2)).to_contain_text("take care")
    expect(page.get_by_role("link", name="Its audit events")).to_have_attribute("href", re.compile(request_id))


@each_look
def test_the_pages_are_accessible(
    new_visitor: NewVisitor, server: ServerProcess, hostile: str, size: tuple[int, int], scheme: str
) -> None:
    name = f"seen-{scheme}-{size[0]}"
    create_function(server, name)
    request_id = invoke(server, name, do="fail")
    invoke(server, name, do="warn")
    visitor = new_visitor(size=size, color_scheme=scheme)
    visitor.sign_in()
    found = {}
    for path, query in [
        ("logs", {}),
        ("logs/group", {"group": hostile}),
        ("log", {"group": hostile}),
        ("log", {"group": f"/aws/lambda/{name}", "live": "1"}),
        ("log", {"group": f"/aws/lambda/{name}", "request": request_id}),
        ("log", {"group": hostile, "filter": "nowhere"}),
    ]:
        page = visitor.open(path, **query)
        for summary in page.locator("main summary").all():
            summary.click()
        found[path, json.dumps(query)] = visitor.violations()
        is_wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not is_wide, f"{path} {query} scrolls sideways"
    assert {where: broken for where, broken in found.items() if broken} == {}
