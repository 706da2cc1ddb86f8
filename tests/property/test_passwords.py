"""Whatever is asked of GetRandomPassword, the password fits it or a rule says why there is none."""

from __future__ import annotations

import secrets
import string

from hypothesis import given
from hypothesis import strategies as st

from keyturn.errors.secretsmanager import InvalidParameterException
from keyturn.rules.passwords import PasswordRules, random_password

rules_of_any_kind = st.builds(
    PasswordRules,
    length=st.integers(1, 64),
    exclude_characters=st.text(string.printable, max_size=80),
    exclude_numbers=st.booleans(),
    exclude_punctuation=st.booleans(),
    exclude_uppercase=st.booleans(),
    exclude_lowercase=st.booleans(),
    include_space=st.booleans(),
    require_each_included_type=st.booleans(),
)


@given(rules_of_any_kind)
def test_a_password_fits_its_rules(rules: PasswordRules) -> None:
    switched = {
        string.ascii_lowercase: rules.exclude_lowercase,
        string.ascii_uppercase: rules.exclude_uppercase,
        string.digits: rules.exclude_numbers,
        string.punctuation: rules.exclude_punctuation,
    }
    kinds = [set(kind) - set(rules.exclude_characters) for kind, is_off in switched.items() if not is_off]
    allowed = set().union(*kinds) | ({" "} - set(rules.exclude_characters) if rules.include_space else set())
    try:
        password = random_password(rules, secrets).reveal()
    except InvalidParameterException:
        assert not allowed or (rules.require_each_included_type and (not all(kinds) or rules.length < len(kinds)))
        return
    assert len(password) == rules.length
    assert set(password) <= allowed
    if rules.require_each_included_type:
        assert all(set(password) & kind for kind in kinds)
