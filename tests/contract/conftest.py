"""The server that the front door's contracts are tried on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.conftest import ServerProcess, server
from tests.e2e.raw_http import Wire

from .door import Door
from .world import World

__all__ = ["server"]


@pytest.fixture(scope="module")
def world(server: ServerProcess) -> World:
    """The server, seen by its administrator."""
    return World(server)


@pytest.fixture(scope="module")
def door(server: ServerProcess) -> Iterator[Door]:
    """The server, seen from a socket."""
    with Wire(server) as wire:
        yield Door(server, wire)
