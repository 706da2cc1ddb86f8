"""What a browser sends and keeps: forms, cookies, and by which address it is here."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from keyturn.console.clients import Origin
from keyturn.console.guard import PREFIX
from keyturn.console.routing import FORM_BYTES
from keyturn.console.session import Session
from keyturn.console.visit import Form, Upload

THEMES: Final = ("auto", "light", "dark")
# By other names botocore makes no requests.
_HOST: Final = re.compile(r"[0-9a-f]*:[0-9a-f:.]+|((?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)\.?")
_MOST_HOST: Final = 255


async def read_form(request: Request) -> Form:
    """Return what was posted; nothing of what is no form that a browser would send."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    if options.get(b"charset", b"utf-8").lower() != b"utf-8":
        # Browsers send UTF-8; others would choose how bytes are read here.
        return Form()
    try:
        sent = await request.form(max_files=1, max_fields=500, max_part_size=FORM_BYTES)
    except (MultiPartException, ValueError):
        # Too many fields, parts that are none, or a boundary that is none.
        return Form()
    values: dict[str, list[str]] = {}
    uploads: dict[str, Upload] = {}
    for name, value in sent.multi_items():
        if isinstance(value, UploadFile):
            uploads[name] = Upload(value.filename or "", await value.read())
        else:
            values.setdefault(name, []).append(value)
    await sent.close()
    return Form(values, uploads)


def is_forged(request: Request, form: Form, session: Session) -> bool:
    """Return whether a form was not sent by a page that this session was shown."""
    return not is_from_here(request) or session.is_forged(form.text("csrf_token"))


def is_from_here(request: Request) -> bool:
    """Return whether a form was sent by a page of this address, as far as the browser says."""
    origin = request.headers.get("origin")
    if origin is not None and _host_of(origin) != request.headers.get("host", ""):
        return False
    return request.headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _host_of(origin: str) -> str | None:
    """Return host and port of an origin; None if it is none, which no browser sends."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def origin_of(request: Request) -> Origin:
    """Return where the browser is, and how it reached the server."""
    client = request.client
    return Origin(f"{request.url.scheme}://{request.url.netloc}", client.host if client else "")


def has_host(request: Request) -> bool:
    """Return whether the server was asked for by a name that calls can be signed for."""
    host = request.url.hostname or ""
    return len(host) <= _MOST_HOST and _HOST.fullmatch(host) is not None


def cookie_name(cookie: str, request: Request) -> str:
    """Return what a cookie is called; with TLS no page that was loaded without it can set it."""
    return f"__Secure-keyturn-{cookie}" if request.url.scheme == "https" else f"keyturn-{cookie}"


def set_cookie(response: Response, request: Request, cookie: str, value: str, kept: timedelta) -> None:
    """Have the browser keep something that scripts and other sites do not get to see."""
    response.set_cookie(
        cookie_name(cookie, request),
        value,
        max_age=int(kept.total_seconds()),
        path=PREFIX,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )


def delete_cookie(response: Response, request: Request, cookie: str) -> None:
    """Have the browser forget it."""
    # Browsers refuse the deletion, too, if its name asks for TLS and it does not say so.
    is_secure = request.url.scheme == "https"
    response.delete_cookie(cookie_name(cookie, request), path=PREFIX, secure=is_secure, httponly=True, samesite="lax")


def theme_of(request: Request) -> str:
    """Return which colours the browser wants."""
    theme = request.cookies.get(cookie_name("theme", request), "auto")
    return theme if theme in THEMES else "auto"
