from __future__ import annotations

import random
import secrets
import string

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


def test_every_password_that_fulfils_the_rules_is_equally_likely() -> None:
    # Of two characters "ab12" one letter and one digit are required: eight passwords.
    rules = PasswordRules(
        length=2,
        exclude_characters=string.ascii_lowercase[2:] + string.digits[2:],
        exclude_punctuation=True,
        exclude_uppercase=True,
    )
    dice = Dice()
    counts: dict[str, int] = {}
    for _ in range(8_000):
        password = random_password(rules, dice).reveal()
        counts[password] = counts.get(password, 0) + 1
    assert len(counts) == 8
    assert all(850 < count < 1150 for count in counts.values())
