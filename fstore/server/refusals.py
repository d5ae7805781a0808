"""What goes wrong, as an HTTP status and a JSON body that Feast's client understands.

The client tries again after 429, 500, 502, 503 and 504. A caller's mistake is none of these.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from fstore.errors import (
    FstoreError,
    LockTimeoutError,
    NotMaterializedError,
    OnlineStoreError,
    OutOfMemoryError,
    QueryError,
    RequestError,
    UnknownNameError,
)

# What kind of name is unknown, to the class that Feast's client raises for it.
_FEAST = {
    "a feature service": "FeatureServiceNotFoundException",
    "a feature view": "FeatureViewNotFoundException",
    "a feature": "FeatureViewNotFoundException",
}


class RefusedError(Exception):
    """A request that is not answered: ``status`` and a sentence for the caller."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def refusal_of(error: FstoreError) -> tuple[int, bytes]:
    """Return status and body for an error of the store."""
    if isinstance(error, UnknownNameError):
        return 404, _detail(error.sentence, _FEAST.get(error.kind))
    # Of a read, a QueryError is a value that cannot be computed: a sum that its type cannot hold.
    if isinstance(error, RequestError | QueryError) and not isinstance(error, OutOfMemoryError):
        return 422, _detail(error.sentence)
    if isinstance(error, NotMaterializedError | LockTimeoutError | OnlineStoreError):
        return 503, _detail(error.sentence)
    return 500, _detail("The request failed; the server's log says why.")


def body_of(refusal: RefusedError) -> bytes:
    """Return the body that says a refusal's sentence."""
    return _detail(refusal.sentence)


def _detail(sentence: str, feast_class: str | None = None) -> bytes:
    if feast_class is None:
        return orjson.dumps({"detail": sentence})
    detail: dict[str, Any] = {"module": "feast.errors", "class": feast_class, "message": sentence}
    return orjson.dumps(json.dumps(detail))  # a JSON string that holds JSON, as Feast sends it
