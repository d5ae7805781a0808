"""A dbt project as fstore needs it: where its files are, which target, which warehouse.

Nothing here opens a database or runs dbt. The rules follow dbt's own, so that a project that dbt
can build is one that fstore can read:

- profiles.yml is looked for in ``profiles_dir``, else $DBT_PROFILES_DIR, else the project, the
  working directory and ~/.dbt, in that order.
- The target is ``target``, else $DBT_TARGET, else the profile's own ``target``, else ``default``.
  Only that target is rendered: what another one lacks does not matter.
- Relative paths start at the project.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fstore.errors import (
    MissingFileError,
    ProfileError,
    UnknownTargetError,
    did_you_mean,
    listed,
)
from fstore.project.rendering import Renderer, RenderError
from fstore.project.settings import OnlineStoreSettings, Settings, read_settings, with_limits
from fstore.project.warehouse import (
    Attachment,
    Extension,
    Secret,
    Warehouse,
    WarehouseKeyError,
    read_warehouse,
)
from fstore.project.yaml_files import read_mapping

__all__ = [
    "Attachment",
    "Extension",
    "OnlineStoreSettings",
    "Project",
    "Secret",
    "Settings",
    "Warehouse",
    "load_project",
    "with_limits",
]

PROJECT_FILE = "dbt_project.yml"
PROFILES_FILE = "profiles.yml"
ONLINE_FILE = "online/CURRENT"  # what a copied online folder has instead


@dataclass(frozen=True)
class Project:
    """A dbt project and the target it is read for. Every path is absolute."""

    directory: Path
    name: str
    profile_name: str
    target: str
    target_path: Path  # the folder of manifest.json
    profiles_path: Path
    declared_warehouse: Warehouse | None  # None: a copied online folder, which only serves
    settings: Settings

    @property
    def manifest_path(self) -> Path:
        """Where dbt writes the registry; the file may not be there yet.

        MissingFileError in a copied online folder, as with :attr:`warehouse`.
        """
        self._require_project()
        return self.target_path / "manifest.json"

    @property
    def warehouse(self) -> Warehouse:
        """The target's warehouse; MissingFileError in a copied online folder."""
        return self._require_project()

    def _require_project(self) -> Warehouse:
        if self.declared_warehouse is None:
            raise MissingFileError(
                PROJECT_FILE,
                self.directory / PROJECT_FILE,
                "This is a copied online folder: it answers online reads and takes pushes. "
                "Training sets and materialize need the dbt project.",
            )
        return self.declared_warehouse

    @property
    def state_directory(self) -> Path:
        """Where fstore keeps the online files of this target: ``.fstore/<target>``."""
        if self.declared_warehouse is None:
            return self.directory
        root = self.settings.online_store.path
        return (Path(root) if root else self.directory / ".fstore") / self.target


def load_project(
    project_dir: str | Path | None = None,
    target: str | None = None,
    profiles_dir: str | Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Project:
    """Return the dbt project in ``project_dir``, read for one target.

    It may also be a folder ``.fstore/<target>`` that was copied to another host to serve there,
    with a fstore.yml in it if need be.

    Without ``project_dir`` it is $DBT_PROJECT_DIR, else the nearest directory upwards from the
    working directory that holds a dbt_project.yml. ``env`` stands for the environment variables
    (by default, the process's own).

    Raises MissingFileError (dbt_project.yml or profiles.yml is not there), UnknownTargetError, and
    ProfileError for whatever else the files say that fstore cannot use. No message holds a value
    that may be secret.
    """
    env = os.environ if env is None else env
    directory = _project_directory(project_dir, env)
    if not (directory / PROJECT_FILE).is_file():
        return _online_folder(directory, env)
    project_file = directory / PROJECT_FILE
    renderer = Renderer(env)
    wanted = {
        key: value
        for key, value in read_mapping(project_file).items()
        if key in ("name", "profile", "target-path")
    }
    declared = {key: _rendered(renderer, project_file, wanted[key], key) for key in wanted}
    for key, value in declared.items():
        if not isinstance(value, str) or not value:
            raise ProfileError(project_file, f"{key}: must be text.")
    if "name" not in declared:
        raise ProfileError(project_file, "has no name; dbt needs one too.")
    profile_name = env.get("DBT_PROFILE") or declared.get("profile")
    if profile_name is None:
        raise ProfileError(
            project_file, "names no profile; write profile: <a profile of profiles.yml>."
        )
    profiles_path = _profiles_path(profiles_dir, directory, env)
    chosen, rendered = _target(
        profiles_path, profile_name, project_file, target or env.get("DBT_TARGET"), renderer
    )
    try:
        warehouse = read_warehouse(rendered, directory)
    except WarehouseKeyError as problem:
        raise ProfileError(profiles_path, f"{profile_name}.outputs.{chosen}.{problem}.") from None
    target_path = env.get("DBT_TARGET_PATH") or declared.get("target-path") or "target"
    return Project(
        directory=directory,
        name=declared["name"],
        profile_name=profile_name,
        target=chosen,
        target_path=(directory / target_path).resolve(),
        profiles_path=profiles_path,
        declared_warehouse=warehouse,
        settings=read_settings(directory, env),
    )


def _project_directory(given: str | Path | None, env: Mapping[str, str]) -> Path:
    named = given if given is not None else env.get("DBT_PROJECT_DIR")
    if named:
        directory = Path(named).expanduser().resolve()
    else:
        here = Path.cwd()
        above = (each for each in (here, *here.parents) if (each / PROJECT_FILE).is_file())
        directory = next(above, here)
    known = (PROJECT_FILE, ONLINE_FILE)
    if not any((directory / name).is_file() for name in known):
        raise MissingFileError(
            PROJECT_FILE,
            directory / PROJECT_FILE,
            "Run in the directory of a dbt project, or name it: --project-dir, or project_dir= in "
            "Python.",
        )
    return directory


def _online_folder(directory: Path, env: Mapping[str, str]) -> Project:
    """Return a folder ``.fstore/<target>`` that was copied to where there is no dbt project."""
    return Project(
        directory=directory,
        name=directory.name,
        profile_name="",
        target=directory.name,
        target_path=directory / "target",
        profiles_path=directory / PROFILES_FILE,
        declared_warehouse=None,
        settings=read_settings(directory, env),
    )


def _profiles_path(given: str | Path | None, directory: Path, env: Mapping[str, str]) -> Path:
    named = given if given is not None else env.get("DBT_PROFILES_DIR")
    if named:
        path = Path(named).expanduser().resolve() / PROFILES_FILE
        if not path.is_file():
            source = "--profiles-dir" if given is not None else "DBT_PROFILES_DIR"
            raise MissingFileError(
                PROFILES_FILE, path, f"{source} must name the directory that holds it."
            )
        return path
    places = (directory, Path.cwd(), Path.home() / ".dbt")
    for place in places:
        if (place / PROFILES_FILE).is_file():
            return place.resolve() / PROFILES_FILE
    others = " nor in ".join(
        dict.fromkeys(str(place) for place in places[1:] if place != directory)
    )
    raise MissingFileError(
        PROFILES_FILE,
        directory / PROFILES_FILE,
        f"Nor is it in {others}. Name its directory: --profiles-dir, or DBT_PROFILES_DIR.",
    )


def _target(
    path: Path, profile_name: str, project_file: Path, wanted: str | None, renderer: Renderer
) -> tuple[str, dict[str, Any]]:
    """Return the chosen target's name and its rendered keys."""
    profiles = read_mapping(path)
    known = [str(name) for name in profiles if name != "config"]
    if profile_name not in profiles:
        raise ProfileError(
            path,
            f"has no profile {profile_name}, which {project_file} asks for; it has: "
            f"{listed(known)}.{did_you_mean(profile_name, known)}",
        )
    profile = profiles[profile_name] if isinstance(profiles[profile_name], dict) else {}
    outputs = profile.get("outputs")
    if not isinstance(outputs, dict) or not outputs:
        raise ProfileError(path, f"profile {profile_name} has no outputs.")
    if wanted is None:
        wanted = _rendered(renderer, path, profile.get("target", "default"), "target")
    if not isinstance(wanted, str) or wanted not in outputs:
        raise UnknownTargetError(str(wanted), profile_name, path, [str(name) for name in outputs])
    if Path(wanted).name != wanted or wanted in (".", ".."):
        raise ProfileError(path, f"target {wanted!r} cannot be the name of a folder; rename it.")
    where = f"{profile_name}.outputs.{wanted}"
    if not isinstance(outputs[wanted], dict):
        raise ProfileError(path, f"{where} must hold keys and values.")
    return wanted, _rendered(renderer, path, outputs[wanted], where)


def _rendered(renderer: Renderer, path: Path, value: Any, key: str) -> Any:
    try:
        return renderer.render(value, key)
    except RenderError as problem:
        raise ProfileError(path, f"{problem}.") from None
