"""Lines of a function's log, without what looks like a password, and not longer than is read.

The doctor does not know the secret's values, which Keyturn's own logs are masked by, so it goes by what stands around
them, and masks too much rather than too little. A function that logs a password bare, with nothing before it, is not
caught by this; its log has it already.

Whoever writes the log chooses the text. Every pattern here takes a time that grows with the text, not with its square.
"""

from __future__ import annotations

import json
import re
from typing import Any

MASK = "***"
LONGEST_LINE = 8192
"""Characters of an event of the log that are read: its beginning, and the last lines of it."""
_TAIL = LONGEST_LINE // 4
_DEEPEST, _MOST = 8, 200

_NAME = r"""(?:password|passwd|pwd|passphrase|secret_?string|secret_?binary|rotation_?token|access_?key(?!_?id)
    |(?:session|security|access|auth|refresh|api)[_-]?token|api[_-]?key|client_?secret|private_?key
    |(?<![a-z:])(?:pass|pw|token|secret|rediscli_auth)(?![\w-]))"""
# From its quote, however often that is escaped, to the next like it; doubled it is a character of SQL's texts. Without
# an end it goes on to the end of the text.
_QUOTED = r"""(?:[bnreu]|u&|br|rb)?(?P<{q}>\\*["'])(?:(?!(?<!\\)(?P={q}))[\s\S])*+
    (?:(?P={q}){{2}}(?:(?!(?<!\\)(?P={q}))[\s\S])*+)*+(?:(?P={q})[^\s,;:)}}\]"'\\<]*+)?"""
_BARE = r"""(?!(?:YES|NO)\)|arn:|\*\*\*)(?:[^\s"'\\<]|["'\\](?=[^\s,;:)}\]"'\\]))++"""


def _rule(before: str, value: str, *, hints: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    """Return a pattern, and words of which any text that it is found in has one: to look for them takes less time."""
    return re.compile(rf"(?ix)(?P<before>{before})(?:{value})"), tuple(hints.split("|"))


_NAMES = (
    "pass|pw|token|secretstring|secret_string|secretbinary|secret_binary|accesskey|access_key|apikey|api_key|api-key"
    "|private_key|privatekey|clientsecret|client_secret|secret=|secret'|secret\"|secret\\|secret :|secret: "
    "|secret =|rediscli"
)
_QUOTED_VALUE = _QUOTED.format(q="quote")
_RULES = (
    # A name and its value: in JSON, Python, Go, SQL, connection strings, variables, XML; in JSON within JSON, too.
    _rule(
        rf"{_NAME} \\*[\"']? \]? \s* (?: => | := | [:=>] ) \s* (?:string\(\d+\)\s*)?",
        rf"{_QUOTED_VALUE} | {_BARE}",
        hints=_NAMES,
    ),
    # ("password", "…")
    _rule(rf"\( \s* \\*[\"'] {_NAME} \\*[\"'] \s* , \s*", _QUOTED_VALUE, hints="('|(\"|(\\"),
    # SQL: PASSWORD '…', PASSWORD('…'), PASSWORD FOR 'app'@'%' = '…', and prose: password for user app: …
    _rule(rf"{_NAME} (?: \s* \( \s* | \s+ )", _QUOTED_VALUE, hints=_NAMES),
    _rule(r"\bpassword \s+ (?= (?:[eu]&?)? \$ [a-z_]* \$ )", r"\S++", hints="password"),
    _rule(
        r"\bpassword \s+ for \s+ (?:user\s+|login\s+)? [^\s:=]{1,200} \s* [:=] \s* (?:password\s*\(\s*)?",
        rf"{_QUOTED_VALUE} | {_BARE}",
        hints="password",
    ),
    _rule(
        r"\bidentified \s+ (?: (?:with|via) \s+ \S{1,200} \s+ )? (?:by|as|using) \s+ (?:password\s*\(?\s*)?",
        rf"{_QUOTED_VALUE} | [^\s;]++",
        hints="identified",
    ),
    _rule(r"\breplace \s+", _QUOTED_VALUE, hints="replace"),
    # Prose that goes on with something that is no word: the new password is x7.
    _rule(r"\bpassword \s+ (?:is|was|to) \s+ (?= [^\s\d]{0,200} \d )", r"\S++", hints="password"),
    # Commands: --password …, AUTH …, ACL SETUSER app >…
    _rule(r"-- [a-z-]{0,40} (?:password|passwd|pwd|token|secret) \s+ (?!-)", r"\S++", hints="--"),
    _rule(r"(?-i:\bAUTH\b) [\"']? \s+ (?!called|failed|<)", r"\S++ (?: [^\S\n]++ \S++ )?", hints="auth"),
    _rule(r"(?<=\s) > (?=[^\s>=])", r"\S{4,}+", hints=">"),
    _rule(r"\bauthorization \\*[\"']? \s* [:=] \s* \\*[\"']? (?:[a-z]+ \s+)?", r"""[^\s"']++""", hints="authorization"),
    _rule(r"\b(?:bearer|basic) \s+", r"[a-z0-9+/=._-]{8,}+", hints="bearer|basic"),
    _rule(r"-----BEGIN [\ A-Z]{0,30}? PRIVATE[ ]KEY-----", r"(?: (?!-----END) [\s\S] )*+", hints="-----"),
    # A URL's, up to its last @, for a password may have @, : and /, and a user need not be there.
    _rule(r"""// [^\s:/@"']{0,128} :""", r"""[^\s"'<>]{1,256} (?=@)""", hints="//"),
)
_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")


def redacted(text: str) -> str:
    """Return a text with what stands where passwords stand replaced."""
    lowered = text.lower()
    for rule, hints in _RULES:
        if any(hint in lowered for hint in hints):
            text = rule.sub(lambda match: f"{match['before']}{MASK}", text)
    return _KEY.sub(MASK, text)


def readable(message: str) -> str:
    """Return an event's message as it is kept: redacted, and no longer than is read.

    Of a JSON object it is the texts in it that are cut, so that it can still be read as one.
    """
    document = json_object(message)
    return redacted(_cut(message)) if document is None else json.dumps(_open(document))


def json_object(message: str) -> dict[str, Any] | None:
    """Return the JSON object that a line is; None if it is none, or one that nobody writes by hand."""
    if not message.startswith("{"):
        return None
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _open(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return redacted(_cut(value))
    if not isinstance(value, (dict, list)):
        return value
    if depth == _DEEPEST:
        return MASK
    if isinstance(value, list):
        return [_open(member, depth + 1) for member in value[:_MOST]]
    return {
        redacted(_cut(name)): MASK if _is_masked(name, member) else _open(member, depth + 1)
        for name, member in list(value.items())[:_MOST]
    }


def _is_masked(name: str, member: object) -> bool:
    """Whether a member would be masked if it stood in a text behind its name."""
    beginning = member[:8] if isinstance(member, str) else "x"
    return MASK in redacted(f'"{name[:80]}": {beginning or "x"}')


def _cut(text: str) -> str:
    """Return the beginning of a text and its last lines: whole ones, for a value may stand behind its name."""
    if len(text) <= LONGEST_LINE:
        return text
    _, _, tail = text[-_TAIL:].partition("\n")
    return f"{text[: LONGEST_LINE - _TAIL]} …\n{tail}"
