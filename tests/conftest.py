"""What every test session shows first: the engines it ran on. Fixtures live in harness.py."""

import os
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from tests import servers

ENGINES = ("duckdb", "dbt-core", "dbt-duckdb", "sqlglot")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write tests/golden anew")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--golden") and os.environ.get("CI"):
        raise pytest.UsageError("--golden rewrites what is expected: never in CI")


def pytest_report_header(config: pytest.Config) -> str:
    return ", ".join(f"{name} {version(name)}" for name in ENGINES)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with the fixture ``store_kind`` runs once for each kind of online store."""
    if "store_kind" in metafunc.fixturenames:
        of_files = metafunc.definition.get_closest_marker("files")
        kinds = servers.KINDS[:1] if of_files else servers.KINDS
        metafunc.parametrize("store_kind", kinds, indirect=True, scope="module")


@pytest.fixture(scope="session", autouse=True)
def _priority() -> Iterator[None]:
    """Commands that are run in this process leave its priority alone; it has other tests to run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fstore.cli.giving_way.give_way", lambda: None)
        yield


@pytest.fixture(scope="session")
def running() -> Iterator[dict[str, servers.Server]]:
    """The servers of this process, each started when it is first asked for."""
    started: dict[str, servers.Server] = {}
    yield started
    for server in started.values():
        server.stop()


@pytest.fixture(params=tuple(servers.SERVERS))
def own(request: pytest.FixtureRequest) -> Iterator[servers.Server]:
    """A server for this test alone, to be paused and killed."""
    server = servers.SERVERS[request.param]()
    server.start()
    servers.use(request.param, server)
    yield server
    server.stop()
    servers.use(servers.KINDS[0], None)


@pytest.fixture(scope="module")
def store_kind(request: pytest.FixtureRequest, running: dict[str, servers.Server]) -> Iterator[str]:
    """The kind of online store that the projects of the test use."""
    kind = request.param
    if kind in servers.SERVERS and kind not in running:
        running[kind] = servers.SERVERS[kind]()
        running[kind].start()
    servers.use(kind, running.get(kind))
    yield kind
    servers.use(servers.KINDS[0], None)
