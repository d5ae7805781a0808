"""What the server offers, as an OpenAPI document, and as a page that shows it."""

from __future__ import annotations

import json
from html import escape
from typing import Any

import fstore

_ERROR = {"description": "What is wrong, in a sentence", "content": {"application/json": {}}}
_ANY = {"type": ["string", "number", "integer", "boolean", "null"]}
_COLUMNS = {
    "type": "object",
    "description": "A list of values for each column",
    "additionalProperties": {"type": "array", "items": _ANY},
}
_FEATURES_ASKED = {
    "type": "object",
    "required": ["entities"],
    "properties": {
        "entities": _COLUMNS
        | {
            "description": "A list of values for each join key, and for each request field of an "
            "on-demand view"
        },
        "features": {
            "type": "array",
            "items": {"type": "string"},
            "description": "References: view:feature, view:* or view",
        },
        "feature_service": {"type": ["string", "null"], "description": "Instead of features"},
        "full_feature_names": {
            "type": "boolean",
            "default": False,
            "description": "Name the features view__feature",
        },
    },
    "example": {"features": ["view:feature"], "entities": {"join_key": [1, 2]}},
}
_RESULT = {
    "type": "object",
    "required": ["values", "statuses", "event_timestamps"],
    "properties": {
        "values": {"type": "array"},
        "statuses": {
            "type": "array",
            "items": {"enum": ["PRESENT", "NULL_VALUE", "OUTSIDE_MAX_AGE", "NOT_FOUND"]},
        },
        "event_timestamps": {"type": "array", "items": {"type": "string"}},
    },
}
_FEATURES = {
    "type": "object",
    "required": ["metadata", "results"],
    "properties": {
        "metadata": {
            "type": "object",
            "properties": {"feature_names": {"type": "array", "items": {"type": "string"}}},
        },
        "results": {"type": "array", "items": _RESULT},
    },
}
_PUSHED = {
    "type": "object",
    "required": ["push_source_name", "df"],
    "properties": {
        "push_source_name": {"type": "string", "description": "The name of the feature view"},
        "df": _COLUMNS,
        "to": {"enum": ["online", "offline", "online_and_offline"], "default": "online"},
    },
    "example": {
        "push_source_name": "view",
        "df": {"join_key": [1], "happened_at": ["2024-01-31T12:00:00Z"], "feature": [0.5]},
        "to": "online",
    },
}
_COUNTS = {
    "type": "object",
    "properties": {"rows": {"type": "integer"}, "refused": {"type": "integer"}},
}
_REFUSALS = {
    "400": "what is no request in HTTP/1.1",
    "401": "no known key",
    "403": "the key has not this right; without keys: another host's name, or a page of one",
    "404": "an unknown name; of a view, a feature or a service as Feast has it: a JSON string that "
    "holds JSON, with module, class and message",
    "408": "a request that was not whole in time",
    "413": "a body or a number of rows that is too big",
    "422": "a request that cannot be answered as asked",
    "431": "headers that are too long",
    "500": "a failure, of which the server's log has more under the request's id",
    "503": "nothing is published yet, the store is out of reach, or not answered in time",
}
_OF_ALL = ("400", "408", "413", "431", "500")  # of what any path may answer


def document() -> dict[str, Any]:
    """Return the OpenAPI document of the server."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fstore",
            "version": fstore.__version__,
            "description": "Online features. Reads are compatible with Feast's HTTP server.",
        },
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "paths": {
            "/get-online-features": _post(
                "The features of entities, as they are now", _FEATURES_ASKED, _FEATURES
            ),
            "/push": _post("Rows of a view, on disk when this is answered", _PUSHED, _COUNTS),
            "/health": {
                "get": {
                    "summary": "Whether there is something to read, and how old it is",
                    "responses": {
                        "200": _json("Ready", {"type": "object"}),
                        **_refusals(*_OF_ALL, "403"),
                        "503": _json("Not ready, or not answered in time", {"type": "object"}),
                    },
                }
            },
            "/metrics": {
                "get": {
                    "summary": "Counts and latencies for Prometheus",
                    "security": [{}, {"key": []}],
                    "responses": {
                        "200": {"description": "Metrics", "content": {"text/plain": {}}},
                        **_refusals(*_OF_ALL, "401", "403", "503"),
                    },
                }
            },
        },
    }


def _post(summary: str, asked: dict[str, Any], answered: dict[str, Any]) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "security": [{}, {"key": []}],
            "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
            "responses": {"200": _json("Done", answered), **_refusals(*_REFUSALS)},
        }
    }


def _refusals(*statuses: str) -> dict[str, Any]:
    return {
        status: {**_ERROR, "description": f"{_ERROR['description']}: {_REFUSALS[status]}"}
        for status in sorted(statuses)
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _properties(schema: dict[str, Any]) -> str:
    rows = []
    for name, each in schema["properties"].items():
        kind = each.get("type", each.get("enum"))
        kind = kind if isinstance(kind, str) else " or ".join(kind)
        told = ["required"] if name in schema["required"] else []
        told += [text for text in (each.get("description"),) if text]
        rows.append(
            f"<tr><td><code>{name}</code></td><td>{escape(kind)}</td>"
            f"<td>{escape('; '.join(told))}</td></tr>"
        )
    return "".join(rows)


def page() -> bytes:
    """Return the document as a page of HTML that needs nothing else."""
    found = document()
    parts = []
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation['summary'])}.</p>")
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                parts.append(f"<h3>Body</h3><pre>{escape(json.dumps(schema['example']))}</pre>")
                parts.append(f"<table>{_properties(schema)}</table>")
            rows = "".join(
                f"<tr><td>{status}</td><td>{escape(answer['description'])}</td></tr>"
                for status, answer in operation["responses"].items()
            )
            parts.append(f"<h3>Answers</h3><table>{rows}</table>")
    style = (
        "body{font:16px/1.5 system-ui;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "pre{background:#f4f4f4;padding:1rem;overflow:auto}td{padding:.1rem 1rem .1rem 0}"
    )
    title = escape(f"{found['info']['title']} {found['info']['version']}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{style}</style><h1>{title}</h1><p>{escape(found['info']['description'])} "
        f'<a href="/openapi.json">openapi.json</a></p>{"".join(parts)}</html>'
    ).encode()
