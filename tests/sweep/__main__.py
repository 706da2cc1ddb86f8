"""``python -m tests.sweep``: play the series named, or all, and print the table; ends with 1 if anything was wrong."""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from functools import partial

from keyturn.clock import SystemClock

from . import database_faults, function_killed, server_faults, server_killed, two_servers
from .bench import Bench, Choice, Report, opened
from .report import listing, table

SERIES: dict[str, Callable[[Bench], Report]] = {
    "server-sqlite": partial(server_killed.at_statements, on_postgresql=False),
    "server-postgresql": partial(server_killed.at_statements, on_postgresql=True),
    "server-words": server_killed.at_words,
    "function": function_killed.at_words,
    "lost-replies": function_killed.lost_replies,
    "target-killed": database_faults.killed,
    "target-closed": database_faults.closed,
    "state-killed": server_faults.database_killed,
    "disk-full": server_faults.disk_full,
    "clock": server_faults.clock_jumps,
    "one-killed": two_servers.one_killed,
    "one-stopped": two_servers.one_stopped,
    "one-stopped-statement": two_servers.one_stopped_in_a_statement,
}


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__)
    parser.add_argument("series", nargs="*", help=f"of: {', '.join(SERIES)}")
    parser.add_argument("--every", type=int, default=1, help="play each so-manieth point")
    parser.add_argument("--sample", type=int, default=0, help="play so many points of each series, spread over it")
    parser.add_argument("--points", type=int, nargs="*", default=(), help="play these points only")
    arguments = parser.parse_args()
    if unknown := set(arguments.series) - set(SERIES):
        parser.error(f"no series: {', '.join(sorted(unknown))}")
    for variable in [name for name in os.environ if name.startswith(("AWS_", "KEYTURN_"))]:
        # Nothing of the developer's own AWS or Keyturn is seen.
        del os.environ[variable]
    for number in (signal.SIGTERM, signal.SIGHUP):
        # So that databases and servers end with it.
        signal.signal(number, lambda *_: sys.exit(2))
    began, reports = time.monotonic(), []
    for name in arguments.series or SERIES:
        with opened(Choice(arguments.every, arguments.sample, arguments.points)) as bench:
            reports.append(SERIES[name](bench))
    for report in reports:
        if report.violating:
            print(f"\n{report.series}:\n{listing(report.violating)}")
    print(f"\n{SystemClock().now():%Y-%m-%d}, {platform.machine()}, Python {platform.python_version()}:")
    print(f"{sum(len(r.reached) for r in reports)} points in {(time.monotonic() - began) / 60:.1f} minutes\n")
    print(table(reports))
    return 1 if any(report.violating for report in reports) else 0


if __name__ == "__main__":
    sys.exit(main())
