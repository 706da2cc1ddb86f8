from __future__ import annotations

from collections.abc import Callable

import pytest

from keyturn.errors.secretsmanager import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceExistsException,
    ResourceNotFoundException,
)
from keyturn.rules.versions import (
    Existing,
    TokenUse,
    no_value,
    require_token,
    require_value,
    use_of_token,
    use_of_token_to_create,
    version_to_read,
)

LABELS = {"AWSCURRENT": "v2", "AWSPREVIOUS": "v1"}


def _never_asked() -> bool:
    raise AssertionError("the value was opened without need")


def test_a_token_makes_fills_or_repeats() -> None:
    assert use_of_token("t", "arn", Existing.NOTHING, _never_asked) is TokenUse.NEW
    assert use_of_token("t", "arn", Existing.WITHOUT_VALUE, _never_asked) is TokenUse.FILLS
    assert use_of_token("t", "arn", Existing.TOKEN_ONLY, _never_asked) is TokenUse.FILLS
    assert use_of_token("t", "arn", Existing.WITH_VALUE, lambda: True) is TokenUse.REPEATS


def test_a_token_of_another_value_is_refused() -> None:
    with pytest.raises(ResourceExistsException) as caught:
        use_of_token("t", "arn", Existing.WITH_VALUE, lambda: False)
    assert caught.value.message == (
        "You can't use ClientRequestToken t because that value is already in use for a version of secret arn."
    )


def _create(existing: Existing, same_value: Callable[[], bool], *, brings_value: bool = True) -> TokenUse:
    return use_of_token_to_create("t", "n", "arn", existing, brings_value=brings_value, same_value=same_value)


def test_create_repeats_its_answer_only_for_its_own_token() -> None:
    assert _create(Existing.WITH_VALUE, lambda: True) is TokenUse.REPEATS
    for existing in (Existing.NOTHING, Existing.TOKEN_ONLY, Existing.WITHOUT_VALUE):
        with pytest.raises(ResourceExistsException, match=r"because the secret n already exists."):
            _create(existing, _never_asked)
    with pytest.raises(ResourceExistsException, match="You can't use ClientRequestToken"):
        _create(Existing.WITH_VALUE, lambda: False)


def test_a_create_without_a_value_can_be_repeated_too() -> None:
    assert _create(Existing.TOKEN_ONLY, _never_asked, brings_value=False) is TokenUse.REPEATS
    for existing in (Existing.NOTHING, Existing.WITHOUT_VALUE):
        with pytest.raises(ResourceExistsException, match=r"because the secret n already exists."):
            _create(existing, _never_asked, brings_value=False)


def test_a_missing_token_is_another_error_for_rotate_secret() -> None:
    assert require_token("t") == "t"
    with pytest.raises(InvalidRequestException):
        require_token(None)
    with pytest.raises(InvalidParameterException):
        require_token("", InvalidParameterException)


def test_a_put_brings_exactly_one_value() -> None:
    require_value("x", None)
    with pytest.raises(InvalidRequestException):
        require_value(None, None)
    with pytest.raises(InvalidParameterException):
        require_value("x", b"x")


@pytest.mark.parametrize(
    ("version_id", "stage", "expected"),
    [(None, None, "v2"), (None, "AWSPREVIOUS", "v1"), ("v1", None, "v1"), ("v1", "AWSPREVIOUS", "v1")],
)
def test_a_read_names_its_version_by_id_or_label(version_id: str | None, stage: str | None, expected: str) -> None:
    assert version_to_read(LABELS, version_id, stage) == expected


def test_a_read_that_names_two_versions_or_none_is_refused() -> None:
    with pytest.raises(InvalidRequestException, match="a VersionStage that is not associated to the provided"):
        version_to_read(LABELS, "v1", "AWSCURRENT")
    with pytest.raises(ResourceNotFoundException, match=r"secret value for staging label: AWSCURRENT$"):
        version_to_read({}, None, None)
    assert no_value("v9", None).message == ("Secrets Manager can't find the specified secret value for VersionId: v9")
