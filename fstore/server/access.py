"""Who may ask what: bearer keys, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from fstore.project.serving import Key, ServerProblemError, Serving
from fstore.server.refusals import RefusedError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ANYBODY = "anybody"
_OWN_PAGES = frozenset({b"none", b"same-origin"})  # as Sec-Fetch-Site says it


@dataclass(frozen=True)
class Access:
    """The keys that are known, each with its holder's name and rights; none: all may do all."""

    keys: tuple[tuple[str, bytes, frozenset[str]], ...]

    @classmethod
    def of(cls, serving: Serving, env: Mapping[str, str]) -> Access:
        """Read the keys; ServerProblemError where one is not set, or is another one's, too."""
        holders: dict[bytes, Key] = {}
        for key in serving.keys:
            other = holders.setdefault(key.secret(env), key)
            if other is not key:
                whose = "" if other.name == other.variable else f" of {other.name}"
                raise ServerProblemError(
                    f"keys ({key.name})",
                    f"{key.variable} holds the same key as {other.variable}{whose}, and who has "
                    "the one would have the rights of the other: give each a key of its own",
                )
        return cls(tuple((key.name, secret, key.rights) for secret, key in holders.items()))

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


def refuse_other_hosts(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a request that was sent to another name than this host's own, as RefusedError 403.

    Without keys, a page could have its own name lead here, and read what is answered.
    """
    if not _is_loopback(headers.get(b"host", b"")):
        raise RefusedError(
            403, "Without keys, this server is asked as localhost, 127.0.0.1 or [::1]."
        )


def refuse_other_pages(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what a page of another origin asks: without keys it could ask and push, too."""
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    is_own = origin is None or _is_own(origin)
    if not is_own or (site is not None and site not in _OWN_PAGES):
        raise RefusedError(403, "Without keys, pages of other hosts may not ask.")


def _is_own(origin: bytes) -> bool:
    _, _, host = origin.partition(b"//")
    return bool(host) and _is_loopback(host)


@lru_cache(64)
def _is_loopback(host: bytes) -> bool:
    """Whether a host with any port is this one; so is none at all, which no browser sends."""
    try:
        return not host or urlsplit(f"//{host.decode(errors='replace')}").hostname in LOOPBACK
    except ValueError:
        return False
