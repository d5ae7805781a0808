"""One generation of the online folder, open for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fstore.definitions import Column, FeatureView, Registry
from fstore.online.duckdb_file import rebuilt_image
from fstore.online.generation import (
    Catalog,
    Declared,
    image_file,
    log_file,
    read_declared,
)
from fstore.online.image import Image, NotAnImageError
from fstore.online.lookup import index_lookup
from fstore.online.protocol import Lookup, Lookups
from fstore.online.pushes import PushLog
from fstore.online.records import Layout


@dataclass(frozen=True)
class FileGeneration:
    """One generation of the folder. What it has opened stays readable while it is held."""

    folder: Path
    catalog: Catalog

    @cached_property
    def declared(self) -> Declared:
        return read_declared(self.folder, self.catalog)

    @property
    def registry(self) -> Registry:
        return self.declared.registry

    @property
    def columns(self) -> Mapping[str, tuple[Column, ...]]:
        return self.declared.columns

    @cached_property
    def images(self) -> dict[str, Image | None]:
        """The image of each view; None where there is none that this version reads."""
        return {reference: self._opened(reference) for reference in self.catalog.views}

    @cached_property
    def views_with_layouts(self) -> dict[str, tuple[FeatureView, Layout]]:
        """The views that are published, with the layout of their rows."""
        views = [self.registry.views_by_reference[reference] for reference in self.catalog.views]
        return {
            view.reference: (view, Layout.of(view, self.columns[view.reference])) for view in views
        }

    @cached_property
    def log(self) -> PushLog:
        return PushLog(self.folder / log_file(self.catalog.generation), self.views_with_layouts)

    def image(self, reference: str) -> Image:
        """Return the image of a view, made from its rows where the folder has none."""
        image = self.images[reference]
        if image is None:
            path = self.folder / self.catalog.views[reference].file
            view = self.registry.views_by_reference[reference]
            image = self.images[reference] = rebuilt_image(path, view, self.columns[reference])
        return image

    def _opened(self, reference: str) -> Image | None:
        path = self.folder / image_file(self.catalog.views[reference].file)
        try:
            return Image.open(path, self.views_with_layouts[reference][1])
        except (FileNotFoundError, NotAnImageError):
            if not (self.folder / self.catalog.views[reference].file).exists():
                raise FileNotFoundError(path) from None
            return None

    def lookup(self, view: FeatureView, features: tuple[str, ...]) -> Lookup:
        published = self.catalog.views[view.reference]
        known = self.log.known[view.reference]
        image = self.image(view.reference)
        return index_lookup(view, features, image, published.generation, known)

    def lookups(self, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]) -> Lookups:
        reads = [self.lookup(view, features) for view, features in asked]
        return lambda asked: [read(*each) for read, each in zip(reads, asked, strict=True)]
