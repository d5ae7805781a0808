"""Which way a view's winners are found, or its windows computed: the cheapest, or as is asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fstore.compile.places import Places
from fstore.compile.request import FeatureRequest, Join, columns_asked, windows_asked
from fstore.errors import RequestError, did_you_mean


class Plan(StrEnum):
    """The ways to find winners. All give the same rows (see :mod:`fstore.compile.find`)."""

    PAIRS = "pairs"
    BOUNDED = "bounded"
    BUCKETED = "bucketed"
    ASOF = "asof"
    PLACED = "placed"


class WindowPlan(StrEnum):
    """The ways to compute windows. All give the same rows (see :mod:`fstore.compile.windows`)."""

    BANDS = "bands"
    TILES = "tiles"
    MIXED = "mixed"


@dataclass(frozen=True)
class Windowed:
    """The plan taken for the windows of a join, and why."""

    plan: WindowPlan
    reason: str


@dataclass(frozen=True)
class Sizes:
    """What is known of one join before it runs.

    ``spine_rows`` are counted, the other numbers estimated: of the ``rows`` of the view,
    ``matched`` have a key that the spine asks for; ``pairs`` of a spine row and a row have equal
    keys; of them, ``visible`` are visible pairs, and ``stretched`` lie in the two stretches of a
    ttl that a spine row looks at (both None where no ttl bounds them). ``features`` is how many
    columns are fetched.
    """

    rows: int
    spine_rows: int
    matched: int
    pairs: int
    visible: int | None
    stretched: int | None
    features: int


@dataclass(frozen=True)
class Taken:
    """The plan taken for a join, and why.

    ``computed``: the view is more than a scan, and is computed once. ``unique``: its rows are known
    to have no ties on keys and E. ``places`` says how its rows are numbered, where the winners are
    fetched by their numbers.
    """

    plan: Plan
    reason: str
    computed: bool = False
    unique: bool = False
    spine_rows: int | None = None  # None where they were not counted
    windows: Windowed | None = None  # where windows are asked of it
    rows: bool = True  # False where nothing but windows is
    places: Places | None = None


def plan_named(name: str | None) -> Plan | WindowPlan | None:
    """Return the plan that the caller forces; None where the choice is ours."""
    if name is None:
        return None
    for kind in (Plan, WindowPlan):
        if name in tuple(kind):
            return kind(name)
    rows, windows = ([plan.value for plan in kind] for kind in (Plan, WindowPlan))
    raise RequestError(
        f"plan {name!r} is not one: give {', '.join(rows)}, or for window features "
        f"{', '.join(windows)}; or leave it out and the cheapest is taken."
        f"{did_you_mean(str(name), [*rows, *windows])}"
    )


def check_forced(request: FeatureRequest, plan: Plan | WindowPlan | None) -> None:
    """Raise RequestError where nothing that is asked can be had by the plan that is forced."""
    if plan is None:
        return
    of_rows = [join for join in request.joins if columns_asked(request, join)]
    has_windows = any(windows_asked(request, join) for join in request.joins)
    if isinstance(plan, WindowPlan):
        if not has_windows:
            known = ", ".join(other.value for other in Plan)
            raise RequestError(
                f"plan {plan.value!r} computes windows, and no window feature is asked: give "
                f"{known}, or none."
            )
        return
    if not of_rows:
        known = ", ".join(other.value for other in WindowPlan)
        raise RequestError(
            f"plan {plan.value!r} finds rows, and only window features are asked: give {known}, "
            "or none."
        )
    if plan is not Plan.BUCKETED:
        return
    without = [join.view.reference for join in of_rows if join.view.ttl is None]
    if without:
        raise RequestError(
            f"plan 'bucketed' cuts time into stretches of a ttl, and {without[0]} has none: give "
            "it a ttl, or take another plan."
        )


# The plans that keep a row's number from where they find it, if rows are numbered; and how many
# visible pairs a spine row may have for that, on average, before it costs more than it saves.
BY_NUMBER = (Plan.BOUNDED, Plan.BUCKETED)
_KEPT_PAIRS = 8

# Spine rows up to which the look at a sample, for which DuckDB reads the columns of a Parquet file
# whole, takes longer than the best plan would save.
FEW = 3_000

# Nanoseconds of one core, roughly, from trials on tables and Parquet of 5 million rows. How well
# they choose is measured: docs/benchmarks.md has the plan chosen beside every plan forced.
_SCAN = 10  # a row's keys and clocks read and looked up, where no key matches
_FEATURE = 4  # one feature of one row read
_PROBE = 60  # a row whose key is asked for looked up among the spine's
_PAIR = 12  # two rows of equal key compared
_MATCH = 60  # a visible pair taken into the aggregate
_CARRY = 25  # one feature of a visible pair kept
_ORDER = 14  # a row put in order, for each halving of the rows
_FETCH = 40  # a row looked up among those found


def costs(join: Join, sizes: Sizes) -> dict[Plan, float]:
    """Return what each plan that can serve costs, in nanoseconds of one core."""
    scan = sizes.rows * _SCAN + sizes.matched * _PROBE
    wide = sizes.rows * sizes.features * _FEATURE
    fetch = sizes.rows * (_SCAN + _FETCH) + wide
    seen = _seen(sizes)
    ordered = sizes.matched + sizes.spine_rows
    found: dict[Plan, float] = {
        Plan.ASOF: scan + ordered * max(ordered, 2).bit_length() * _ORDER + fetch,
        Plan.BOUNDED: scan + sizes.pairs * _PAIR + seen * _MATCH + fetch,
        Plan.PAIRS: scan + wide + sizes.pairs * _PAIR + seen * (_MATCH + sizes.features * _CARRY),
    }
    if join.view.ttl is not None and sizes.stretched is not None:
        found[Plan.BUCKETED] = (
            scan + sizes.spine_rows * _PROBE + sizes.stretched * _PAIR + seen * _MATCH + fetch
        )
    return found


def choose(
    join: Join,
    sizes: Sizes | None,
    forced: Plan | None,
    places: Places | None,
    *,
    computed: bool,
    unique: bool,
) -> Taken:
    """Return the plan for a join: the one forced, else the cheapest by what is known."""
    if forced is not None:
        numbers = places if forced in BY_NUMBER else None
        return Taken(forced, "asked for by plan=", computed, unique, places=numbers)
    if not join.keys:
        return Taken(Plan.ASOF, "it has no join key: every row is of one key", computed, unique)
    if sizes is None:
        what = join.view.reference if computed else "entity_df"
        reason = f"{what} is computed as it is read, so how many rows meet is unknown"
        return Taken(Plan.ASOF, reason, computed, unique)
    found = costs(join, sizes)
    cheapest = min(found, key=lambda plan: found[plan])
    reason = _why(cheapest, sizes, found)
    if cheapest not in BY_NUMBER or _seen(sizes) > _KEPT_PAIRS * sizes.spine_rows:
        places = None
    if places:
        reason += "; winners are read by their row numbers"
    return Taken(cheapest, reason, computed, unique, sizes.spine_rows, places=places)


def _seen(sizes: Sizes) -> int:
    """Return how many visible pairs are expected, or all of equal key where nothing bounds them."""
    return sizes.pairs if sizes.visible is None else sizes.visible


def without_look(
    join: Join, places: Places | None, forced: Plan | None, spine_rows: int | None, *, unique: bool
) -> Taken | None:
    """Return the plan for what needs no look at a sample; None where there is something to choose.

    ``spine_rows`` are at most so many, None where that is unknown. The rows of a few keys are put
    in order in any case, however many they are, and only the winners are read.
    """
    if forced is Plan.PLACED:
        if places is None:
            view = join.view
            raise RequestError(
                f"plan 'placed' fetches rows by their numbers, and {view.reference} ({view.file}) "
                "has none: it is neither a table of DuckDB nor a view of all rows of one local "
                "Parquet file. Take another plan."
            )
        return Taken(forced, "asked for by plan=", unique=unique, places=places)
    if forced is None and places and join.keys and spine_rows is not None and spine_rows <= FEW:
        reason = f"{spine_rows:,} spine rows are too few for a look at a sample"
        return Taken(Plan.PLACED, reason, unique=unique, spine_rows=spine_rows, places=places)
    return None


# Events of an average key of which the windows of this many spine rows hold each: from here on it
# pays to look whether keys are hot, which takes three more scans, and to cut those into tiles.
_WORTH_TILES = 4


def choose_windows(join: Join, sizes: Sizes | None, forced: WindowPlan | None) -> Windowed:
    """Return the plan for the windows of a join: the one forced, else by what is known.

    ``sizes`` are those of a view whose ttl is the longest window.
    """
    if forced is not None:
        return Windowed(forced, "asked for by plan=")
    if not join.keys:
        return Windowed(WindowPlan.TILES, "it has no join key: every event is of one key")
    if sizes is None:
        reason = "how many rows meet is unknown, and it can never be far worse than the others"
        return Windowed(WindowPlan.MIXED, reason)
    pairs = sizes.pairs if sizes.visible is None else sizes.visible
    looked = pairs / max(sizes.matched, 1)
    plan = WindowPlan.MIXED if looked > _WORTH_TILES else WindowPlan.BANDS
    return Windowed(
        plan,
        f"about {pairs:,} pairs of an event and a spine row that has it in its longest window, "
        f"{looked:,.1f} for each of {sizes.matched:,} events; tiles are for more than "
        f"{_WORTH_TILES}",
    )


def _why(plan: Plan, sizes: Sizes, found: dict[Plan, float]) -> str:
    pairs = f"{sizes.pairs:,} pairs of equal key"
    if sizes.visible is not None:
        pairs += f", {sizes.visible:,} of them within ttl"
    others = ", ".join(
        f"{other.value} {cost / 1e9:,.2f}"
        for other, cost in sorted(found.items(), key=lambda it: it[1])
        if other is not plan
    )
    return (
        f"about {sizes.rows:,} rows under {sizes.spine_rows:,} spine rows, {pairs}; "
        f"expected to take {found[plan] / 1e9:,.2f} s of one core ({others})"
    )
