"""Redis and Valkey: ACL users.

The driver is redis-py: pure Python, so one deployment package runs on every architecture. What it is used for is in
``redis_acl/node.py``: it connects to nothing by itself and sends nothing that it is not told to.

**Every host.** A server knows its own users only; replicas and the other nodes of a cluster learn nothing. So the hosts
that a secret names are not a choice: a login is one to all of them, and a password is set at all of them. One of them
at least must not be a replica. A host that cannot be reached ends the rotation before anything is changed.

**Two passwords.** A user may have several. A rotation leaves two: the new one, and the one of the version that is
current until then; what is older goes. So whoever read the secret before or during a rotation gets in until the next
one, whichever host has heard of it. The user at rest of two that alternate gets the new one only.

**Who changes them.** ``ACL SETUSER`` is all or nothing: whoever may use it may make itself anything. Give it to a
superuser, and let that one set the passwords of others (strategy ``single_user_by_superuser``).

**What travels.** Rules carry the SHA-256 of passwords, which is what the server keeps. A login shows the password
itself to the server, as Redis has no other; without TLS to everybody on the way, which is logged.

**TLS** is as in the other engines: ``ssl`` true verifies certificate and name; ``ssl`` false is plaintext; without
``ssl`` it is TLS, with whatever certificate, on a port that does not answer a plain question. No login follows on
another one that has failed.

**Durability.** ACL changes are the memory's only. The server is made to write its users down, to its ``aclfile`` or its
configuration file, once before anything is changed, so that one who cannot is found out, and once in the same
transaction as the change, so that no accident of this function comes in between.

**Nobody passes.** There is no lock for users, and none is needed. A rule names every password that the user had when it
was looked at, before the confirmation, as one to be removed, and the server refuses the whole rule if one of them is
not there. A rotation that has been passed by a later one can therefore take away nothing that the later one set. It
can add its own password in one case: the user had a single password, and the later rotation kept that one.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import base
from .redis_acl.node import Node
from .redis_acl.users import User, described, digest

SUFFIX = "_clone"
# Redis documentation, "proto-max-bulk-len": names have no other limit.
_NAME_LIMIT_BYTES = 512 * 1024 * 1024
_NO_ACL_FILE = "not configured to use an ACL file"
# Amazon ElastiCache User Guide, "Finding connection endpoints"; Amazon MemoryDB Developer Guide, "Finding endpoints".
_MANAGED_BY_AWS = re.compile(r"\.(cache|memorydb\.[\w-]+)\.amazonaws\.com(\.cn)?\.?", re.IGNORECASE)
_TRUE = frozenset({"true", "1", "y", "yes"})


class Engine:
    """Redis from version 6.2, Valkey."""

    title = "Redis"
    engine_names: tuple[str, ...] = ("redis", "valkey")
    exclude_characters = "/@\"'\\"
    password_length = 32
    # The driver imports the second one on Python before 3.11.3 only, which a package cannot know.
    driver_distributions: tuple[str, ...] = ("redis", "async-timeout")
    # The superuser sets the new password beside the current one.
    keeps_previous = True
    superuser_strategy = "single_user_by_superuser"

    def login(self, value: Mapping[str, object]) -> base.Login:
        """Read the secret's JSON."""
        return base.read_login(value, engines=self.engine_names, default_port=6379, default_dbname="")

    def alternate_username(self, username: str) -> str:
        """Return the user that alternates with this one."""
        return base.alternate_username(username, suffix=SUFFIX, limit=_NAME_LIMIT_BYTES, unit="bytes")

    def connect(self, login: base.Login) -> RedisConnection:
        """Log in at every host that the secret names.

        Raises:
            AuthenticationFailed: A server refused user or password.
            ReadOnlyReplica: All of them are replicas.
            DatabaseError: Anything else.
        """
        return RedisConnection(login)


@dataclass(frozen=True, slots=True)
class _Change:
    """What is to happen to one user at one server, and what takes it back if the server cannot write it down."""

    node: Node
    save: Sequence[str] | None
    set_user: Sequence[str]
    undo: Sequence[str]

    def make(self) -> None:
        if self.save is None:
            self.node.run(*self.set_user)
            return
        refused, not_saved = self.node.run_together(self.set_user, self.save)
        if refused:
            raise refused
        if not_saved:
            # Whoever finds the password in force takes it for kept.
            with contextlib.suppress(base.DatabaseError):
                self.node.run(*self.undo)
            raise not_saved


class RedisConnection(base.Connection):
    """One login to every host."""

    def __init__(self, login: base.Login) -> None:
        self._login = login
        self._nodes: list[Node] = []
        try:
            for host, port in login.addresses:
                _refuse_managed(host)
                self._nodes.append(Node(login, host, port))
            _refuse_replicas_alone(self._nodes)
        except BaseException:
            self.close()
            raise

    @property
    def password_was_checked(self) -> bool:
        """False if a server lets this user in with any password."""
        return all(node.asks_for_password() for node in self._nodes)

    def set_password(self, username: str, password: str, confirm: base.Confirm) -> None:
        """Set a user's password, and keep the one that this login knows to be current."""
        own = username == self._login.username
        current = self._login.password if own else self._login.retained_password
        changes = []
        for node in self._nodes:
            user = _existing(node, username)
            kept = [digest(current)] if current and digest(current) in user.passwords else []
            changes.append(_change(node, username, user, [digest(password), *kept]))
        self._make(changes, confirm)

    def create_user_like(self, username: str, like: str, password: str, confirm: base.Confirm) -> None:
        """Create a user with the rules of ``like``, or give the one there is what it lacks, and this password only."""
        changes = []
        for node in self._nodes:
            model = _existing(node, like)
            user = node.user(username)
            if user is None:
                words = ["on", f"#{digest(password)}", *model.words()]
                changes.append(_change(node, username, None, [digest(password)], words))
                continue
            _refuse_unsuitable(node, username, user)
            if not user.is_within(model):
                raise base.NotAClone(
                    f"host {node.host}: user {username} may do what {like} may not"
                    f" ({described(set(user.words()) - set(model.words())) or user.root.commands}), and may be"
                    " somebody else's"
                )
            rules = [] if user.may_what(model) else model.words()
            changes.append(_change(node, username, user, [digest(password)], rules))
        self._make(changes, confirm)

    def test(self) -> None:
        """Ask for an answer; that a user may not even ask is one."""
        for node in self._nodes:
            with contextlib.suppress(base.MissingGrant):
                node.run("PING")

    def close(self) -> None:
        """End the connections."""
        for node in self._nodes:
            node.close()

    def _make(self, changes: Sequence[_Change], confirm: base.Confirm) -> None:
        confirm()
        for change in changes:
            change.make()


def _existing(node: Node, username: str) -> User:
    user = node.user(username)
    if user is None:
        raise base.UserMissing(f"host {node.host}: there is no user {username}")
    _refuse_unsuitable(node, username, user)
    return user


def _refuse_unsuitable(node: Node, username: str, user: User) -> None:
    if "nopass" in user.flags:
        raise base.PasswordNotAsked(f"host {node.host}: user {username} needs no password (nopass)")
    if "off" in user.flags:
        raise base.NotAdmitted(f"host {node.host}: user {username} is switched off")


def _change(
    node: Node, username: str, user: User | None, passwords: Sequence[str], rules: Sequence[str] = ()
) -> _Change:
    """Return the change that leaves a user, which is not there if None, with these hashed passwords only."""
    set_user = ("ACL", "SETUSER", username)
    if user is None:
        return _Change(node, _saving(node), (*set_user, *rules), (*set_user, *(f"!{new}" for new in passwords)))
    undo = (f"!{passwords[0]}", *(f"#{old}" for old in user.passwords))
    return _Change(node, _saving(node), (*set_user, *user.exchange(*passwords), *rules), (*set_user, *undo))


def _saving(node: Node) -> Sequence[str] | None:
    """Return the command that makes the server write its users down, after it has done so once; None to do without.

    Raises:
        NotDurable: It cannot.
        MissingGrant: It may not be told to.
    """
    try:
        try:
            node.run("ACL", "SAVE")
        except base.NotDurable as error:
            if _NO_ACL_FILE not in error.reason:
                raise
            node.run("CONFIG", "REWRITE")
            return "CONFIG", "REWRITE"
    except (base.NotDurable, base.MissingGrant):
        if os.environ.get("UNSAVED_PASSWORDS", "").strip().lower() in _TRUE:
            return None
        raise
    return "ACL", "SAVE"


def _refuse_replicas_alone(nodes: Sequence[Node]) -> None:
    if all(node.is_replica for node in nodes):
        hosts = ", ".join(node.host for node in nodes)
        raise base.ReadOnlyReplica(f"host {hosts} is a replica: the user of the primary has to change too")


def _refuse_managed(host: str) -> None:
    if _MANAGED_BY_AWS.search(host):
        raise base.AnotherProduct(
            f"{host} is ElastiCache or MemoryDB, whose users are changed by AWS's API and not by the server"
        )
