"""The console as an ASGI application: sessions, forms, headers, errors. What pages show is theirs (``pages/``).

1. A body is bounded while it is read; the answer has the headers that keep other sites out.
2. The session's cookie is opened; without one there is the sign-in page, and nothing else but static files.
3. A form must carry the session's CSRF token, and come from a page of this address.
4. The page or action runs in a thread, for it makes calls and waits for them.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from urllib.parse import quote

from anyio import CapacityLimiter, move_on_after, to_thread
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route, Router

import keyturn
from keyturn.clock import Clock
from keyturn.console.browser import (
    THEMES,
    cookie_name,
    delete_cookie,
    has_host,
    is_forged,
    is_from_here,
    origin_of,
    read_form,
    set_cookie,
    theme_of,
)
from keyturn.console.clients import Answers, ClientMaker, Origin
from keyturn.console.guard import PREFIX, Guarded, Receive, Scope, Send, Unread, bounded
from keyturn.console.menu import Menus
from keyturn.console.render import STATIC, Renderer
from keyturn.console.replies import Download, Html, Redirect, Reply, address
from keyturn.console.routing import FORM_BYTES, Action, Live, discover
from keyturn.console.session import WHOLE, Sessions, SignedIn
from keyturn.console.sign_in import SignInLimits, next_page
from keyturn.console.turns import Places, Turns
from keyturn.console.visit import Form, Refused, Visit, refusal_of
from keyturn.crypto.tokens import ForeignToken, TokenSealer
from keyturn.errors.base import KeyturnError
from keyturn.server.pipeline import Pipeline
from keyturn.wire.http import HttpReply

_T = TypeVar("_T")
NoteSignIn = Callable[["SignInTold"], None]

_log = logging.getLogger(__name__)
_ENDED = ("UnrecognizedClientException", "InvalidClientTokenId", "ExpiredTokenException", "ExpiredToken")
# A browser has six connections to a server, for all its windows: some must be free for pages.
_MOST_LIVE, _MOST_LIVE_OF_KEY, _MOST_LIVE_OF_SESSION = 200, 30, 3
# Whoever has not signed in yet sends a key and a token at most.
_SIGN_IN_BYTES = 16 * 1024
# Who has no place asks again after this time.
_AGAIN_SECONDS: Final = 5
# A package is held several times over while it is read, signed and stored.
_MOST_UPLOADS, _MOST_UPLOADS_OF_KEY = 4, 1
# Whoever sends slowly keeps others waiting.
_UPLOAD_SECONDS = 120
# An action may wait for a function for minutes: pages are not to wait for that.
_PAGES_AT_ONCE, _ACTIONS_AT_ONCE = 32, 64
# Enough for a browser's tabs; the rest is for others.
_AT_ONCE_OF_KEY = 16
# What browsers keep of a cookie, its name and attributes included, is 4,096 bytes.
_MOST_COOKIE = 3800
_MOST_NOTICE = 1000
_LIVE_SECONDS = 1.0
_MOST_MARK: Final = 100
_FILES: Final = frozenset(each.name for each in STATIC.iterdir())
# A browser asks again for what has ended; meanwhile its session may have.
_LIVE_FOR = timedelta(minutes=30)
# Whoever signs out, or loses the key, sees nothing any more some seconds later.
_ASKED_AFTER = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class SignInTold:
    """A sign-in, for the audit trail; ``signed_in`` is None if it failed."""

    signed_in: SignedIn | None
    access_key_id: str
    origin: Origin
    user_agent: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Setup:
    """What the console is built from, in ``app.py``.

    Attributes:
        pipeline: For every call.
        downloads: Answers links that calls have handed out: path and query to reply, or None.
        sessions: Who is signed in.
        notices: Seals the sentence that the next page says.
        clock: For the moments of pages.
        regions: That there are.
        region: Where one begins.
        note_sign_in: Writes the audit event; if it raises, nobody is signed in.
    """

    pipeline: Pipeline
    downloads: Callable[[bytes, bytes], HttpReply | None]
    sessions: Sessions
    notices: TokenSealer
    clock: Clock
    regions: tuple[str, ...]
    region: str
    note_sign_in: NoteSignIn


class Console:
    """Serves everything under ``/console/``."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._routes = discover()
        self._menus = Menus(self._routes.places)
        self._renderer = Renderer()
        self._limits = SignInLimits()
        self._maker: ClientMaker | None = None
        self._live = Places(_MOST_LIVE, _MOST_LIVE_OF_SESSION)
        self._live_of_key = Places(_MOST_LIVE, _MOST_LIVE_OF_KEY)
        self._uploads = Places(_MOST_UPLOADS, _MOST_UPLOADS_OF_KEY)
        self._turns = Turns(_AT_ONCE_OF_KEY)
        self._pages = CapacityLimiter(_PAGES_AT_ONCE)
        self._actions = CapacityLimiter(_ACTIONS_AT_ONCE)
        self._is_ending = False
        self._router = Router(
            [
                Route("/", _home, methods=["GET"]),
                Route("/console", _home, methods=["GET"]),
                Route("/console/static/{name:path}", _static, methods=["GET"]),
                Route("/console/sign-in", self._sign_in, methods=["GET", "POST"]),
                Route("/console/sign-out", self._sign_out, methods=["POST"]),
                Route("/console/sign-out", _home, methods=["GET"]),
                Route("/console/look", self._set_look, methods=["POST"]),
                Route("/console/look", _home, methods=["GET"]),
                Route("/console/{path:path}", self._serve, methods=["GET", "POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        guarded = Guarded(send, scope)
        try:
            await self._router(scope, bounded(receive, self._most_bytes(scope)), guarded)
        except Unread as unread:
            # What is still sent is read and dropped, so that the browser gets to see the answer.
            while unread.has_more:
                unread.has_more = (await receive()).get("more_body", False)
            await PlainTextResponse(unread.told, unread.status)(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception:  # the edge: also what nobody foresaw is answered with the headers that keep others out
            if guarded.has_begun:
                raise
            _log.exception("request failed: %s", scope["path"])
            await PlainTextResponse(_WRONG, 500)(scope, receive, guarded)

    def end_live(self) -> None:
        """Let live parts end, so that the server can."""
        self._is_ending = True

    def _most_bytes(self, scope: Scope) -> int:
        if scope["path"] == "/console/sign-in":
            return _SIGN_IN_BYTES
        action = self._routes.actions.get(scope["path"].removeprefix(PREFIX))
        return FORM_BYTES if action is None else action.most_bytes

    # Signing in and out.

    async def _sign_in(self, request: Request) -> Response:
        wanted = next_page(request.query_params.get("next", ""))
        if request.method != "POST":
            # Signing out takes the cookie away: who has one that is good no more was sent here.
            cookie = request.cookies.get(cookie_name("session", request))
            has_ended = bool(cookie) and await self._signed_in(request) is None
            return self._sign_in_page(request, wanted, has_ended=has_ended)
        form = await read_form(request)
        before = request.cookies.get(cookie_name("before", request), "")
        if not is_from_here(request) or not before or form.line("csrf_token") != before:
            return self._sign_in_page(request, wanted, "The page was too old. Please sign in again.", 403)
        key, now, origin = form.line("access_key_id"), self._setup.clock.now(), origin_of(request)
        wait = self._limits.take(origin.client_host, key, now)
        if wait:
            seconds = int(wait.total_seconds()) + 1
            told = f"Too many sign-ins have failed. Try again in {seconds} seconds."
            response = self._sign_in_page(request, wanted, told, 429, key)
            response.headers["retry-after"] = str(seconds)
            return response
        region = form.line("region") if form.line("region") in self._setup.regions else self._setup.region
        secret, token = form.line("secret_access_key"), form.line("session_token")
        signed_in = await self._in_thread(self._setup.sessions.begin, key, secret, token, region)
        if signed_in is not None:
            self._limits.give_back(origin.client_host, key, now)
        told_of = SignInTold(signed_in, key, origin, request.headers.get("user-agent", ""), now)
        await self._in_thread(self._setup.note_sign_in, told_of)
        if signed_in is None or signed_in.cookie is None:
            wrong = "No access key with this secret is known here. Check both, and that the key is active."
            return self._sign_in_page(request, wanted, wrong, 403, key)
        if len(signed_in.cookie) > _MOST_COOKIE:
            long = (
                "This session token is too long for a browser's cookie: assume the role with a shorter session policy."
            )
            return self._sign_in_page(request, wanted, long, 400, key)
        response = RedirectResponse(wanted, 303)
        set_cookie(response, request, "session", signed_in.cookie, WHOLE)
        delete_cookie(response, request, "before")
        return response

    def _sign_in_page(
        self,
        request: Request,
        wanted: str,
        error: str = "",
        status: int = 200,
        access_key_id: str = "",
        *,
        has_ended: bool = False,
    ) -> Response:
        before = request.cookies.get(cookie_name("before", request)) or self._setup.notices.seal({})
        shown = {
            "next": wanted,
            "error": error,
            "has_ended": has_ended,
            "access_key_id": access_key_id,
            "csrf_token": before,
            "regions": self._setup.regions,
            "region": self._setup.region,
            "theme": theme_of(request),
        }
        response = HTMLResponse(self._renderer.render("sign_in.html", shown), status)
        set_cookie(response, request, "before", before, timedelta(hours=1))
        return response

    async def _sign_out(self, request: Request) -> Response:
        signed_in = await self._signed_in(request)
        form = await read_form(request)
        if signed_in is not None:
            if is_forged(request, form, signed_in.session):
                return self._plain("The page was too old. Load it again.", 403, request)
            await self._in_thread(self._setup.sessions.end, signed_in.session)
        response = RedirectResponse("/console/sign-in", 303)
        delete_cookie(response, request, "session")
        return response

    async def _set_look(self, request: Request) -> Response:
        """Set what a browser keeps of how it looks at things: the region, and light or dark."""
        signed_in = await self._signed_in(request)
        form = await read_form(request)
        back = next_page(form.line("next"))
        if signed_in is None or is_forged(request, form, signed_in.session):
            return RedirectResponse(back, 303)
        response = RedirectResponse(back, 303)
        if form.line("region") in self._setup.regions:
            cookie = self._setup.sessions.move(signed_in.session, form.line("region"))
            set_cookie(response, request, "session", cookie, WHOLE)
        if form.line("theme") in THEMES:
            set_cookie(response, request, "theme", form.line("theme"), timedelta(days=365))
        return response

    async def _signed_in(self, request: Request) -> SignedIn | None:
        cookie = request.cookies.get(cookie_name("session", request), "")
        return await self._in_thread(self._setup.sessions.open, cookie) if cookie else None

    async def _in_thread(self, run: Callable[..., _T], *arguments: Any) -> _T:
        return await to_thread.run_sync(run, *arguments, limiter=self._pages)

    # Pages, actions and live parts.

    async def _serve(self, request: Request) -> Response:
        path = request.path_params["path"]
        if not has_host(request):
            told = "The console cannot be used by this host name. One has letters, digits, hyphens and dots only."
            return self._plain(told, 400, request)
        signed_in = await self._signed_in(request)
        if signed_in is None and path in self._routes.lives:
            # A page that is still open asks; it shows no other one in this one's place.
            return Response(_SESSION_ENDED, media_type="text/event-stream")
        if signed_in is None:
            return RedirectResponse(PREFIX + self._sign_in_address(path, request.query_params), 303)
        async with self._turns.of(signed_in.session.access_key_id):
            if request.method != "POST":
                return await self._serve_one(request, signed_in, Form())
            action = self._routes.actions.get(path)
            if action is None or action.most_bytes == FORM_BYTES:
                return await self._serve_one(request, signed_in, await read_form(request))
            if not self._uploads.are_free_for(signed_in.session.access_key_id):
                told = "Another package is being uploaded. Go back, and send yours again in a minute."
                raise Unread(503, told, has_more=True)
            with self._uploads.of(signed_in.session.access_key_id):
                form = await _in_time(read_form(request))
                return await self._serve_one(request, signed_in, form)

    async def _serve_one(self, request: Request, signed_in: SignedIn, form: Form) -> Response:
        path = request.path_params["path"]
        visit = self._visit(request, signed_in, path, form)
        page = self._routes.pages[self._routes.page_of(path)]
        action = self._routes.actions.get(path) if request.method == "POST" else None
        if request.method == "POST" and is_forged(request, form, signed_in.session):
            there = self._page_address(path, visit.query)
            return self._plain("This form was not made for this session. Load its page again.", 403, request, there)
        if path in self._routes.lives and request.method != "POST":
            return self._watch(self._routes.lives[path], visit, request)
        if action is None and (request.method == "POST" or not self._routes.has(path)):
            reply: Reply = Html("refused.html", {"refused": _NO_PAGE}, 404)
        elif page.needs and not visit.asked(page.needs):
            reply = Redirect(page.chosen_in, "The address does not say which one: choose it here.")
        elif action is not None:
            reply = await to_thread.run_sync(self._act, action, visit, limiter=self._actions)
        elif path in self._routes.pages:
            reply = await self._in_thread(self._attempt, page.show, visit)
        else:
            # Somebody has loaded the address of an action again, or comes back to it.
            reply = Redirect(self._page_address(path, visit.query))
        response = await self._in_thread(self._response, request, visit, reply)
        if signed_in.cookie is not None:
            set_cookie(response, request, "session", signed_in.cookie, WHOLE)
        return response

    def _visit(self, request: Request, signed_in: SignedIn, path: str, form: Form) -> Visit:
        if self._maker is None:
            self._maker = ClientMaker(Answers(self._setup.pipeline, self._setup.downloads, asyncio.get_running_loop()))
        session = signed_in.session
        return Visit(
            session=session,
            principal=signed_in.principal,
            clients=self._maker.clients(signed_in.credentials, session.region, origin_of(request)),
            path=path,
            query=dict(request.query_params),
            now=self._setup.clock.now(),
            clock=self._setup.clock,
            form=form,
            mark=request.headers.get("last-event-id", "")[:_MOST_MARK],
        )

    def _act(self, action: Action, visit: Visit) -> Reply:
        reply = self._attempt(action.act, visit)
        if isinstance(reply, Html) and reply.template == "refused.html" and action.shows is not None:
            refused = replace(visit, refused=reply.shown["refused"])
            again = self._attempt(action.shows, refused)
            if isinstance(again, Html):
                # The page says what was refused.
                return replace(again, status=reply.status, shown={"visit": refused, **again.shown})
            return again
        return reply

    def _attempt(self, show: Callable[[Visit], Reply], visit: Visit) -> Reply:
        """Run a page or an action; what goes wrong becomes a page as well."""
        from botocore.exceptions import ClientError  # noqa: PLC0415 - botocore takes a quarter of a second to import

        try:
            return show(visit)
        except ClientError as error:
            refused = refusal_of(error)
        except KeyturnError as error:
            refused = Refused("", " ".join((error.message, *error.hints)), is_denial=False, status=400)
        except Exception:  # the edge: whatever it is, the browser gets a page and the operator the details
            _log.exception("page failed: %s", visit.path)
            refused = Refused("InternalFailure", _WRONG, False, 500)
        if refused.code in _ENDED:
            return Redirect(self._sign_in_address(visit.path, visit.query))
        return Html("refused.html", {"refused": refused}, refused.status)

    def _page_address(self, path: str, query: Mapping[str, str]) -> str:
        """Return where to find what an address shows, whatever led to it, without ``/console/``."""
        return address(self._routes.page_of(path), **query)

    def _sign_in_address(self, path: str, query: Mapping[str, str]) -> str:
        """Return where to sign in, to go on with that."""
        wanted = self._page_address(path, query)
        return address("sign-in", next=wanted and f"{PREFIX}{wanted}")

    def _response(self, request: Request, visit: Visit, reply: Reply) -> Response:
        if isinstance(reply, Redirect):
            response: Response = RedirectResponse(f"{PREFIX}{reply.path}", 303)
            if reply.notice:
                # It may name what was typed.
                notice = self._setup.notices.seal(
                    {"notice": reply.notice[:_MOST_NOTICE], "session_id": visit.session.session_id}
                )
                set_cookie(response, request, "notice", notice, timedelta(minutes=1))
            return response
        if isinstance(reply, Download):
            disposition = f"attachment; filename*=UTF-8''{quote(reply.name, safe='')}"
            return Response(reply.content, 200, {"content-disposition": disposition}, reply.media_type)
        notice = self._notice(request, visit)
        try:
            html = self._renderer.render(reply.template, {**self._shared(request, visit, notice), **reply.shown})
        except Exception:  # the edge, as above
            _log.exception("page not written: %s", visit.path)
            return self._plain(_WRONG, 500, request)
        # What JSON can spell and UTF-8 cannot is shown as a question mark.
        response = HTMLResponse(html.encode("utf-8", "replace"), reply.status)
        if notice:
            delete_cookie(response, request, "notice")
        return response

    def _shared(self, request: Request, visit: Visit, notice: str) -> Mapping[str, Any]:
        section, _, _ = self._routes.pages[self._routes.page_of(visit.path)].chosen_in.partition("?")
        return {
            "visit": visit,
            "now": visit.now,
            "csrf_token": visit.session.csrf_token.reveal(),
            # By itself, so that no page takes a name of it for something else.
            "frame": {
                "version": keyturn.__version__,
                "menu": self._menus.of(visit),
                "notice": notice,
                "theme": theme_of(request),
                "regions": self._setup.regions,
                "here": f"{PREFIX}{self._page_address(visit.path, visit.query)}",
                "section": section or visit.path,
                "chosen_in": next((place for place in self._routes.places if place.path == section), None),
            },
        }

    def _notice(self, request: Request, visit: Visit) -> str:
        try:
            sealed = self._setup.notices.open(request.cookies.get(cookie_name("notice", request), ""))
        except ForeignToken:
            return ""
        return sealed["notice"] if sealed.get("session_id") == visit.session.session_id else ""

    def _plain(self, text: str, status: int, request: Request, back: str = "") -> Response:
        shown = {"message": text, "theme": theme_of(request), "back": back}
        return HTMLResponse(self._renderer.render("plain.html", shown), status)

    def _watch(self, live: Live, visit: Visit, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        events = self._events(live, visit, request)
        return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def _events(self, live: Live, visit: Visit, request: Request) -> AsyncIterator[str]:
        """Yield server-sent events until there is nothing more to come, or the session has ended.

        A place is held for it. Without one it ends as soon as nothing is new, and the browser asks again by itself, so
        that many windows see what changes, and none keeps a page of another from being loaded.
        """
        from botocore.exceptions import ClientError  # noqa: PLC0415 - as above

        session_id, key_id = visit.session.session_id, visit.session.access_key_id
        holds_place = self._live.are_free_for(session_id) and self._live_of_key.are_free_for(key_id)
        with ExitStack() as places:
            if holds_place:
                places.enter_context(self._live.of(session_id))
                places.enter_context(self._live_of_key.of(key_id))
            yield f"retry: {max(live.every_seconds, _AGAIN_SECONDS) * 1000:.0f}\n\n"
            try:
                async for event in self._changes(live, visit, request, holds_place=holds_place):
                    yield event
            except ClientError as error:
                yield _event("end", {"error": refusal_of(error).message})
            except KeyturnError as error:
                yield _event("end", {"error": error.message})
            except Exception:  # the edge, as above
                _log.exception("live part failed: %s", visit.path)
                yield _event("end", {"error": _WRONG})

    async def _changes(self, live: Live, visit: Visit, request: Request, *, holds_place: bool) -> AsyncIterator[str]:
        changes = live.watch(visit)
        until, asked_at, due_at = visit.now + _LIVE_FOR, visit.now, visit.now
        while not self._is_ending and (now := self._setup.clock.now()) < until:
            if now - asked_at >= _ASKED_AFTER:
                asked_at = now
                if await self._signed_in(request) is None:
                    yield _SESSION_ENDED
                    return
            if now >= due_at or not holds_place:
                due_at = now + timedelta(seconds=live.every_seconds)
                async with self._turns.of(visit.session.access_key_id):
                    parts = await self._in_thread(next, changes, None)
                if parts is None:
                    yield _event("end", {})
                    return
                for part in parts:
                    shown = {**self._shared(request, visit.later(), ""), **part.shown}
                    html = await self._in_thread(self._renderer.render, part.template, shown)
                    told = {"target": part.target, "html": html, "added": part.is_added}
                    yield _event("part", told, part.mark)
                if not holds_place and not parts:
                    return
            yield ":\n\n"
            await asyncio.sleep(_LIVE_SECONDS if holds_place else 0)
        # The browser comes again by itself.


_WRONG: Final = "Something went wrong here. The server's log says what."
_NO_PAGE = Refused("", "There is no such page.", is_denial=False, status=404)


async def _in_time(form: Awaitable[Form]) -> Form:
    """Return a form with a package.

    Raises:
        Unread: It did not come within two minutes.
    """
    with move_on_after(_UPLOAD_SECONDS):
        return await form
    raise Unread(
        408, "The package did not arrive within two minutes. Go back, and send it by a faster way.", has_more=True
    )


async def _home(_request: Request) -> Response:
    return RedirectResponse(PREFIX, 303)


async def _static(request: Request) -> Response:
    """Answer one of our files; nothing that is asked for becomes part of a path unless it is the name of one."""
    name = request.path_params["name"]
    return FileResponse(STATIC / name) if name in _FILES else PlainTextResponse("There is no such file.", 404)


def _event(kind: str, data: Mapping[str, Any], mark: str = "") -> str:
    lines = [f"event: {kind}", f"data: {json.dumps(data)}", *([f"id: {mark}"] if mark else [])]
    return "\n".join([*lines, "", ""])


_SESSION_ENDED: Final = _event("end", {"error": "The session has ended."})
