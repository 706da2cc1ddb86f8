"""What others wrote, as it is shown: nothing in it moves the cursor, turns text around or begins a line of its own."""

from __future__ import annotations

import re

# Controls (C0, DEL, C1), marks that turn the direction of writing, separators of lines and paragraphs, and what stands
# for bytes that are no text.
_UNSEEN = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_A_LINE = re.compile(f"[\x00-\x1f{_UNSEEN}]")
_IN_JSON = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f{_UNSEEN}]")
_LONE_RETURN = re.compile(r"\r(?!\n)")


def shown(text: object) -> str:
    r"""Return what may be printed within one line: ``\xNN`` or ``\uNNNN`` for every character that does something."""
    return _IN_A_LINE.sub(_escaped, str(text))


def shown_json(text: str) -> str:
    r"""Return JSON that means the same and may be printed: ``\uNNNN`` for those characters; its lines stay."""
    return _IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", _LONE_RETURN.sub("\n", text))


def _escaped(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
