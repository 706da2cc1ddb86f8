"""Lines of a function's log, without what looks like a password.

The doctor does not know the secret's values, which Keyturn's own logs are masked by, so it goes by what stands around
them. A function that logs a password bare, with nothing before it, is not caught by this; its log has it already.
"""

from __future__ import annotations

import re

MASK = "***"

_NAMED = re.compile(
    r"""(?ix)
    (?P<name> ["']? \b [\w.-]* (?:password|passwd|pwd|secretstring|secretbinary|rotationtoken|secret_?access_?key
        |session_?token|api_?key|passphrase) ["']? \s* (?: => | [:=] ) \s* )
    (?P<value> b?"(?:[^"\\]|\\.)*" | b?'(?:[^'\\]|\\.)*' | [^\s"',;)}\]]+ )
    """
)
_SQL = re.compile(r"""(?i)\b(identified\s+by\s+|password\s+(?:for\s+\S+\s+)?|with\s+password\s*=\s*)(['"])(.*?)\2""")
_IN_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@]+:)[^\s/@]+(@)")
_KEY = re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._-]{8,}")


def redacted(text: str) -> str:
    """Return a text with what stands where passwords stand replaced."""
    text = _NAMED.sub(lambda match: f"{match['name']}{MASK}", text)
    text = _SQL.sub(lambda match: f"{match[1]}{match[2]}{MASK}{match[2]}", text)
    text = _IN_URL.sub(lambda match: f"{match[1]}{MASK}{match[2]}", text)
    text = _BEARER.sub(lambda match: f"{match[1]} {MASK}", text)
    return _KEY.sub(MASK, text)
