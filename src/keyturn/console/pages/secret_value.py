"""Another value for a secret: edited as pairs of key and value, or as text, and stored as a new version.

Two people may edit at once. A form carries the version that it was made from; if another one is current when it is
sent, nothing is stored, and what was typed is shown again beside who was faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keyturn import ids
from keyturn.console.confirmation import Overtaken
from keyturn.console.pages.secret import SERVICE, known
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.secret_values import NotStorable, Pair, is_editable, joined, pairs_of, rows
from keyturn.console.visit import Form, Visit

_FREE_ROWS = 3
# Each has three fields, and a form has some hundred at most (``browser.read_form``).
_MOST_ROWS = 150
CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"


@page("secret/edit", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show the form: empty, or as it was filled in when something kept it from being stored."""
    secret, described = known(visit)
    if not visit.clients.allow(SERVICE, "put_secret_value", SecretId=secret["ARN"], SecretString="-"):
        return Html("secret_edit.html", {"secret": secret, "is_allowed": False, "base": "", "is_read": False})
    form = visit.form
    base = form.line("base")
    current = current_version(secret) if described or visit.refused is None else _read_version(visit)
    is_overtaken = visit.refused is not None and base != current
    return _form(
        secret,
        is_text=form.line("as") == "text",
        text=form.text("text"),
        rows=with_free(filled_rows(visit.form), visit),
        base=current if is_overtaken or not base else base,
        token=form.line("token") if form.is_on("more") else ids.new_version_id(),
        is_overtaken=is_overtaken,
        is_read=form.is_on("read"),
    )


@action("secret/edit", shows=show)
def edit(visit: Visit) -> Reply:
    """Show the form with the current value, which is read for it."""
    secret, _ = known(visit)
    read = visit.clients[SERVICE].get_secret_value(SecretId=visit.asked("id"))
    text = read.get("SecretString")
    pairs = None if text is None else _editable_pairs(text)
    warning = ""
    if text is None:
        warning = "The current value is binary, which a page cannot edit. What is stored here takes its place as text."
    elif pairs is None and not is_editable(text):
        warning = (
            "The current value has line ends of Windows or other characters that a page does not give back as they are."
        )
    return _form(
        secret,
        is_text=pairs is None,
        text=text or "",
        rows=with_free(pairs or [], visit),
        # What was read, even if it is no more the current one by now.
        base=read["VersionId"],
        token=ids.new_version_id(),
        warning=warning,
        is_read=True,
    )


@action("secret/value", shows=show)
def store(visit: Visit) -> Reply:
    """Store a new version, which becomes the current one; or show the form with more rows, or as text."""
    form = visit.form
    if form.is_on("more"):
        return show(visit)
    if form.is_on("switch"):
        return _switched(visit)
    secret, described = known(visit)
    base, token = form.line("base"), form.line("token") or ids.new_version_id()
    # Its own token: the form was sent twice.
    current = current_version(secret) if described else _read_version(visit)
    if current not in (base, token):
        raise Overtaken(
            "Somebody has stored another value since you began, so yours was not stored.",
            "Compare the two: what you typed is below. Storing it again puts it in the other's place.",
        )
    text = form.text("text") if form.line("as") == "text" else joined(filled_rows(visit.form))
    if not text:
        raise NotStorable("A value has at least one character.")
    stored = visit.clients[SERVICE].put_secret_value(
        SecretId=visit.asked("id"), SecretString=text, ClientRequestToken=token
    )
    told = _told(visit, stored, base)
    if visit.asked("doctor"):
        return Redirect(address("secret/doctor", id=visit.asked("doctor"), fixed=visit.asked("cause")), told)
    return Redirect(address("secret", id=visit.asked("id")), told)


def _read_version(visit: Visit) -> str:
    """Return which version is current, for who has read the value and may not look at the secret.

    It was read for the form, and is so once more. Who has not read it, or may not by now, sees what the form says.
    """
    base = visit.form.line("base")
    if not base:
        return base
    return str(visit.look(SERVICE, "get_secret_value", SecretId=visit.asked("id")).get("VersionId", base))


def filled_rows(form: Form) -> list[Pair]:
    """Return the rows of a form in which something was filled in."""
    return rows(form.all("key"), form.all("value"), form.all("kind"))


def with_free(filled_in: list[Pair], visit: Visit) -> list[Pair]:
    """Return rows with some free ones behind, more of them if more were asked for."""
    free = _FREE_ROWS + (5 if visit.form.is_on("more") else 0)
    return [*filled_in, *[Pair("", "")] * free]


def current_version(secret: Mapping[str, Any]) -> str:
    """Return the version that has AWSCURRENT; empty if there is none, or nobody may know."""
    return next((each for each, labels in secret.get("VersionIdsToStages", {}).items() if CURRENT in labels), "")


def _editable_pairs(text: str) -> list[Pair] | None:
    """Return the pairs of a JSON object; None if it is none, or has more than a form can send."""
    pairs = pairs_of(text)
    return pairs if pairs is not None and len(pairs) <= _MOST_ROWS else None


def _switched(visit: Visit) -> Reply:
    """Show what was typed the other way: pairs as the JSON that they are, or text as pairs if it is such JSON."""
    secret, _ = known(visit)
    form = visit.form
    was_text = form.line("as") == "text"
    pairs = _editable_pairs(form.text("text")) if was_text else None
    filled_in = filled_rows(visit.form)
    warning = ""
    if was_text and pairs is None and form.text("text"):
        warning = "This text is no JSON object that can be shown as keys and values, so it stays text."
    text = form.text("text") if was_text or not filled_in else joined(filled_in)
    return _form(
        secret,
        is_text=bool(warning) or not was_text,
        text=text,
        rows=with_free(pairs or [], visit),
        base=form.line("base"),
        token=form.line("token"),
        warning=warning,
        is_read=form.is_on("read"),
    )


def _form(
    secret: Mapping[str, Any],
    *,
    is_text: bool,
    text: str,
    rows: Sequence[Pair],
    base: str,
    token: str,
    warning: str = "",
    is_overtaken: bool = False,
    is_read: bool = False,
) -> Html:
    """Return the form.

    Args:
        secret: Whose value.
        is_text: Whether it is edited as text.
        text: That.
        rows: Of keys and values, else.
        base: The version that it was made from.
        token: Makes the new version's id, so that a form which is sent twice stores once.
        warning: A sentence above it.
        is_overtaken: Whether it was about to put another one's value away.
        is_read: Whether it began with the current value.
    """
    shown = {
        "secret": secret,
        "is_allowed": True,
        "is_text": is_text,
        "text": text,
        "rows": rows,
        "base": base,
        "token": token,
        "warning": warning,
        "is_overtaken": is_overtaken,
        "is_read": is_read,
    }
    return Html("secret_edit.html", shown)


def _told(visit: Visit, stored: Mapping[str, Any], base: str) -> str:
    """Say that it is stored, and whether somebody has stored another value at the very same moment."""
    told = "The new value is stored, and current."
    described = visit.look(SERVICE, "describe_secret", SecretId=visit.asked("id"))
    stages = described.get("VersionIdsToStages", {})
    previous = next((each for each, labels in stages.items() if PREVIOUS in labels), base)
    if base and previous != base and stored["VersionId"] == current_version(described.answer):
        return f"{told} Somebody else stored one at the same moment: theirs is AWSPREVIOUS now."
    return told
