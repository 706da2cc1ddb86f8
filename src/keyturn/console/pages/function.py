"""A function's page: which of its tabs is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from keyturn.console.pages import (
    function_code,
    function_configuration,
    function_monitoring,
    function_test,
    function_versions,
)
from keyturn.console.replies import Reply
from keyturn.console.routing import ShowPage, page
from keyturn.console.visit import Visit

_TABS: Final[Mapping[str, ShowPage]] = {
    "monitoring": function_monitoring.show,
    "code": function_code.show,
    "test": function_test.show,
    "configuration": function_configuration.show,
    "versions": function_versions.show,
}


@page("function", needs="name", chosen_in="functions")
def show(visit: Visit) -> Reply:
    """Show the tab that is asked for, Monitoring if none is."""
    return _TABS.get(visit.query.get("tab", ""), function_monitoring.show)(visit)
