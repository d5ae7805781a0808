"""fstore: a SQL-first feature store on DuckDB and dbt.

>>> from fstore import FeatureStore                                     # doctest: +SKIP
>>> store = FeatureStore(project_dir="path/to/a/dbt/project")           # doctest: +SKIP

Names are loaded when first used: ``import fstore`` alone takes no engine and no frame library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fstore.errors import (
        DeclarationError,
        EntityRowsError,
        FstoreError,
        FstoreWarning,
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
        OutputError,
        ProfileError,
        ProjectError,
        QueryError,
        RelationError,
        RequestError,
        ServerError,
        SpineError,
        UnknownNameError,
        UnknownTargetError,
        WarehouseError,
        WrongTypeError,
    )
    from fstore.offline.job import RetrievalJob
    from fstore.online.response import OnlineResponse
    from fstore.store import FeatureStore

__version__ = "0.1.0"

__all__ = [
    "DeclarationError",
    "EntityRowsError",
    "FeatureStore",
    "FstoreError",
    "FstoreWarning",
    "LockTimeoutError",
    "ManifestError",
    "MissingColumnError",
    "MissingFileError",
    "NoEarlierGenerationError",
    "NotBuiltError",
    "NotMaterializedError",
    "NothingPublishedError",
    "OnDemandError",
    "OnlineResponse",
    "OnlineStoreError",
    "OutOfMemoryError",
    "OutputError",
    "ProfileError",
    "ProjectError",
    "QueryError",
    "RelationError",
    "RequestError",
    "RetrievalJob",
    "ServerError",
    "SpineError",
    "UnknownNameError",
    "UnknownTargetError",
    "WarehouseError",
    "WrongTypeError",
    "__version__",
]

_HOMES = {
    "FeatureStore": "fstore.store",
    "OnlineResponse": "fstore.online.response",
    "RetrievalJob": "fstore.offline.job",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "fstore.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
