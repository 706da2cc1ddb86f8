"""What the server runs with."""

from __future__ import annotations

from keyturn.console.replies import Html, Reply
from keyturn.console.routing import page
from keyturn.console.visit import Visit


@page("settings", title="Settings", order=100, calls={"keyturn": ["get_server_status"]})
def show(visit: Visit) -> Reply:
    """Show it."""
    return Html("settings.html", {"status": visit.look("keyturn", "get_server_status")})
