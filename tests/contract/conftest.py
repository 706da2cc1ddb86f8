"""The server that the front door's contracts are tried on."""

from __future__ import annotations

import pytest
from tests.e2e.conftest import ServerProcess, server

from .world import World

__all__ = ["server"]


@pytest.fixture(scope="module")
def world(server: ServerProcess) -> World:
    """The server, seen by its administrator."""
    return World(server)
