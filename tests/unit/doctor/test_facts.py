"""Answers are asked for once, have four kinds, and can be diagnosed elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError, ReadTimeoutError
from botocore.parsers import ResponseParserError

from keyturn.doctor.facts import Answer, Facts, Kind, Question, Unseen
from keyturn.errors.base import KeyturnError


def error(code: str, status: int = 400) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": "told"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "GetPolicy")


def facts_with(reply: Mapping[str, Any] | Exception) -> tuple[Facts, list[str]]:
    asked: list[str] = []

    def ask(service: str, operation: str, parameters: Mapping[str, object]) -> Mapping[str, Any]:
        asked.append(f"{service}:{operation} {sorted(parameters)}")
        if isinstance(reply, Exception):
            raise reply
        return reply

    return Facts(ask), asked


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (error("ResourceNotFoundException", 404), Kind.GONE),
        (error("NoSuchEntity", 404), Kind.GONE),
        (error("AccessDeniedException"), Kind.BLIND),
        (error("AccessDenied", 403), Kind.BLIND),
        (error("UnauthorizedOperation", 403), Kind.BLIND),
        (error("ExpiredToken", 403), Kind.BLIND),
        (error("ThrottlingException"), Kind.BLIND),
        (error("ValidationException"), Kind.BLIND),
        (error("NotImplementedException"), Kind.UNSUPPORTED),
        (error("NotImplemented", 501), Kind.UNSUPPORTED),
        # Lambda's own, without which there is no rotation: something is out of order.
        (error("500", 500), Kind.BLIND),
        (ResponseParserError("<html>"), Kind.BLIND),
        (ParamValidationError(report="too short"), Kind.BLIND),
        (error("404", 404), Kind.UNSUPPORTED),
        (EndpointConnectionError(endpoint_url="https://nowhere.invalid"), Kind.BLIND),
        (ReadTimeoutError(endpoint_url="https://nowhere.invalid"), Kind.BLIND),
    ],
    ids=str,
)
def test_what_a_call_comes_to_has_one_of_four_kinds(raised: Exception, kind: Kind) -> None:
    facts, _ = facts_with(raised)

    answer = facts.ask("lambda", "GetPolicy", FunctionName="f")

    assert answer.kind is kind
    if kind is Kind.GONE:
        assert answer.is_gone
    with pytest.raises(Unseen):
        _ = answer.value


def test_a_throttled_call_is_called_so() -> None:
    facts, _ = facts_with(error("ThrottlingException"))

    assert facts.ask("iam", "GetRole", RoleName="r").code == "throttled"


def test_a_question_is_asked_once_whoever_asks_and_in_what_order_it_names_its_parts() -> None:
    facts, asked = facts_with({"Policy": "{}", "ResponseMetadata": {}})

    first = facts.ask("lambda", "GetPolicy", FunctionName="f", Qualifier="live")
    second = facts.ask("lambda", "GetPolicy", Qualifier="live", FunctionName="f")

    assert first is second
    assert first.value == {"Policy": "{}"}
    assert len(asked) == 1


def test_who_asks_what_is_being_asked_waits_for_the_answer() -> None:
    entered, goes_on, asked = threading.Event(), threading.Event(), []

    def ask(_service: str, _operation: str, _parameters: Mapping[str, object]) -> Mapping[str, Any]:
        asked.append(1)
        entered.set()
        assert goes_on.wait(10)
        return {"a": 1}

    facts = Facts(ask)
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(facts.ask("iam", "GetRole"))) for _ in range(2)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    goes_on.set()
    for thread in threads:
        thread.join(10)

    assert asked == [1]
    assert answers[0] is answers[1]


def test_what_is_not_to_be_kept_of_a_reply_is_never_kept() -> None:
    facts, _ = facts_with({"SecretString": "hunter2"})

    answer = facts.ask("secretsmanager", "GetSecretValue", keep=lambda reply: {"length": len(reply["SecretString"])})

    assert answer.value == {"length": 7}
    assert "hunter2" not in json.dumps(facts.saved())


def test_a_defect_is_not_an_answer() -> None:
    facts, _ = facts_with(ZeroDivisionError())

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            facts.ask("iam", "GetRole")


def test_saved_facts_answer_the_same_and_what_is_not_among_them_is_blind() -> None:
    at = datetime(2026, 11, 27, 12, 0, 0, 5, tzinfo=UTC)
    facts, _ = facts_with({"At": at, "List": [{"At": at}], "Text": "$moment"})
    asked = facts.ask("secretsmanager", "DescribeSecret", SecretId="a", StartTime=at)

    loaded = Facts.load(json.loads(json.dumps(facts.saved())))

    assert loaded.ask("secretsmanager", "DescribeSecret", SecretId="a", StartTime=at) == asked
    missing = loaded.ask("secretsmanager", "DescribeSecret", SecretId="b")
    assert (missing.kind, missing.code) == (Kind.BLIND, "NotCollected")


@pytest.mark.parametrize(
    "document",
    [None, [], {}, {"schema": "other"}, {"schema": "keyturn.facts/1"}, {"schema": "keyturn.facts/1", "answers": [{}]}],
)
def test_what_holds_no_facts_is_refused(document: object) -> None:
    with pytest.raises(KeyturnError, match="does not hold the facts"):
        Facts.load(document)


def test_an_action_is_named_as_policies_name_it() -> None:
    assert Question("lambda", "GetPolicy").action == "lambda:GetPolicy"


def test_an_answer_is_read_once_for_all_who_share_it_sealed_or_not() -> None:
    facts, _ = facts_with({"Policy": "{}"})
    answer, read = facts.ask("lambda", "GetPolicy", FunctionName="f"), list[Answer]()

    def size(of: Answer) -> int:
        read.append(of)
        return len(of.found)

    assert [each.once(size, answer) for each in (facts, facts.sealed(), facts.sealed(), facts)] == [1] * 4
    assert read == [answer]
    other = facts.ask("lambda", "GetPolicy", FunctionName="g")
    assert facts.once(size, other) == 1
    assert read == [answer, other]


@pytest.mark.parametrize("raised", [error("500", 500), ResponseParserError("<html>")])
def test_what_moto_does_not_offer_is_no_fault(raised: Exception) -> None:
    facts, _ = facts_with(raised)

    assert facts.ask("cloudtrail", "LookupEvents").kind is Kind.UNSUPPORTED


def test_no_reply_that_cannot_be_read_is_kept() -> None:
    facts, _ = facts_with(ResponseParserError("Unable to parse: <html>hunter2</html>"))

    assert "hunter2" not in json.dumps([facts.ask("lambda", "GetPolicy").message, facts.saved()])
