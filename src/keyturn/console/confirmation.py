"""What keeps people from destroying what they did not mean to.

Destructive acts are confirmed by typing a name: ``console.js`` keeps the button off until then, the server asks too. A
form that takes something's place says which one it was made from.
"""

from __future__ import annotations

import hashlib

from keyturn.console.visit import Form
from keyturn.errors.base import KeyturnError


class NotConfirmed(KeyturnError):
    """The name was not typed, and nothing was done."""


class Overtaken(KeyturnError):
    """Somebody else has changed what a form was made from, and nothing was done."""


def check_confirmed(form: Form, name: str) -> None:
    """Check that somebody has typed a name into the field ``confirmed``.

    Raises:
        NotConfirmed: They have not.
    """
    if form.line("confirmed") != name:
        raise NotConfirmed(f"Nothing was done: type {name} to confirm.")


def policy_overtaken() -> Overtaken:
    """Return what refuses a policy that was written over one that is not there any more."""
    return Overtaken(
        "Somebody has put another policy since you began, so yours was not put.",
        "What you wrote is below; to put it again takes the place of theirs.",
    )


def digest(text: str) -> str:
    """Return what a form carries to say from which text it was made."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
