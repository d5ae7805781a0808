"""dbt's manifest.json, read as a registry. The one file that knows how dbt writes it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fstore import collector
from fstore.declarations import (
    Declared,
    disagreements,
    feature_service,
    feature_view,
    is_on_demand,
    on_demand_view,
)
from fstore.definitions import (
    FeatureService,
    FeatureView,
    OnDemandView,
    Registry,
    Relation,
    SnapshotColumns,
    SpineModel,
)
from fstore.errors import DeclarationError, ManifestError, MissingFileError, Problem

_STILL_WRITING = 0.2  # seconds in which a file that is being written grows
MANIFEST_VERSION = "v12"  # dbt 1.8 to 1.11
_BUILT = ("model", "snapshot", "seed")  # what has a relation, and so can be a spine
_KINDS = (  # where the manifest keeps what can carry meta
    "nodes",
    "sources",
    "exposures",
    "metrics",
    "semantic_models",
    "saved_queries",
    "unit_tests",
    "functions",
    "macros",
    "groups",
)


def load_registry(path: Path) -> Registry:
    """Return what the manifest at ``path`` declares.

    Raises MissingFileError, ManifestError (not JSON, or of another version) and DeclarationError,
    which holds every problem of every declaration.
    """
    return parse(_document(path))


def load_declarations(path: Path) -> tuple[Registry, tuple[Problem, ...]]:
    """Return what is declared well, and every problem of the rest, in the order of files."""
    return read(_document(path))


def _json(path: Path) -> Any:
    """Return the file's content; while dbt is writing it (in place), wait for the rest."""
    while True:
        text = path.read_text(encoding="utf-8")
        try:
            with collector.waiting():
                return json.loads(text)
        except json.JSONDecodeError:
            time.sleep(_STILL_WRITING)
            if path.read_text(encoding="utf-8") == text:  # nobody writes it: it stays broken
                raise


def _document(path: Path) -> dict[str, Any]:
    try:
        document = _json(path)
    except FileNotFoundError:
        raise MissingFileError(
            "The manifest", path, "dbt writes it: run dbt build (or dbt parse) first."
        ) from None
    except json.JSONDecodeError as error:
        raise ManifestError(
            path, f"is not whole JSON ({error}): dbt may have been stopped. Run dbt parse again."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(path, f"cannot be read: {error}.") from error
    metadata = document.get("metadata") if isinstance(document, dict) else None
    schema = metadata.get("dbt_schema_version") if isinstance(metadata, dict) else None
    if (
        metadata is None
        or not isinstance(schema, str)
        or "nodes" not in document
        or "exposures" not in document
    ):
        raise ManifestError(path, "is not a manifest of dbt. Run dbt parse again.")
    version = schema.rsplit("/", 1)[-1].removesuffix(".json")
    if version != MANIFEST_VERSION:
        raise ManifestError(
            path,
            f"is of version {version} (dbt {metadata.get('dbt_version')}); fstore reads "
            f"{MANIFEST_VERSION}, which dbt 1.8 to 1.11 write. Run dbt parse with one of them.",
        )
    return dict(document)


def parse(document: Mapping[str, Any]) -> Registry:
    """Return the registry of a manifest, given as dbt's JSON; DeclarationError for any problem."""
    registry, problems = read(document)
    if problems:
        raise DeclarationError(problems)
    return registry


def read(document: Mapping[str, Any]) -> tuple[Registry, tuple[Problem, ...]]:
    """Return the views and services that are declared well, and what is wrong with the others."""
    problems: list[Problem] = []
    views: list[FeatureView] = []
    wrong: set[str] = set()  # views that a problem took away: a service may name them all the same
    for node in _declared(document):
        if is_on_demand(node):
            continue  # read below, for it names views
        if node.kind in ("model", "snapshot"):
            view = feature_view(node, problems)
            if view is not None:
                views.append(view)
            else:
                wrong |= {node.name, f"{node.name}.v{node.version}"}
        elif node.kind != "exposure":
            kind = node.kind.replace("_", " ")
            text = (
                f"stands on {'an' if kind[0] in 'aeiou' else 'a'} {kind}; a feature view is a "
                "model or a snapshot, a feature service an exposure"
            )
            problems.append(Problem(node.declared_in, node.name, "meta.fstore", text))
    problems += disagreements(views)
    views.sort(key=lambda view: (view.name, view.unique_id))
    registry = Registry(document["metadata"].get("project_name") or "", tuple(views), ())
    on_demand: dict[str, OnDemandView] = {}
    others = {node.name for node in filter(is_on_demand, _declared(document))}
    for node in filter(is_on_demand, _declared(document)):
        computed = on_demand_view(node, registry.views_by_reference, problems, wrong, others)
        if computed is None:
            wrong.add(node.name)
        else:
            on_demand[computed.name] = computed
    services: dict[str, FeatureService] = {}
    for node in _declared(document):
        if node.kind != "exposure":
            continue
        found = feature_service(node, registry.views_by_reference, problems, wrong, on_demand)
        if found is None:
            continue
        other = services.setdefault(found.name, found)
        if other is not found:
            text = f"is also the name of a service in {other.declared_in}: rename one"
            problems.append(Problem(found.declared_in, found.name, "", text))
    in_order = tuple(services[name] for name in sorted(services))
    computed_in_order = tuple(on_demand[name] for name in sorted(on_demand))
    models = _models(document)
    return (
        Registry(registry.project, registry.feature_views, in_order, models, computed_in_order),
        tuple(sorted(problems)),
    )


def _declared(document: Mapping[str, Any]) -> Iterator[Declared]:
    """Yield every node that carries ``meta.fstore``, on itself or on one of its columns."""
    for kind in _KINDS:
        for node in (document.get(kind) or {}).values():
            meta = _meta(node)
            if meta is not None:
                yield _declared_node(node, meta, document)
            for column in (node.get("columns") or {}).values():
                if _meta(column) is not None:
                    yield Declared(
                        unique_id=node["unique_id"],
                        kind="column",
                        name=f"{node['name']}.{column['name']}",
                        file=_place(node, document),
                        declared_in=_declared_in(node, document),
                        meta=_meta(column),
                    )


def _declared_node(node: Mapping[str, Any], meta: Any, document: Mapping[str, Any]) -> Declared:
    config = node.get("config") or {}
    version = node.get("version")
    kind = node["resource_type"]
    group = (document.get("groups") or {}).get(
        f"group.{node.get('package_name')}.{node.get('group')}"
    )
    owner = node.get("owner") or (group or {}).get("owner") or {}
    return Declared(
        unique_id=node["unique_id"],
        kind=kind,
        name=node["name"],
        file=_place(node, document),
        declared_in=_declared_in(node, document),
        meta=meta,
        relation=_relation(node) if kind in _BUILT else None,
        materialized=config.get("materialized") or "",
        version=None if version is None else str(version),
        is_latest=version is None or str(version) == str(node.get("latest_version")),
        event_time=config.get("event_time"),
        snapshot=_snapshot_columns(config) if kind == "snapshot" else None,
        exposure_type=node.get("type") or "",
        depends_on=tuple((node.get("depends_on") or {}).get("nodes", ())),
        columns=tuple(column["name"] for column in (node.get("columns") or {}).values()),
        description=node.get("description") or "",
        tags=tuple(node.get("tags") or ()),
        owner=owner.get("name") or owner.get("email") or "",
        tests=_tests(node, document),
        sql=_sql(node),
    )


def _tests(node: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of dbt's tests on a model that declares a kind of its own."""
    meta = _meta(node)
    if not (isinstance(meta, dict) and "kind" in meta):
        return ()
    every = [it for it in document["nodes"].values() if it.get("resource_type") == "test"]
    every += (document.get("unit_tests") or {}).values()
    return tuple(
        str(test["name"])
        for test in every
        if node["unique_id"] in ((test.get("depends_on") or {}).get("nodes") or ())
    )


_CONFIG = re.compile(r"\s*\{\{-?\s*config\s*\(.*?\)\s*-?\}\}", re.DOTALL)
_JINJA = re.compile(r"\{\{|\{%|\{#")


def _sql(node: Mapping[str, Any]) -> str | None:
    """Return a model's SQL without Jinja: compiled, or as written but for a config() at its head.

    None where it has other Jinja and dbt has not compiled it.
    """
    if node.get("compiled_code"):
        return str(node["compiled_code"]).strip()
    written = str(node.get("raw_code") or "")
    head = _CONFIG.match(written)
    text = written[head.end() :] if head else written
    return None if _JINJA.search(text) else text.strip()


def _meta(node: Mapping[str, Any]) -> Any:
    """Return a node's meta.fstore; None where it has none."""
    for holder in (node.get("config"), node):
        meta = holder.get("meta") if isinstance(holder, dict) else None
        if isinstance(meta, dict) and "fstore" in meta:
            return meta["fstore"] if meta["fstore"] is not None else {}
    return None


def _declared_in(node: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return the YAML file that says the node's meta, or the SQL file where none does."""
    package, found, path = (node.get("patch_path") or "").partition("://")
    if not found:
        return _place(node, document)
    return str(path) if _is_root(package, document) else f"{package}://{path}"


def _place(node: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Return the node's own file: a path in the project, ``package://path`` in another's."""
    path = str(node.get("original_file_path") or "")
    package = node.get("package_name")
    return path if _is_root(package, document) else f"{package}://{path}"


def _is_root(package: str | None, document: Mapping[str, Any]) -> bool:
    project = document["metadata"].get("project_name")
    return not project or package in (None, project)


def _relation(node: Mapping[str, Any]) -> Relation:
    return Relation(
        node.get("database") or "", node.get("schema") or "", node.get("alias") or node["name"]
    )


def _snapshot_columns(config: Mapping[str, Any]) -> SnapshotColumns:
    plain = SnapshotColumns()
    named = config.get("snapshot_meta_column_names") or {}
    return SnapshotColumns(
        valid_from=named.get("dbt_valid_from") or plain.valid_from,
        valid_to=named.get("dbt_valid_to") or plain.valid_to,
        scd_id=named.get("dbt_scd_id") or plain.scd_id,
        updated_at=named.get("dbt_updated_at") or plain.updated_at,
        is_deleted=named.get("dbt_is_deleted") or plain.is_deleted,
    )


def _models(document: Mapping[str, Any]) -> tuple[SpineModel, ...]:
    """Return everything that is built: ``m`` and, of a versioned model, also ``m.v1``.

    Where two packages have one name, the project's own comes first.
    """
    found = []
    own_first = sorted(
        document["nodes"].values(),
        key=lambda node: not _is_root(node.get("package_name"), document),
    )
    for node in own_first:
        config = node.get("config") or {}
        if node["resource_type"] not in _BUILT or config.get("materialized") == "ephemeral":
            continue
        meta = _meta(node)
        declared = meta.get("event_timestamp") if isinstance(meta, dict) else None
        clock = declared or config.get("event_time")
        version = node.get("version")
        names = [node["name"] if version is None else f"{node['name']}.v{version}"]
        if version is not None and str(version) == str(node.get("latest_version")):
            names.append(node["name"])
        found += [
            SpineModel(name, _relation(node), clock, _place(node, document)) for name in names
        ]
    return tuple(sorted(found, key=lambda model: model.name))
