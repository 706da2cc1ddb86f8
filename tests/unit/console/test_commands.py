"""Commands of the AWS CLI that pages show lead to this server, and not to AWS."""

from __future__ import annotations

import re

from keyturn.console.render import HERE

_COMMAND = re.compile(r"\baws [a-z0-9]+ [a-z]+-[a-z-]+")
# What leads a command here: the filter, around its line or its lines.
_LED_HERE = re.compile(r"\{\{[^}]*\| here \}\}|\{% filter here %\}.*?\{% endfilter %\}", re.DOTALL)


def test_no_template_has_a_command_that_leads_to_aws() -> None:
    templates = sorted((HERE / "templates").glob("*.html"))
    texts = {each.name: each.read_text() for each in templates}
    assert sum(len(_COMMAND.findall(text)) for text in texts.values()) > 0
    assert {name: found for name, text in texts.items() if (found := _COMMAND.findall(_LED_HERE.sub("", text)))} == {}
