"""What is wrong with a policy, for people: services say "Syntax errors in policy.", which helps nobody to find one.

Each explanation says what is wrong and what to write instead, in words that stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from keyturn.rules.policy.condition_values import InvalidConditionValue
from keyturn.rules.policy.conditions import compile_condition
from keyturn.rules.policy.grammar import STATEMENT_ELEMENTS, TOP_ELEMENTS, TRUST_ACTIONS, VERSION
from keyturn.rules.policy.lenient_json import Found, Slip
from keyturn.rules.policy.principals import KINDS
from keyturn.rules.policy.refusals import DocumentKind, Path, Reason, Refusal

_SHOWN: Final = 80
_BEHIND: Final = {"}": "the last member of an object", "]": "the last entry of a list"}
_PLACEHOLDER: Final = re.compile(r"<[^<>]*>")

_SLIPS: Final[Mapping[Slip, str]] = {
    Slip.TRAILING_COMMA: "There is a comma behind {behind}: JSON has commas only between entries.",
    Slip.EXTRA_COMMA: "There is a comma too many: JSON has commas only between entries.",
    Slip.MISSING_COMMA: "A comma is missing here: entries are separated by commas.",
    Slip.MISSING_COLON: "A colon is missing here: a name and its value are separated by a colon.",
    Slip.MISSING_VALUE: "Something is missing here: a name or a value is expected.",
    Slip.MISSING_CLOSING: 'The bracket that opens here is never closed: a "{detail}" is missing.',
    Slip.WRONG_CLOSING: 'This is the wrong closing bracket: "{detail}" belongs here.',
    Slip.QUOTES: "Texts stand in straight double quotation marks in JSON, and not in {detail}.",
    Slip.MISSING_QUOTE: "The text that begins here has no closing quotation mark.",
    Slip.UNQUOTED: "Text stands in double quotation marks in JSON: {detail} does not.",
    Slip.CONSTANT: "JSON writes true, false and null in small letters: {detail} is none of them.",
    Slip.NEWLINE: "A text in quotation marks goes on in the next line, and JSON does not allow that.",
    Slip.CONTROL_CHARACTER: "The control character {detail} stands in a text as it is; JSON wants it escaped.",
    Slip.ESCAPE: "There is no escape {detail} in JSON: a backslash that means itself is written twice.",
    Slip.CHARACTER: "No policy may have the character {detail}: allowed are tab, line breaks and U+0020 to U+00FF.",
    Slip.ODD_SPACE: "The invisible character {detail} stands here, which is no white space to JSON.",
    Slip.COMMENT: "There are no comments in JSON.",
    Slip.MEMBER_TWICE: 'The name "{detail}" occurs twice in this object: put the values of both into one list.',
    Slip.EXTRA_TEXT: "There is more text behind the end of the policy.",
    Slip.NESTED: "Brackets are nested deeper than any policy needs.",
    Slip.EMPTY: "There is nothing here: a policy is an object with Version and Statement.",
}


def slip_explained(found: Found) -> str:
    """Say what is wrong with the JSON."""
    return _SLIPS[found.slip].format(detail=shown(found.detail), behind=_BEHIND.get(found.detail, "the last entry"))


def shown(text: str) -> str:
    """Return a text as it can be shown in a sentence: short, and without what moves a terminal's cursor."""
    readable = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return readable if len(readable) <= _SHOWN else readable[: _SHOWN - 3] + "..."


_REASONS: Final[Mapping[Reason, str]] = {
    Reason.JSON: "This is no JSON.",
    Reason.VERSION: f'There is no such version: write "{VERSION}".',
    Reason.STATEMENT_MISSING: "There is no statement: a policy has at least one, in the element Statement.",
    Reason.EFFECT_MISSING: 'The statement has no Effect: write "Effect": "Allow" or "Effect": "Deny".',
    Reason.EFFECT: 'Effect is "Allow" or "Deny".',
    Reason.EFFECT_CASE: 'Effect is written "Allow" or "Deny", with a capital letter first.',
    Reason.NOT_PRINCIPAL: "A trust policy names who may assume the role with Principal; NotPrincipal is refused.",
    Reason.ALLOW_NOT_PRINCIPAL: "Allow with NotPrincipal would trust everybody but a few; name them with Principal.",
    Reason.PRINCIPAL_MISSING: (
        "The statement does not say whom it is about: add a Principal, such as "
        '{{"AWS": "arn:aws:iam::ACCOUNT:role/NAME"}}.'
    ),
    Reason.PRINCIPAL_EMPTY: "Principal names nobody: list at least one.",
    Reason.STAR_PRINCIPAL: 'A trust policy writes everybody as {{"AWS": "*"}}; anybody at all could assume the role.',
    Reason.PRINCIPAL: "{subject} is no principal: name an account, a user, a role or a role's session.",
    Reason.SERVICE_PRINCIPAL: "{subject} is no service: services are named like lambda.amazonaws.com.",
    Reason.BOTH_FORMS: "A statement has either the element or its Not form, and not both.",
    Reason.OPERATOR: "{subject} is no condition operator, such as StringEquals or ArnLike.",
    Reason.OLD_VERSION: f'Without "Version": "{VERSION}" this is read by the rules of 2008.',
    Reason.PRINCIPAL_PROHIBITED: (
        "A policy of an identity or a session is about whoever has it: Principal belongs into policies of resources."
    ),
    Reason.LEGACY_RESOURCE: (
        "{subject} is no ARN: six fields are separated by colons, the third is a service, and variables such as "
        "${{aws:username}} stand behind the fifth colon only."
    ),
    Reason.SID_CHARACTERS: "A Sid consists of letters and digits, without spaces or hyphens: {subject} does not.",
    Reason.SID_TWICE: "Another statement has the Sid {subject}, too.",
    Reason.ACTIONS_MISSING: 'The statement has no actions: add an Action, such as "secretsmanager:GetSecretValue".',
    Reason.TRUST_ACTION: "{subject} cannot be an action of a trust policy; these can: "
    + ", ".join(sorted(TRUST_ACTIONS))
    + ".",
    Reason.RESOURCE_PROHIBITED: "A trust policy is about its role only and has no Resource.",
    Reason.NOT_RESOURCE_PROHIBITED: "A trust policy is about its role only and has no NotResource.",
    Reason.RESOURCE_FORMAT: '{subject} is no ARN: write arn:PARTITION:SERVICE:REGION:ACCOUNT:NAME, or "*".',
    Reason.RESOURCE_INCOMPLETE: "{subject} is not a whole ARN: six fields are separated by colons.",
    Reason.PARTITION: "The second field of {subject} is no partition: it is aws, aws-cn, aws-us-gov or the like.",
    Reason.RESOURCE_VENDOR: "The service of {subject}, its third field, must be written out, without wildcards.",
    Reason.IAM_REGION: "IAM is the same in all regions: the fourth field of {subject} must be empty.",
    Reason.REGION: "The service of {subject} has no regions in its ARNs: the fourth field must be empty.",
    Reason.ACCOUNT: "Buckets have no account in their ARNs: the fifth field of {subject} must be empty.",
    Reason.IAM_PATH: 'The name of {subject} begins with user/, role/, policy/ or the like, or is "*".',
    Reason.ACTION_VENDORLESS: "The action {subject} does not say of which service: write SERVICE:{bare}.",
    Reason.ACTION_COLONS: "The action {subject} has more than one colon: write SERVICE:NAME.",
    Reason.ACTION_VENDOR_WILDCARD: "The service of an action must be written out, without wildcards.",
    Reason.ACTION_VENDOR: "{subject} is no service of an action.",
    Reason.ACTION_NAME: "The action {subject} has no name behind the colon.",
    Reason.RESOURCES_MISSING: 'The statement has no resources: add a Resource, such as "*" or an ARN.',
}

# What an element must be, where it is something else.
_SHAPES: Final[Mapping[str, str]] = {
    "Statement": "A statement is an object with Effect, Action and the like.",
    "Sid": "A Sid is a text.",
    "Id": "The Id is a text.",
    "Principal": 'Principal is "*" or an object such as {"AWS": "arn:aws:iam::ACCOUNT:role/NAME"}.',
    "NotPrincipal": 'NotPrincipal is "*" or an object such as {"AWS": "arn:aws:iam::ACCOUNT:role/NAME"}.',
    "Action": "An action is a text; Action is one or a list of them.",
    "NotAction": "An action is a text; NotAction is one or a list of them.",
    "Resource": "A resource is a text; Resource is one or a list of them.",
    "NotResource": "A resource is a text; NotResource is one or a list of them.",
}
_CONDITION_SHAPES: Final = (
    'Condition is an object of operators, each with keys and values: {"StringEquals": {"aws:username": "ada"}}.',
    'An operator has an object of keys and values: {"aws:username": "ada"}.',
    "A condition's value is a text, a number, true or false, or a list of these; its key is not empty.",
)


def explained(refusal: Refusal, kind: DocumentKind, written: str) -> str:
    """Say what is wrong with the policy.

    Args:
        refusal: The fault.
        kind: What the policy is for.
        written: The text that is at fault, as it stands in the policy.
    """
    reason = refusal.reason
    if reason is Reason.SYNTAX:
        return _shape(refusal.path)
    if reason is Reason.UNKNOWN_ELEMENT:
        return _unknown_element(refusal)
    if reason in (Reason.CONDITION_VALUE, Reason.LEGACY_CONDITION_VALUE):
        return _condition_value(refusal)
    if reason is Reason.OLD_VERSION and kind is not DocumentKind.MANAGED:
        return _REASONS[reason].removesuffix(".") + ", to which variables such as ${aws:username} are plain text."
    if reason is Reason.PRINCIPAL and refusal.at_name:
        return f'There is no kind of principals "{shown(written)}"; there are {", ".join(KINDS)}.'
    if _PLACEHOLDER.fullmatch(written):
        return f'"{shown(written)}" is a placeholder: write what belongs there.'
    return _REASONS[reason].format(subject=f'"{shown(written)}"', bare=shown(written))


def _unknown_element(refusal: Refusal) -> str:
    if len(refusal.path) == 1:
        return f'A policy has no element "{shown(refusal.subject)}"; it has {", ".join(TOP_ELEMENTS)}.'
    return f'A statement has no element "{shown(refusal.subject)}"; it has {", ".join(STATEMENT_ELEMENTS)}.'


def _shape(path: Path) -> str:
    names = [step for step in path if isinstance(step, str)]
    if not names:
        return f'A policy is an object: {{"Version": "{VERSION}", "Statement": [...]}}.'
    if "Condition" in names[1:2]:
        return _CONDITION_SHAPES[min(len(names), 4) - 2]
    element = names[1] if len(names) > 1 else names[0]
    if element in ("Principal", "NotPrincipal") and len(names) > 2:
        return "A principal is a text; each kind of principals has one or a list of them."
    return _SHAPES[element]


def _condition_value(refusal: Refusal) -> str:
    """Say what the operator takes, in the words with which it refused the value."""
    operator = str(refusal.path[refusal.path.index("Condition") + 1])
    try:
        compile_condition(operator, "key", (refusal.subject,), variables=True)
    except InvalidConditionValue as error:
        return f'"{shown(refusal.subject)}" does not fit {operator}: {error}.'
    return f"These values do not fit {operator}: it takes one of them."
