"""A managed policy: its versions, its document, and who has it."""

from __future__ import annotations

from keyturn.console.confirmation import check_confirmed
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.visit import Visit


@page("access/policy", needs="arn", chosen_in="access?tab=policies")
def show(visit: Visit) -> Reply:
    """Show a managed policy, in its default version or another."""
    arn = visit.asked("arn")
    policy = visit.clients["iam"].get_policy(PolicyArn=arn)["Policy"]
    version = visit.asked("version") or policy["DefaultVersionId"]
    allow = visit.clients.allow
    is_own = f":{visit.principal.account_id}:" in arn
    return Html(
        "access_policy.html",
        {
            "policy": policy,
            "version": version,
            "document": visit.look("iam", "get_policy_version", PolicyArn=arn, VersionId=version),
            "versions": visit.look("iam", "list_policy_versions", PolicyArn=arn),
            "entities": visit.look("iam", "list_entities_for_policy", PolicyArn=arn, MaxItems=100),
            "may": {
                "change": is_own and allow("iam", "create_policy_version", PolicyArn=arn, PolicyDocument="{}"),
                "default": is_own and allow("iam", "set_default_policy_version", PolicyArn=arn, VersionId=version),
                "delete_version": is_own and allow("iam", "delete_policy_version", PolicyArn=arn, VersionId=version),
                "delete": is_own and allow("iam", "delete_policy", PolicyArn=arn),
            },
        },
    )


@action("access/policy/default", shows=show)
def set_default(visit: Visit) -> Reply:
    """Put another version in force."""
    arn, version = visit.asked("arn"), visit.form.line("version")
    visit.clients["iam"].set_default_policy_version(PolicyArn=arn, VersionId=version)
    return Redirect(address("access/policy", arn=arn), f"Version {version} is in force.")


@action("access/policy/version/delete", shows=show)
def delete_version(visit: Visit) -> Reply:
    """Delete a version that is not in force."""
    arn, version = visit.asked("arn"), visit.form.line("version")
    check_confirmed(visit.form, version)
    visit.clients["iam"].delete_policy_version(PolicyArn=arn, VersionId=version)
    return Redirect(address("access/policy", arn=arn), f"Version {version} is deleted.")


@action("access/policy/delete", shows=show)
def delete_policy(visit: Visit) -> Reply:
    """Delete a policy that nobody has."""
    arn = visit.asked("arn")
    check_confirmed(visit.form, arn.rpartition("/")[2])
    visit.clients["iam"].delete_policy(PolicyArn=arn)
    return Redirect(address("access", tab="policies"), f"The policy {arn.rpartition('/')[2]} is deleted.")
