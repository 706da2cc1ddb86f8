"""Rules of security groups: given to a group, taken from it, and changed, one by one or as permissions.

All of a request is done or nothing. A rule is found by its id, or by all that it says; its description does not matter.

Source: Amazon EC2 API Reference, AuthorizeSecurityGroupIngress, RevokeSecurityGroupIngress, ModifySecurityGroupRules,
UpdateSecurityGroupRuleDescriptionsIngress.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from keyturn.call import Call
from keyturn.errors.ec2 import (
    InvalidParameterCombination,
    InvalidPermissionNotFound,
    MissingParameter,
)
from keyturn.operations.ec2.group_rules import (
    add_rules,
    check_references,
    check_rules,
    peer_members,
    rules_of,
    settle_permissions,
)
from keyturn.operations.ec2.kinds import SECURITY_GROUP, SECURITY_GROUP_RULE
from keyturn.operations.ec2.listing import Listing
from keyturn.operations.ec2.networks import Networks, Request, Response, changing
from keyturn.operations.ec2.operation import describes, ec2_operation
from keyturn.operations.ec2.security_groups import named_group
from keyturn.operations.ec2.subjects import existing, subject_of
from keyturn.operations.ec2.tagging import tags_for
from keyturn.operations.kit import Kit
from keyturn.operations.subject import Subject
from keyturn.rules.network.group_rules import Terms, check_description, terms_of, wanted_by, wanted_instead
from keyturn.storage.network_objects import NetworkObject

_FLAT: Final = ("IpProtocol", "FromPort", "ToPort", "CidrIp")
_PERMISSIONS: Final = f"GroupId IpPermissions {' '.join(_FLAT)}"
_NEW, _PRESENT = f"{_PERMISSIONS} TagSpecifications", f"{_PERMISSIONS} SecurityGroupRuleIds"
_DESCRIPTIONS: Final = "GroupId IpPermissions SecurityGroupRuleDescriptions"
_REVOKED: Final = (
    *("SecurityGroupRuleId", "GroupId", "IsEgress", "IpProtocol", "FromPort", "ToPort"),
    *("CidrIpv4", "CidrIpv6", "PrefixListId", "Description"),
)

_RULES: Final = Listing(
    kind=SECURITY_GROUP_RULE,
    answered_in="SecurityGroupRules",
    ids_in="SecurityGroupRuleIds",
    filters={"group-id": "GroupId", "security-group-rule-id": "SecurityGroupRuleId"},
)


@describes("DescribeSecurityGroupRules", _RULES)
def describe_security_group_rules(kit: Kit, call: Call, request: Request, _subject: None) -> Response:
    """Describe rules one by one."""
    return _RULES.answer(kit, call, request)


@ec2_operation("AuthorizeSecurityGroupIngress", takes=_NEW, subject=named_group, makes=SECURITY_GROUP_RULE)
def authorize_security_group_ingress(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Give a group rules about who is let in."""
    return _authorize(kit, call, request, is_egress=False)


@ec2_operation("AuthorizeSecurityGroupEgress", takes=_NEW, subject=named_group, makes=SECURITY_GROUP_RULE)
def authorize_security_group_egress(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Give a group rules about where connections may go."""
    return _authorize(kit, call, request, is_egress=True)


@ec2_operation("RevokeSecurityGroupIngress", takes=_PRESENT, subject=named_group)
def revoke_security_group_ingress(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Take rules about who is let in from a group."""
    return _revoke(kit, call, request, is_egress=False)


@ec2_operation("RevokeSecurityGroupEgress", takes=_PRESENT, subject=named_group)
def revoke_security_group_egress(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Take rules about where connections may go from a group."""
    return _revoke(kit, call, request, is_egress=True)


@ec2_operation("UpdateSecurityGroupRuleDescriptionsIngress", takes=_DESCRIPTIONS, subject=named_group)
def update_security_group_rule_descriptions_ingress(
    kit: Kit, call: Call, request: Request, _subject: NetworkObject
) -> Response:
    """Describe rules about who is let in anew."""
    return _describe_anew(kit, call, request, is_egress=False)


@ec2_operation("UpdateSecurityGroupRuleDescriptionsEgress", takes=_DESCRIPTIONS, subject=named_group)
def update_security_group_rule_descriptions_egress(
    kit: Kit, call: Call, request: Request, _subject: NetworkObject
) -> Response:
    """Describe rules about where connections may go anew."""
    return _describe_anew(kit, call, request, is_egress=True)


def _rules_to_modify(kit: Kit, call: Call, request: Request) -> list[Subject[NetworkObject]]:
    ids = [each["SecurityGroupRuleId"] for each in request["SecurityGroupRules"]]
    return [subject_of(kit, call, SECURITY_GROUP_RULE, rule_id) for rule_id in ids]


@ec2_operation(
    "ModifySecurityGroupRules",
    takes="GroupId SecurityGroupRules",
    subject=existing(SECURITY_GROUP),
    each=(_rules_to_modify,),
)
def modify_security_group_rules(kit: Kit, call: Call, request: Request, _subject: NetworkObject) -> Response:
    """Let rules of a group say something else."""
    with changing(kit, call) as networks:
        group = networks.require(SECURITY_GROUP, request["GroupId"])
        for change in request["SecurityGroupRules"]:
            rule = _by_id(networks, group, change["SecurityGroupRuleId"])
            wanted = change.get("SecurityGroupRule") or {}
            terms = wanted_instead(wanted, terms_of(rule.body), rule.object_id)
            check_references(networks, group, [terms])
            networks.update(
                rule,
                IpProtocol=terms.protocol,
                FromPort=terms.from_port,
                ToPort=terms.to_port,
                Description=wanted.get("Description"),
                **peer_members(networks, terms),
            )
        check_rules(terms_of(rule.body) for rule in rules_of(networks, group))
        settle_permissions(networks, group)
    return {"Return": True}


def _authorize(kit: Kit, call: Call, request: Request, *, is_egress: bool) -> Response:
    wanted = _wanted(call, request, is_egress=is_egress)
    tags = tags_for(SECURITY_GROUP_RULE, request)
    with changing(kit, call) as networks:
        made = add_rules(networks, networks.require(SECURITY_GROUP, request["GroupId"]), wanted, tags)
    return {"Return": True, "SecurityGroupRules": made}


def _revoke(kit: Kit, call: Call, request: Request, *, is_egress: bool) -> Response:
    with changing(kit, call) as networks:
        group = networks.require(SECURITY_GROUP, request["GroupId"])
        found = _found(networks, group, call, request, is_egress=is_egress)
        for rule in found:
            networks.delete(rule)
        settle_permissions(networks, group)
    revoked = [_revoked(rule) for rule in found]
    return {"Return": True, "UnknownIpPermissions": [], "RevokedSecurityGroupRules": revoked}


def _describe_anew(kit: Kit, call: Call, request: Request, *, is_egress: bool) -> Response:
    by_id = request.get("SecurityGroupRuleDescriptions")
    if bool(by_id) is bool(request.get("IpPermissions")):
        raise MissingParameter("Either 'ipPermissions' or 'securityGroupRuleDescriptions' should be provided.")
    with changing(kit, call) as networks:
        group = networks.require(SECURITY_GROUP, request["GroupId"])
        if by_id:
            descriptions = [each.get("Description") for each in by_id]
            rules = [
                _by_id(networks, group, each.get("SecurityGroupRuleId", ""), is_egress=is_egress) for each in by_id
            ]
        else:
            wanted = _wanted(call, request, is_egress=is_egress)
            descriptions = [description for _, description in wanted]
            rules = _by_terms(networks, group, [terms for terms, _ in wanted])
        for rule, description in zip(rules, descriptions, strict=True):
            check_description(description)
            networks.update(rule, Description=description)
        settle_permissions(networks, group)
    return {"Return": True}


def _wanted(call: Call, request: Request, *, is_egress: bool) -> list[tuple[Terms, str | None]]:
    """Return the rules of a request, which spells them as permissions or one of them with members of its own."""
    permissions: Sequence[Mapping[str, Any]] = request.get("IpPermissions") or ()
    flat = {member: request[member] for member in _FLAT if request.get(member) is not None}
    if permissions and flat:
        raise InvalidParameterCombination(
            "The parameter ipPermissions may not be used in combination with ipProtocol, fromPort, toPort or cidrIp"
        )
    if flat:
        cidr = flat.pop("CidrIp", None)
        permissions = [{**flat, "IpRanges": [] if cidr is None else [{"CidrIp": cidr}]}]
    if not permissions:
        raise MissingParameter("The request must contain the parameter ipPermissions")
    for permission in permissions:
        for pair in permission.get("UserIdGroupPairs") or ():
            if pair.get("UserId") not in (None, call.place.account_id):
                # Groups of other accounts are referred to through peering connections only.
                raise SECURITY_GROUP.missing(pair.get("GroupId", ""))
    return wanted_by(permissions, is_egress=is_egress)


def _found(
    networks: Networks, group: NetworkObject, call: Call, request: Request, *, is_egress: bool
) -> list[NetworkObject]:
    """Return the rules of a group that a request names by their ids, or by what they say."""
    ids = request.get("SecurityGroupRuleIds")
    if not ids:
        return _by_terms(networks, group, [terms for terms, _ in _wanted(call, request, is_egress=is_egress)])
    if any(request.get(member) is not None for member in ("IpPermissions", *_FLAT)):
        raise InvalidParameterCombination(
            "The parameter securityGroupRuleIds may not be used in combination with ipPermissions"
        )
    return [_by_id(networks, group, rule_id, is_egress=is_egress) for rule_id in dict.fromkeys(ids)]


def _by_id(networks: Networks, group: NetworkObject, rule_id: str, *, is_egress: bool | None = None) -> NetworkObject:
    rule = networks.require(SECURITY_GROUP_RULE, rule_id)
    if rule.body["GroupId"] != group.object_id or is_egress not in (None, rule.body["IsEgress"]):
        raise SECURITY_GROUP_RULE.missing(rule_id)
    return rule


def _by_terms(networks: Networks, group: NetworkObject, wanted: Sequence[Terms]) -> list[NetworkObject]:
    present = {terms_of(rule.body): rule for rule in rules_of(networks, group)}
    if any(terms not in present for terms in wanted):
        raise InvalidPermissionNotFound
    return [present[terms] for terms in wanted]


def _revoked(rule: NetworkObject) -> dict[str, Any]:
    """Return a rule as Revoke operations tell it."""
    told = {member: value for member, value in rule.body.items() if member in _REVOKED}
    referenced = rule.body.get("ReferencedGroupInfo")
    return {**told, **({"ReferencedGroupId": referenced["GroupId"]} if referenced else {})}
