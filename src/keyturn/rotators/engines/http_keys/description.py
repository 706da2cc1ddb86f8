"""How a service manages its keys, as the function's environment tells it.

The environment belongs to whoever made the function, a secret's value to whoever may write the secret. What is sent,
where below the secret's URL, and in whose name is therefore never the value's to say: it fills in blanks, each of which
stays one word of a path or one text of a JSON document.

A request is a method and a path, as ``POST /v1/keys``. The blanks are ``{account}`` and ``{id}`` from the value,
``{name}`` for the new key, and, nowhere but in a header or a body, ``{key}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .. import base

_REQUEST = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE) (/\S*)")
_BLANK = re.compile(r"\{(\w*)\}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TRUE = frozenset({"true", "1", "y", "yes"})
# Only these may be asked to show a key, and a path is in every log on the way.
_IN_PATHS = frozenset({"account", "id", "name"})
_EVERYWHERE = _IN_PATHS | {"key"}


class Misdescribed(base.DatabaseError):
    """The function's environment does not describe a service."""

    hint = "Correct the API_… variables of the function; the documentation of the function lists them."


@dataclass(frozen=True, slots=True)
class Template:
    """One kind of request, with blanks.

    Attributes:
        variable: Where it is from.
        body: JSON, or None.
    """

    variable: str
    method: str
    path: str
    body: Any = None

    @property
    def blanks(self) -> frozenset[str]:
        """Which blanks path and body have."""
        return frozenset(_BLANK.findall(f"{self.path} {json.dumps(self.body)}")) & _EVERYWHERE

    def filled_path(self, values: Mapping[str, str]) -> str:
        """Return the path; each blank is one segment or one part of a query, whatever is in it."""
        return _BLANK.sub(lambda found: _segment(values[found[1]]), self.path)

    def filled_body(self, values: Mapping[str, str]) -> bytes | None:
        """Return the body; each blank is within one text, whatever is in it."""
        return None if self.body is None else json.dumps(_filled(self.body, values)).encode()


@dataclass(frozen=True, slots=True)
class Description:
    """One service.

    Attributes:
        key_header: Name and value; the value has the blank ``{key}``.
        created_key: JSON pointer to the key in the answer to ``create``; None if the key is ours to choose.
        created_id: JSON pointer to the id there; None if the id is ``{name}``.
        listed: JSON pointer to the array in the answer to ``list``; the next two are pointers within its elements.
        idempotency_header: In which ``create`` sends what is the same at each repetition.
        may_be_unencrypted: Whether plain HTTP may leave this machine.
    """

    key_header: tuple[str, str]
    headers: Mapping[str, str]
    test: Template
    create: Template
    created_key: str | None
    created_id: str | None
    revoke: Template | None
    list: Template | None
    listed: str
    listed_id: str
    listed_name: str
    idempotency_header: str | None
    may_be_unencrypted: bool

    @property
    def needs_account(self) -> bool:
        """Whether a request names the account."""
        templates = (self.test, self.create, self.revoke, self.list)
        return any(template is not None and "account" in template.blanks for template in templates)

    @property
    def issues_keys(self) -> bool:
        """Whether the service makes up the key itself."""
        return self.created_key is not None

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> Description:
        """Read the variables.

        Raises:
            Misdescribed: One is missing or cannot be used; says which and why.
        """
        try:
            return cls._read(environ)
        except ValueError as error:
            raise Misdescribed(str(error).rstrip(".")) from None

    @classmethod
    def _read(cls, environ: Mapping[str, str]) -> Description:
        created_key = environ.get("API_CREATED_KEY") or None
        found = cls(
            key_header=_key_header(environ.get("API_KEY_HEADER") or "Authorization: Bearer {key}"),
            headers=_headers(environ.get("API_HEADERS") or "{}"),
            test=_required(environ, "API_TEST"),
            create=_required(environ, "API_CREATE"),
            created_key=_pointer(environ, "API_CREATED_KEY") if created_key else None,
            created_id=_pointer(environ, "API_CREATED_ID") if environ.get("API_CREATED_ID") else None,
            revoke=_template(environ, "API_REVOKE"),
            list=_template(environ, "API_LIST"),
            listed=_pointer(environ, "API_LISTED"),
            listed_id=_pointer(environ, "API_LISTED_ID", "/id"),
            listed_name=_pointer(environ, "API_LISTED_NAME", "/name"),
            idempotency_header=environ.get("API_IDEMPOTENCY_HEADER") or None,
            may_be_unencrypted=environ.get("API_UNENCRYPTED", "").strip().lower() in _TRUE,
        )
        found._check()
        return found

    def _check(self) -> None:
        """Refuse what cannot work, or not safely, before anything is sent."""
        if ("key" in self.create.blanks) == self.issues_keys:
            raise ValueError(
                "Either API_CREATE has the blank {key}, or API_CREATED_KEY says where the service answers with one."
            )
        if self.created_id and not self.issues_keys:
            raise ValueError("API_CREATED_ID is for services that make up keys; otherwise the id of a key is {name}.")
        if self.test.body is not None or self.test.method not in ("GET", "HEAD"):
            raise ValueError("API_TEST must be a GET or a HEAD without a body: it is sent again and again.")
        if self.revoke and "id" not in self.revoke.blanks:
            raise ValueError("API_REVOKE must have the blank {id}: without it, it revokes no key or all of them.")
        for template in (self.test, self.create, self.revoke, self.list):
            if template and "key" in template.blanks and template is not self.create:
                raise ValueError(f"{template.variable} must not have the blank {{key}}.")
        if self.idempotency_header and not _TOKEN.fullmatch(self.idempotency_header):
            raise ValueError("API_IDEMPOTENCY_HEADER is no name of a header.")

    def refuse_for_superuser(self) -> None:
        """Return if a key with more rights than the secret's own can be used for it.

        The value's blanks say for whom. The secret's own key must have proved that, and what is to be revoked must be
        known to be the secret's.

        Raises:
            ValueError: A writer of the secret could have others' keys made or revoked.
        """
        if "account" in self.create.blanks and "account" not in self.test.blanks:
            raise ValueError(
                "With a superuser secret API_TEST must have the blank {account} if API_CREATE has it: only then the"
                " current key proves whose account it is."
            )
        if self.revoke and not self.list:
            raise ValueError(
                "With a superuser secret API_REVOKE needs API_LIST, by which a key is known to be the secret's own."
            )


def resolved(pointer: str, document: object) -> object:
    """Return what a JSON pointer (RFC 6901) points to.

    Raises:
        LookupError: Nothing is there.
    """
    for part in pointer.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict):
            document = document[name]
        elif isinstance(document, list) and name.isdecimal():
            document = document[int(name)]
        else:
            raise LookupError(pointer)
    return document


def _template(environ: Mapping[str, str], variable: str) -> Template | None:
    text = environ.get(variable, "").strip()
    if not text:
        return None
    found = _REQUEST.fullmatch(text)
    if not found or ".." in found[2] or "#" in found[2] or found[2].startswith("//"):
        raise ValueError(f"{variable} must be a method and a path, as in POST /v1/keys.")
    _check_blanks(variable, found[2], _IN_PATHS)
    if re.search(r"[{}]", _BLANK.sub("", found[2])):
        raise ValueError(f"{variable} has a brace that is no blank.")
    body = None
    if text := environ.get(f"{variable}_BODY", "").strip():
        try:
            body = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"{variable}_BODY must be JSON.") from None
        _check_blanks(f"{variable}_BODY", text, _EVERYWHERE, only_words=True)
    return Template(variable, found[1], found[2], body)


def _required(environ: Mapping[str, str], variable: str) -> Template:
    template = _template(environ, variable)
    if template is None:
        raise ValueError(f"{variable} is missing from the function's environment: a method and a path.")
    return template


def _check_blanks(variable: str, text: str, known: frozenset[str], *, only_words: bool = False) -> None:
    # JSON has braces of its own; an empty object is no blank.
    unknown = sorted(name for name in _BLANK.findall(text) if name not in known and (name or not only_words))
    if unknown:
        raise ValueError(f"{variable} has a blank that is not known there: {{{unknown[0]}}}.")


def _key_header(text: str) -> tuple[str, str]:
    name, _, value = (part.strip() for part in text.partition(":"))
    if not _TOKEN.fullmatch(name) or _BLANK.findall(value) != ["key"]:
        raise ValueError("API_KEY_HEADER must be a header with the blank {key}, as in Authorization: Bearer {key}.")
    return name, value


def _headers(text: str) -> dict[str, str]:
    try:
        headers = json.loads(text)
    except (ValueError, RecursionError):
        headers = None
    if not isinstance(headers, dict) or not all(
        isinstance(value, str) and value.isprintable() and _TOKEN.fullmatch(name) for name, value in headers.items()
    ):
        raise ValueError("API_HEADERS must be a JSON object of names and texts.")
    return headers


def _pointer(environ: Mapping[str, str], variable: str, default: str = "") -> str:
    pointer = environ.get(variable) or default
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"{variable} must be a JSON pointer, as in /data/id.")
    return pointer


def _segment(text: str) -> str:
    # "." and ".." would change the path, and are not to be escaped.
    if text.strip(".") == "":
        raise ValueError("A blank of a path would be filled with nothing or with dots.")
    return quote(text, safe="")


def _filled(node: Any, values: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {name: _filled(value, values) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, values) for value in node]
    if isinstance(node, str):
        return _BLANK.sub(lambda found: values[found[1]] if found[1] in _EVERYWHERE else found[0], node)
    return node
