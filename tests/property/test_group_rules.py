"""Laws of security groups' rules: merged into permissions and read again, they are the same rules."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from keyturn.rules.network.group_rules import (
    CIDR,
    CIDR_V6,
    GROUP,
    PREFIX_LIST,
    Terms,
    permissions_of,
    terms_of,
    wanted_by,
)

descriptions = st.none() | st.text("abc .-", max_size=5)
peers = st.one_of(
    st.tuples(st.just(CIDR), st.sampled_from(["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.1/32"])),
    st.tuples(st.just(CIDR_V6), st.sampled_from(["::/0", "fd00::/8"])),
    st.tuples(st.just(GROUP), st.sampled_from(["sg-1", "sg-2"])),
    st.tuples(st.just(PREFIX_LIST), st.sampled_from(["pl-1", "pl-2"])),
)
heads = st.one_of(
    st.tuples(st.sampled_from(["tcp", "udp"]), st.sampled_from([0, 443, 5432]), st.sampled_from([5432, 65535])),
    st.tuples(st.sampled_from(["-1", "50"]), st.just(-1), st.just(-1)),
    st.tuples(st.just("icmp"), st.sampled_from([-1, 8]), st.sampled_from([-1, 0])),
)


@st.composite
def rules(draw: st.DrawFn) -> list[tuple[Terms, str | None]]:
    ways = st.tuples(st.booleans(), heads, peers)
    drawn = draw(st.lists(ways, unique=True, max_size=12))
    return [(Terms(is_egress, *head, *peer), draw(descriptions)) for is_egress, head, peer in drawn]


def document(terms: Terms, description: str | None) -> dict[str, Any]:
    peer: dict[str, Any] = {terms.peer_kind: terms.peer}
    if terms.peer_kind == GROUP:
        peer = {"ReferencedGroupInfo": {"GroupId": terms.peer, "UserId": "1"}}
    return {
        "IsEgress": terms.is_egress,
        "IpProtocol": terms.protocol,
        "FromPort": terms.from_port,
        "ToPort": terms.to_port,
        **peer,
        **({} if description is None else {"Description": description}),
    }


@given(rules())
def test_permissions_say_what_the_rules_say(given_rules: list[tuple[Terms, str | None]]) -> None:
    documents = [document(terms, description) for terms, description in given_rules]
    for is_egress in (True, False):
        permissions = permissions_of(documents, is_egress=is_egress)
        again = wanted_by(permissions, is_egress=is_egress)
        assert dict(again) == {terms: text for terms, text in given_rules if terms.is_egress is is_egress}
        heads_told = [(each["IpProtocol"], each.get("FromPort"), each.get("ToPort")) for each in permissions]
        assert len(heads_told) == len(set(heads_told))


@given(rules())
def test_a_document_says_what_its_rule_says(given_rules: list[tuple[Terms, str | None]]) -> None:
    for terms, description in given_rules:
        assert terms_of(document(terms, description)) == terms
