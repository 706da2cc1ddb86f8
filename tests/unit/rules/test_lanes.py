from __future__ import annotations

from keyturn.rules.lanes import Lane, Limits, Places

LIMITS = Limits(total=16, per_function=10, per_database=4)


def taken(places: Places, function_arn: str, count: int, database: str = "") -> int:
    return sum(places.take(Lane(function_arn, database)) for _ in range(count))


def test_a_function_gets_at_most_half_of_what_the_others_leave() -> None:
    places = Places(LIMITS, [])

    assert [taken(places, name, 100) for name in "abcde"] == [8, 4, 2, 1, 1]
    assert places.free == 0
    assert places.full_functions == list("abcde")


def test_a_function_has_its_own_bound() -> None:
    assert taken(Places(Limits(16, 3, 4), []), "a", 100) == 3


def test_a_database_has_its_own_bound_across_functions() -> None:
    places = Places(LIMITS, [Lane("a", "db"), Lane("b", "db")])

    assert taken(places, "a", 1, "db") == 1
    assert taken(places, "c", 10, "db") == 1
    assert places.full_databases == ["db"]
    assert taken(places, "a", 1, "other") == 1


def test_what_is_not_known_is_bounded_by_the_total_only() -> None:
    places = Places(LIMITS, [])

    assert taken(places, "", 100) == 16
    assert places.full_functions == places.full_databases == []


def test_one_place_is_always_enough_for_one() -> None:
    assert taken(Places(Limits(1, 1, 1), []), "a", 5, "db") == 1
