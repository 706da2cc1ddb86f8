"""GetRandomPassword: which characters, how many of which kind, and an unbiased choice.

Every password that fulfils the request is equally likely. While a kind is still missing, a character is drawn with the
weight of the passwords that can begin so, which are counted; once none is missing, all characters weigh the same.
(Putting one character of each kind in first and shuffling would favour some passwords. Throwing away what lacks a kind
is fair as well, but has no end in sight where a kind is down to one character and the password is short.)

Source: Secrets Manager API Reference, GetRandomPassword; the texts of errors were measured in 2026.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
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
    return Sensitive("".join(_drawn(alphabet, required, rules.length, random)))


def _drawn(alphabet: str, required: Sequence[str], length: int, random: RandomSource) -> list[str]:
    """Return characters such that every text of this length with all required kinds is equally likely."""
    drawn: list[str] = []
    missing = list(required)
    while missing:
        left = length - len(drawn) - 1
        # Characters of one kind leave the same number of ways to go on, and so do those that nothing waits for.
        fillers = "".join(character for character in alphabet if not any(character in kind for kind in missing))
        ways = [(fillers, _ways(len(alphabet), [len(kind) for kind in missing], left))]
        for kind in missing:
            others = [len(other) for other in missing if other is not kind]
            ways.append((kind, _ways(len(alphabet), others, left)))
        chosen = random.randbelow(sum(len(characters) * count for characters, count in ways))
        for characters, count in ways:
            if chosen < len(characters) * count:
                character = characters[chosen // count]
                break
            chosen -= len(characters) * count
        drawn.append(character)
        missing = [kind for kind in missing if character not in kind]
    drawn += [alphabet[random.randbelow(len(alphabet))] for _ in range(length - len(drawn))]
    return drawn


def _ways(alphabet_size: int, missing_sizes: Sequence[int], length: int) -> int:
    """Count the texts in which each missing kind occurs, by inclusion and exclusion."""
    signed_sizes = [(1, alphabet_size)]
    for size in missing_sizes:
        signed_sizes += [(-sign, left - size) for sign, left in signed_sizes]
    return sum(sign * left**length for sign, left in signed_sizes)


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
