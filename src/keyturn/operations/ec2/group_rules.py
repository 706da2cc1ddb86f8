"""How the rules of a security group are kept: each as a document of its own, and all merged into the group's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from keyturn.errors.ec2 import (
    InvalidGroupNotFound,
    InvalidPermissionDuplicate,
    MissingParameter,
    RulesPerSecurityGroupLimitExceeded,
)
from keyturn.operations.ec2.kinds import PREFIX_LIST, SECURITY_GROUP, SECURITY_GROUP_RULE
from keyturn.operations.ec2.networks import ChangingNetworks, Networks
from keyturn.operations.ec2.tagging import Tag
from keyturn.rules.network.group_rules import (
    ALL,
    CIDR,
    GROUP,
    Terms,
    groups_in,
    permissions_of,
    prefix_lists_in,
    terms_of,
)
from keyturn.storage.network_objects import Document, NetworkObject

_MOST_RULES: Final = 60
TO_EVERYWHERE: Final = Terms(is_egress=True, protocol=ALL, from_port=-1, to_port=-1, peer_kind=CIDR, peer="0.0.0.0/0")
"""The rule that a new group has."""


def rules_of(networks: Networks, group: NetworkObject) -> list[NetworkObject]:
    """Return the rules of a group, oldest first."""
    rules = networks.of_vpc(group.body["VpcId"], SECURITY_GROUP_RULE)
    return [rule for rule in rules if rule.body["GroupId"] == group.object_id]


def add_rules(
    networks: ChangingNetworks,
    group: NetworkObject,
    wanted: Sequence[tuple[Terms, str | None]],
    tags: Sequence[Tag] = (),
) -> Sequence[Document]:
    """Give a group rules that it does not have, each with its description; return them as they are described.

    Raises:
        InvalidPermissionDuplicate: It has one of them.
        RulesPerSecurityGroupLimitExceeded: They are too many.
        Ec2Error: One refers to a group or a prefix list that cannot be referred to.
    """
    terms = [each for each, _ in wanted]
    check_references(networks, group, terms)
    check_rules([*(terms_of(rule.body) for rule in rules_of(networks, group)), *terms])
    made = [_new_rule(networks, group, each, description, tags) for each, description in wanted]
    for rule in made:
        networks.add(SECURITY_GROUP_RULE, rule["SecurityGroupRuleId"], rule, vpc_id=group.vpc_id)
    settle_permissions(networks, group)
    return made


def settle_permissions(networks: ChangingNetworks, group: NetworkObject) -> None:
    """Let a group's document tell the rules that the group has."""
    rules = [rule.body for rule in rules_of(networks, group)]
    networks.update(
        group,
        IpPermissions=permissions_of(rules, is_egress=False),
        IpPermissionsEgress=permissions_of(rules, is_egress=True),
    )


def check_rules(terms: Iterable[Terms]) -> None:
    """Check that a group may have these rules together.

    Raises:
        InvalidPermissionDuplicate: One is there twice.
        RulesPerSecurityGroupLimitExceeded: They are too many in one direction.
    """
    seen: set[Terms] = set()
    for each in terms:
        if each in seen:
            raise InvalidPermissionDuplicate(f'the specified rule "{each}" already exists')
        seen.add(each)
    if max(sum(each.is_egress is is_egress for each in seen) for is_egress in (True, False)) > _MOST_RULES:
        raise RulesPerSecurityGroupLimitExceeded


def check_references(networks: Networks, group: NetworkObject, terms: Sequence[Terms]) -> None:
    """Check that a group's rules may refer to what they refer to.

    Raises:
        MissingParameter: A group is not named by its id.
        InvalidGroupNotFound: A group does not exist, or is of another VPC.
        InvalidPrefixListIDNotFound: There are no prefix lists.
    """
    for group_id in groups_in(terms):
        if not group_id:
            raise MissingParameter("The request must contain the parameter GroupName or GroupId")
        if networks.require(SECURITY_GROUP, group_id).vpc_id != group.vpc_id:
            raise InvalidGroupNotFound("You have specified two resources that belong to different networks.")
    for prefix_list_id in prefix_lists_in(terms):
        networks.require(PREFIX_LIST, prefix_list_id)


def peer_members(networks: Networks, terms: Terms) -> dict[str, Any]:
    """Return the member that tells a rule's other side."""
    if terms.peer_kind == GROUP:
        return {"ReferencedGroupInfo": {"GroupId": terms.peer, "UserId": networks.place.account_id}}
    return {terms.peer_kind: terms.peer}


def _new_rule(
    networks: Networks, group: NetworkObject, terms: Terms, description: str | None, tags: Sequence[Tag]
) -> dict[str, Any]:
    rule_id = SECURITY_GROUP_RULE.new_id()
    return {
        "SecurityGroupRuleId": rule_id,
        "GroupId": group.object_id,
        "GroupOwnerId": networks.place.account_id,
        "IsEgress": terms.is_egress,
        "IpProtocol": terms.protocol,
        "FromPort": terms.from_port,
        "ToPort": terms.to_port,
        **peer_members(networks, terms),
        **({} if description is None else {"Description": description}),
        "Tags": list(tags),
        "SecurityGroupRuleArn": networks.place.ec2_arn(SECURITY_GROUP_RULE.name, rule_id),
    }
