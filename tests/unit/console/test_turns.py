from __future__ import annotations

import asyncio

from keyturn.console.turns import Places, Turns


def test_one_owner_waits_for_a_turn_and_others_do_not() -> None:
    turns = Turns(2)
    begun: list[str] = []

    async def act(owner: str, end: asyncio.Event) -> None:
        async with turns.of(owner):
            begun.append(owner)
            await end.wait()

    async def main() -> None:
        end = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for owner in ("ann", "ann", "ann", "ben"):
                tasks.create_task(act(owner, end))
            for _ in range(10):
                await asyncio.sleep(0)
            assert begun == ["ann", "ann", "ben"]
            end.set()

    asyncio.run(main())

    assert sorted(begun) == ["ann", "ann", "ann", "ben"]
    # Nothing is kept of those who are gone.
    assert not turns._limiters


def test_places_are_free_up_to_a_number_of_each_and_of_all() -> None:
    places = Places(2, 1)

    with places.of("ann"):
        assert not places.are_free_for("ann")
        assert places.are_free_for("ben")
        with places.of("ben"):
            assert not places.are_free_for("cem")

    assert places.are_free_for("ann")
    assert not places._taken
