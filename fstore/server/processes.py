"""The processes that answer: started, looked after, replaced, stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fstore
from fstore.server.worker import IDLE_SECONDS, READY

START_SECONDS = 120.0
SPARE_SECONDS = 5.0  # that a process has beyond what its requests may take, before it is killed
SHORTEST_LIFE = 5.0  # seconds; one that dies sooner is replaced after a pause
LONGEST_PAUSE = 30.0
# Not -m: that would look for modules in the working directory first.
# Ctrl-C reaches all processes of a terminal, and is for the first one to pass on.
_CODE = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.path.append(sys.argv[2])
from fstore.server.worker import main
main(sys.argv[1])
"""
_HOME = str(Path(fstore.__file__).parents[1])


class StartError(Exception):
    """A process does not come up; the sentence says why."""


@dataclass
class _Process:
    running: subprocess.Popen[bytes]
    started: float
    ready: int  # where it says so
    last: float = 0.0  # once it was told to stop: when it is killed

    def tell_to_stop(self, seconds: float) -> None:
        if not self.last:
            self.last = time.monotonic() + seconds
            self.running.send_signal(signal.SIGTERM)

    def is_gone(self) -> bool:
        if self.last and time.monotonic() > self.last:
            self.running.kill()
        return self.running.poll() is not None

    def reason(self) -> str:
        """Return why it could not start, once it is gone; empty where it could, or did not say."""
        said = os.read(self.ready, 1 << 16) if self.ready >= 0 else READY
        return "" if said == READY else said.decode()


class Processes:
    """One process for each listening socket. ``seconds`` is the most that a request may take."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        opened: Mapping[str, Any],
        env: Mapping[str, str],
        seconds: float,
    ) -> None:
        self._sockets, self._opened, self._env = sockets, opened, env
        self._seconds = seconds
        self._here, self._alive = os.pipe()  # what each process listens to ends when we do
        self._answering: list[_Process | None] = [None] * len(sockets)
        self._leaving: list[_Process] = []
        self._pause = 0.0
        self._not_before = 0.0

    def start(self, hurry: Callable[[], bool]) -> None:
        """Start them all; StartError where one does not come up."""
        self._answering = [self._spawn(each) for each in self._sockets]
        for process in self._answering:
            assert process is not None
            self._wait(process, hurry)

    def look_after(self) -> None:
        """Replace those that died."""
        self._leaving = [each for each in self._leaving if not each.is_gone()]
        now = time.monotonic()
        for place, process in enumerate(self._answering):
            if process is not None:
                if not process.is_gone():
                    continue
                lived = now - process.started
                self._pause = (
                    min(LONGEST_PAUSE, self._pause * 2 + 0.5) if lived < SHORTEST_LIFE else 0
                )
                self._not_before = now + self._pause
                tell("error", _obituary(process))
                self._answering[place] = None
                self._close(process)
            if now >= self._not_before:
                self._answering[place] = self._spawn(self._sockets[place])

    def replace(self, seconds: float, hurry: Callable[[], bool]) -> None:
        """Start each anew; the old ones are told to stop once all new ones are ready.

        StartError where one does not come up: then the old ones stay, and the new ones stop.
        """
        fresh = [self._spawn(each) for each in self._sockets]
        try:
            for process in fresh:
                self._wait(process, hurry)
        except StartError:
            self._let_go(fresh)
            raise
        before, self._answering = self._answering, [*fresh]
        self._let_go(before)
        self._seconds = seconds

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Let them finish what is asked of them, and end."""
        left = [each for each in (*self._answering, *self._leaving) if each is not None]
        for process in left:
            self._tell_to_stop(process)
        while left and not hurry():
            time.sleep(0.02)
            left = [each for each in left if not each.is_gone()]

    def kill(self) -> None:
        """End at once whatever is still there."""
        for process in (*self._answering, *self._leaving):
            if process is not None and process.running.poll() is None:
                process.running.kill()
                process.running.wait()

    def _let_go(self, processes: Iterable[_Process | None]) -> None:
        for process in processes:
            if process is not None:
                self._close(process)
                self._tell_to_stop(process)
                self._leaving.append(process)

    def _tell_to_stop(self, process: _Process) -> None:
        process.tell_to_stop(self._seconds + IDLE_SECONDS + SPARE_SECONDS)

    def _spawn(self, listener: socket.socket) -> _Process:
        ready, told = os.pipe()
        words = {
            "store": self._opened,
            "listener": listener.fileno(),
            "ready": told,
            "alive": self._here,
        }
        try:
            running = subprocess.Popen(  # noqa: S603 - the words are ours
                [sys.executable, "-P", "-c", _CODE, json.dumps(words), _HOME],
                env=self._env,
                pass_fds=(listener.fileno(), told, self._here),
                stdin=subprocess.DEVNULL,
            )
        finally:
            os.close(told)
        return _Process(running, time.monotonic(), ready)

    def _wait(self, process: _Process, hurry: Callable[[], bool]) -> None:
        last = process.started + START_SECONDS
        while time.monotonic() < last and not hurry():
            if select.select([process.ready], [], [], 0.1)[0]:
                said = os.read(process.ready, 1 << 16)
                self._close(process)
                if said == READY:
                    return
                raise StartError(said.decode() or "a process ended before it was ready.")
        if hurry():
            return
        raise StartError(f"a process was not ready within {START_SECONDS:g} seconds.")

    def _close(self, process: _Process) -> None:
        if process.ready >= 0:
            os.close(process.ready)
            process.ready = -1


def _obituary(process: _Process) -> str:
    code, why = process.running.returncode, process.reason()
    if not why:
        return f"A process ended ({code}); another one takes its place."
    return f"A process ended ({code}), for it cannot start: {why} Another one takes its place."


def tell(level: str, sentence: str) -> None:
    """Write a line of log, as the processes write theirs."""
    line = {"time": datetime.now(UTC).isoformat(), "level": level, "message": sentence}
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()
