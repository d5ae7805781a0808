"""The HTTP application: routes, limits, keys, one line of log and one count a request.

Requests come whole (fstore.server.hub), and reads of a few rows are answered at once: they take
microseconds. What waits, for the disk or for another server, does so in a thread.

Those that come together take each step together. A step is then done again and again while the
processor's caches hold what it needs (docs/decisions/0014).
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from fstore.errors import FstoreError, NothingPublishedError, NotMaterializedError
from fstore.online.response import OnlineResponse
from fstore.project.serving import Limits
from fstore.server import metrics
from fstore.server.access import Access, refuse_other_hosts, refuse_other_pages
from fstore.server.answers import Answers
from fstore.server.decoding import rows_of
from fstore.server.encoding import stamp
from fstore.server.hub import Found, Reply, Request
from fstore.server.journal import Journal
from fstore.server.openapi import document, page
from fstore.server.refusals import RefusedError, body_of, refusal_of
from fstore.server.requests import FeaturesAsked, features_asked, rows_pushed
from fstore.store import FeatureStore

_TEXT, _HTML = "text/plain; version=0.0.4; charset=utf-8", "text/html; charset=utf-8"
_LOGGED = 200  # characters of a path
_AT_ONCE = 500  # rows of a read that is not worth a thread
_LIGHT = 16  # rows of a read that other reads may follow before it is answered: it stays in caches
_AWAY = "The online store cannot be read or written now; try again. The server's log has the reason"
_PATIENCE = 1.0  # seconds that counts wait for what the store has to say beside them
_THREADS = 16  # for reads, and as many for pushes: neither keeps the other waiting


class Route(NamedTuple):
    """What answers a path, and which right it needs (None: anybody may)."""

    method: str
    right: str | None
    handle: Callable[[bytes], Found | FeaturesAsked]


@dataclass(slots=True)
class _Asked:
    """A request under way: what its line of log will say, and how far it is."""

    request: Request
    began: float
    holder: str | None = None
    features: FeaturesAsked | None = None  # to be read at once
    read: OnlineResponse | None = None
    found: Found | None = None  # the end


class App:
    """The application over one store. ``reads_block``: the store asks another server."""

    def __init__(
        self, store: FeatureStore, access: Access, limits: Limits, *, reads_block: bool
    ) -> None:
        self._store, self._access, self._limits = store, access, limits
        self._is_open = not access.keys
        self._answers, self.journal = Answers(), Journal()
        self._at_once = -1 if reads_block else _AT_ONCE
        self._readers = ThreadPoolExecutor(_THREADS, "reads")
        self._writers = ThreadPoolExecutor(_THREADS, "pushes")
        self._counters = ThreadPoolExecutor(1, "counts")  # which no store keeps waiting
        self._documents = orjson.dumps(document()), page()
        self._routes: Mapping[str, Route] = {
            "/get-online-features": Route("POST", "read", self._get_online_features),
            "/push": Route("POST", "write", self._push),
            "/health": Route("GET", None, self._health),
            "/metrics": Route("GET", "read", self._metrics),
            "/openapi.json": Route("GET", None, self._openapi),
            "/docs": Route("GET", None, self._docs),
        }

    def __call__(self, requests: Sequence[Request]) -> list[Found]:
        """Answer requests, each at once or with what to wait for."""
        began = time.perf_counter()
        asked = [_Asked(request, began) for request in requests]
        for step in (self._begin, self._read, self._say):
            for each in asked:
                if each.found is None:
                    try:
                        step(each)
                    except Exception as error:
                        each.found = self._failed(each, error)
        return [self._end(each) for each in asked]

    def _begin(self, asked: _Asked) -> None:
        request = asked.request
        route = self._route(request)
        if self._is_open:
            refuse_other_hosts(request.headers)
            if route.right:
                refuse_other_pages(request.headers)
        if route.right:
            authorization = request.headers.get(b"authorization", b"")
            asked.holder = self._access.holder(authorization, route.right)
        found = route.handle(request.body)
        if isinstance(found, FeaturesAsked):
            asked.features = found
        else:
            asked.found = found

    def _read(self, asked: _Asked) -> None:
        assert asked.features is not None
        asked.read = self._features(asked.features)
        if asked.features.rows > _LIGHT:
            self._say(asked)

    def _say(self, asked: _Asked) -> None:
        assert asked.read is not None
        asked.found = self._answer(asked.read)

    def _end(self, asked: _Asked) -> Found:
        found = asked.found
        assert found is not None
        return self._done(asked, found) if isinstance(found, Reply) else self._later(asked, found)

    def refuse(self, request: Request, error: RefusedError) -> Reply:
        """Return the reply to a request that is not whole, counted and logged like any other."""
        asked = _Asked(request, time.perf_counter())
        return self._done(asked, self._failed(asked, error))

    async def _later(self, asked: _Asked, coming: Awaitable[Reply]) -> Reply:
        try:
            async with asyncio.timeout(self._limits.seconds):
                reply = await coming
        except Exception as error:
            reply = self._failed(asked, error)
        return self._done(asked, reply)

    def _failed(self, asked: _Asked, error: Exception) -> Reply:
        if isinstance(error, RefusedError):
            more = "www-authenticate: Bearer\r\n" if error.status == 401 else ""
            return Reply(error.status, body_of(error), more=more)
        if isinstance(error, TimeoutError) and not isinstance(error, FstoreError):
            seconds = self._limits.seconds
            sentence = f"Not answered within {seconds:g} seconds"
            if asked.request.path == "/push":
                sentence += "; it may still be taken in."
            else:
                sentence += ". Ask for less at once, or raise server.limits.seconds."
            return Reply(503, body_of(RefusedError(503, sentence)))
        if isinstance(error, FstoreError):
            status, body = refusal_of(error)
            if status < 500 or isinstance(error, NotMaterializedError):
                return Reply(status, body)
            self.journal.error(str(error), asked.request.id)
            if status == 503:
                return Reply(503, body_of(RefusedError(503, f"{_AWAY} as {asked.request.id}.")))
        else:
            self.journal.error(traceback.format_exc(), asked.request.id)
        sentence = f"The request failed. The server's log has it as {asked.request.id}."
        return Reply(500, body_of(RefusedError(500, sentence)))

    def _done(self, asked: _Asked, reply: Reply) -> Reply:
        seconds = time.perf_counter() - asked.began
        method, path, _, _, request_id = asked.request
        line = {
            "time": datetime.now(UTC),
            "method": method,
            "path": path[:_LOGGED],
            "status": reply.status,
            "ms": round(seconds * 1000, 3),
            "rows": reply.rows,
            "key": asked.holder,
            "request_id": request_id,
        }
        route = path if path in self._routes else "other"
        self.journal.note(route, reply.status, seconds, line)
        return reply

    def _route(self, request: Request) -> Route:
        route = self._routes.get(request.path)
        if route is None:
            known = ", ".join(self._routes)
            raise RefusedError(
                404, f"There is no {request.path[:_LOGGED]} here; there are: {known}."
            )
        method = request.method
        if route.method != method and not (method == "HEAD" and route.method == "GET"):
            raise RefusedError(405, f"{request.path} takes {route.method}, not {method}.")
        return route

    def _get_online_features(self, body: bytes) -> FeaturesAsked | Awaitable[Reply]:
        asked = features_asked(body, self._limits.rows)
        if asked.rows <= self._at_once:
            return asked
        return _in(self._readers, lambda: self._answer(self._features(asked)))

    def _features(self, asked: FeaturesAsked) -> OnlineResponse:
        features, service, entities, full, _ = asked
        return self._store.get_online_features(features, entities, service, full)

    def _answer(self, found: OnlineResponse) -> Reply:
        body, told = self._answers.of(found)
        self.journal.note_values(told)
        return Reply(200, body, rows=found.row_count)

    def _push(self, body: bytes) -> Awaitable[Reply]:
        pushed = rows_pushed(body, self._limits.rows)

        def push() -> Reply:
            view, columns = self._store.published(pushed.view)
            rows = rows_of(view, columns, pushed.rows)
            done = self._store.push(pushed.view, rows, pushed.to)
            counts = {"rows": done.rows, "refused": done.refused}
            return Reply(200, orjson.dumps(counts), rows=done.rows)

        return _in(self._writers, push)

    def _health(self, _: bytes) -> Awaitable[Reply]:
        return _in(self._readers, self._status)

    def _status(self) -> Reply:
        try:
            found = self._store.status()
        except FstoreError as error:
            self.journal.error(str(error))
            return Reply(503, orjson.dumps({"ready": False, "reason": f"{_AWAY}."}))
        if found is None:
            reason = str(NothingPublishedError())
            return Reply(503, orjson.dumps({"ready": False, "reason": reason}))
        views = {
            view.view: {
                "as_of": stamp(view.as_of),
                "age_seconds": view.age.total_seconds(),
                "rows": view.rows,
            }
            for view in found.views
        }
        health = {"ready": True, "generation": found.generation, "views": views}
        return Reply(200, orjson.dumps(health))

    async def _metrics(self, _: bytes) -> Reply:
        """The counts are there whether or not the store is."""
        found, is_up = None, False
        try:
            async with asyncio.timeout(_PATIENCE):
                loop = asyncio.get_running_loop()
                found = await loop.run_in_executor(self._readers, self._store.status)
            is_up = True
        except TimeoutError as error:
            self.journal.error(str(error) or f"The online store says nothing for {_PATIENCE:g} s.")
        except FstoreError as error:
            self.journal.error(str(error))
        return await _in(
            self._counters, lambda: Reply(200, metrics.exposition(found, is_up), _TEXT)
        )

    def _openapi(self, _: bytes) -> Reply:
        return Reply(200, self._documents[0])

    def _docs(self, _: bytes) -> Reply:
        return Reply(200, self._documents[1], _HTML)


def _in(threads: Executor, work: Callable[[], Reply]) -> Awaitable[Reply]:
    return asyncio.get_running_loop().run_in_executor(threads, work)
