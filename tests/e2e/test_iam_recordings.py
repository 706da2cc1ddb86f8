"""What AWS's IAM answered, asked of Keyturn through boto3: members, texts, codes and statuses.

The recordings are in ``tests/recorded/iam``; their form is described in ``tests/recorded/README.md``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from .conftest import Account, ServerProcess

FILES = sorted((Path(__file__).parents[1] / "recorded" / "iam").glob("*.json"))
_IDS = {
    "$policy_id": "ANPA",
    "$user_id": "AIDA",
    "$group_id": "AGPA",
    "$role_id": "AROA",
    "$access_key_id": "AKIA",
}
# What every account begins with.
_THERE_BEFORE = {"administrator", "OrganizationAccountAccessRole"}


class Replay:
    """One story in an account of its own."""

    def __init__(self, server: ServerProcess, account: Account) -> None:
        self._iam = server.client("iam", account.admin)
        self._texts = {
            "$account": account.account_id,
            "$caller": f"arn:aws:iam::{account.account_id}:user/administrator",
        }

    def tell(self, exchange: Mapping[str, Any]) -> None:
        operation = exchange["operation"]
        request = self._meant(exchange["request"])
        call = getattr(self._iam, xform_name(operation))
        if "error" in exchange:
            with pytest.raises(ClientError) as caught:
                call(**request)
            error = caught.value.response["Error"]
            status = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
            told = {"code": error["Code"], "status": status, "message": error["Message"]}
            assert told == self._meant(exchange["error"]), operation
            return
        reply = call(**request)
        del reply["ResponseMetadata"]
        if exchange["reply"] is not None:
            self._compare(exchange["reply"], reply, operation)

    def _meant(self, value: Any) -> Any:
        if isinstance(value, str):
            for placeholder, text in self._texts.items():
                value = value.replace(placeholder, text)
            return value
        if isinstance(value, dict):
            return {name: self._meant(one) for name, one in value.items()}
        return [self._meant(one) for one in value] if isinstance(value, list) else value

    def _compare(self, expected: Any, got: Any, where: str) -> None:
        if isinstance(expected, dict):
            assert set(got) == set(expected), where
            for name, one in expected.items():
                self._compare(one, got[name], f"{where}.{name}")
        elif isinstance(expected, list):
            made = [one for one in got if not _was_there(one)]
            assert len(made) == len(expected), where
            for number, one in enumerate(expected):
                self._compare(one, made[number], f"{where}.{number}")
        elif expected == "$date":
            assert isinstance(got, datetime), where
        elif expected == "$secret_access_key":
            assert len(got) == 40, where
        elif expected in _IDS and expected not in self._texts:
            assert re.fullmatch(f"{_IDS[expected]}[A-Z2-7]{{16}}", got), where
            if expected == "$access_key_id":
                self._texts[expected] = got
        else:
            assert got == self._meant(expected), where


def _was_there(one: Any) -> bool:
    return isinstance(one, dict) and not _THERE_BEFORE.isdisjoint({one.get("UserName"), one.get("RoleName")})


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def recording(request: pytest.FixtureRequest) -> Any:
    return json.loads(request.param.read_text())


def test_aws_answered_the_same(server: ServerProcess, recording: Any, request: pytest.FixtureRequest) -> None:
    replay = Replay(server, server.create_account(request.node.name))

    for exchange in recording["exchanges"]:
        replay.tell(exchange)


def test_every_recording_says_where_it_is_from() -> None:
    for file in FILES:
        recording = json.loads(file.read_text())
        assert set(recording) == {"about", "source", "recorded", "exchanges"}
        assert recording["source"].startswith("localstack/localstack, tests/aws/services/iam/")
