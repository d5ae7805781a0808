"""Who may ask what: bearer keys, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from fstore.project.serving import Serving
from fstore.server.refusals import RefusedError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ANYBODY = "anybody"


@dataclass(frozen=True)
class Access:
    """The keys that are known, each with its holder's name and rights; none: all may do all."""

    keys: tuple[tuple[str, bytes, frozenset[str]], ...]

    @classmethod
    def of(cls, serving: Serving, env: Mapping[str, str]) -> Access:
        """Read the keys; ServerProblemError where one is not set."""
        return cls(tuple((key.name, key.secret(env), key.rights) for key in serving.keys))

    def holder(self, authorization: bytes, right: str) -> str:
        """Return the name of who asks; RefusedError 401 without a known key, else 403."""
        if not self.keys:
            return ANYBODY
        scheme, _, text = authorization.partition(b" ")
        given = text.strip()
        found: tuple[str, frozenset[str]] | None = None
        for name, key, rights in self.keys:  # all of them, so that time tells nothing
            if hmac.compare_digest(key, given):
                found = name, rights
        if found is None or scheme.lower() != b"bearer":
            raise RefusedError(
                401, "Give a key that this server knows: Authorization: Bearer <key>"
            )
        if right not in found[1]:
            raise RefusedError(403, f"The key of {found[0]} has no right to {right}.")
        return found[0]
