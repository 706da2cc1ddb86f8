"""The models' regular expressions, as Python understands them.

AWS writes them for Java and asks for a match of the whole value. Python lacks Unicode properties and reads a hyphen
after a class escape as a range; the few places are translated here, literally. A pattern that still does not compile
is an error of this file, which a test finds by compiling every pattern of every model.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

# What \p{Z} stands for: the separators of Unicode 15.
_SEPARATORS: Final = r"\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

# Letters, numbers and the underscore are Python's \w. Java's escapes of surrogates mean the planes beyond the first.
_TRANSLATIONS: Final = (
    (r"\p{L}\p{Z}\p{N}_", r"\w" + _SEPARATORS),
    (r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"),
    (r"[\w-_]", r"[\w\-_]"),
    # What is seen, and blanks; of a member of CloudWatch's that is in no operation here, so that controls are enough.
    (r"[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]", r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"),
)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    r"""Compile one pattern of a model; use ``fullmatch``.

    Java's ``\d``, ``\w`` and ``\s`` know only ASCII, so ours do too, except in a translated Unicode class.
    """
    flags = re.UNICODE if r"\p{" in pattern else re.ASCII
    for theirs, ours in _TRANSLATIONS:
        pattern = pattern.replace(theirs, ours)
    return re.compile(pattern, flags)
