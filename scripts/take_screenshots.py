# noqa: INP001 - a script beside the package, not a part of it
"""Take the pictures of the console that stand in the README and in docs/console.md, of a real server and database.

Some secrets rotate; then one function's role loses a permission and one password is changed behind Keyturn's back, so
that there is something to be seen. ``make screenshots`` runs it, after a change of what the pages look like.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect, sync_playwright

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import CHROMIUM, Visitor  # noqa: E402 - the tests are no package that is installed
from tests.e2e.conftest import ServerProcess, run_keyturn, wait_until  # noqa: E402 - likewise

from keyturn.testing.postgresql import PostgresqlServer  # noqa: E402 - likewise

IMAGES: Final = ROOT / "docs" / "images"
SIZE: Final = (1280, 1000)
DENIED, CHANGED = "prod/orders/postgresql", "prod/reports/postgresql"
ROTATING: Final[Mapping[str, str]] = {
    "prod/billing/postgresql": "30",
    DENIED: "7",
    CHANGED: "30",
    "prod/search/postgresql": "cron(0 3 ? * SUN *)",
    "staging/orders/postgresql": "1",
}
OTHERS: Final[Mapping[str, str]] = {
    "prod/payments/api-key": "The payment provider's key",
    "prod/web/session-key": "Signs the cookies of the shop",
}


def main() -> int:
    """Take all of them."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home, PostgresqlServer.start() as database:
        server = ServerProcess(Path(home), preflight=True)
        server.start()
        try:
            _fill(server, database)
            _break(server, database)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
                )
                for scheme, names in (
                    ("light", ("overview", "secrets", "rotation")),
                    ("dark", ("doctor", "monitoring")),
                ):
                    visitor = Visitor(browser, server, size=SIZE, color_scheme=scheme, timezone_id="Europe/Zurich")
                    visitor.sign_in()
                    for name in names:
                        _PICTURES[name](visitor)
                        path = IMAGES / f"console-{name}.png"
                        visitor.page.screenshot(path=path)
                        sys.stdout.write(f"{path}\n")
                browser.close()
        finally:
            server.stop()
    return 0


def _fill(server: ServerProcess, database: PostgresqlServer) -> None:
    secretsmanager = server.client("secretsmanager")
    for name, description in OTHERS.items():
        secretsmanager.create_secret(Name=name, SecretString="nobody's", Description=description)
    for name, schedule in ROTATING.items():
        user = name.replace("/postgresql", "").replace("/", "_")
        database.create_user(user, "first")
        value = {"engine": "postgres", "host": "127.0.0.1", "port": database.port, "dbname": "postgres"}
        secretsmanager.create_secret(
            Name=name, SecretString=json.dumps({**value, "username": user, "password": "first"})
        )
        run_keyturn(
            "function", "create", "--for", name, "--schedule", schedule, home=server.home, environ=server.environ()
        )


def _break(server: ServerProcess, database: PostgresqlServer) -> None:
    keyturn, secretsmanager = server.client("keyturn"), server.client("secretsmanager")
    server.client("iam").delete_role_policy(RoleName=_function(server), PolicyName="SecretsManagerRotation")
    secretsmanager.rotate_secret(SecretId=DENIED)
    wait_until(lambda: keyturn.get_rotation(SecretId=DENIED)["Rotation"].get("Cause"), "a failed attempt")
    database.run("ALTER USER prod_reports PASSWORD 'another'")
    for name in ROTATING.keys() - {DENIED}:
        keyturn.preflight_rotation(SecretId=name)


def _function(server: ServerProcess) -> str:
    """Return the name of the function that may not do its work, which is its role's as well."""
    described = server.client("secretsmanager").describe_secret(SecretId=DENIED)
    return str(described["RotationLambdaARN"]).rpartition(":")[2]


def _overview(visitor: Visitor) -> None:
    _settled(visitor.open())


def _secrets(visitor: Visitor) -> None:
    _settled(visitor.open("secrets"))


def _rotation(visitor: Visitor) -> None:
    page = visitor.open("secret/rotation", id="prod/billing/postgresql")
    expect(page.get_by_text("The rotation has succeeded")).to_be_visible()


def _doctor(visitor: Visitor) -> None:
    page = visitor.open("secret/doctor", id=DENIED)
    expect(page.get_by_role("button", name="Apply this fix").first).to_be_visible()


def _monitoring(visitor: Visitor) -> None:
    page = visitor.open("function", name=_function(visitor.server), over="1h")
    expect(page.locator("figure", has_text="Invocation errors")).to_be_visible()


def _settled(page: Page) -> None:
    expect(page.get_by_role("main")).to_be_visible()


_PICTURES: Final = {
    "overview": _overview,
    "secrets": _secrets,
    "rotation": _rotation,
    "doctor": _doctor,
    "monitoring": _monitoring,
}


if __name__ == "__main__":
    sys.exit(main())
