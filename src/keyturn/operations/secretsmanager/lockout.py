"""Nobody locks themselves out: what a change of tags or of the resource policy would leave its caller.

The caller's policies are asked about the secret as it would be, by the one who decides everything else. Keyturn has no
root user who could let anybody in again. The tags of a new secret need no look ahead: policies are asked about the
secret with its tags before it is made.

Source: Secrets Manager API Reference, TagResource and UntagResource (a change of tags), ValidateResourcePolicy (a
policy).
"""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject

PUT_RESOURCE_POLICY = "secretsmanager:PutResourcePolicy"
TAG_RESOURCE = "secretsmanager:TagResource"
UNTAG_RESOURCE = "secretsmanager:UntagResource"


def check_tags_keep_access(kit: Kit, call: Call, action: str, before: Subject[object], after: Subject[object]) -> None:
    """Refuse a change of tags after which the caller could no longer tag or untag the secret, and now can.

    Whoever still may can take back whatever tags have done.

    Args:
        kit: Decides.
        call: Who changes the tags.
        action: By which action; of two refusals this one is told.
        before: The secret as it is.
        after: The secret as it would be.

    Raises:
        AccessDenied: As the policies would refuse the caller after the change.
    """
    for needed in dict.fromkeys((action, TAG_RESOURCE, UNTAG_RESOURCE)):
        if kit.authorise.decide(call, needed, before).allowed:
            kit.authorise(call, needed, after)


def locks_out(kit: Kit, call: Call, before: Subject[object], after: Subject[object]) -> bool:
    """Whether the caller may put the secret's policy now, and could not put another after a change."""
    return (
        kit.authorise.decide(call, PUT_RESOURCE_POLICY, before).allowed
        and not kit.authorise.decide(call, PUT_RESOURCE_POLICY, after).allowed
    )
