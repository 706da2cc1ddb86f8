"""A server whose clock jumps past its own leases must not run beside itself."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.rules.lanes import Limits
from keyturn.scheduler.worker import Scheduler
from keyturn.storage.rotation_leases import LEASE
from keyturn.testing.handlers import open_bench

from .test_rotations import Desk


def test_a_rotation_that_still_runs_here_is_not_begun_again_when_its_lease_has_run_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bench(tmp_path) as bench:
        desk = Desk(bench)
        invoke, entered, go_on = desk.runtime.invoke, threading.Semaphore(0), threading.Event()

        def halted(*arguments: Any, **named: Any) -> Any:
            entered.release()
            go_on.wait()
            return invoke(*arguments, **named)

        monkeypatch.setattr(desk.runtime, "invoke", halted)
        desk.rotate()
        scheduler = Scheduler(desk.kit, Limits(16, 8, 4))
        try:
            scheduler.run_once()
            assert entered.acquire(timeout=30)
            bench.clock.advance(LEASE + timedelta(seconds=1))
            scheduler.run_once()
            assert not entered.acquire(timeout=1)
        finally:
            go_on.set()
            scheduler.stop()
            scheduler.join()
