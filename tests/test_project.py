"""A dbt project is read as dbt reads it, and what cannot be used is refused in a sentence."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fstore.definitions import Duration
from fstore.errors import MissingFileError, ProfileError, ProjectError, UnknownTargetError
from fstore.project import Attachment, Extension, Project, load_project
from fstore.project.rendering import Renderer, RenderError
from fstore.project.serving import Limits
from fstore.project.warehouse import catalog_name

PROJECT = "name: flights\nprofile: flights\n"
PROFILES = """
flights:
  target: dev
  outputs:
    dev: {type: duckdb, path: warehouse.duckdb}
    prod:
      type: duckdb
      path: "{{ env_var('WAREHOUSE') }}"
      schema: features
"""


class Folder:
    """A project in a temporary folder; ``load`` reads it with no environment but ``env``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("dbt_project.yml", PROJECT)
        self.write("profiles.yml", PROFILES)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def target(self, keys: str) -> None:
        """Make ``keys`` (flow YAML) the one target, next to type: duckdb."""
        self.write("profiles.yml", f"flights:\n  outputs:\n    default: {{type: duckdb, {keys}}}\n")

    def load(self, target: str | None = None, **env: str) -> Project:
        return load_project(self.root, target, env=env)

    def refusal(self, kind: type[ProjectError] = ProfileError, **env: str) -> str:
        with pytest.raises(kind) as caught:
            self.load(**env)
        return str(caught.value).replace(f"{self.root}/", "")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    root = tmp_path / "project"
    root.mkdir()
    return Folder(root)


def test_a_plain_project(folder):
    project = folder.load()
    assert project.directory == folder.root
    assert (project.name, project.profile_name, project.target) == ("flights", "flights", "dev")
    assert project.manifest_path == folder.root / "target" / "manifest.json"
    assert project.profiles_path == folder.root / "profiles.yml"
    assert project.state_directory == folder.root / ".fstore" / "dev"
    warehouse = project.warehouse
    assert warehouse.path == str(folder.root / "warehouse.duckdb")
    assert (warehouse.type, warehouse.database, warehouse.schema) == ("duckdb", "warehouse", "main")
    assert warehouse.connect_attempts == 1
    assert hash(project) == hash(folder.load())


# -- where the files are


def test_the_project_is_found_upwards_from_the_working_directory(folder, monkeypatch):
    (folder.root / "models" / "staging").mkdir(parents=True)
    monkeypatch.chdir(folder.root / "models" / "staging")
    assert load_project(env={}).directory == folder.root


def test_the_project_directory_comes_from_the_environment(folder):
    assert load_project(env={"DBT_PROJECT_DIR": str(folder.root)}).directory == folder.root


def test_no_project(folder):
    with pytest.raises(MissingFileError) as caught:
        load_project(folder.root.parent / "home", env={})
    assert str(caught.value) == (
        f"dbt_project.yml is not at {folder.root.parent}/home/dbt_project.yml. Run in the "
        "directory of a dbt project, or name it: --project-dir, or project_dir= in Python."
    )
    assert isinstance(caught.value, FileNotFoundError)


def test_profiles_are_looked_for_in_dbts_order(folder, monkeypatch):
    def profiles(place: Path, name: str) -> Path:
        place.mkdir(exist_ok=True)
        path = place / "profiles.yml"
        path.write_text(PROFILES.replace("warehouse.duckdb", name))
        return path

    root = folder.root
    expected = [
        profiles(root / "argument", "a.duckdb"),
        profiles(root / "variable", "b.duckdb"),
        root / "profiles.yml",
        profiles(Path.cwd(), "c.duckdb"),
        profiles(Path.home() / ".dbt", "d.duckdb"),
    ]
    env = {"DBT_PROFILES_DIR": str(root / "variable")}
    argument = root / "argument"
    assert load_project(root, profiles_dir=argument, env=env).profiles_path == expected[0]
    assert load_project(root, env=env).profiles_path == expected[1]
    for path in expected[2:]:
        assert load_project(root, env={}).profiles_path == path
        path.unlink()
    assert folder.refusal(MissingFileError) == (
        f"profiles.yml is not at profiles.yml. Nor is it in {Path.cwd()} nor in {Path.home()}/.dbt."
        " Name its directory: --profiles-dir, or DBT_PROFILES_DIR."
    )


def test_a_named_profiles_directory_is_the_only_one_searched(folder):
    assert folder.refusal(MissingFileError, DBT_PROFILES_DIR=str(folder.root / "no")) == (
        "profiles.yml is not at no/profiles.yml. DBT_PROFILES_DIR must name the directory that "
        "holds it."
    )
    with pytest.raises(MissingFileError, match="--profiles-dir must name the directory"):
        load_project(folder.root, profiles_dir="no", env={})


@pytest.mark.parametrize(
    ("project", "env", "expected"),
    [
        ("", {}, "target"),
        ("target-path: out\n", {}, "out"),
        ("target-path: \"{{ env_var('OUT', 'x') }}\"\n", {"OUT": "y"}, "y"),
        ("target-path: out\n", {"DBT_TARGET_PATH": "elsewhere/t"}, "elsewhere/t"),
        ("", {"DBT_TARGET_PATH": "/var/t"}, "/var/t"),
    ],
    ids=["default", "declared", "rendered", "variable", "absolute"],
)
def test_the_manifest_is_in_the_target_path(folder, project, env, expected):
    folder.write("dbt_project.yml", PROJECT + project)
    assert folder.load(**env).manifest_path == folder.root / expected / "manifest.json"


# -- which profile and target


def test_the_target_is_argument_variable_profile_default(folder):
    env = {"WAREHOUSE": "/data/prod.duckdb"}
    assert folder.load("prod", **env).target == "prod"
    assert folder.load("prod", DBT_TARGET="dev", **env).target == "prod"
    assert folder.load(DBT_TARGET="prod", **env).target == "prod"
    assert folder.load(**env).target == "dev"
    folder.target("path: x.duckdb")
    assert folder.load().target == "default"


def test_the_profiles_own_target_may_be_rendered(folder):
    text = PROFILES.replace("target: dev", "target: \"{{ env_var('STAGE', 'dev') }}\"")
    folder.write("profiles.yml", text)
    assert folder.load().target == "dev"
    assert folder.load(STAGE="prod", WAREHOUSE="p.duckdb").target == "prod"


def test_only_the_chosen_target_is_rendered(folder):
    assert folder.load("dev").target == "dev"
    with pytest.raises(ProfileError) as caught:
        folder.load("prod")
    assert str(caught.value) == (
        f"{folder.root}/profiles.yml: flights.outputs.prod.path: environment variable WAREHOUSE "
        "is not set, and has no default."
    )


def test_an_unknown_target(folder):
    with pytest.raises(UnknownTargetError) as caught:
        folder.load("prd")
    assert str(caught.value) == (
        f"prd is not a target of profile flights ({folder.root}/profiles.yml), which has: dev, "
        "prod. Did you mean prod?"
    )
    assert caught.value.known == ("dev", "prod")


def test_the_profile_may_come_from_the_environment(folder):
    folder.write("dbt_project.yml", "name: flights\n")
    assert folder.refusal() == (
        "dbt_project.yml: names no profile; write profile: <a profile of profiles.yml>."
    )
    assert folder.load(DBT_PROFILE="flights").profile_name == "flights"


def test_an_unknown_profile(folder):
    folder.write("dbt_project.yml", "name: flights\nprofile: flight\n")
    folder.write("profiles.yml", "config: {}\n" + PROFILES)
    assert folder.refusal() == (
        f"profiles.yml: has no profile flight, which {folder.root}/dbt_project.yml asks for; it "
        "has: flights. Did you mean flights?"
    ).replace(f"{folder.root}/", "")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("dbt_project.yml", "profile: flights\n", "has no name; dbt needs one too."),
        ("dbt_project.yml", "name: 7\nprofile: x\n", "name: must be text."),
        ("dbt_project.yml", "- a\n", "must hold keys and values, not a list."),
        ("profiles.yml", "flights: {outputs: {}}\n", "profile flights has no outputs."),
        ("profiles.yml", "flights:\n", "profile flights has no outputs."),
        ("profiles.yml", "flights: {outputs: {default: 1}}", "flights.outputs.default must hold"),
        ("profiles.yml", "a: b: c\n", "is not YAML (line 1, column 5): mapping values are not"),
        ("profiles.yml", "pass: *sesame\n", "is not YAML (line 1, column 7): found undefined"),
        (
            "profiles.yml",
            "flights: {target: ../x, outputs: {../x: {type: duckdb}}}",
            "target '../x' cannot be the name of a folder; rename it.",
        ),
    ],
    ids=["name", "name-type", "list", "outputs", "empty", "scalar", "yaml", "alias", "folder"],
)
def test_malformed_files(folder, name, text, expected):
    folder.write(name, text)
    refusal = folder.refusal()
    assert refusal.startswith(f"{name}: {expected}")
    assert "sesame" not in refusal


def test_files_that_cannot_be_read(folder):
    (folder.root / "profiles.yml").write_bytes(b"\xff\xfe\xff")
    assert folder.refusal() == "profiles.yml: is not UTF-8 text."
    folder.write("profiles.yml", PROFILES)
    (folder.root / "fstore.yml").mkdir()
    assert folder.refusal() == "fstore.yml: cannot be read: Is a directory."


# -- the warehouse


def test_every_key_of_the_warehouse(folder):
    folder.write(
        "profiles.yml",
        """
flights:
  outputs:
    default:
      type: duckdb
      threads: 4
      path: data/my.flights.duckdb
      schema: features
      attach:
        - {path: other.duckdb, alias: lake, read_only: true}
        - {path: "postgres:host=db password=sesame", type: postgres, secret: pg}
        - {path: "/abs/x.db", options: {type: sqlite, read_only: true, block_size: 16384}}
        - {path: ":memory:", alias: scratch}
      extensions: [icu, {name: spatial, repo: community}]
      settings: {TimeZone: UTC, s3_secret_access_key: sesame}
      config_options: {allow_unsigned_extensions: true, token: sesame}
      secrets:
        - {type: s3, key_id: sesame, secret: sesame, scope: "s3://bucket"}
        - {type: postgres, name: pg, password: sesame, persistent: true}
      use_credential_provider: aws
      retries: {connect_attempts: 6}
      plugins: [{module: excel}]
      filesystems: []
      external_root: out
""",
    )
    project = folder.load()
    warehouse = project.warehouse
    assert warehouse.path == str(folder.root / "data" / "my.flights.duckdb")
    assert (warehouse.catalog, warehouse.database, warehouse.schema) == ("my", "my", "features")
    lake, postgres, sqlite, scratch = warehouse.attach
    assert lake == Attachment(str(folder.root / "other.duckdb"), "lake", read_only=True)
    assert postgres.path == "postgres:host=db password=sesame"
    assert (postgres.type, postgres.secret) == ("postgres", "pg")
    assert (sqlite.path, sqlite.type, sqlite.name) == ("/abs/x.db", "sqlite", "x")
    assert (sqlite.read_only, sqlite.options) == (True, (("block_size", 16384),))
    assert scratch == Attachment(":memory:", "scratch")
    assert warehouse.extensions == (Extension("icu"), Extension("spatial", "community"))
    assert dict(warehouse.settings)["TimeZone"] == "UTC"
    assert dict(warehouse.config_options)["allow_unsigned_extensions"] is True
    s3, pg, provided = warehouse.secrets
    assert (s3.type, s3.name, s3.scope) == ("s3", "_fstore_secret_1", ("s3://bucket",))
    assert s3.parameters == (("key_id", "sesame"), ("secret", "sesame"))
    assert (pg.type, pg.name, pg.parameters) == ("postgres", "pg", (("password", "sesame"),))
    assert (provided.type, provided.provider) == ("s3", "credential_chain")
    assert warehouse.connect_attempts == 6
    assert warehouse.unapplied == ("plugins",)
    assert "sesame" not in repr(project)


def test_the_database_may_be_an_attached_one(folder):
    folder.target("path: w.duckdb, database: lake, attach: [{path: l.duckdb, alias: lake}]")
    warehouse = folder.load().warehouse
    assert (warehouse.catalog, warehouse.database) == ("w", "lake")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("schema: x", "path: is absent, which means :memory:: a database in dbt's own memory is"),
        ("path: ':memory:'", "path: is :memory:: a database in dbt's own memory is gone when dbt"),
        ("path: 'md:flights'", "path: MotherDuck (md:) is a service, and fstore opens a local"),
        ("path: 'ducklake:meta.db'", "path: ducklake: is not a local DuckDB file; write path: <a"),
        ("path: 's3://b/w.db'", "path: s3: is not a local DuckDB file; write path: <a file>, as"),
        ("path: 7", "path: must be the path of a file; write path: <a file>, as in path: w"),
        ("path: w.db, schema: 7", "schema: must be text."),
        ("path: w.db, database: x", "database: is x, but path: makes it w, and no attached"),
        ("path: w.db, remote: {host: h, port: 1}", "remote: fstore opens the database file itse"),
        ("path: w.db, attach: {path: x}", "attach: must be a list."),
        ("path: w.db, attach: [x.db]", "attach[0]: must have a path, as in - path: other.duckdb."),
        ("path: w.db, attach: [{path: 'md:x'}]", "attach[0]: MotherDuck (md:) is a service, and"),
        ("path: w.db, settings: [a]", "settings: must hold keys and values."),
        ("path: w.db, extensions: [7]", "extensions: each is a name, or {name: ..., repo: ...}."),
        ("path: w.db, secrets: [{key: x}]", "secrets[0]: must have a type, as in - type: s3."),
        ("path: w.db, use_credential_provider: gcp", "use_credential_provider: gcp is not known"),
        ("path: w.db, retries: {connect_attempts: x}", "retries.connect_attempts: must be a who"),
    ],
    ids=lambda value: value[:40],
)
def test_a_warehouse_that_cannot_be_used(folder, keys, expected):
    folder.target(keys)
    refusal = folder.refusal()
    assert refusal.startswith(f"profiles.yml: flights.outputs.default.{expected}")
    assert refusal.endswith(".")


def test_another_adapter(folder):
    folder.write("profiles.yml", "flights: {outputs: {default: {type: postgres, host: h}}}\n")
    assert folder.refusal() == (
        "profiles.yml: flights.outputs.default.type: is postgres; this release of fstore reads a "
        "dbt-duckdb warehouse only (type: duckdb)."
    )
    folder.write("profiles.yml", "flights: {outputs: {default: {path: x}}}\n")
    assert folder.refusal().endswith(
        "flights.outputs.default.type: is missing; write type: duckdb."
    )


def test_paths_in_the_home_directory(folder):
    folder.target("path: ~/w.duckdb")
    assert folder.load().warehouse.path == str(Path.home() / "w.duckdb")


def test_a_link_keeps_its_name(folder):
    """dbt names the database after the path in the profile, wherever that leads."""
    (folder.root / "current.duckdb").symlink_to(folder.root / "v5.duckdb")
    folder.target("path: data/../current.duckdb, database: current")
    warehouse = folder.load().warehouse
    assert warehouse.path == str(folder.root / "current.duckdb")
    assert warehouse.catalog == "current"


def test_catalogs_are_named_as_duckdb_names_them(tmp_path):
    import duckdb

    for name in ("plain.duckdb", "a.b.duckdb", ".hidden.duckdb", "no_suffix", "odd name.db"):
        with duckdb.connect(str(tmp_path / name)) as connection:
            row = connection.execute("select current_database()").fetchone()
        assert row == (catalog_name(str(tmp_path / name)),)


# -- Jinja

TEMPLATES = {
    "plain": "x",
    "number_text": "4",
    "text": "{{ env_var('N') }}",
    "number": "{{ env_var('N') | as_number }}",
    "bool": "{{ env_var('B') | as_bool }}",
    "native": "{{ env_var('L') | as_native }}",
    "native_text": "{{ env_var('S') | as_native }}",
    "as_text": "{{ env_var('N') | as_text }}",
    "default": "{{ env_var('MISSING', 'fallback') }}",
    "default_number": "{{ env_var('MISSING', 7) }}",
    "mixed": "a {{ env_var('N') }} b",
    "mixed_number": "{{ env_var('N') | as_number }}0",
    "statement": "{% if env_var('N') == '4' %}four{% endif %}",
    "secret": "x{{ env_var('DBT_ENV_SECRET_P') }}y",
    "expression": "{{ 1 + 2 }}",
    "var": "{{ var('v', 'none') }}",
    "nested": {"list": ["{{ env_var('N') }}", 1, None, True]},
    "password": "{{ not jinja",
}
VARIABLES = {"N": "4", "B": "True", "L": "[1, 'a']", "S": "word", "DBT_ENV_SECRET_P": "sesame"}
ASK_DBT = """
import json, sys
from dbt_common.context import set_invocation_context
from dbt.flags import set_from_args
from argparse import Namespace
templates, variables = json.load(sys.stdin)
set_invocation_context(variables)
set_from_args(Namespace(), None)
from dbt.config.renderer import ProfileRenderer
print(json.dumps(ProfileRenderer({}).render_data(templates)))
"""


def test_values_are_rendered_as_dbt_renders_them():
    """The outside truth is dbt's own renderer, in a process of its own."""
    asked = subprocess.run(
        [sys.executable, "-c", ASK_DBT],
        input=json.dumps([TEMPLATES, VARIABLES]),
        capture_output=True,
        text=True,
        check=True,
    )
    ours = Renderer(VARIABLES).render(TEMPLATES, "k")
    assert ours == json.loads(asked.stdout)
    assert {key: type(value) for key, value in ours.items()} == {
        key: type(value) for key, value in json.loads(asked.stdout).items()
    }


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ env_var('MISSING') }}", "k: environment variable MISSING is not set, and has no"),
        ("{{ var('v') }}", "k: var v has no default; fstore takes no --vars"),
        ("{{ env_var('S') | as_number }}", "k: the value is not a number (profiles may use env_"),
        ("{{ env_var('S') | as_bool }}", "k: the value is not a bool (profiles may use env_var "),
        ("{{ env_var('B') | as_number }}", "k: the value is not a number (profiles may use env_"),
        ("{{ target.name }}", "k: 'target' is undefined (profiles may use env_var and var, with"),
        ("{{ 'x' | nope }}", "k: No filter named 'nope'. (profiles may use env_var and var, "),
        ("{{ env_var('S')", "k: unexpected end of template, expected 'end of print statement'."),
        ("{{ 1 / 0 }}", "k: division by zero (profiles may use env_var and var, with as_number,"),
        ("{{ 10.0 ** 1000 }}", "k: (34, 'Numerical result out of range') (profiles may use env_v"),
        ("{{ ''.__class__.__mro__ }}", "k: access to attribute '__class__' of 'str' object is un"),
    ],
    ids=lambda value: value[:30],
)
def test_what_cannot_be_rendered(template, expected):
    with pytest.raises(RenderError) as caught:
        Renderer(VARIABLES).render(template, "k")
    assert str(caught.value).startswith(expected)


def test_dates_stay_text(folder):
    folder.target("path: w.duckdb, settings: {since: 2013-01-01}")
    assert folder.load().warehouse.settings == (("since", "2013-01-01"),)


# -- fstore.yml


def test_defaults_without_fstore_yml(folder):
    settings = folder.load().settings
    assert (settings.lock_timeout, settings.push_retention) == (60.0, Duration(7, "day"))
    assert (settings.memory_limit, settings.threads, settings.temp_directory) == (None,) * 3
    folder.write("fstore.yml", "# nothing yet\n")
    assert folder.load().settings == settings


def test_every_key_of_fstore_yml(folder):
    folder.write(
        "fstore.yml",
        """
online_store: {type: duckdb, path: state, url: {env: URL}}
server:
  host: 0.0.0.0
  port: 7000
  keys: [{name: model, key: {env: KEY}}, {name: job, key: {env: KEY}, rights: [read, write]}]
  limits: {rows: 1000, body: 2MB, seconds: 5}
memory_limit: 4GB
threads: 2
temp_directory: tmp
lock_timeout: 2 minutes
push_retention: 3 days
""",
    )
    project = folder.load(URL="redis://:sesame@host", KEY="sesame" * 3)
    settings = project.settings
    assert settings.online_store.path == str(folder.root / "state")
    assert settings.online_store.url == "redis://:sesame@host"
    assert project.state_directory == folder.root / "state" / "dev"
    assert (settings.memory_limit, settings.threads) == ("4GB", 2)
    assert settings.temp_directory == str(folder.root / "tmp")
    assert (settings.lock_timeout, settings.push_retention) == (120.0, Duration(3, "day"))
    serving = settings.serving
    assert (serving.host, serving.port) == ("0.0.0.0", 7000)
    assert serving.limits == Limits(body=2_000_000, rows=1000, seconds=5.0)
    assert [(key.name, sorted(key.rights)) for key in serving.keys] == [
        ("model", ["read"]),
        ("job", ["read", "write"]),
    ]
    assert serving.keys[0].secret({"KEY": "sesame" * 3}) == b"sesame" * 3
    assert "sesame" not in repr(project)


@pytest.mark.parametrize("seconds", [0, 0.5, 30])
def test_lock_timeout_may_be_a_number_of_seconds(folder, seconds):
    folder.write("fstore.yml", f"lock_timeout: {seconds}\n")
    assert folder.load().settings.lock_timeout == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("online_stor: {}", "online_stor is not a key of fstore.yml; known here: online_store, "),
        ("online_store: {pth: x}", "online_store.pth is not a key of fstore.yml; known here: typ"),
        ("online_store: redis", "online_store: must hold keys and values: type, path, url."),
        ("online_store: {type: redi}", "online_store.type: redi is not an online store of this"),
        ("online_store: {type: redis}", "online_store: redis needs url: {env: NAME}, an environm"),
        ("online_store: {url: 'r://:p@h'}", "online_store.url: write {env: NAME}, an environment"),
        ("server: {keys: sesame}", "server.keys: must be a list of {name: ..., key: {env: NAME}"),
        ("server: {keys: [sesame]}", "server.keys[0]: must be {name: ..., key: {env: NAME}, righ"),
        ("server: {keys: [{nam: a}]}", "server.keys[0].nam is not a key of fstore.yml; known her"),
        ("server: {keys: [{key: {env: A}}]}", "server.keys[0].name: must be text: it stands in t"),
        (
            "server: {keys: [{name: a, key: sesame}]}",
            "server.keys[0].key: write {env: NAME}, an environment variable that holds it.",
        ),
        (
            "server: {keys: [{name: a, key: {env: A}, rights: [all]}]}",
            "server.keys[0].rights: must be a list of read, write.",
        ),
        ("server: here", "server: must hold keys and values: host, port, keys, limits."),
        ("server: {host: 5}", "server.host: must be text."),
        ("server: {port: 70000}", "server.port: must be a whole number up to 65535."),
        ("server: {limits: 5}", "server.limits: must hold keys and values: body, rows, seconds."),
        ("server: {limits: {row: 5}}", "server.limits.row is not a key of fstore.yml; known her"),
        ("server: {limits: {rows: 0}}", "server.limits.rows: must be a whole number of at least"),
        ("server: {limits: {seconds: 0}}", "server.limits.seconds: must be a number above 0, up"),
        (
            "server: {limits: {seconds: .nan}}",
            "server.limits.seconds: must be a number above 0, up",
        ),
        (
            "server: {limits: {seconds: .inf}}",
            "server.limits.seconds: must be a number above 0, up",
        ),
        ("server: {limits: {body: big}}", "server.limits.body: 'big' is not a size; write one as"),
        ("server: {prt: 1}", "server.prt is not a key of fstore.yml; known here: host, port, key"),
        (
            "online_store: {url: {env: NONE_SET}}",
            "online_store.url: environment variable NONE_SET is not",
        ),
        ("threads: 0", "threads: must be a whole number from 1 to 1024."),
        ("threads: true", "threads: must be a whole number from 1 to 1024."),
        ("threads: 100000", "threads: must be a whole number from 1 to 1024."),
        ("memory_limit: lots", "memory_limit: 'lots' is not a size; write one as in 4GB or 80%."),
        ("memory_limit: 0GB", "memory_limit: '0GB' is not a size; write one as in 4GB or 80%."),
        ("memory_limit: 4", "memory_limit: must be text."),
        ("temp_directory: 4", "temp_directory: must be text."),
        ("lock_timeout: -1", "lock_timeout: must be a number of seconds, or as in 60 seconds."),
        ("lock_timeout: soon", "lock_timeout: 'soon' is not a duration; write <number> seconds"),
        ("push_retention: 1 month", "push_retention: '1 month': months and years have no fixed "),
        ("push_retention: 7", "push_retention: 7 is not a duration; write <number> seconds, min"),
    ],
    ids=lambda value: value[:40],
)
def test_malformed_fstore_yml(folder, text, expected):
    folder.write("fstore.yml", text + "\n")
    refusal = folder.refusal()
    assert refusal.startswith(f"fstore.yml: {expected}")
    assert "sesame" not in refusal


def test_the_nearest_right_key_is_named(folder):
    folder.write("fstore.yml", "lock_timout: 3\n")
    assert folder.refusal().endswith(" Did you mean lock_timeout?")


def test_fstore_yaml_is_not_silently_ignored(folder):
    folder.write("fstore.yaml", "threads: 2\n")
    assert folder.refusal() == "fstore.yaml: is not read; rename it fstore.yml."


def test_a_project_is_a_value(folder):
    project = folder.load()
    assert replace(project, target="x").state_directory == folder.root / ".fstore" / "x"
