"""Nobody locks themselves out: what a change of tags or of the resource policy would leave its caller.

The caller's policies are asked about the secret as it would be, by the one who decides everything else. Keyturn has no
root user who could let anybody in again.

Source: Secrets Manager API Reference, CreateSecret, TagResource and UntagResource (a change of tags), and
ValidateResourcePolicy (a policy).
"""

from __future__ import annotations

from keyturn.call import Call
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject

PUT_RESOURCE_POLICY = "secretsmanager:PutResourcePolicy"
# Who may still do these can take back whatever tags have done.
_TAGGING = ("secretsmanager:TagResource", "secretsmanager:UntagResource")


def check_tags_keep_access(kit: Kit, call: Call, before: Subject[object], after: Subject[object]) -> None:
    """Refuse a change of tags after which the caller could no longer tag or untag the secret, and now can.

    Raises:
        AccessDenied: As the policies would refuse the caller after the change.
    """
    for action in _TAGGING:
        if kit.authorise.decide(call, action, before).allowed:
            kit.authorise(call, action, after)


def locks_out(kit: Kit, call: Call, before: Subject[object], after: Subject[object]) -> bool:
    """Whether the caller may put the secret's policy now, and could not put another after a change."""
    return (
        kit.authorise.decide(call, PUT_RESOURCE_POLICY, before).allowed
        and not kit.authorise.decide(call, PUT_RESOURCE_POLICY, after).allowed
    )
