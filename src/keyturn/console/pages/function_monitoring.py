"""Monitoring: what a function did, which invocations failed, and the way to their lines in the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from keyturn.console.charts import Chart, Series, chart
from keyturn.console.failures import Failures, jump_to, jump_to_invocation, newest_failures
from keyturn.console.function_facts import FunctionFacts, function_facts, function_page, rotated_by
from keyturn.console.function_metrics import Monitoring, monitoring
from keyturn.console.moments import TITLES, Period, asked_period
from keyturn.console.render import milliseconds, plural
from keyturn.console.replies import Reply
from keyturn.console.visit import Refused, Visit
from keyturn.errors.base import KeyturnError

_SECRETS_SHOWN = 10


def show(visit: Visit) -> Reply:
    """Show it."""
    facts = function_facts(visit)
    wrong = None
    try:
        period = asked_period(visit)
    except KeyturnError as error:
        wrong = Refused("", " ".join((error.message, *error.hints)), is_denial=False, status=400)
        period = asked_period(replace(visit, query={}))
    told = monitoring(visit, facts.name, period)
    failures = newest_failures(visit, facts.group, period.begin, period.end)
    shown = {
        "period": period,
        "titles": TITLES,
        "wrong": wrong,
        "told": told,
        "charts": [] if told.refused else _charts(told, failures, facts, period),
        "rows": _rows(told, period),
        "failures": failures,
        "may_read_log": visit.clients.allow("logs", "filter_log_events", logGroupName=facts.group),
        "rotates": rotated_by(visit, facts, _SECRETS_SHOWN),
        "jump_to": lambda at: f"/console/{jump_to(facts.group, failures, at, period.step, facts.timeout_seconds)}",
        "jump": lambda failed: f"/console/{jump_to_invocation(facts.group, failed)}",
    }
    return function_page(facts, "monitoring", shown)


def _charts(told: Monitoring, failures: Failures, facts: FunctionFacts, period: Period) -> list[Chart]:
    def counted(one: str) -> Series:
        return Series(told.values[one.rpartition(" ")[2] + "s"], lambda value: plural(int(value), one))

    def jump(at: datetime) -> str:
        return f"/console/{jump_to(facts.group, failures, at, period.step, facts.timeout_seconds)}"

    total = {name: told.total(name) for name in ("invocations", "errors", "throttles")}
    errors = Series(told.values["errors"], lambda value: plural(int(value), "error"), link=jump)
    average = Series(told.values["average"], milliseconds, milliseconds)
    longest = Series(told.values["longest"], lambda value: f"{milliseconds(value)} at most")
    return [
        chart("Invocation errors", plural(total["errors"], "error"), period, errors, kind="bad"),
        chart("Invocations", plural(total["invocations"], "invocation"), period, counted("invocation")),
        chart(
            "Duration",
            f"{milliseconds(told.average_ms)} on average, {milliseconds(told.longest_ms)} at most",
            period, average, behind=longest,
        ),
        chart("Throttles", plural(total["throttles"], "throttle"), period, counted("throttle"), kind="bad"),
    ]  # fmt: skip


def _rows(told: Monitoring, period: Period) -> list[dict[str, object]]:
    """Return the same numbers for a table: steps in which something happened, newest first."""
    moments = [at for at in reversed(period.slots) if any(at in values for values in told.values.values())]
    return [{"at": at, **{name: values.get(at) for name, values in told.values.items()}} for at in moments]
