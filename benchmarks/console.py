"""Measure how long pages of the console take: with few secrets, and with a hundred thousand.

``make bench-console`` runs it; docs/benchmarks.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import quote, urlencode

import urllib3
from rich import box
from rich.console import Console
from rich.table import Table
from sqlalchemy import case, insert, literal, select

# Run as a script, Python looks for modules in this folder only.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.keyturn_server import KeyturnServer, data_of, init, serving
from benchmarks.report import load_averages, machine
from benchmarks.scheduled_secrets import scheduled_secrets
from benchmarks.servers import prepare_this_process
from benchmarks.stored_secrets import opened, store_secrets

from keyturn.cli.main import print_error
from keyturn.clock import SystemClock
from keyturn.errors.base import KeyturnError
from keyturn.operations.kit import Kit
from keyturn.rules.preflight import Heartbeat, Verdict
from keyturn.storage import schema

# Of the secret that is looked at.
_NAME = "team-007/database-0000007"
_PAGES = {
    "overview": "",
    "secrets": "secrets",
    "secrets, searched by name": f"secrets?search={quote('team-007/database-00')}",
    "secrets, searched for what no secret has": "secrets?search=nothing",
    "a secret": f"secret?id={quote(_NAME)}",
    "its rotation": f"secret/rotation?id={quote(_NAME)}",
    "its access and tags": f"secret/access?id={quote(_NAME)}",
    "schedule": "schedule",
    "doctor": "doctor",
    "functions": "functions",
    "logs": "logs",
    "audit": "audit",
    "access": "access",
    "networks": "networks",
    "keys": "keys",
    "settings": "settings",
}
_FOUND = 200
_SECRETS_FOR_ONE_TROUBLED = 1000


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked on the command line."""

    secrets: list[int]
    repeats: int
    output: str


@dataclass(frozen=True, slots=True)
class Result:
    """How long a page took, from the request to the last byte.

    Attributes:
        page: Its name.
        secrets: That there are.
        median_ms: Of all repeats.
        slow_ms: Nine of ten were quicker.
        kilobytes: How large it is.
    """

    page: str
    secrets: int
    median_ms: float
    slow_ms: float
    kilobytes: float


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _options()
    prepare_this_process()
    load = load_averages()
    progress = Console(stderr=True, highlight=False)
    try:
        results = [result for count in options.secrets for result in _measure(options, count, progress)]
    except KeyturnError as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.output == "json":
        told = {"machine": machine(), "load_before": load, "results": [asdict(result) for result in results]}
        print(json.dumps(told, indent=2))
    else:
        _print(Console(highlight=False, soft_wrap=True, width=130), options.secrets, results)
        print(f"Machine: {machine()}; load before: {load}")
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Measure pages of the console, on this machine.")
    parser.add_argument("--secrets", type=int, nargs="+", default=[100, 100_000], help="(%(default)s)")
    parser.add_argument("--repeats", type=int, default=50, help="of each page (%(default)s)")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return Options(**vars(parser.parse_args()))


def _measure(options: Options, count: int, progress: Console) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="keyturn-bench-") as made:
        directory = Path(made)
        administrator = init(directory)
        progress.print(f"Storing {count:,} secrets")
        now = SystemClock().now()
        busy_hour = (now + timedelta(days=3)).replace(hour=3, minute=0, second=0, microsecond=0)
        with opened(data_of(directory)) as (kit, place):
            secrets = scheduled_secrets(count, now, busy_hour)
            store_secrets(kit, place, secrets, created_at=now - timedelta(days=200))
            _store_preflights(kit, now)
        with serving(directory, administrator, seconds=600) as server:
            browser = _Browser(server)
            results = []
            for page, path in _PAGES.items():
                progress.print(f"  {page}")
                results.append(_timed(browser, page, path, count, options.repeats))
            return results


def _store_preflights(kit: Kit, now: datetime) -> None:
    """Store what the last look at each secret found: of a thousand, one is in trouble."""
    is_troubled = schema.secrets.c.secret_id % _SECRETS_FOR_ONE_TROUBLED == 0
    columns = {
        "secret_id": schema.secrets.c.secret_id,
        "verdict": case((is_troubled, Verdict.WILL_FAIL.value), else_=Verdict.READY.value),
        "heartbeat": literal(Heartbeat.IN_STEP.value),
        "causes": literal([], schema.preflights.c.causes.type),
        "checked_at": literal(now, schema.Moment),
        "since": literal(now, schema.Moment),
        "is_told": literal(value=False),
        "due_at": literal(now + timedelta(days=1), schema.Moment),
    }
    with kit.state.write() as transaction:
        transaction.connection.execute(insert(schema.preflights).from_select(list(columns), select(*columns.values())))


class _Browser:
    """Somebody who is signed in, on one connection."""

    def __init__(self, server: KeyturnServer) -> None:
        self._pool = urllib3.HTTPConnectionPool("127.0.0.1", server.port, maxsize=1, retries=False)
        page = self._pool.request("GET", "/console/sign-in")
        cookie = page.headers["set-cookie"].partition(";")[0]
        found = re.search(r'name="csrf_token" value="([^"]+)"', page.data.decode())
        if found is None:
            raise KeyturnError("The sign-in page has no form.")
        fields = {
            "csrf_token": found[1],
            "access_key_id": server.administrator["access_key_id"],
            "secret_access_key": server.administrator["secret_access_key"],
        }
        headers = {"cookie": cookie, "content-type": "application/x-www-form-urlencoded"}
        answered = self._pool.request(
            "POST", "/console/sign-in", body=urlencode(fields), headers=headers, redirect=False
        )
        cookies = [each.partition(";")[0] for each in answered.headers.getlist("set-cookie")]
        self._cookie = "; ".join(each for each in cookies if each.startswith("keyturn-session="))

    def get(self, path: str) -> bytes:
        """Return a page."""
        answered = self._pool.request("GET", f"/console/{path}", headers={"cookie": self._cookie}, redirect=False)
        if answered.status != _FOUND:
            raise KeyturnError(f"/console/{path} was answered with {answered.status}.")
        return answered.data


def _timed(browser: _Browser, page: str, path: str, count: int, repeats: int) -> Result:
    # The first makes clients and compiles templates, for all that come after it.
    content = browser.get(path)
    took = []
    for _ in range(repeats):
        begun = time.perf_counter()
        browser.get(path)
        took.append((time.perf_counter() - begun) * 1000)
    return Result(page, count, median(took), quantiles(took, n=10)[-1], len(content) / 1024)


def _print(console: Console, counts: Sequence[int], results: Sequence[Result]) -> None:
    table = Table(box=box.SIMPLE, title_justify="left", title="Pages of the console: median and ninth tenth, ms")
    table.add_column("page", no_wrap=True)
    for count in counts:
        table.add_column(f"{count:,} secrets", justify="right")
    table.add_column("KB", justify="right")
    for page in _PAGES:
        found = [result for result in results if result.page == page]
        cells = [f"{result.median_ms:.1f}   {result.slow_ms:.1f}" for result in found]
        table.add_row(page, *cells, f"{found[-1].kilobytes:.0f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
