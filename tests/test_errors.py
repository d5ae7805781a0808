"""Errors: one tree, each also the builtin it is, facts kept, sentences whole."""

import inspect
import pickle
from pathlib import Path

import pytest

from fstore import errors
from fstore.errors import (
    DeclarationError,
    FstoreError,
    LockTimeoutError,
    ManifestError,
    MissingColumnError,
    MissingFileError,
    NoEarlierGenerationError,
    NotBuiltError,
    NothingPublishedError,
    NotMaterializedError,
    OnDemandError,
    OnlineStoreError,
    OutOfMemoryError,
    Problem,
    ProfileError,
    QueryError,
    ServerError,
    UnknownNameError,
    UnknownTargetError,
    did_you_mean,
    listed,
    nearest,
)

EXAMPLES = [
    (MissingFileError("profiles.yml", "/p/profiles.yml", "Write one."), FileNotFoundError),
    (ProfileError("/p/profiles.yml", "has no outputs."), ValueError),
    (UnknownTargetError("prd", "flights", "/p/profiles.yml", ["dev", "prod"]), KeyError),
    (ManifestError("/p/manifest.json", "is not JSON."), ValueError),
    (DeclarationError([Problem("a.yml", "m", "ttl", "is wrong")]), ValueError),
    (UnknownNameError("v:totl", "a feature", "v (v.sql)", ["avg", "total"], "totl"), KeyError),
    (NotBuiltError("v", "db.main.v", "is not in the warehouse.", "Run dbt."), LookupError),
    (MissingColumnError("v", "v.sql", "totl", "feature", ["total"]), KeyError),
    (LockTimeoutError("w.duckdb", 60.0, "python (pid 7)", "Wait."), TimeoutError),
    (NotMaterializedError("nothing yet"), LookupError),
    (OnDemandError("v", "v.sql", ["avg(x) is an aggregate", "y is unknown"]), ValueError),
    (OnlineStoreError("no space left"), OSError),
    (QueryError("it failed"), RuntimeError),
    (NothingPublishedError(), LookupError),
    (NoEarlierGenerationError(3), LookupError),
    (ServerError("the port is taken"), ValueError),
    (OutOfMemoryError("v", "4.0 GiB", 2, "/tmp/x", words="Out.\nSET y"), MemoryError),
]


@pytest.mark.parametrize(("error", "builtin"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_each_is_also_the_builtin_that_it_is(error, builtin):
    assert isinstance(error, FstoreError)
    assert isinstance(error, builtin)


@pytest.mark.parametrize("error", [error for error, _ in EXAMPLES], ids=lambda e: type(e).__name__)
def test_sentences_and_facts_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.__dict__) == (type(error), str(error), error.__dict__)


def test_the_sentences():
    said = [str(error) for error, _ in EXAMPLES]
    assert said[0] == "profiles.yml is not at /p/profiles.yml. Write one."
    assert said[1] == "/p/profiles.yml: has no outputs."
    assert said[2] == (
        "prd is not a target of profile flights (/p/profiles.yml), which has: dev, prod. "
        "Did you mean prod?"
    )
    assert said[3] == "/p/manifest.json is not JSON."
    assert said[4] == "1 declaration is wrong:\n  a.yml: m: ttl: is wrong"
    assert said[5] == "v:totl is not a feature. v (v.sql) has: avg, total. Did you mean total?"
    assert said[6] == "v (db.main.v) is not in the warehouse. Run dbt."
    assert said[7] == (
        "v (v.sql): feature totl is not a column of the built relation, which has: total. "
        "Did you mean total? If the model has it now, run: dbt run --select v"
    )
    assert said[8] == "w.duckdb is locked: waited 60 s for python (pid 7). Wait."
    assert said[-4:-2] == [
        "Nothing is in the online store yet. Run: fstore materialize",
        "Generation 3 has none before it to go back to. Run: fstore materialize",
    ]
    assert said[-1] == (
        "v needs more than memory_limit, which is 4.0 GiB (for 2 threads), though all that may go "
        "to temp_directory (/tmp/x) does. Choose a higher memory_limit, or fewer threads: in "
        "fstore.yml, or as options of the command. DuckDB: Out."
    )


def test_every_problem_is_told_in_file_order():
    problems = [Problem("b.yml", "m", "", "second"), Problem("a.yml", "n", "ttl", "first")]
    error = DeclarationError(problems)
    assert str(error) == "2 declarations are wrong:\n  a.yml: n: ttl: first\n  b.yml: m: second"
    assert error.problems == (problems[1], problems[0])


def test_the_tree_at_the_head_of_the_module_names_every_error():
    classes = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, FstoreError)
    ]
    head = errors.__doc__ or ""
    assert [kind.__name__ for kind in classes if f" {kind.__name__}" not in head] == []
    assert all(kind.__doc__ for kind in classes)


def test_names_near_and_far():
    assert nearest("Totl", ["avg", "total"]) == "total"
    assert nearest("xyz", ["avg", "total"]) is None
    assert did_you_mean("xyz", ["avg"]) == ""
    assert listed([]) == "nothing"
    assert listed([str(n) for n in range(25)], limit=2) == "0, 1 and 23 more"


def test_paths_are_kept_as_paths():
    assert MissingFileError("x", "/a/b", "").path == Path("/a/b")
