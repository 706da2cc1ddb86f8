"""Policy documents to put, attach and trust."""

from __future__ import annotations

import json
from typing import Any

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)


def allowing(*actions: str, resource: str = "*", **more: Any) -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def long_policy(size: int) -> str:
    """A policy of so many characters, white space aside."""
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "a:b", "Resource": "arn:aws:s3:::"}}
    missing = size - len(json.dumps(document, separators=(",", ":")))
    document["Statement"]["Resource"] += "x" * missing  # type: ignore[index]  # the statement is a dict
    return json.dumps(document, indent=8)
