"""What users, roles and groups have alike: attached and inline policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyturn.console.confirmation import check_confirmed
from keyturn.console.policy_targets import HOLDERS
from keyturn.console.replies import Redirect, Reply, address
from keyturn.console.routing import ShowPage, action
from keyturn.console.visit import Visit

_MOST = 100


def holder_parts(visit: Visit, kind: str, name: str) -> Mapping[str, Any]:
    """Return the policies of a user, role or group for its page, and what may be done with them."""
    holder = {HOLDERS[kind]: name}
    allow = visit.clients.allow
    return {
        "kind": kind,
        "name": name,
        "attached": visit.look("iam", f"list_attached_{kind}_policies", **holder, MaxItems=_MOST),
        "inline": visit.look("iam", f"list_{kind}_policies", **holder, MaxItems=_MOST),
        "may_policies": {
            "attach": allow("iam", f"attach_{kind}_policy", **holder, PolicyArn="arn:aws:iam::aws:policy/Example"),
            "detach": allow("iam", f"detach_{kind}_policy", **holder, PolicyArn="arn:aws:iam::aws:policy/Example"),
            "put": allow("iam", f"put_{kind}_policy", **holder, PolicyName="new", PolicyDocument="{}"),
            "delete": allow("iam", f"delete_{kind}_policy", **holder, PolicyName="new"),
        },
    }


def offer_policies(kind: str, show: ShowPage) -> None:
    """Register what is done with the policies of users, roles or groups; ``show`` shows what kept it from that."""
    iam_name = HOLDERS[kind]

    def back(visit: Visit, notice: str) -> Redirect:
        return Redirect(address(f"access/{kind}", name=visit.asked("name")), notice)

    @action(f"access/{kind}/attach", shows=show)
    def attach(visit: Visit) -> Reply:
        arn = visit.form.line("arn")
        _iam(visit, f"attach_{kind}_policy")(**{iam_name: visit.asked("name")}, PolicyArn=arn)
        return back(visit, f"{arn.rpartition('/')[2]} is attached.")

    @action(f"access/{kind}/detach", shows=show)
    def detach(visit: Visit) -> Reply:
        arn = visit.form.line("arn")
        _iam(visit, f"detach_{kind}_policy")(**{iam_name: visit.asked("name")}, PolicyArn=arn)
        return back(visit, f"{arn.rpartition('/')[2]} is not attached any more.")

    @action(f"access/{kind}/inline/delete", shows=show)
    def delete_inline(visit: Visit) -> Reply:
        policy = visit.form.line("policy")
        check_confirmed(visit.form, policy)
        _iam(visit, f"delete_{kind}_policy")(**{iam_name: visit.asked("name")}, PolicyName=policy)
        return back(visit, f"The policy {policy} is deleted.")


def _iam(visit: Visit, operation: str) -> Any:
    return getattr(visit.clients["iam"], operation)
