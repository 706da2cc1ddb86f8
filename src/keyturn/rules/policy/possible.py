"""Might this principal do this, with parameters that are not chosen yet? For faces that offer what somebody can do.

A policy may hang on what is still to be typed: tags, a staging label, the name of what is to be created. What somebody
might be allowed is decided by their policies as those would be if they chose best:

1. A condition on something that the caller chooses is met in an Allow, and is not met in a Deny.
2. If the resource is chosen, too, an Allow is about whichever it names, and a Deny of all but some spares those.

All else decides as it is: who calls, from where, by which way, and the tags of what is there.

Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Secrets Manager" and others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from keyturn.rules.policy.document import PolicyDocument, Statement
from keyturn.rules.policy.evaluate import Policy, PolicySet

# What a request holds. The keys of KMS are about the key, and about who calls by which service.
_CHOSEN = ("aws:requesttag/", "aws:tagkeys", "iam:", "lambda:", "secretsmanager:")
_OF_RESOURCE = (":resourcetag/", ":resource/", "secretsmanager:secretid", "secretsmanager:secretprimaryregion")


def at_best(policies: PolicySet, *, resource_is_chosen: bool) -> PolicySet:
    """Return policies as they would be if the caller chose best.

    Args:
        policies: All that apply.
        resource_is_chosen: Whether the caller chooses what the call is about, as one who creates something does.
    """

    def relaxed(policy: Policy) -> Policy:
        document = policy.document
        allows = tuple(_allow(each, resource_is_chosen=resource_is_chosen) for each in document.allows)
        denies = tuple(_denies(document, resource_is_chosen=resource_is_chosen))
        return replace(policy, document=replace(document, statements=(*allows, *denies), allows=allows, denies=denies))

    return replace(
        policies,
        identity=tuple(map(relaxed, policies.identity)),
        resource=policies.resource and relaxed(policies.resource),
        grants=policies.grants and relaxed(policies.grants),
        boundary=policies.boundary and relaxed(policies.boundary),
        session=tuple(map(relaxed, policies.session)),
        endpoint=policies.endpoint and relaxed(policies.endpoint),
    )


def _allow(statement: Statement, *, resource_is_chosen: bool) -> Statement:
    kept = tuple(condition for condition in statement.conditions if not _is_chosen(condition.key))
    if resource_is_chosen:
        return replace(statement, conditions=kept, resources=None)
    return replace(statement, conditions=kept)


def _denies(document: PolicyDocument, *, resource_is_chosen: bool) -> Iterator[Statement]:
    for statement in document.denies:
        spares_some = resource_is_chosen and statement.resources_negated
        if not spares_some and not any(_is_chosen(condition.key) for condition in statement.conditions):
            yield statement


def _is_chosen(key: str) -> bool:
    return key.startswith(_CHOSEN) and not any(each in key for each in _OF_RESOURCE)
