"""Numbers that people write into forms."""

from __future__ import annotations

from typing import Final

from keyturn.errors.base import KeyturnError

# More than any limit has; Python refuses to read some thousands.
_MOST_DIGITS: Final = 9


def whole_number(text: str, what: str) -> int:
    """Return a number of a form.

    Raises:
        KeyturnError: It is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS):
        raise KeyturnError(f"{what} is a whole number.")
    return int(text)
