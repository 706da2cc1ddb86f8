"""Creating a secret: credentials of a database, keys and values, or plain text.

The form works without scripts: more rows, and a generated password, are buttons that show it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from keyturn import ids
from keyturn.console.numbers import whole_number
from keyturn.console.pages.secret import SERVICE
from keyturn.console.pages.secret_value import filled_rows, with_free
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.secret_tags import filled_tags
from keyturn.console.secret_values import (
    DATABASE_FIELDS,
    DatabaseKind,
    NotStorable,
    Pair,
    database_kinds,
    database_value,
    joined,
)
from keyturn.console.visit import Form, Visit

KINDS: Final[Mapping[str, str]] = {
    "database": "Credentials for a database",
    "pairs": "Keys and values",
    "text": "Plain text",
}
_LENGTH = 32
_EXCLUDED = "/@\"'\\"
_MOST_ALIASES = 100


@dataclass(frozen=True, slots=True)
class _Filled:
    """What the value of the new secret is made from, as far as it is filled in."""

    fields: Mapping[str, str] = field(repr=False)
    rows: Sequence[Pair] = field(repr=False)
    text: str = field(repr=False)
    is_generated: bool = False


@page("secrets/new")
def show(visit: Visit) -> Reply:
    """Show the form, as far as it is filled in."""
    return _shown(visit, _filled(visit.form))


@action("secrets/new", shows=show)
def create(visit: Visit) -> Reply:
    """Create the secret; or show the form with more rows, or with a password."""
    form = visit.form
    if form.is_on("more"):
        return show(visit)
    if form.is_on("generate"):
        return _shown(visit, _with_password(visit))
    asked: dict[str, Any] = {"Name": form.line("name"), "SecretString": _value(visit)}
    if not asked["Name"]:
        raise NotStorable("The secret needs a name.", "Slashes make folders: prod/orders/database.")
    if form.text("description"):
        asked["Description"] = form.text("description")
    if form.line("kms_key_id"):
        asked["KmsKeyId"] = form.line("kms_key_id")
    if tags := filled_tags(form):
        asked["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    made = visit.clients[SERVICE].create_secret(**asked, ClientRequestToken=form.line("token") or ids.new_version_id())
    return Redirect(address("secret", id=made["ARN"], created=_kind(visit)), f"{made['Name']} is created.")


def _shown(visit: Visit, filled: _Filled) -> Html:
    form = visit.form
    tags = list(zip(form.all("tag_key"), form.all("tag_value"), strict=False))
    free = 6 if form.is_on("more") else 3
    aliases = visit.look("kms", "list_aliases", Limit=_MOST_ALIASES)
    database = _database(filled.fields.get("engine", ""))
    return Html(
        "secret_new.html",
        {
            "kind": _kind(visit),
            "kinds": KINDS,
            "databases": database_kinds(),
            "fields": filled.fields,
            "rows": with_free([*filled.rows], visit),
            "text": filled.text,
            "is_generated": filled.is_generated,
            "tags": [*[pair for pair in tags if any(pair)], *[("", "")] * free],
            "aliases": [each["AliasName"] for each in aliases.get("Aliases", []) if each.get("TargetKeyId")],
            "may_create": visit.clients.allow_some(SERVICE, "create_secret", Name="name"),
            "may_tag": visit.clients.allow_some(SERVICE, "tag_resource", SecretId="name", Tags=[]),
            "may_generate": visit.clients.allow(SERVICE, "get_random_password"),
            "token": form.line("token") if form.is_on("more") else ids.new_version_id(),
            "length": form.line("length") or str(database.password_length if database else _LENGTH),
            "excluded": form.text("excluded")
            if form.values
            else (database.exclude_characters if database else _EXCLUDED),
        },
    )


def _kind(visit: Visit) -> str:
    kind = visit.asked("kind")
    return kind if kind in KINDS else "database"


def _filled(form: Form) -> _Filled:
    fields = {name: form.text(name) if name == "password" else form.line(name) for name in DATABASE_FIELDS}
    return _Filled(fields, filled_rows(form), form.text("text"))


def _database(engine: str) -> DatabaseKind | None:
    return next((kind for kind in database_kinds() if engine in kind.engine_names), None)


def _value(visit: Visit) -> str:
    """Return the value of the new secret.

    Raises:
        NotStorable: Something is missing.
    """
    filled, kind = _filled(visit.form), _kind(visit)
    if kind == "pairs":
        return joined(filled.rows)
    if kind == "text":
        if not filled.text:
            raise NotStorable("A value has at least one character.")
        return filled.text
    database = _database(filled.fields["engine"])
    usual = {"port": database.port} if database and not filled.fields["port"] else {}
    return database_value({**filled.fields, **usual})


def _with_password(visit: Visit) -> _Filled:
    """Return the form with a generated password where one belongs."""
    filled, form = _filled(visit.form), visit.form
    length = whole_number(form.line("length"), "The length of a password")
    # What the engine cannot have in a password it cannot have here either.
    database = _database(filled.fields["engine"]) if _kind(visit) == "database" else None
    excluded = {*form.text("excluded"), *(database.exclude_characters if database else "")}
    made = visit.clients[SERVICE].get_random_password(
        PasswordLength=length,
        ExcludeCharacters="".join(sorted(excluded)),
        ExcludeNumbers=form.is_on("no_numbers"),
        ExcludePunctuation=form.is_on("no_punctuation"),
        ExcludeUppercase=form.is_on("no_uppercase"),
        ExcludeLowercase=form.is_on("no_lowercase"),
    )["RandomPassword"]
    rows = list(filled.rows)
    # The row that is called so, else the first one without a value, else a new one.
    place = next((index for index, pair in enumerate(rows) if pair.key.lower() == "password"), None)
    if place is None:
        place = next((index for index, pair in enumerate(rows) if not pair.value), len(rows))
    rows[place : place + 1] = [Pair(rows[place].key if place < len(rows) else "password", made)]
    text = made if _kind(visit) == "text" else filled.text
    return _Filled({**filled.fields, "password": made}, rows if _kind(visit) == "pairs" else filled.rows, text, True)
