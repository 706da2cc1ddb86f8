"""Patterns of policies matched character by character, with no thought of speed: what the real matcher must agree with.

Written from the same pages as ``keyturn.rules.policy.patterns`` and sharing none of its code.
"""

from __future__ import annotations

from collections.abc import Mapping

# A character, "?" or "*" of the pattern, as (what it is, the character).
Atom = tuple[str, str]


def naive_match(
    pattern: str,
    text: str,
    keys: Mapping[str, tuple[str, ...]] | None = None,
    *,
    rule: str = "none",
    wildcards: bool = True,
) -> bool:
    """Whether a pattern matches a text.

    Args:
        pattern: With wildcards and, if there are keys, with variables.
        text: What is compared.
        keys: Values of condition keys, by names in lower case; None if ``${…}`` means nothing.
        rule: ``none``, ``resource`` or ``condition``: how far wildcards reach in ARNs.
        wildcards: Whether ``*`` and ``?`` mean something.
    """
    if wildcards and pattern == "*":
        return True
    atoms = _atoms(pattern, keys, wildcards=wildcards)
    if atoms is None:
        return False
    places = {0}
    colons = 0
    for index, (kind, character) in enumerate(atoms):
        free = rule == "none" or colons >= 5
        if kind == "char":
            places = {place + 1 for place in places if text[place : place + 1] == character}
            colons += character == ":"
        elif kind == "one":
            places = {place + 1 for place in places if place < len(text) and (free or text[place] != ":")}
        else:
            following = atoms[index + 1] if index + 1 < len(atoms) else ("char", ":")
            free = free or (rule == "resource" and following == ("char", ":"))
            reached = set(places)
            for place in places:
                end = place
                while end < len(text) and (free or text[end] != ":"):
                    end += 1
                reached.update(range(place, end + 1))
            places = reached
    return len(text) in places


def _atoms(pattern: str, keys: Mapping[str, tuple[str, ...]] | None, *, wildcards: bool) -> list[Atom] | None:
    """Take a pattern apart; None if a variable has no value."""
    atoms: list[Atom] = []
    position = 0
    while position < len(pattern):
        variable = None if keys is None else _variable(pattern, position)
        if variable is not None:
            name, default, position = variable
            value = name if name in ("*", "?", "$") else _value(name, default, keys or {})
            if value is None:
                return None
            atoms += [("char", character) for character in value]
            continue
        character = pattern[position]
        kind = {"*": "any", "?": "one"}.get(character, "char") if wildcards else "char"
        atoms.append((kind, character))
        position += 1
    return atoms


def _variable(pattern: str, start: int) -> tuple[str, str | None, int] | None:
    """Return name, default value and end of the variable that begins at a place, None if none does."""
    if not pattern.startswith("${", start):
        return None
    stop = start + 2
    while stop < len(pattern) and pattern[stop] not in ",}":
        stop += 1
    name = pattern[start + 2 : stop]
    if not name or stop == len(pattern):
        return None
    if pattern[stop] == "}":
        return name.strip(), None, stop + 1
    rest = pattern[stop + 1 :].lstrip()
    closing = rest.find("'", 1)
    if not rest.startswith("'") or closing < 0 or not rest[closing + 1 :].lstrip().startswith("}"):
        return None
    behind = rest[closing + 1 :].lstrip()
    return name.strip(), rest[1:closing], len(pattern) - len(behind) + 1


def _value(name: str, default: str | None, keys: Mapping[str, tuple[str, ...]]) -> str | None:
    values = keys.get(name.lower())
    if values is not None and len(values) == 1:
        return values[0]
    return None if values else default
