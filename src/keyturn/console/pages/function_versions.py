"""Versions: what a function was when it was published, and the aliases that name one."""

from __future__ import annotations

from typing import Any

from keyturn.console.function_facts import function_facts, function_page
from keyturn.console.pages.functions import modified_at
from keyturn.console.replies import Redirect, Reply, address
from keyturn.console.routing import action
from keyturn.console.visit import Visit


def show(visit: Visit) -> Reply:
    """Show them."""
    facts = function_facts(visit)
    more: dict[str, Any] = {"Marker": visit.asked("next")} if visit.asked("next") else {}
    versions = visit.look("lambda", "list_versions_by_function", FunctionName=facts.name, **more)
    shown = {
        "versions": versions,
        "rows": [{**each, "LastModified": modified_at(each["LastModified"])} for each in versions.get("Versions", ())],
        "aliases": visit.look("lambda", "list_aliases", FunctionName=facts.name),
        "may_publish": visit.clients.allow("lambda", "publish_version", FunctionName=facts.name),
    }
    return function_page(facts, "versions", shown)


@action("function/publish", shows=show)
def publish(visit: Visit) -> Reply:
    """Keep the function as it is now, under a number."""
    name = visit.asked("name")
    made = visit.clients["lambda"].publish_version(FunctionName=name, Description=visit.form.line("description"))
    return Redirect(address("function", name=name, tab="versions"), f"It is version {made['Version']}.")
