"""Tags as a form has them: rows of key and value."""

from __future__ import annotations

from collections.abc import Mapping

from keyturn.console.visit import Form
from keyturn.errors.base import KeyturnError

RESERVED = "aws:"


class UnclearTags(KeyturnError):
    """The rows do not say which tags are meant."""


def filled_tags(form: Form) -> dict[str, str]:
    """Return the tags that were filled in.

    Raises:
        UnclearTags: A key is missing or there twice.
    """
    tags: dict[str, str] = {}
    for key, value in zip(form.all("tag_key"), form.all("tag_value"), strict=False):
        if not key.strip() and not value.strip():
            continue
        if not key.strip():
            raise UnclearTags("A tag has a value and no key: write one, or empty the row.")
        if key.strip() in tags:
            raise UnclearTags(f"The tag {key.strip()} is there twice.")
        tags[key.strip()] = value.strip()
    return tags


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return which tags to put and which keys to take off; what somebody else has added meanwhile stays.

    Args:
        before: As the form was made.
        after: As it was filled in.
    """
    put = {key: value for key, value in after.items() if before.get(key) != value}
    return put, [key for key in before if key not in after]
