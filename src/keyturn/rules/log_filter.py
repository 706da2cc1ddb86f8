"""CloudWatch Logs filter patterns: from the pattern to what says whether a message matches.

Three languages share the name. Terms: ``ERROR -"out of memory"``, ``?WARN ?ERROR``, ``%regex%``. JSON:
``{ $.level = "ERROR" && $.code >= 500 }``. Space-delimited fields: ``[ip, ..., status = 4*, bytes]``. The last two are
read by :mod:`keyturn.rules.log_expression`. All comparisons are case-sensitive.

Source: CloudWatch Logs User Guide, "Filter pattern syntax".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class LogFilter:
    """A pattern that was read.

    Attributes:
        matches: Says whether a message matches.
        texts: One of these is in every message that matches, so that a database can leave out the others; empty if
            nothing is known of them.
    """

    matches: Matches
    texts: Sequence[str] = ()


def compile_filter(pattern: str) -> LogFilter:
    """Read a filter pattern.

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
            return LogFilter(json_filter(text))
        if text.startswith("["):
            return LogFilter(fields_filter(text))
        return _terms_filter(text)
    except (InvalidExpression, InvalidRegex) as error:
        raise InvalidParameterException("Invalid filter pattern") from error


@dataclass(frozen=True, slots=True)
class _Term:
    """One term; ``text`` is what a message must hold, None for a regular expression."""

    matches: Matches
    text: str | None = None


def _terms_filter(text: str) -> LogFilter:
    required: list[_Term] = []
    optional: list[_Term] = []
    excluded: list[_Term] = []
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
        longest = max((term.text for term in required if term.text), key=len, default=None)
        return LogFilter(
            lambda message: (
                all(term.matches(message) for term in required) and not any(term.matches(message) for term in excluded)
            ),
            () if longest is None else (longest,),
        )
    texts = [term.text for term in optional if term.text]
    return LogFilter(
        lambda message: not optional or any(term.matches(message) for term in optional),
        texts if len(texts) == len(optional) else (),
    )


def _term(match: re.Match[str]) -> _Term:
    if match["regex"] is not None:
        return _Term(LinearRegex(match["regex"]).found_in)
    phrase = match["phrase"]
    if phrase is None:
        phrase = match["word"]
        if not _WORD.fullmatch(phrase):
            raise InvalidParameterException(f"Invalid character(s) in term '{phrase}'")
    else:
        phrase = unescape(phrase)
    return _Term(lambda message: phrase in message, phrase)
