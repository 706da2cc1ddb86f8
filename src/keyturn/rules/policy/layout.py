"""How AWS writes a resource policy back: objects over several lines, two blanks deep, lists beginning on their own.

Source: recorded from GetResourcePolicy, 2019-02 and 2023-01 (``tests/recorded/``).
"""

from __future__ import annotations

import json


def laid_out(policy: str) -> str:
    """Return a policy, which is well-formed JSON, in AWS's layout; members keep their order."""
    return _written(json.loads(policy), "")


def _written(value: object, indent: str) -> str:
    if isinstance(value, list):
        return f"[ {', '.join(_written(element, indent) for element in value)} ]" if value else "[ ]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if not value:
        return "{ }"
    deeper = indent + "  "
    members = [
        f"{deeper}{json.dumps(name, ensure_ascii=False)} : {_written(member, deeper)}" for name, member in value.items()
    ]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}"
