"""The public names are these and no others; adding one is a decision, made here."""

import subprocess
import sys

import pytest

import fstore
from fstore import errors

ERRORS = {
    name
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.FstoreError | errors.FstoreWarning)
}
CLASSES = {"FeatureStore", "OnlineResponse", "RetrievalJob"}


def test_the_public_names():
    assert set(fstore.__all__) == ERRORS | CLASSES | {"__version__"}
    assert fstore.__all__ == sorted(fstore.__all__)
    assert set(fstore.__all__) <= set(dir(fstore))


def test_every_public_name_is_there():
    found = {name: getattr(fstore, name) for name in fstore.__all__}
    assert all(isinstance(found[name], type) for name in ERRORS | CLASSES)
    assert fstore.UnknownNameError is errors.UnknownNameError


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="module 'fstore' has no attribute 'FeatureStor'"):
        fstore.FeatureStor  # noqa: B018


def test_from_fstore_import_star_works():
    code = "from fstore import *; print(FeatureStore.__name__)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "FeatureStore\n"
