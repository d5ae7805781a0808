"""The HTTP application: routes, limits, keys, one line of log and one count a request.

It speaks RSGI, Granian's own interface: of what was measured the one that costs least beside the
work (docs/decisions/0008). Reads run on the event loop, for they take microseconds; a push waits
for the disk in a thread.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from fstore.errors import FstoreError
from fstore.project.serving import Limits
from fstore.server import metrics
from fstore.server.access import Access
from fstore.server.answers import answer, stamp
from fstore.server.openapi import document, page
from fstore.server.refusals import RefusedError, body_of, refusal_of
from fstore.server.requests import features_asked, rows_pushed
from fstore.store import FeatureStore

_JSON, _TEXT, _HTML = "application/json", "text/plain; version=0.0.4", "text/html; charset=utf-8"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


class Reply(NamedTuple):
    """What goes back: status, body and its type; and how many rows were asked, for the log."""

    status: int
    body: bytes
    kind: str = _JSON
    rows: int | None = None


class Route(NamedTuple):
    """What answers a path, and which right it needs (None: anybody may)."""

    method: str
    right: str | None
    handle: Callable[[bytes], Awaitable[Reply]]


class App:
    """The application over one store. :meth:`allow` changes keys and limits while it runs."""

    def __init__(
        self, store: FeatureStore, access: Access, limits: Limits, *, reads_block: bool
    ) -> None:
        self._store = store
        self._reads_block = reads_block  # the store asks another server: not on the event loop
        self.allow(access, limits)
        self._routes: Mapping[str, Route] = {
            "/get-online-features": Route("POST", "read", self._get_online_features),
            "/push": Route("POST", "write", self._push),
            "/health": Route("GET", None, self._health),
            "/metrics": Route("GET", "read", self._metrics),
            "/openapi.json": Route("GET", None, self._openapi),
            "/docs": Route("GET", None, self._docs),
        }

    def allow(self, access: Access, limits: Limits) -> None:
        """Take these keys and limits from the next request on."""
        self._access, self._limits = access, limits

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        """Answer one request, as Granian calls it."""
        if scope.proto != "http":
            return
        given = scope.headers.get("x-request-id") or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else os.urandom(12).hex()
        holder = None
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._limits.seconds):
                route = self._route(scope.method, scope.path)
                if route.right:
                    holder = self._access.holder(scope.headers.get("authorization"), route.right)
                body = await _body(scope, protocol, self._limits.body)
                started = time.perf_counter()
                reply = await route.handle(body)
        except RefusedError as refusal:
            reply = Reply(refusal.status, body_of(refusal))
        except FstoreError as error:
            reply = Reply(*refusal_of(error))
            if reply.status == 500:
                _log({"level": "error", "request_id": request_id, "error": str(error)})
        except TimeoutError:
            seconds = self._limits.seconds
            reply = Reply(503, body_of(RefusedError(503, f"Not answered within {seconds:g} s.")))
        except Exception:
            _log({"level": "error", "request_id": request_id, "error": traceback.format_exc()})
            sentence = f"The request failed. The server's log has it as {request_id}."
            reply = Reply(500, body_of(RefusedError(500, sentence)))
        seconds = time.perf_counter() - started
        _reply(protocol, scope.method, reply, request_id)
        known = scope.path if scope.path in self._routes else "other"
        metrics.count_request(known, reply.status, seconds)
        _log(
            {
                "time": stamp(datetime.now(UTC)),
                "method": scope.method,
                "path": scope.path,
                "status": reply.status,
                "ms": round(seconds * 1000, 3),
                "rows": reply.rows,
                "key": holder,
                "request_id": request_id,
            }
        )

    def _route(self, method: str, path: str) -> Route:
        route = self._routes.get(path)
        if route is None:
            raise RefusedError(
                404, f"There is no {path} here; there are: {', '.join(self._routes)}."
            )
        if route.method != method and not (method == "HEAD" and route.method == "GET"):
            raise RefusedError(405, f"{path} takes {route.method}, not {method}.")
        return route

    async def _get_online_features(self, body: bytes) -> Reply:
        asked = features_asked(body, self._limits.rows)

        def read() -> bytes:
            response = self._store.get_online_features(
                asked.features, asked.entities, asked.feature_service, asked.full_feature_names
            )
            features = response.features
            metrics.count_features(features)
            return answer(response, features)

        content = await asyncio.to_thread(read) if self._reads_block else read()
        return Reply(200, content, rows=asked.rows)

    async def _push(self, body: bytes) -> Reply:
        pushed = rows_pushed(body, self._limits.rows)
        done = await asyncio.to_thread(self._store.push, *pushed)
        counts = {"rows": done.rows, "refused": done.refused}
        return Reply(200, orjson.dumps(counts), rows=done.rows)

    async def _health(self, _: bytes) -> Reply:
        try:
            found = await asyncio.to_thread(self._store.status)
        except FstoreError as error:
            return Reply(503, orjson.dumps({"ready": False, "reason": str(error)}))
        if found is None:
            reason = "Nothing is in the online store yet. Run: fstore materialize"
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
        return Reply(200, await asyncio.to_thread(metrics.exposition, self._store.status), _TEXT)

    async def _openapi(self, _: bytes) -> Reply:
        return Reply(200, orjson.dumps(document()))

    async def _docs(self, _: bytes) -> Reply:
        return Reply(200, page(), _HTML)


async def _body(scope: Any, protocol: Any, most: int) -> bytes:
    """Return the request's body; RefusedError 413 where it is longer than ``most``, or says so."""
    too_long = f"The body is longer than {most} bytes, the most this server takes."
    length = scope.headers.get("content-length")
    if length is not None and length.isdigit():
        if int(length) > most:
            raise RefusedError(413, too_long)
        whole: bytes = await protocol()
        return whole
    body = b""
    async for part in protocol:  # of a length that is not said
        body += part
        if len(body) > most:
            raise RefusedError(413, too_long)
    return body


def _reply(protocol: Any, method: str, reply: Reply, request_id: str) -> None:
    headers = [("content-type", reply.kind), ("x-request-id", request_id)]
    if reply.status == 401:
        headers.append(("www-authenticate", "Bearer"))
    if method == "HEAD":
        headers.append(("content-length", str(len(reply.body))))
        protocol.response_empty(reply.status, headers)
    else:
        protocol.response_bytes(reply.status, headers, reply.body)


def _log(line: dict[str, Any]) -> None:
    sys.stderr.write(orjson.dumps(line).decode() + "\n")
