"""API keys of any service that makes, tries and revokes keys over HTTP.

There is no driver: the standard library sends the requests, which the function's environment describes
(``http_keys/description.py``).

**The secret**: ``engine`` ("http-api"), ``url`` (what all paths are below), ``api_key``; ``key_id`` of that key, which
the rotation keeps up to date; ``account``, if the service's paths name one; ``masterarn``, if another key makes the
keys. A superuser secret has the same form, and the same ``url``.

**Safety.** Plain HTTP reaches this machine only, unless the environment says otherwise. Certificates are always
verified. No redirect is followed. The key is in one header, and in the body of the request that sets it; never in a
path, a log or an error. Whoever may write the secret's value fills in blanks of the requests and no more.

**Nobody passes.** HTTP has no lock. What is to be revoked is listed before the rotation is confirmed, so that the keys
of a later one, which does not begin before that, cannot be among it. A function that was halted can at most have one
more key made, which the next rotation revokes. Of a service that keeps a single key for each account, and takes a new
one in its place, a halted function can put an old one back: that cannot be prevented from here.
"""

from __future__ import annotations

import ipaddress
import os
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, urlsplit

from . import base
from .http_keys.description import Description, Template, resolved
from .http_keys.exchange import HTTP_PORT, HTTPS_PORT, Answer, UnexpectedAnswer, exchange


class Engine:
    """A service that is described in the function's environment."""

    title = "HTTP API"
    engine_names: tuple[str, ...] = ("http-api",)
    # What has no meaning in headers and URLs is left.
    exclude_characters = "".join(sorted(set(string.punctuation) - set("-._~")))
    password_length = 32
    driver_distributions: tuple[str, ...] = ()
    # An account has several keys.
    keeps_previous = True
    strategies = ("new_key",)

    @property
    def description(self) -> Description:
        """The service, as the environment tells it."""
        return Description.read(os.environ)

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON; ``dbname`` is the path of the URL, ``username`` the account."""
        description = self.description
        for key in ("engine", "url", "api_key"):
            if key not in value:
                raise KeyError(f"{key} key is missing from secret JSON")
        if value["engine"] not in self.engine_names:
            raise KeyError(
                f"Database engine must be set to '{self.engine_names[0]}' in order to use this rotation lambda"
            )
        url, is_https = _split(_text(value, "url"))
        host = str(url.hostname)
        if not (is_https or description.may_be_unencrypted or _is_this_machine(host)):
            raise ValueError("url in the secret JSON must begin with https:// (API_UNENCRYPTED=true gives that up).")
        key = _text(value, "api_key")
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ValueError("api_key in the secret JSON must be printable ASCII without spaces.")
        return base.Login(
            username=_text(value, "account") if "account" in value else "",
            password=key,
            host=host,
            port=str(url.port or (HTTPS_PORT if is_https else HTTP_PORT)),
            dbname=url.path.rstrip("/"),
            tls=base.TlsMode.REQUIRED if is_https else base.TlsMode.FORBIDDEN,
        )

    def alternate_username(self, username: str) -> str:
        """Refuse: two keys of one account are valid at once, and no second account is needed."""
        raise ValueError(f"An API key has no second user to alternate with {username}.")

    def connect(self, login: base.Login) -> HttpConnection:
        """Try the key."""
        return HttpConnection(login, self.description)

    def keys(self, login: base.Login, account: str) -> Keys:
        """Return the keys of an account, managed with the key of a login."""
        return Keys(login, self.description, account)


class HttpConnection(base.Connection):
    """A key that the service has accepted, and would not have done without."""

    def __init__(self, login: base.Login, description: Description) -> None:
        values = {"account": login.username}
        if exchange(login, description, description.test, values) is None:
            raise _unexpected(login, description.test, "there is nothing at this path")
        if _is_public(login, description):
            raise _unexpected(login, description.test, "the answer is the same without a key, so it proves nothing")

    @property
    def password_was_checked(self) -> bool:
        """True: the service has been asked without a key, too."""
        return True

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:  # noqa: ARG002 - the interface's
        """Refuse: a key is made, and not changed."""
        _refuse()

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:  # noqa: ARG002 - the interface's
        """Refuse, likewise."""
        _refuse()

    def test(self) -> None:
        """Do nothing: the login was the test."""

    def close(self) -> None:
        """Do nothing: no connection is kept."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one account, and with whose key they are managed."""

    login: base.Login
    description: Description
    account: str

    def create(self, name: str, key: str, attempt: str) -> NewKey:
        """Have a key made.

        Args:
            name: How it is to be called.
            key: What it is to be; not used if the service makes it up.
            attempt: The same whenever the same key is meant.
        """
        description, template = self.description, self.description.create
        header = description.idempotency_header
        answer = exchange(
            self.login, description, template, self._values(name=name, key=key), {header: attempt} if header else None
        )
        if answer is None:
            raise _unexpected(self.login, template, "there is nothing at this path")
        if description.created_key is None:
            return NewKey(key, name)
        document = answer.document()
        created = _found(answer, description.created_key, document, "the key")
        key_id = name if description.created_id is None else _found(answer, description.created_id, document, "its id")
        return NewKey(created, key_id)

    def listed(self) -> dict[str, str] | None:
        """Return the names of all keys by id; None if the service does not tell."""
        template = self.description.list
        if template is None:
            return None
        answer = exchange(self.login, self.description, template, self._values())
        if answer is None:
            raise _unexpected(self.login, template, "there is nothing at this path")
        try:
            items = resolved(self.description.listed, answer.document())
        except LookupError:
            items = None
        if not isinstance(items, list):
            raise answer.unexpected("the answer has no array at API_LISTED")
        return {
            _found(answer, self.description.listed_id, item, "an id"): _found(
                answer, self.description.listed_name, item, "a name"
            )
            for item in items
        }

    def revoke(self, key_id: str) -> None:
        """Have a key refused from now on; one that is gone already stays so."""
        if self.description.revoke:
            exchange(self.login, self.description, self.description.revoke, self._values(id=key_id))

    def _values(self, **more: str) -> dict[str, str]:
        return {"account": self.account, "name": "", "id": "", "key": "", **more}


@dataclass(frozen=True, slots=True)
class NewKey:
    """What the service has made."""

    key: str = field(repr=False)
    key_id: str


def _is_public(login: base.Login, description: Description) -> bool:
    """Ask once more, without a key."""
    anonymous = base.Login(login.username, "", login.host, login.port, login.dbname, login.tls)
    try:
        return exchange(anonymous, description, description.test, {"account": login.username}) is not None
    except (base.AuthenticationFailed, UnexpectedAnswer, base.NotReady):
        return False


def _found(answer: Answer, pointer: str, document: object, what: str) -> str:
    try:
        value = resolved(pointer, document)
    except LookupError:
        value = None
    # Ids are numbers in some services.
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise answer.unexpected(f"the answer has not {what} at {pointer}")
    return str(value)


def _unexpected(login: base.Login, template: Template, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"host {login.host}, {template.variable}: {what}")


def _refuse() -> NoReturn:
    raise ValueError("Keys of an HTTP API are made and revoked: use the strategy new_key.")


def _split(text: str) -> tuple[SplitResult, bool]:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        url = urlsplit("")
    usable = url.scheme in ("http", "https") and url.hostname and not {",", "%"} & set(url.netloc)
    if not usable or "@" in url.netloc or url.query or url.fragment or not text.isascii() or not text.isprintable():
        raise ValueError("url in the secret JSON must be as https://host/path, without user, query or fragment.")
    if " " in text or ".." in url.path:
        raise ValueError("url in the secret JSON must have a plain path.")
    return url, url.scheme == "https"


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _text(value: Mapping[str, object], key: str) -> str:
    text = value[key]
    if not isinstance(text, str) or not text:
        raise ValueError(f"{key} in the secret JSON must be text and not empty.")
    return text
