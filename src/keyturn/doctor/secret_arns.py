"""How a policy's resource misses a secret that it seems to mean.

Source: AWS Secrets Manager User Guide, "Secrets Manager resources": an ARN ends in a hyphen and six random characters,
which a secret that is made again under the same name gets anew.
"""

from __future__ import annotations

import re

from keyturn.rules.policy.patterns import pattern_set

_FIELDS = 7
_SUFFIX = re.compile(r"-[A-Za-z0-9]{6}")


def miss(pattern: str, arn: str) -> str:
    """Say how a pattern misses a secret that it seems to mean; empty if it means another one, or matches.

    Args:
        pattern: As a policy has it: an ARN, with wildcards perhaps.
        arn: The secret's, in full.
    """
    fields, own = pattern.split(":", _FIELDS - 1), arn.split(":", _FIELDS - 1)
    if len(fields) != _FIELDS or len(own) != _FIELDS or fields[2] not in ("secretsmanager", "*"):
        return ""
    how = _name_miss(fields[6], own[6])
    if how is None:
        return ""
    for what, place in (("in region", 3), ("of account", 4)):
        if not _is_like(fields[place], own[place]):
            return f"is about the secret {what} {fields[place] or '(none)'}"
    return how


def is_namesake(arn: str, other: str) -> bool:
    """Whether an ARN or a pattern means the secret of another ARN, or one that had its name."""
    return arn == other or bool(miss(arn, other))


def _name_miss(pattern: str, name: str) -> str | None:
    """Return how a name is missed; None if it is another one, nothing if it is met."""
    bare = name[:-7]
    if _is_like(pattern, name):
        return ""
    if pattern == bare:
        return "lacks the hyphen and the six characters at its end"
    if pattern[: len(bare)] == bare and _SUFFIX.fullmatch(pattern[len(bare) :]):
        return "ends in the six characters of another secret of this name, one that was deleted perhaps"
    if _is_like(pattern.lower(), name.lower()):
        return "differs in capitals"
    return None


def _is_like(pattern: str, text: str) -> bool:
    return pattern_set([pattern], variables=False).matches(text, {})
