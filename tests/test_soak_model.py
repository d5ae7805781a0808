"""The soak's model: what a read may return beside pushes, deletions and materializes."""

from __future__ import annotations

from tests.soak_model import DELETE, PUSH, SOURCE, VISIT, History, Operation, visits_in_source


def source(serial: int, stamp: int, began: int, ended: int | None) -> Operation:
    return Operation(SOURCE, None, serial, stamp, began, ended or began + 50, ended is not None)


def push(serial: int, stamp: int, ended: int | None, began: int | None = None) -> Operation:
    return Operation(PUSH, 0, serial, stamp, began or stamp, ended or stamp + 50, ended is not None)


def delete(serial: int, began: int, ended: int | None) -> Operation:
    return Operation(DELETE, 0, serial, began, began, ended or began + 50, ended is not None)


def visit(serial: int, began: int, ended: int | None) -> Operation:
    return Operation(VISIT, 0, serial, began, began, ended or began + 50, ended is not None)


FIRST = source(1, 0, 0, 10)


def allowed(*done: Operation, began: int, ended: int) -> set[int | None]:
    return History([FIRST, *done], 1).acceptable(0, began, ended)


def test_nothing_but_what_is_there() -> None:
    assert allowed(began=20, ended=25) == {1}
    assert allowed(began=5, ended=8) == {1, None}


def test_a_push_may_be_seen_once_it_began_and_must_be_once_it_is_acknowledged() -> None:
    assert allowed(push(2, 100, 110), began=90, ended=95) == {1}
    assert allowed(push(2, 100, 110), began=105, ended=107) == {1, 2}
    assert allowed(push(2, 100, 110), began=110, ended=115) == {2}
    assert allowed(push(2, 100, None), began=900, ended=950) == {1, 2}


def test_a_stale_push_never_wins() -> None:
    assert allowed(push(2, 100, 110), push(3, 50, 130, began=120), began=140, ended=150) == {2}


def test_a_deletion_hides_what_was_before() -> None:
    done = (push(2, 100, 110), delete(3, 200, 210))
    assert allowed(*done, began=205, ended=208) == {2, 1, None}
    assert allowed(*done, began=220, ended=230) == {None}
    assert allowed(*done, push(4, 150, 260, began=250), began=270, ended=280) == {None}
    assert allowed(*done, push(4, 250, 260), began=270, ended=280) == {4}
    assert allowed(push(2, 100, 110), delete(3, 200, None), began=900, ended=950) == {2, 1, None}


def test_a_materialize_brings_back_what_was_deleted_before_it_began() -> None:
    gone = delete(3, 200, 210)
    assert allowed(gone, source(4, 190, 220, 300), began=250, ended=260) == {4, None}
    assert allowed(gone, source(4, 190, 220, 300), began=310, ended=320) == {4}
    assert allowed(gone, source(4, 190, 150, 300), began=310, ended=320) == {4, None}
    assert allowed(gone, source(4, 190, 150, 195), began=310, ended=320) == {None}
    assert allowed(gone, source(4, 190, 220, None), began=310, ended=320) == {4, None}


def counted(*done: Operation, began: int, ended: int) -> set[int]:
    return History([FIRST, *done], 1).acceptable_visits(0, began, ended)


def test_visits_that_were_pushed_count_beside_those_of_the_source() -> None:
    here = visits_in_source(1)
    assert counted(began=20, ended=25) == {here}
    done = visit(2, 100, 110), visit(3, 120, 130)
    assert counted(*done, began=90, ended=95) == {here}
    assert counted(*done, began=90, ended=105) == {here, here + 1}
    assert counted(*done, began=115, ended=118) == {here + 1}
    assert counted(*done, began=115, ended=125) == {here + 1, here + 2}
    assert counted(visit(2, 100, None), began=900, ended=950) == {here, here + 1}


def test_visits_of_a_source_are_those_of_the_next_once_it_is_published() -> None:
    here, there = visits_in_source(1), visits_in_source(2)
    following = source(2, 190, 200, 300)
    assert counted(following, began=150, ended=160) == {here}
    assert counted(following, began=250, ended=260) == {here, there}
    assert counted(following, visit(3, 100, 110), began=310, ended=320) == {there + 1}
    assert counted(source(2, 190, 200, None), began=900, ended=950) == {here, there}
