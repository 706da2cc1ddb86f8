"""What is rotated: everything that this function knows about it stands here, and has to be filled in.

The error that a function here raises is written to the log, with its text: never put a value of the secret into one,
and look at what the libraries that you use put into theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# FILL IN: the keys of the secret's JSON that a rotation changes. All others have to stay what they are: a pending value
# that names another user or another host is refused.
CHANGED_KEYS = ("password",)

# FILL IN: what a new password must not contain.
EXCLUDED_CHARACTERS = "/@\"'\\"


def new_value(current: Mapping[str, Any], password: str) -> dict[str, Any]:
    """Return the value of the next version: the current one with a new password; all other keys are kept."""
    return {**current, "password": password}


def accepts(value: Mapping[str, Any]) -> bool:
    """Say whether the target lets this value in. It is asked often, and must not change anything.

    Returns:
        False only if the target itself has refused these credentials. Anything else that goes wrong, a network that is
        away for instance, is raised: nobody knows then.
    """
    # FILL IN
    raise NotImplementedError("accepts() in target.py: log in with the value, and say whether that worked")


def set_value(known: Mapping[str, Any], pending: Mapping[str, Any]) -> None:
    """Make the target accept the pending value; may be repeated. Returns only after the target has confirmed it.

    Args:
        known: What the target accepts now.
        pending: What it is to accept from now on.
    """
    # FILL IN
    raise NotImplementedError("set_value() in target.py: log in with what is known, and set what is pending")
