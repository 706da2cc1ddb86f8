"""CloudWatch Logs filter patterns: from the pattern to a function that says whether a message matches.

Three languages share the name. Terms: ``ERROR -"out of memory"``, ``?WARN ?ERROR``, ``%regex%``. JSON:
``{ $.level = "ERROR" && $.code >= 500 }``. Space-delimited fields: ``[ip, ..., status = 4*, bytes]``. The last two are
read by :mod:`keyturn.rules.log_expression`. All comparisons are case-sensitive.

Source: CloudWatch Logs User Guide, "Filter pattern syntax".
"""

from __future__ import annotations

import re
from collections.abc import Callable

from keyturn.errors.logs import InvalidParameterException
from keyturn.rules.log_expression import InvalidExpression, fields_filter, json_filter, unescape
from keyturn.rules.log_regex import InvalidRegex, LinearRegex

Matches = Callable[[str], bool]

_TERM = re.compile(
    r'\s*(?P<sign>[?-]?)(?:"(?P<phrase>(?:[^"\\]|\\.)*)"|%(?P<regex>[^%]*)%|(?P<word>[^\s"%]+))', re.DOTALL
)
_WORD = re.compile(r"\w+")
_MOST_REGEXES = 2
_LONGEST = 1024


def compile_filter(pattern: str) -> Matches:
    """Return a function that says whether a log message matches.

    Args:
        pattern: As sent, at most 1,024 characters. Nothing, or blanks, match everything.

    Raises:
        InvalidParameterException: The pattern cannot be read.
    """
    text = pattern.strip()
    if len(pattern) > _LONGEST:
        raise InvalidParameterException("Invalid filter pattern")
    try:
        if text.startswith("{"):
            return json_filter(text)
        if text.startswith("["):
            return fields_filter(text)
        return _terms_filter(text)
    except (InvalidExpression, InvalidRegex) as error:
        raise InvalidParameterException("Invalid filter pattern") from error


def _terms_filter(text: str) -> Matches:
    required: list[Matches] = []
    optional: list[Matches] = []
    excluded: list[Matches] = []
    by_sign = {"": required, "?": optional, "-": excluded}
    position = regexes = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise InvalidExpression(text)
        regexes += match["regex"] is not None
        by_sign[match["sign"]].append(_term(match))
        position = match.end()
    if regexes > _MOST_REGEXES:
        raise InvalidExpression(text)
    if required or excluded:
        # "?" terms beside others are ignored, says the guide.
        return lambda message: (
            all(found(message) for found in required) and not any(found(message) for found in excluded)
        )
    return lambda message: not optional or any(found(message) for found in optional)


def _term(match: re.Match[str]) -> Matches:
    if match["regex"] is not None:
        return LinearRegex(match["regex"]).found_in
    phrase = match["phrase"]
    if phrase is None:
        phrase = match["word"]
        if not _WORD.fullmatch(phrase):
            raise InvalidParameterException(f"Invalid character(s) in term '{phrase}'")
    else:
        phrase = unescape(phrase)
    return lambda message: phrase in message
