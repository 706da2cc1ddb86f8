"""The server that the front door's contracts are tried on."""

from ..e2e.conftest import ServerProcess, server

__all__ = ["ServerProcess", "server"]
