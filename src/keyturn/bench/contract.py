"""What a rotation function owes: one small trial for each sentence.

Source: AWS Secrets Manager User Guide, "How rotation works" and "Lambda rotation functions"; the checks at the top of
AWS's template for them; and what cost people their databases (docs/functions.md).
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from keyturn.rules.staging import AWSPENDING, AWSPREVIOUS

from .boundaries import MESSAGE, PASS, Boundary, Place, Trap
from .desk import FOREIGN_KEY, STEPS, Desk, State
from .honeypot import Honeypot
from .relay import Relay
from .throwaway import Run

_HELD_SECONDS = 60
# What differs between two reports of the same thing.
_PASSING = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{12,}|\d+", re.IGNORECASE)


class NotKept(Exception):
    """The function does not do what it owes; says what it does."""


class NotTold(Exception):
    """It cannot be found out here; says why."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One sentence of the contract, and the trial that tells whether it is kept.

    Attributes:
        name: Short, the same for ever.
        title: The sentence.
        trial: Returns if it is kept; raises NotKept or NotTold.
    """

    name: str
    title: str
    trial: Callable[[Desk], None]


CLAUSES: list[Clause] = []


def _clause(title: str) -> Callable[[Callable[[Desk], None]], Callable[[Desk], None]]:
    def add(trial: Callable[[Desk], None]) -> Callable[[Desk], None]:
        CLAUSES.append(Clause(trial.__name__.replace("_", "-"), title, trial))
        return trial

    return add


@_clause("Four steps in order rotate the secret, and the new value logs in")
def rotates(desk: Desk) -> None:
    """Rotate once, and look."""
    before = desk.state()
    token = desk.begin()
    for step in STEPS:
        _must_succeed(desk.run(step, token))
    state = desk.state()
    if state.current_id != token:
        raise NotKept(f"finishSecret succeeded, but AWSCURRENT is not on the new version ({state.in_words()}).")
    if state.labels.get(AWSPREVIOUS) != before.current_id:
        raise NotKept("AWSPREVIOUS is not on the version that was AWSCURRENT.")
    if state.is_current_dead:
        raise NotKept("All steps succeeded, but the database refuses AWSCURRENT.")
    new, old = state.values[token], before.values[before.current_id]
    if new == old or ("password" in new and new["password"] == old.get("password")):
        raise NotKept("The new version has the value or the password of the old one.")


@_clause("Each step may run twice")
def repeats(desk: Desk) -> None:
    """Run each step twice, and all of them again at the end: Secrets Manager repeats what it is not sure of."""
    token = desk.begin()
    for step in STEPS:
        _must_succeed(desk.run(step, token))
        before = desk.state()
        _must_succeed(desk.run(step, token), "the second time ")
        _must_be_same(before, desk.state(), f"{step} run twice")
    before = desk.state()
    for step in STEPS:
        desk.run(step, token)
        _must_be_same(before, desk.state(), f"{step} run once more after the rotation's end")


@_clause("Two runs of a step at the same time do no harm")
def runs_side_by_side(desk: Desk) -> None:
    """Run each step twice at once: an invocation that was given up may still be at work."""
    token = desk.begin()
    for step in STEPS:
        others = [threading.Thread(target=desk.invoke, args=(step, token)) for _ in range(2)]
        for other in others:
            other.start()
        for other in others:
            other.join()
    failed = desk.attempt_again(token)
    state = desk.state()
    if failed is not None:
        raise NotKept(f"Afterwards the rotation does not get any further: {failed.in_words()} ({state.in_words()}).")
    if state.is_current_dead:
        raise NotKept(f"Afterwards applications are refused: {state.in_words()}.")


@_clause("createSecret stores the new value and leaves the database alone")
def stores_first(desk: Desk) -> None:
    """A value that the database has and nobody has stored is lost if the function ends there."""
    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    state = desk.state()
    if token not in state.values or state.labels.get(AWSPENDING) != token:
        raise NotKept("createSecret succeeded, but no value is stored under the token with the label AWSPENDING.")
    if state.current_id in state.refused:
        raise NotKept("The database refuses AWSCURRENT already.")
    if token in state.accepted and state.values[token] != state.values[state.current_id]:
        raise NotKept("The database accepts the new value already: createSecret has changed it.")


@_clause("createSecret does not replace a value that it has stored")
def keeps_pending_value(desk: Desk) -> None:
    """After setSecret another value would be one that the database does not know."""
    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    _must_succeed(desk.run("setSecret", token))
    before = desk.state()
    desk.run("createSecret", token)
    _must_be_same(before, desk.state(), "createSecret after setSecret")


@_clause("Keys of the secret that the function does not know are kept")
def keeps_other_keys(desk: Desk) -> None:
    """People keep more in a secret than a function knows of."""
    before = desk.state()
    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    current, pending = before.values[before.current_id], desk.state().values.get(token, {})
    lost = [key for key in current if key not in pending]
    # Which keys of a secret for something else are rotated is its own affair.
    may_change = ("username", "password") if before.is_known else [key for key in current if key != FOREIGN_KEY]
    changed = [key for key in current if key in pending and key not in may_change and pending[key] != current[key]]
    if lost or changed:
        raise NotKept(f"The new value lacks {lost or 'nothing'} and has changed {changed or 'nothing'}.")


@_clause("After setSecret the new value logs in")
def sets(desk: Desk) -> None:
    """The step's own report is not enough."""
    token = desk.begin()
    for step in ("createSecret", "setSecret"):
        _must_succeed(desk.run(step, token))
    state = desk.state()
    if not state.is_known:
        raise NotTold("The bench cannot ask this database.")
    if token not in state.accepted:
        raise NotKept(f"setSecret succeeded, but the database does not accept the new value: {state.in_words()}.")


@_clause("testSecret fails if the new value does not log in")
def tests(desk: Desk) -> None:
    """A test that cannot fail proves nothing: without setSecret it has to."""
    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    state = desk.state()
    if not state.is_known:
        raise NotTold("The bench cannot ask this database.")
    if token in state.accepted:
        raise NotTold("The database accepts the new value already, before setSecret.")
    if desk.run("testSecret", token).has_succeeded:
        raise NotKept("testSecret succeeded, though the database refuses the new value.")


@_clause("Who stores a pending value for another user does not get that user changed")
def refuses_another_user(desk: Desk) -> None:
    """Whoever may write the secret must not choose whose password is set."""
    _refuses_foreign(desk, {"username": "keyturn_bench_somebody_else"})


@_clause("Who stores a pending value for another host does not get the password sent there")
def refuses_another_host(desk: Desk) -> None:
    """Whoever may write the secret must not choose who gets to see a password."""
    if not desk.database.relays:
        raise NotTold("The secret has no host and port that the bench could stand in for.")
    with Honeypot(desk.database.relays[0].port) as honeypot:
        _refuses_foreign(desk, {"host": honeypot.host})
        if honeypot.visits:
            raise NotKept("setSecret refused, but it had connected to the other host before.")


@_clause("A step for a version that is not pending is refused")
def refuses_version_not_pending(desk: Desk) -> None:
    """AWS's template looks for it, and for a version that the secret does not have."""
    _must_fail(desk, "createSecret", "4fa9e9c5-0000-4000-8000-000000000000", "a version that there is not")
    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    desk.keyturn.abandon_rotation(desk.secret_arn)
    before = desk.state()
    for step in STEPS[1:]:
        _must_fail(desk, step, token, f"{step} of a version from which AWSPENDING was taken")
    _must_be_same(before, desk.state(), "a step of a version from which AWSPENDING was taken")


@_clause("A step of a secret whose rotation is switched off is refused")
def refuses_if_switched_off(desk: Desk) -> None:
    """AWS's template looks for it first."""
    token = desk.begin()
    desk.keyturn.enable_rotation(desk.secret_arn, enabled=False)
    _must_fail(desk, "createSecret", token, "createSecret while rotation is switched off")


@_clause("A step that there is not is refused")
def refuses_unknown_step(desk: Desk) -> None:
    """A typing error must not look like success."""
    _must_fail(desk, "rotateSecret", desk.begin(), "a step that there is not")


@_clause("A rotation that was given up half-way does not stand in the way of the next")
def follows_an_abandoned_rotation(desk: Desk) -> None:
    """Give up after each step by taking AWSPENDING off, as AWS advises, and rotate anew.

    A single user's new password is then one that no label leads to; only who knows of it can find it again.
    """
    for index, step in enumerate(STEPS[:-1]):
        token = desk.begin()
        for each in STEPS[: index + 1]:
            _must_succeed(desk.run(each, token))
        state = desk.state()
        if state.is_current_dead or not (state.is_known or step == "createSecret"):
            return
        desk.keyturn.abandon_rotation(desk.secret_arn)
        failed = desk.attempt_again(desk.begin())
        state = desk.state()
        if failed is not None:
            raise NotKept(f"Given up after {step}, the next rotation fails: {failed.in_words()} ({state.in_words()}).")
        if state.is_current_dead:
            raise NotKept(f"Given up after {step}, the next rotation succeeds, but {state.in_words()}.")
        desk.reset()


@_clause("What it answers to probeSecret, if it offers that, is true")
def answers_probes(desk: Desk) -> None:
    """Ask after each step, and once more when the label is gone. Keyturn repairs what is stuck by these answers."""
    if not desk.state().is_known:
        raise NotTold("The bench cannot ask this database.")
    token = desk.begin()
    for step in STEPS[:-1]:
        run = desk.run(step, token)
        _must_succeed(run)
        if "probeSecret" not in run.answer:
            raise NotTold("It does not offer probeSecret, which is Keyturn's own.")
        _must_answer_truly(desk, token, {})
    desk.keyturn.abandon_rotation(desk.secret_arn)
    if desk.state().is_current_dead:
        _must_answer_truly(desk, token, {"LostVersionIds": [token]})


@_clause("A setSecret that was held up and passed by a later rotation puts no old password back")
def lets_itself_be_passed(desk: Desk) -> None:
    """Halt setSecret at each message, finish it from elsewhere, rotate on, and let the first one go on."""
    messages = [place for place in _reached(desk, "setSecret") if place.boundary == Boundary(MESSAGE, "before")]
    for place in messages:
        _pass_by(desk, place)
        desk.reset()


@_clause("A password that was changed by hand is reported, and nothing is made worse")
def reports_a_changed_password(desk: Desk) -> None:
    """No stored version logs in: setSecret has to fail; once the right one is stored it has to work again."""
    state = desk.state()
    if state.current_id not in state.accepted:
        raise NotTold("The bench cannot ask this database.")
    value = state.values[state.current_id]
    other = {**value, "password": _new_password()}
    desk.database.set_password(value, str(other["password"]))
    token = desk.begin()
    try:
        _must_succeed(desk.run("createSecret", token))
        run = desk.run("setSecret", token)
        after = desk.state()
        if run.has_succeeded and token not in after.accepted:
            raise NotKept("setSecret succeeded, though no stored version logs in.")
        if not run.has_succeeded and desk.database.accepts(other) is False:
            raise NotKept("setSecret failed, but it has changed the password.")
    finally:
        if desk.database.accepts(other):
            desk.database.set_password(other, str(value["password"]))
    failed = desk.attempt_again(token)
    if failed is not None:
        raise NotKept(f"With the right password stored again the rotation still fails: {failed.in_words()}.")


@_clause("Between two steps whoever has read the secret gets in")
def leaves_no_gap(desk: Desk) -> None:
    """Whoever reads AWSCURRENT has to get in; within a step a single user has a moment in which that fails."""
    token = desk.begin()
    for step in STEPS:
        _must_succeed(desk.run(step, token))
        state = desk.state()
        if not state.is_known:
            raise NotTold("The bench cannot ask this database.")
        if state.is_current_dead:
            pending = state.values.get(token, {})
            if pending.get("username") == state.values[state.current_id].get("username"):
                raise NotTold(
                    "A single user has one password: after setSecret AWSCURRENT is refused until it is moved."
                )
            raise NotKept(f"After {step} {state.in_words()}.")


@_clause("Why setSecret failed can be told from what it says")
def explains_itself(desk: Desk) -> None:
    """A database that is down, one that does not answer, a wrong password: three causes, three reports."""
    if not desk.database.relays:
        raise NotTold("The bench does not stand between the function and its database.")
    said: dict[str, str] = {}
    complaints: list[str] = []
    for cause, run in _failures(desk):
        if run.has_succeeded:
            raise NotTold(f"setSecret succeeded in spite of {cause}.")
        if run.has_timed_out:
            complaints.append(f"With {cause} it runs into its time limit without having said why.")
            continue
        text = "\n".join(_PASSING.sub("#", line) for line in (*run.own_lines(), run.error or ""))
        twin = next((other for other, words in said.items() if words == text), None)
        if twin is not None:
            complaints.append(f"{_sentence(cause)} and {twin} are reported in the same words: {_last_line(text)}")
        said[cause] = text
    if complaints:
        raise NotKept(" ".join(complaints))


def _must_answer_truly(desk: Desk, token: str, more: Mapping[str, object]) -> None:
    run = desk.invoke("probeSecret", token, more)
    _must_succeed(run)
    state = desk.state()
    answer = json.loads(run.answer)
    for name, true in (("accepted", state.accepted), ("refused", state.refused)):
        wrong = set(answer.get(name, ())) - true
        if wrong:
            raise NotKept(f"It says {name} of a version, but {state.in_words()}.")
    if state.accepted and not answer.get("accepted"):
        raise NotKept(f"It finds no version that is accepted, but {state.in_words()}.")


def _failures(desk: Desk) -> Iterator[tuple[str, Run]]:
    for cause, act in (
        ("a database that refuses connections", Relay.refuse),
        ("a database that does not answer", Relay.fall_silent),
    ):
        token = desk.begin()
        _must_succeed(desk.run("createSecret", token))
        for relay in desk.database.relays:
            act(relay)
        yield cause, desk.run("setSecret", token)
        desk.reset()
    state = desk.state()
    if state.current_id not in state.accepted:
        return
    value = state.values[state.current_id]
    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    other = {**value, "password": _new_password()}
    desk.database.set_password(value, str(other["password"]))
    try:
        yield "a wrong password", desk.run("setSecret", token)
    finally:
        if desk.database.accepts(other):
            desk.database.set_password(other, str(value["password"]))


def _pass_by(desk: Desk, place: Place) -> None:
    """Hold a setSecret at a place while it is finished from elsewhere and others go by, and look what it does then."""
    is_held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        goes_on.wait(_HELD_SECONDS)

    token = desk.begin()
    _must_succeed(desk.run("createSecret", token))
    desk.watch.begin(Trap(place, PASS, hold))
    held = threading.Thread(target=desk.invoke, args=("setSecret", token))
    held.start()
    try:
        if not is_held.wait(_HELD_SECONDS):
            return
        # What comes next meets no fault.
        desk.watch.begin()
        # Of two users the second rotation after this one changes the same one again.
        failed = desk.run_all(token) or desk.run_all(desk.begin()) or desk.run_all(desk.begin())
    finally:
        goes_on.set()
        held.join()
    state = desk.state()
    if failed is not None:
        # Whoever waits for the one that was held is right to give up.
        return
    if state.is_current_dead:
        raise NotKept(f"Held {place} and let go after a later rotation, it leaves: {state.in_words()}.")


def _reached(desk: Desk, step: str) -> list[Place]:
    """Return what a step comes by when nothing goes wrong."""
    token = desk.begin()
    for each in STEPS[: STEPS.index(step) + 1]:
        _must_succeed(desk.run(each, token))
    seen = desk.watch.seen
    desk.attempt_again(token)
    return seen


def _refuses_foreign(desk: Desk, change: Mapping[str, object]) -> None:
    token = desk.begin()
    state = desk.state()
    current = state.values[state.current_id]
    desk.store_pending(token, {**current, "password": _new_password(), **change})
    before = desk.state()
    run = desk.run("setSecret", token)
    after = desk.state()
    if run.has_succeeded:
        raise NotKept(f"setSecret succeeded with a pending value whose {next(iter(change))} is another one.")
    if before.accepted != after.accepted:
        raise NotKept(f"setSecret failed, but has changed something: {after.in_words()}.")


def _new_password() -> str:
    # Something of each kind, for servers that insist.
    return f"Aa1-{secrets.token_urlsafe(18)}"


def _must_succeed(run: Run, how: str = "") -> None:
    if not run.has_succeeded:
        raise NotKept(f"{run.step} fails {how}with nothing wrong: {run.in_words()}")


def _must_fail(desk: Desk, step: str, token: str, what: str) -> None:
    before = desk.state()
    if desk.run(step, token).has_succeeded:
        raise NotKept(f"It succeeded with {what}.")
    _must_be_same(before, desk.state(), what)


def _must_be_same(before: State, after: State, what: str) -> None:
    if before.labels != after.labels:
        raise NotKept(f"{what} has moved staging labels.")
    if any(after.values.get(version) != value for version, value in before.values.items()):
        raise NotKept(f"{what} has changed a stored value.")
    if before.accepted != after.accepted:
        raise NotKept(f"{what} has changed what the database accepts: {after.in_words()}.")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _last_line(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]
