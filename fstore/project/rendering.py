"""The Jinja that profiles.yml may hold: env_var, var, and the filters that give a value its type.

As in dbt, a file is parsed as YAML first and each string is rendered by itself afterwards, so that
a rendered value can never change the shape of the file. A value stays text unless a filter says
otherwise:

    threads: "{{ env_var('THREADS', '4') | as_number }}"
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.nativetypes import NativeEnvironment, NativeTemplate
from jinja2.sandbox import SandboxedEnvironment

# What an expression in a profile can come to that has no value.
_REFUSED = (
    TemplateError,
    ValueError,
    TypeError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
)


class RenderError(ValueError):
    """A value could not be rendered; ``key`` is where it stands, as in ``outputs.dev.path``."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


class _Typed(str):
    """Text that a filter asks to be read as a Python literal."""

    __slots__ = ()
    kinds: tuple[type, ...] | None = None
    name = "value"


class _Number(_Typed):
    __slots__ = ()
    kinds = (int, float)
    name = "number"


class _Bool(_Typed):
    __slots__ = ()
    kinds = (bool,)
    name = "bool"


def _joined(values: Iterable[Any]) -> Any:
    found = list(values)
    if len(found) != 1:
        return "".join(str(part) for part in found)
    value = found[0]
    if not isinstance(value, _Typed):
        return value
    try:
        literal = literal_eval(value)
    except (ValueError, SyntaxError):
        literal = str(value)
    if value.kinds is not None and type(literal) not in value.kinds:
        raise ValueError(f"the value is not a {value.name}")  # without it: it may be a secret
    return literal


class _Environment(SandboxedEnvironment, NativeEnvironment):
    concat = staticmethod(_joined)


class _Template(NativeTemplate):
    environment_class = _Environment


_Environment.template_class = _Template


class _MissingError(ValueError):
    """The text asks for a variable that is not there."""


class Renderer:
    """Renders values with the given environment variables.

    >>> Renderer({"PORT": "5432"}).render("{{ env_var('PORT') | as_number }}", "port")
    5432
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._environment = _Environment(undefined=StrictUndefined)
        self._environment.filters.update(
            {
                "as_text": lambda value: value,
                "as_native": _Typed,
                "as_number": _Number,
                "as_bool": _Bool,
            }
        )
        self._environment.globals.update({"env_var": _env_var(env), "var": _var})

    def render(self, value: Any, key: str) -> Any:
        """Return ``value`` with every string in it rendered; dates become ISO text.

        Raises RenderError. A string under a key named password that is no valid Jinja is taken as
        it stands, as dbt does: passwords hold odd characters.
        """
        if isinstance(value, dict):
            return {name: self.render(inner, f"{key}.{name}") for name, inner in value.items()}
        if isinstance(value, list):
            return [self.render(inner, f"{key}[{at}]") for at, inner in enumerate(value)]
        if isinstance(value, date):
            return value.isoformat()
        if not isinstance(value, str) or "{" not in value:
            return value
        try:
            return self._environment.from_string(value).render()
        except _MissingError as error:
            raise RenderError(key, str(error)) from None
        except _REFUSED as error:
            if "password" in key.split("."):
                return value
            reason = f"{error} (profiles may use env_var and var, with as_number, as_bool, "
            raise RenderError(key, reason + "as_native and as_text)") from None


def _env_var(env: Mapping[str, str]) -> Callable[..., Any]:
    def env_var(name: str, default: Any = None) -> Any:
        if name in env:
            return env[name]
        if default is None:
            raise _MissingError(f"environment variable {name} is not set, and has no default")
        return default

    return env_var


def _var(name: str, default: Any = None) -> Any:
    if default is None:
        raise _MissingError(f"var {name} has no default; fstore takes no --vars")
    return default
