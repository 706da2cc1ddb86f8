"""What AWS answered, asked of Keyturn over plain HTTP: status, headers, members, texts and the precision of dates.

The recordings are in ``tests/recorded``, where their form is described. One is replayed as soon as all its operations
are offered.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.raw_http import Reply

from keyturn.operations import registry

from .door import Door
from .world import World

registry.discover()
FILES = sorted((Path(__file__).parents[1] / "recorded" / "secretsmanager").glob("*.json"))
RECORDINGS: Mapping[str, Any] = {file.stem: json.loads(file.read_text()) for file in FILES}
CASES = [(file, name) for file, one in RECORDINGS.items() for name in one.get("names", [""])]

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HOUR, _DAY = 3600, 86_400
_PLACEHOLDER = re.compile(r"\$[a-z_]+[0-9]?")
_MADE = {"$function", "$failing_function", "$function_that_is_not_there", "$user_arn", "$alias"}


def _has_milliseconds(value: Any) -> bool:
    return isinstance(value, float) and int(Decimal(repr(value)).as_tuple().exponent) >= -3


# What a placeholder stands for; the others are texts that a replay knows.
FITS: Mapping[str, Callable[[Any], bool]] = {
    "$moment": _has_milliseconds,
    "$day": lambda value: isinstance(value, int | float) and value % _DAY == 0,
    "$second": lambda value: isinstance(value, int | float) and value % _HOUR == _HOUR - 1,
}


class Replay:
    """One story, told again: what its placeholders stand for becomes known on the way."""

    def __init__(self, world: World, door: Door, name: str) -> None:
        self._world, self._door = world, door
        self.name = name or f"recorded/{uuid.uuid4().hex}"
        self._region_and_account = f"{world.server.region}:{world.server.account_id}"
        self._texts = {"$name": self.name, **{f"$token{number}": str(uuid.uuid4()) for number in range(1, 10)}}

    def tell(self, exchange: Mapping[str, Any], since: list[str]) -> None:
        if "wait_for_rotation" in exchange:
            self._world.wait_for_rotation(self.name, self._meant(exchange["wait_for_rotation"]))
            return
        reply = self._door.send(exchange["operation"], self._meant(exchange["request"]))
        if "status" not in exchange:
            assert reply.status == 200, reply.body
            self._learn_arn(reply)
            return
        expected = self._meant(exchange["body"])
        answered = json.loads(reply.body) if reply.body else None
        assert self._shown(expected, answered, since) == expected
        assert reply.status == exchange["status"]
        self._check_headers(reply, exchange.get("headers", {}))

    def _meant(self, recorded: Any) -> Any:
        """The recording with everything that is known put in for its placeholder."""
        text = json.dumps(recorded)
        for placeholder in set(_PLACEHOLDER.findall(text)) & _MADE - self._texts.keys():
            self._texts[placeholder] = self._made(placeholder)
        known = {placeholder: json.dumps(meaning)[1:-1] for placeholder, meaning in self._texts.items()}
        return json.loads(_PLACEHOLDER.sub(lambda found: known.get(found[0], found[0]), text))

    def _made(self, placeholder: str) -> str:
        match placeholder:
            case "$function":
                return self._world.working_function
            case "$failing_function":
                return self._world.failing_function
            case "$function_that_is_not_there":
                return f"arn:aws:lambda:{self._region_and_account}:function:rotate_secret_invalid_lambda_arn"
            case "$user_arn":
                return f"arn:aws:iam::{self._world.server.account_id}:user/administrator"
        return self._world.key_alias

    def _learn_arn(self, reply: Reply) -> None:
        if reply.body and "$arn" not in self._texts:
            self._texts["$arn"] = reply.json["ARN"]
            self._texts["$arn_without_suffix"] = reply.json["ARN"][:-7]

    def _shown(self, expected: Any, answered: Any, since: list[str]) -> Any:
        """The answer with placeholders for what fits them, so that it can be compared."""
        if expected in ("$arn", "$arn2"):
            return self._shown_arn(expected, answered)
        if isinstance(expected, str) and expected in FITS:
            return expected if FITS[expected](answered) else answered
        if isinstance(expected, dict) and "$json" in expected:
            return {"$json": json.loads(answered)}
        if isinstance(expected, dict) and isinstance(answered, dict):
            return {
                name: self._shown(expected.get(name), value, since)
                for name, value in answered.items()
                if name in expected or name not in since
            }
        if isinstance(expected, list) and isinstance(answered, list):
            expected.sort(key=_order)
            answered.sort(key=_order)
            pairs = zip(expected, answered, strict=True) if len(expected) == len(answered) else ()
            return [self._shown(one, other, since) for one, other in pairs] or answered
        return answered

    def _shown_arn(self, expected: str, answered: Any) -> Any:
        start = f"arn:aws:secretsmanager:{self._region_and_account}:secret:{self.name}-"
        if answered in self._texts.values() or not re.fullmatch(re.escape(start) + "[A-Za-z0-9]{6}", str(answered)):
            return answered
        self._texts[expected] = answered
        self._texts.setdefault("$arn_without_suffix", answered[:-7])
        return expected

    def _check_headers(self, reply: Reply, recorded: Mapping[str, str]) -> None:
        assert recorded.keys() <= reply.headers.keys()
        assert reply.headers["content-type"] == recorded.get("content-type", "application/x-amz-json-1.1")
        assert int(reply.headers["content-length"]) == len(reply.body)
        assert _UUID.fullmatch(reply.headers["x-amzn-requestid"])
        # JSON 1.1 tells an error in its body alone.
        assert "x-amzn-errortype" not in reply.headers


def _order(element: Any) -> Any:
    """Labels and versions have no order that was recorded; tags keep theirs."""
    if isinstance(element, str):
        return element
    return str(element.get("VersionId", "")) if isinstance(element, dict) else ""


@pytest.mark.parametrize("file", list(RECORDINGS))
def test_a_recording_says_where_it_is_from(file: str) -> None:
    recording = RECORDINGS[file]

    assert recording["about"].endswith(".")
    assert "/" in recording["source"]
    assert date(2018, 4, 4) <= date.fromisoformat(recording["recorded"])
    assert {"operation", "request", "status", "body"} <= set().union(*recording["exchanges"])


@pytest.mark.parametrize(("file", "name"), CASES, ids=[f"{file} {name}".strip() for file, name in CASES])
def test_aws_answered_the_same(world: World, door: Door, file: str, name: str) -> None:
    recording = RECORDINGS[file]
    replay = Replay(world, door, name)

    for exchange in recording["exchanges"]:
        replay.tell(exchange, recording.get("since", []))
