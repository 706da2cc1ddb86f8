from __future__ import annotations

import itertools
import math
import random
import secrets
import string
from collections import Counter

import pytest

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.passwords import PasswordRules, random_password

LETTERS_AND_DIGITS = string.ascii_letters + string.digits


class Dice:
    """Repeatable randomness."""

    def __init__(self) -> None:
        self._random = random.Random(7)

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        return self._random.randrange(exclusive_upper_bound)


def test_a_default_password_has_32_characters_of_all_four_kinds() -> None:
    password = random_password(PasswordRules(), secrets).reveal()
    assert len(password) == 32
    for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits, string.punctuation):
        assert set(password) & set(kind)
    assert " " not in password


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (PasswordRules(exclude_characters=string.digits), "All characters of the desired type have been excluded"),
        (PasswordRules(length=3), "Password length is too short based on the required types."),
        (
            PasswordRules(exclude_characters=LETTERS_AND_DIGITS + string.punctuation, require_each_included_type=False),
            "All characters have been excluded from selection",
        ),
        (
            PasswordRules(
                exclude_numbers=True, exclude_punctuation=True, exclude_uppercase=True, exclude_lowercase=True
            ),
            "All characters have been excluded from selection",
        ),
    ],
)
def test_rules_that_no_password_fulfils_are_refused(rules: PasswordRules, message: str) -> None:
    with pytest.raises(InvalidParameterException) as caught:
        random_password(rules, secrets)
    assert caught.value.message == message


def test_an_emptied_kind_is_fine_when_kinds_are_not_required() -> None:
    rules = PasswordRules(exclude_characters=string.digits, require_each_included_type=False)
    assert not set(random_password(rules, secrets).reveal()) & set(string.digits)


def test_a_space_is_admitted_and_never_required() -> None:
    assert " " in random_password(PasswordRules(length=4096, include_space=True), secrets).reveal()
    without = PasswordRules(length=4096, include_space=True, exclude_characters=" ")
    assert " " not in random_password(without, secrets).reveal()


# Rules under which few characters are left: which passwords fulfil them is listed by trying all.
FEW = (
    # One letter and one digit of "ab12".
    PasswordRules(
        length=2,
        exclude_characters=string.ascii_lowercase[2:] + string.digits[2:],
        exclude_punctuation=True,
        exclude_uppercase=True,
    ),
    # One character of its kind among five: a fair choice has to find it in every password.
    PasswordRules(
        length=3,
        exclude_characters=string.ascii_lowercase[4:] + string.digits[1:],
        exclude_punctuation=True,
        exclude_uppercase=True,
    ),
    # All four kinds, in as many places.
    PasswordRules(
        length=4,
        exclude_characters=string.ascii_lowercase[2:]
        + string.ascii_uppercase[1:]
        + string.digits[1:]
        + string.punctuation[1:],
    ),
    # A space, which may be there and need not.
    PasswordRules(
        length=3,
        exclude_characters=string.ascii_lowercase[2:] + string.digits[1:],
        exclude_punctuation=True,
        exclude_uppercase=True,
        include_space=True,
    ),
    # Nothing is required.
    PasswordRules(
        length=3,
        exclude_characters=string.ascii_lowercase[2:] + string.digits[1:],
        exclude_punctuation=True,
        exclude_uppercase=True,
        require_each_included_type=False,
    ),
)


@pytest.mark.parametrize("rules", FEW)
def test_every_password_that_fulfils_the_rules_is_equally_likely(rules: PasswordRules) -> None:
    fitting = passwords_that_fit(rules)
    draws = 100 * len(fitting)
    dice = Dice()

    counts = Counter(random_password(rules, dice).reveal() for _ in range(draws))

    assert set(counts) == fitting
    # Pearson's chi-square; by Wilson and Hilferty's formula a fair source passes this bound once in 30,000 times.
    statistic = sum((counts[password] - 100) ** 2 / 100 for password in fitting)
    freedom = len(fitting) - 1
    assert statistic < freedom * (1 - 2 / (9 * freedom) + 4 * math.sqrt(2 / (9 * freedom))) ** 3


def passwords_that_fit(rules: PasswordRules) -> set[str]:
    """All of them, found by trying."""
    kinds = [
        set(kind) - set(rules.exclude_characters)
        for kind, is_off in (
            (string.ascii_lowercase, rules.exclude_lowercase),
            (string.ascii_uppercase, rules.exclude_uppercase),
            (string.digits, rules.exclude_numbers),
            (string.punctuation, rules.exclude_punctuation),
        )
        if not is_off
    ]
    alphabet = set().union(*kinds) | ({" "} if rules.include_space else set())
    texts = ("".join(characters) for characters in itertools.product(sorted(alphabet), repeat=rules.length))
    if not rules.require_each_included_type:
        return set(texts)
    return {text for text in texts if all(set(text) & kind for kind in kinds)}


class CountingDice(Dice):
    """Also counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def randbelow(self, exclusive_upper_bound: int, /) -> int:
        self.asked += 1
        return super().randbelow(exclusive_upper_bound)


@pytest.mark.parametrize("length", [4, 5, 64, 4096])
@pytest.mark.parametrize("left", [1, 10])
def test_a_password_takes_one_draw_a_character_however_rare_a_required_kind_is(length: int, left: int) -> None:
    dice = CountingDice()

    password = random_password(PasswordRules(length=length, exclude_characters=string.digits[left:]), dice).reveal()

    assert len(password) == dice.asked == length
    for kind in (string.ascii_lowercase, string.ascii_uppercase, string.digits[:left], string.punctuation):
        assert set(password) & set(kind)


def test_what_is_excluded_may_be_long_and_hold_what_no_password_has() -> None:
    excluded = string.ascii_letters + string.punctuation + "\0é中 " * 1_000

    password = random_password(
        PasswordRules(exclude_characters=excluded, include_space=True, require_each_included_type=False), secrets
    ).reveal()

    assert set(password) <= set(string.digits)


def test_a_password_can_be_all_spaces() -> None:
    rules = PasswordRules(
        length=3,
        exclude_numbers=True,
        exclude_punctuation=True,
        exclude_uppercase=True,
        exclude_lowercase=True,
        include_space=True,
    )
    assert random_password(rules, secrets).reveal() == "   "


def test_an_emptied_kind_is_told_before_a_short_length() -> None:
    with pytest.raises(InvalidParameterException, match=r"^All characters of the desired type"):
        random_password(PasswordRules(length=1, exclude_characters=string.digits), secrets)
