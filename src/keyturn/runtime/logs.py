"""One execution environment's log: from the bytes its process writes to log events.

Standard output, standard error and awslambdaric's frames share one pipe, so that their order is the order of writing.
A frame is

    type     4 bytes, A5 5A 00 and a byte that says which level and format
    length   4 bytes, big-endian, of the message
    time     8 bytes, big-endian, microseconds; not used, a function could write anything there
    message  UTF-8; one log record or traceback, and one log event

Everything else is text and becomes one event a line. Source: awslambdaric, FramedTelemetryLogSink.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from keyturn.clock import Clock
from keyturn.runtime import report
from keyturn.runtime.spec import LogLine

# CloudWatch Logs counts 26 bytes beside each event's text, and so do we: a million empty lines are not free.
_EVENT_OVERHEAD_BYTES = 26
# The largest event CloudWatch Logs took for most of its life; longer ones are cut into several.
_EVENT_LIMIT_BYTES = 256 * 1024 - _EVENT_OVERHEAD_BYTES
_FRAME_MARK = b"\xa5\x5a\x00"
_FRAME_TYPES = range(0x02, 0x1C)
_FRAME_HEADER_BYTES = 16
_FRAME_LIMIT_BYTES = 8 * 1024 * 1024
_BATCH_LINES = 1000
_TAIL_BYTES = 4096

Keeps = Callable[[bytes], bool]
"""Whether a printed line is kept."""
DroppedLine = Callable[[int, int], str | None]
"""The line that says how many bytes were dropped of a log with a limit, if it is to be said."""
WriteLines = Callable[[str, Sequence[LogLine]], None]
"""Appends events to a stream of the function's log group."""


class Message(NamedTuple):
    """What is one event: a record of the function's logging, or a line that was printed."""

    text: bytes
    is_record: bool


class FrameReader:
    """Cuts the bytes of the pipe into messages; keeps what is incomplete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Message]:
        """Take further bytes and yield each message that is complete."""
        self._buffer += chunk
        position = 0
        while position < len(self._buffer):
            end = self._frame_end(position)
            is_record = end is not None
            if end is None:
                end = self._text_end(position)
                begin = position
            else:
                begin = position + _FRAME_HEADER_BYTES
            if end < 0 or end > len(self._buffer):
                break
            if end > begin:
                yield Message(bytes(self._buffer[begin:end]), is_record)
            position = end
        del self._buffer[:position]

    def rest(self) -> bytes:
        """Give up what is incomplete and return it."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest[_FRAME_HEADER_BYTES:] if rest.startswith(_FRAME_MARK) else rest

    def _frame_end(self, begin: int) -> int | None:
        """Where the frame at ``begin`` ends; None if there is none, -1 if that cannot be known yet."""
        head = bytes(self._buffer[begin : begin + _FRAME_HEADER_BYTES])
        if head[:3] != _FRAME_MARK[: len(head)]:
            return None
        if len(head) < _FRAME_HEADER_BYTES:
            return -1
        length = int.from_bytes(head[4:8], "big")
        if head[3] not in _FRAME_TYPES or length > _FRAME_LIMIT_BYTES:
            return None
        return begin + _FRAME_HEADER_BYTES + length

    def _text_end(self, begin: int) -> int:
        """Where the line at ``begin`` ends: after its line feed, before a frame, or where an event is full."""
        newline = self._buffer.find(b"\n", begin) + 1
        # Text that begins with a mark but is no frame must not end before its first byte.
        frame = self._buffer.find(_FRAME_MARK, begin + 1, newline or len(self._buffer))
        end = frame if frame > 0 else newline or -1
        if end < 0 and len(self._buffer) - begin >= _EVENT_LIMIT_BYTES:
            end = begin + _EVENT_LIMIT_BYTES
        return end


class EnvironmentLog:
    """The log stream of one execution environment. Thread-safe.

    Lines wait here until :meth:`flush` hands them to ``write_log``, always in order.
    """

    def __init__(
        self,
        write_log: WriteLines,
        clock: Clock,
        *,
        stream: str,
        limit_bytes: int,
        keeps: Keeps = lambda _: True,
    ) -> None:
        self.stream = stream
        self.dropped_line: DroppedLine = report.dropped_line
        self._keeps = keeps
        self._write_log = write_log
        self._clock = clock
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._frames = FrameReader()
        self._pending: list[LogLine] = []
        self._tail = bytearray()
        self._kept_bytes = 0
        self._dropped_bytes = 0

    @property
    def has_pending(self) -> bool:
        """Whether lines wait to be written."""
        return bool(self._pending)

    def begin_invocation(self) -> None:
        """Start counting again."""
        with self._lock:
            self._tail.clear()
            self._kept_bytes = self._dropped_bytes = 0

    def platform(self, message: str) -> None:
        """Add a line of the platform's own; it is never dropped."""
        with self._lock:
            self._append(message.encode())

    def feed(self, chunk: bytes) -> None:
        """Add what the function wrote; beyond the limit it is only counted."""
        with self._lock:
            if self._dropped_bytes:
                self._dropped_bytes += len(chunk)
                return
            for message in self._frames.feed(chunk):
                if message.is_record or self._keeps(message.text):
                    self._keep(message.text)

    def close_output(self) -> None:
        """End an unfinished line and say what was dropped; called when the function has written all it will."""
        with self._lock:
            if (rest := self._frames.rest()) and self._keeps(rest):
                self._keep(rest)
            if self._dropped_bytes:
                if line := self.dropped_line(self._dropped_bytes, self._limit_bytes):
                    self._append(line.encode())
                self._dropped_bytes = 0

    def flush(self) -> None:
        """Write what waits. Lines that could not be written go on waiting, and the error is the caller's."""
        with self._writing:
            while True:
                with self._lock:
                    batch = self._pending[:_BATCH_LINES]
                if not batch:
                    return
                self._write_log(self.stream, batch)
                with self._lock:
                    del self._pending[: len(batch)]

    def tail(self) -> bytes:
        """The last 4 KB since the invocation began."""
        with self._lock:
            return bytes(self._tail[-_TAIL_BYTES:])

    def _keep(self, message: bytes) -> None:
        for begin in range(0, len(message), _EVENT_LIMIT_BYTES):
            part = message[begin : begin + _EVENT_LIMIT_BYTES]
            self._kept_bytes += len(part) + _EVENT_OVERHEAD_BYTES
            if self._dropped_bytes or self._kept_bytes > self._limit_bytes:
                self._dropped_bytes += len(part)
            else:
                self._append(part)

    def _append(self, message: bytes) -> None:
        self._tail += message
        if len(self._tail) > 4 * _TAIL_BYTES:
            del self._tail[:-_TAIL_BYTES]
        # PostgreSQL's text type has no place for a null character.
        text = message.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._pending.append(LogLine(int(self._clock.now().timestamp() * 1000), text))
