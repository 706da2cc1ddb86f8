"""The console in a real browser: Debian's Chromium, driven by Playwright, against a real server process.

Every page that a test opens is listened to: a script that fails, or anything that the page's Content-Security-Policy
forbids, fails the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from tests.e2e.conftest import DEADLINE_SECONDS, Credentials, ServerProcess

from keyturn.testing.postgresql import PostgresqlServer

# What is waited for comes, on whatever machine; five seconds, as Playwright has it, are a measurement.
expect.set_options(timeout=DEADLINE_SECONDS * 1000)

CHROMIUM = "/usr/bin/chromium"
DESKTOP, PHONE = (1280, 900), (390, 844)
_AXE = Path(__file__).parents[1] / "e2e" / "node" / "node_modules" / "axe-core" / "axe.min.js"
each_look = pytest.mark.parametrize(
    ("size", "scheme"),
    [
        pytest.param(DESKTOP, "light", id="desktop-light"),
        pytest.param(PHONE, "dark", id="phone-dark"),
        pytest.param(DESKTOP, "dark", id="desktop-dark", marks=pytest.mark.long),
        pytest.param(PHONE, "light", id="phone-light", marks=pytest.mark.long),
    ],
)
"""What people look at: each size and each scheme is looked at by every run, and all four by ``make test-long``."""
# What WCAG 2.2 asks for up to AA, and what axe-core's authors count as good practice.
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# The browser says so itself of every page that is answered with a status of 400 and above, as some are meant to be.
_STATUS = "Failed to load resource: the server responded with a status of"


# For a module, not for the run: while Playwright runs, so does a loop of its in this thread, and others want their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that the tests of one module share."""
    process = ServerProcess(tmp_path_factory.mktemp("keyturn"))
    process.start()
    yield process
    assert process.stop() == 0, process.log()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgresqlServer]:
    """A database that the tests of one module share."""
    with PostgresqlServer.start() as running:
        yield running


class Visitor:
    """Somebody with a browser.

    Args:
        browser: Which.
        server: Where.
        options: Of Playwright's ``new_context``.
    """

    def __init__(self, browser: Browser, server: ServerProcess, **options: Any) -> None:
        self.server = server
        width, height = options.pop("size", DESKTOP)
        self.context: BrowserContext = browser.new_context(viewport={"width": width, "height": height}, **options)
        self.context.set_default_timeout(DEADLINE_SECONDS * 1000)
        self.complaints: list[str] = []
        self.context.on("console", self._hear)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.page: Page = self.context.new_page()

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_STATUS):
            self.complaints.append(message.text)

    def address(self, path: str = "", **query: str) -> str:
        """The whole address of a page."""
        return f"{self.server.endpoint_url}/console/{path}" + (f"?{urlencode(query)}" if query else "")

    def open(self, path: str = "", **query: str) -> Page:
        """Go to a page of the console."""
        self.page.goto(self.address(path, **query))
        return self.page

    def sign_in(self, credentials: Credentials | None = None) -> Page:
        """Sign in, as the administrator if nobody is named."""
        signer = credentials or self.server.admin
        page = self.open("sign-in")
        page.get_by_label("Access key id").fill(signer.access_key_id)
        page.get_by_label("Secret access key").fill(signer.secret_access_key)
        if signer.session_token:
            page.get_by_text("Temporary credentials, another region").click()
            page.get_by_label("Session token").fill(signer.session_token)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("navigation", name="Console").wait_for()
        return page

    def violations(self) -> list[str]:
        """What axe-core has against the page that is open: the rule, and where it is broken."""
        self.page.evaluate(_AXE.read_text())
        found = self.page.evaluate("rules => axe.run(document, {runOnly: rules})", _RULES)
        return [
            f"{broken['id']}: {broken['help']}: {[node['html'] for node in broken['nodes']]}"
            for broken in found["violations"]
        ]


NewVisitor = Callable[..., Visitor]


@pytest.fixture
def new_visitor(browser: Browser, server: ServerProcess) -> Iterator[NewVisitor]:
    """Make visitors, whose pages must not have complained when the test ends."""
    made: list[Visitor] = []
    with ExitStack() as closing:

        def make(**options: Any) -> Visitor:
            visitor = Visitor(browser, options.pop("server", server), **options)
            closing.callback(visitor.context.close)
            made.append(visitor)
            return visitor

        yield make
    assert [complaint for visitor in made for complaint in visitor.complaints] == []


@pytest.fixture
def visitor(new_visitor: NewVisitor) -> Visitor:
    """The administrator, signed in."""
    made = new_visitor()
    made.sign_in()
    return made


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ServerProcess]:
    """A server of the test's own, not yet started."""
    process = ServerProcess(tmp_path)
    yield process
    if process._process is not None:
        process.stop()
