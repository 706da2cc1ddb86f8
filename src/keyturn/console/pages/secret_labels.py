"""Moving staging labels: to a version, or off it.

The form names the version that has the label, so that nobody moves what somebody else has moved meanwhile.
"""

from __future__ import annotations

from keyturn.console.confirmation import check_confirmed
from keyturn.console.pages.secret import SERVICE, known, may
from keyturn.console.replies import Html, Redirect, Reply, address
from keyturn.console.routing import action, page
from keyturn.console.secret_versions import MEANINGS, drawn
from keyturn.console.visit import Visit

_CURRENT = "AWSCURRENT"


@page("secret/labels", needs="id", chosen_in="secrets")
def show(visit: Visit) -> Reply:
    """Show what can be done with the labels of one version."""
    secret, _ = known(visit)
    listed = visit.look(
        SERVICE, "list_secret_version_ids", SecretId=secret["ARN"], IncludeDeprecated=True, MaxResults=100
    )
    picture = drawn(listed.get("Versions", []), secret.get("VersionIdsToStages", {}))
    version_id = visit.asked("version")
    version = picture.find(version_id)
    held = {label: each.version_id for each in picture.labelled for label in each.labels}
    movable = {label: holder for label, holder in held.items() if holder != version_id}
    return Html(
        "secret_labels.html",
        {
            "secret": secret,
            "version_id": version_id,
            "chosen": version,
            "movable": movable,
            "meanings": MEANINGS,
            "is_allowed": may(visit, secret["ARN"], "update_secret_version_stage")["update_secret_version_stage"],
        },
    )


@action("secret/labels", shows=show)
def move(visit: Visit) -> Reply:
    """Move a label to a version, give it a new one, or take one off."""
    form, secret_id, version_id = visit.form, visit.asked("id"), visit.asked("version")
    label, holder = form.line("label"), form.line("holder")
    if label == _CURRENT:
        check_confirmed(form, _CURRENT)
    moved = {"RemoveFromVersionId": holder} if holder else {}
    if not form.is_on("off"):
        moved["MoveToVersionId"] = version_id
    visit.clients[SERVICE].update_secret_version_stage(SecretId=secret_id, VersionStage=label, **moved)
    told = f"{label} was taken off." if form.is_on("off") else f"{label} is on version {version_id} now."
    return Redirect(address("secret", id=secret_id), told)
