"""What became of a rotation is told, and told once, wherever the server that runs it is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from keyturn.storage import rotations

from .test_rotations import Desk, Killed, dangerous_writes, open_bench


@pytest.mark.xfail(strict=True, reason="scheduler/rotations.py stores RotationStarted and RotationSucceeded after the commit")
def test_a_rotation_killed_at_any_moment_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment, told = 0, {}
    is_killed = True
    while is_killed:
        moment += 1
        directory = tmp_path / str(moment)
        directory.mkdir()
        with open_bench(directory) as bench:
            desk = Desk(bench)
            desk.rotate()
            desk.interrupt.at, is_killed = moment, False
            try:
                with dangerous_writes(desk, monkeypatch):
                    desk.work()
            except Killed:
                is_killed = True
            desk.interrupt.at = None
            rotations.release_leases_of_others(desk.kit.state, "the next server")
            desk.work()
            told[moment] = [desk.told().count(event) for event in ("RotationStarted", "RotationSucceeded")]

    assert told == dict.fromkeys(told, [1, 1])
