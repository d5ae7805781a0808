"""One generation of the online folder, open for reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fstore.definitions import Column, FeatureView, Registry
from fstore.online.duckdb_file import rebuilt_events, rebuilt_image
from fstore.online.event_file import EventFile, open_events
from fstore.online.event_layout import EventLayout
from fstore.online.event_state import EventState, event_lookup
from fstore.online.generation import (
    Catalog,
    Declared,
    block_file,
    image_file,
    keys_file,
    log_file,
    read_declared,
)
from fstore.online.image import Image, NotAnImageError
from fstore.online.lookup import index_lookup
from fstore.online.protocol import Asked, Columns, Lookup, Lookups
from fstore.online.pushes import PushLog
from fstore.online.records import Layout, Row
from fstore.online.windows import WindowPlan


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

    def open_files(self) -> None:
        """Map what reads need; FileNotFoundError where the generation has been cleaned away."""
        for reference, (view, _) in self.views_with_layouts.items():
            self.images[reference]
            if view.windows:
                self.events(reference)

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
        """Prepare to read features of a view. Only a row of a view without events is read in one
        step: for all else, who reads holds the log's lock.
        """
        published = self.catalog.views[view.reference]
        known = self.log.known[view.reference]
        image = self.image(view.reference)
        of_columns = tuple(name for name in features if name not in view.windows_by_name)
        rows = index_lookup(view, of_columns, image, published.generation, known)
        of_windows = tuple(name for name in features if name in view.windows_by_name)
        lock = self.log.lock
        if not view.windows:
            return rows
        if not of_windows:

            def plain(key: bytes | None, at: int) -> Row:
                with lock:
                    return rows.row(key, at)

            return Lookup(plain, rows.columns)
        events, state = self.events(view.reference)
        plan = WindowPlan(view, self.columns[view.reference], of_windows)
        cells = event_lookup(
            plan, state, events.block, events.finder(), published.generation, known
        )

        def row(key: bytes | None, at: int) -> Row:
            with lock:
                return rows.row(key, at) + cells(key, at)

        def columns(keys: Sequence[bytes | None], at: int) -> Columns:
            counted = {key: cells(key, at) for key in dict.fromkeys(keys)}
            windows = [counted[key] for key in keys]
            return [*rows.columns(keys, at), *zip(*windows, strict=True)]

        return Lookup(row, columns)

    def events(self, reference: str) -> tuple[EventFile, EventState]:
        """Return the events of a view, and what makes one of them and of what is pushed."""
        known = self._events.get(reference)
        if known is None:
            view, rows = self.views_with_layouts[reference]
            layout = EventLayout.of(view, self.columns[reference])
            known = (self._opened_events(reference, layout), EventState(view, layout, rows))
            self._events[reference] = known
        return known

    @cached_property
    def _events(self) -> dict[str, tuple[EventFile, EventState]]:
        return {}

    def _opened_events(self, reference: str, layout: EventLayout) -> EventFile:
        published = self.catalog.views[reference]
        path = self.folder / published.file
        block, keys = (path.with_name(name(path.name)) for name in (block_file, keys_file))
        try:
            return open_events(block, keys, layout)
        except (FileNotFoundError, ValueError):  # none, or none of this format
            view = self.views_with_layouts[reference][0]
            return rebuilt_events(path, view, self.columns[reference], published.as_of)

    def lookups(self, asked: Sequence[tuple[FeatureView, tuple[str, ...]]]) -> Lookups:
        reads = [self.lookup(view, features) for view, features in asked]
        lock = self.log.lock

        def columns(asked: Sequence[Asked]) -> Sequence[Columns]:
            with lock:
                return [read.columns(*each) for read, each in zip(reads, asked, strict=True)]

        if len(reads) == 1:  # as most often: nothing to pair
            ((row, _),) = reads
            return Lookups(lambda asked: (row(asked[0][0][0], asked[0][1]),), columns)
        return Lookups(
            lambda asked: [
                read.row(keys[0], at) for read, (keys, at) in zip(reads, asked, strict=True)
            ],
            columns,
        )
