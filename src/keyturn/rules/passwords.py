"""GetRandomPassword: which characters, how many of which kind, and an unbiased choice.

Every password that fulfils the request is equally likely: characters are drawn uniformly from all that are allowed, and
a draw that lacks a required kind is thrown away whole. (Putting one character of each kind in first and shuffling
would favour some passwords.)

Source: Secrets Manager API Reference, GetRandomPassword; the texts of errors were measured in 2026.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Protocol

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.sensitive import Sensitive


class RandomSource(Protocol):
    """Where randomness comes from: ``secrets`` in earnest."""

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        """Return a uniform integer from 0 up to, but not including, the bound."""
        ...


@dataclass(frozen=True, slots=True)
class PasswordRules:
    """The request, with AWS's defaults."""

    length: int = 32
    exclude_characters: str = ""
    exclude_numbers: bool = False
    exclude_punctuation: bool = False
    exclude_uppercase: bool = False
    exclude_lowercase: bool = False
    include_space: bool = False
    require_each_included_type: bool = True


def random_password(rules: PasswordRules, random: RandomSource) -> Sensitive[str]:
    """Return a fresh password.

    Args:
        rules: ``length`` is in characters; the model has limited it to 1 to 4096.
        random: Unpredictable in earnest.

    Raises:
        InvalidParameterException: No password fulfils the rules.
    """
    kinds = _kinds(rules)
    required = kinds if rules.require_each_included_type else []
    if not all(required):
        raise InvalidParameterException("All characters of the desired type have been excluded")
    if rules.length < len(required):
        raise InvalidParameterException("Password length is too short based on the required types.")
    # A space is admitted, never required.
    space = " " if rules.include_space and " " not in rules.exclude_characters else ""
    alphabet = "".join(kinds) + space
    if not alphabet:
        raise InvalidParameterException("All characters have been excluded from selection")
    while True:
        drawn = [alphabet[random.randbelow(len(alphabet))] for _ in range(rules.length)]
        present = set(drawn)
        if not any(present.isdisjoint(kind) for kind in required):
            return Sensitive("".join(drawn))


def _kinds(rules: PasswordRules) -> list[str]:
    """Return the characters of each kind that is not switched off, without the excluded ones."""
    switched = (
        (string.ascii_lowercase, rules.exclude_lowercase),
        (string.ascii_uppercase, rules.exclude_uppercase),
        (string.digits, rules.exclude_numbers),
        (string.punctuation, rules.exclude_punctuation),
    )
    excluded = set(rules.exclude_characters)
    return ["".join(c for c in kind if c not in excluded) for kind, is_off in switched if not is_off]
