from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from keyturn.rules.audit_line import line_of, parse_line
from keyturn.rules.audit_record import AuditRecord, ChainedRecord
from keyturn.sinks.base import Location, SinkError
from keyturn.sinks.json_lines import JsonLinesSink
from keyturn.testing.clock import FakeClock

DAY = timedelta(days=1)


def stored(sequence: int) -> ChainedRecord:
    record = AuditRecord("0", "r", "e", 1, "s", "n", None, None, True, None, None, None, "q", '{"a":"é"}')
    return ChainedRecord(sequence, bytes([sequence % 256] * 32), record)


LINE_BYTES = len(line_of(stored(1))) + 1


@pytest.fixture
def clock() -> FakeClock:
    # Files have the time of the machine.
    return FakeClock(datetime.now(UTC).replace(hour=12))


class Bench:
    def __init__(self, directory: Path, clock: FakeClock) -> None:
        self.path = directory / "audit.jsonl"
        self.clock = clock
        self.sink = self.open()

    def open(self, **options: Any) -> JsonLinesSink:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        url = f"json-lines:{self.path}" + (f"?{query}" if query else "")
        self.sink = JsonLinesSink.open(Location.parse(url), self.clock)
        return self.sink

    def deliver(self, *sequences: int) -> None:
        self.sink.deliver([stored(sequence) for sequence in sequences])

    def files(self) -> dict[str, list[int]]:
        def sequences(path: Path) -> list[int]:
            return [parse_line(line).sequence for line in path.read_bytes().splitlines()]

        return {path.name.removeprefix("audit.jsonl"): sequences(path) for path in sorted(self.path.parent.iterdir())}

    def rotated(self, first: int, more: str = "") -> str:
        return f".{datetime.now(UTC):%Y%m%d}-{first:018}{more}"


@pytest.fixture
def bench(tmp_path: Path, clock: FakeClock) -> Iterator[Bench]:
    bench = Bench(tmp_path, clock)
    yield bench
    bench.sink.close()


def test_a_line_is_the_record_and_only_its_owner_may_read_it(bench: Bench) -> None:
    bench.deliver(1, 2)

    assert bench.path.read_bytes() == line_of(stored(1)) + b"\n" + line_of(stored(2)) + b"\n"
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600


def test_a_file_is_rotated_before_it_grows_too_large(bench: Bench) -> None:
    bench.open(max_bytes=3 * LINE_BYTES + 10)
    bench.deliver(1, 2)
    bench.deliver(3, 4, 5, 6, 7)
    bench.deliver(8)

    assert bench.files() == {"": [7, 8], bench.rotated(1): [1, 2, 3], bench.rotated(4): [4, 5, 6]}


def test_a_record_that_is_larger_than_a_file_may_be_has_one_for_itself(bench: Bench) -> None:
    bench.open(max_bytes=10)
    bench.deliver(1, 2)

    assert bench.files() == {"": [2], bench.rotated(1): [1]}


def test_a_file_is_rotated_when_a_day_begins_also_after_a_restart(bench: Bench) -> None:
    bench.deliver(1)
    bench.clock.advance(DAY)
    bench.deliver(2)
    bench.deliver(3)
    assert bench.files() == {"": [2, 3], bench.rotated(1): [1]}

    bench.sink.close()
    bench.open()
    bench.deliver(4)
    assert bench.files() == {"": [4], bench.rotated(1): [1], bench.rotated(2): [2, 3]}


def test_a_file_goes_on_if_it_is_not_to_be_rotated(bench: Bench) -> None:
    bench.open(max_bytes=0, daily="false")
    bench.deliver(1)
    bench.clock.advance(DAY)
    bench.deliver(2)

    assert bench.files() == {"": [1, 2]}


def test_no_rotated_file_is_ever_written_over(bench: Bench) -> None:
    bench.open(max_bytes=LINE_BYTES)
    bench.deliver(1, 1, 1)

    assert bench.files() == {"": [1], bench.rotated(1): [1], bench.rotated(1, ".1"): [1]}


def test_so_many_rotated_files_are_kept(bench: Bench) -> None:
    bench.open(max_bytes=LINE_BYTES, keep_files=2)
    stranger = bench.path.with_name("audit.jsonl.mine")
    stranger.touch()
    bench.deliver(1, 2, 3, 4, 5)

    assert bench.files() == {"": [5], bench.rotated(3): [3], bench.rotated(4): [4], ".mine": []}


def test_rotated_files_are_kept_so_long(bench: Bench) -> None:
    bench.open(max_bytes=LINE_BYTES, keep_days=30)
    bench.deliver(1, 2, 3)
    old = bench.path.with_name(f"audit.jsonl{bench.rotated(1)}")
    long_ago = (bench.clock.now() - 31 * DAY).timestamp()
    os.utime(old, (long_ago, long_ago))
    bench.deliver(4)

    assert bench.files() == {"": [4], bench.rotated(2): [2], bench.rotated(3): [3]}


def test_a_file_that_somebody_renames_or_removes_is_made_anew(bench: Bench) -> None:
    bench.deliver(1)
    bench.path.rename(bench.path.with_name("audit.jsonl.1"))
    bench.deliver(2)
    assert bench.files() == {"": [2], ".1": [1]}

    bench.path.unlink()
    bench.deliver(3)
    assert bench.files() == {"": [3], ".1": [1]}


def test_a_file_that_somebody_empties_goes_on_at_its_beginning(bench: Bench) -> None:
    bench.deliver(1)
    os.truncate(bench.path, 0)
    bench.deliver(2)

    assert bench.files() == {"": [2]}


@pytest.mark.parametrize("torn", [b"", b'{"sequence":3,"li', b"x" * (3 << 20)], ids=["nothing", "a line", "much"])
def test_what_an_interrupted_write_has_left_behind_is_cut_off(bench: Bench, torn: bytes) -> None:
    bench.deliver(1, 2)
    bench.sink.close()
    with bench.path.open("ab") as file:
        file.write(torn)
    bench.deliver(3)

    assert bench.files() == {"": [1, 2, 3]}


def test_a_file_of_one_torn_line_begins_anew(bench: Bench) -> None:
    bench.path.write_bytes(b'{"sequence":3,"li')
    bench.deliver(3)

    assert bench.files() == {"": [3]}


class FullDisk:
    """Takes so many bytes and no more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 0
        self.can_truncate = True
        self._write, self._truncate = os.write, os.ftruncate
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.truncate)

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written

    def truncate(self, descriptor: int, size: int) -> None:
        if not self.can_truncate:
            raise OSError(errno.EIO, "Input/output error")
        self._truncate(descriptor, size)


@pytest.mark.parametrize("can_truncate", [True, False])
@pytest.mark.parametrize("room", [0, 10, LINE_BYTES, LINE_BYTES + 5])
def test_a_full_disk_leaves_whole_lines_and_loses_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, room: int, can_truncate: bool
) -> None:
    bench.deliver(1)
    with monkeypatch.context() as patch:
        disk = FullDisk(patch)
        disk.room, disk.can_truncate = room, can_truncate
        with pytest.raises(SinkError, match="No space left") as told:
            bench.deliver(2, 3)
    assert told.value.hints
    bench.deliver(2, 3)

    # Without room to cut it off, what was whole stays and is there twice.
    repeated = [2] if room >= LINE_BYTES and not can_truncate else []
    assert bench.files() == {"": [1, *repeated, 2, 3]}


def test_a_device_that_is_full_is_told(clock: FakeClock) -> None:
    sink = JsonLinesSink.open(Location.parse("json-lines:/dev/full?daily=false"), clock)
    with pytest.raises(SinkError, match="No space left"):
        sink.deliver([stored(1)])


def test_a_symbolic_link_is_not_followed(bench: Bench) -> None:
    bench.path.symlink_to("/dev/null")
    with pytest.raises(SinkError):
        bench.deliver(1)
