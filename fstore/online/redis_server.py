"""How fstore talks to a Redis server: names, scripts, errors, and the one round trip of a read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fstore.errors import FstoreError, OnlineStoreError
from fstore.online.connections import Connections

T = TypeVar("T")

_SECONDS = 5.0  # that a connection or an answer may take; the url may say others

BATCH = 500  # rows of a command or a script: short ones, for Redis does nothing else meanwhile

# Scripts run at once, with no other command between. Their first answer says whether it was done.
DONE, LOCKED, OUTDATED, DELETING = 0, -1, -2, -3

# Put values in place of those that were read, where those are still there; give the others' places.
# KEYS: gate, rows, pushed, highest. ARGV: stamp, highest number or '', then (field, old, new) ...
EXCHANGE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {-1} end
if redis.call('HGET', KEYS[2], '-') ~= ARGV[1] then return {-2} end
if ARGV[2] ~= '' and (redis.call('GET', KEYS[4]) or '0') ~= ARGV[2] then return {-3} end
local answer = {0}
for place = 3, #ARGV, 3 do
  if (redis.call('HGET', KEYS[2], ARGV[place]) or '') == ARGV[place + 1] then
    redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 2])
    redis.call('SADD', KEYS[3], ARGV[place])
  else
    answer[#answer + 1] = (place - 3) / 3
  end
end
return answer
"""

# Make another generation the current one.
# KEYS: lock, gate, current, then rows ... ARGV: holder, gate's value, current's new value, stamp,
# and how many of the rows the generation has: the others are of the one before it.
SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -2 end
redis.call('SET', KEYS[3], ARGV[3])
for place = 4, #KEYS do
  if place - 3 <= tonumber(ARGV[5]) then
    redis.call('HSET', KEYS[place], '-', ARGV[4])
  else
    redis.call('HDEL', KEYS[place], '-')
  end
end
redis.call('DEL', KEYS[2])
return 0
"""

# A process may stand still for longer than its lock lasts. Whatever it does to what the next writer
# needs, too, it does in a script that looks at the lock first.

# Have pushes wait. KEYS: lock, gate. ARGV: holder, gate's value, milliseconds.
GATE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
return 0
"""

# Put values in place, or nothing where one is empty, and note which are of pushes.
# KEYS: lock, rows, pushed. ARGV: holder, then (field, value, 1 if it is of a push) ...
REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for place = 2, #ARGV, 3 do
  if ARGV[place + 1] == '' then
    redis.call('HDEL', KEYS[2], ARGV[place])
  else
    redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1])
  end
  if ARGV[place + 2] == '1' then redis.call('SADD', KEYS[3], ARGV[place]) end
end
return 0
"""

# Remove files, where the one that was read is still the current generation.
# KEYS: lock, current, names, then (rows, pushed) ... ARGV: holder ('': of files that nobody else
# writes), current's value or '', then file ...
CLEAN = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then return -2 end
for place = 3, #ARGV do
  redis.call('UNLINK', KEYS[2 * place - 2], KEYS[2 * place - 1])
  redis.call('SREM', KEYS[3], ARGV[place])
end
return 0
"""

# Do something to the lock, or the gate, iff it has this value. KEYS: it. ARGV: value, milliseconds
# or 0.
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


class RedisServer:
    """A server, and the names of one project's target on it. Any thread may use it."""

    def __init__(self, url: str, project: str, target: str) -> None:
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                protocol=2,
                socket_timeout=_SECONDS,
                socket_connect_timeout=_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError:  # its words may hold the password
            raise OnlineStoreError(
                "online_store.url is no address of a Redis server. Write it as in "
                "redis://user:password@host:6379/0, rediss:// for TLS, or unix:///path/to/socket."
            ) from None
        given = pool.connection_kwargs
        host, port = given.get("host", "localhost"), given.get("port", 6379)
        self.where = f"Redis at {given.get('path', f'{host}:{port}')}"
        # All names have one hash tag: a cluster keeps them in one place, as scripts need.
        self.prefix = f"fstore:{{{quote(project, safe='')}.{quote(target, safe='')}}}:"
        self.client: Any = redis.Redis(connection_pool=pool)  # its types allow for every mode
        self.exchange = self.client.register_script(EXCHANGE)
        self.swap = self.client.register_script(SWAP)
        self.gate = self.client.register_script(GATE)
        self.replace = self.client.register_script(REPLACE)
        self.clean = self.client.register_script(CLEAN)
        self.renew = self.client.register_script(RENEW)
        kind = pool.connection_class

        def connect() -> Any:
            connection = kind(**pool.connection_kwargs)
            connection.connect()
            return connection

        # Reads have connections of their own, without what a client does around each command.
        self._reading: Connections[Any] = Connections(connect, lambda each: each.disconnect())

    def name(self, *parts: str) -> str:
        """Return the full name of a key."""
        return self.prefix + ".".join(parts)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn the client's errors inside the block into OnlineStoreError."""
        try:
            yield
        except (redis.RedisError, OSError) as error:
            if isinstance(error, FstoreError):
                raise
            raise OnlineStoreError(f"{self.where} {doing}: {error}") from error

    def ask(self, packed: bytes, count: int) -> list[Any]:
        """Return the answers of that many commands that read, in one round trip.

        What may be a broken connection from before is tried once more, on a new one.
        """

        def question(connection: Any) -> list[Any]:
            connection.send_packed_command((packed,), check_health=False)
            read = connection.read_response
            return [read() for _ in range(count)]

        try:
            return self._reading.ask(question, _is_broken)
        except (redis.RedisError, OSError) as error:
            raise OnlineStoreError(f"{self.where} cannot be read: {error}") from error


def _is_broken(error: BaseException) -> bool:
    return isinstance(error, redis.ConnectionError)


def batches(values: Sequence[T]) -> Iterator[list[T]]:
    """Yield them, as many at a time as one command or script may have."""
    for at in range(0, len(values), BATCH):
        yield list(values[at : at + BATCH])


def command(*parts: bytes) -> bytes:
    r"""Return a command as Redis reads it.

    >>> command(b"GET", b"name")
    b'*2\r\n$3\r\nGET\r\n$4\r\nname\r\n'
    """
    each = [b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]
    return b"*%d\r\n%b" % (len(parts), b"".join(each))
