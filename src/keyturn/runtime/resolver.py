"""The resolver of a function's VPC: the services' names as the VPC has them, every other name as this machine has it.

It answers on sockets inside the function's namespace. Real addresses that are mapped into the VPC are told as the
VPC's, since no others lead anywhere from there. A VPC whose enableDnsSupport is off has nobody who answers.

One loop serves the resolvers of all functions, and their Runtime APIs: what one function can make it do is bounded.

Sources: Amazon VPC User Guide, "DNS attributes for your VPC", "Amazon DNS server" and "Quotas", "DNS"; RFC 1035, 4.2.2
(TCP).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import TypeVar, cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset

from keyturn.rules.network import plan
from keyturn.rules.network.maps import Map, seen_as

_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")

_SECONDS_TO_LIVE = 60
_SECONDS = 5.0
# Of questions under way; a function that asks more at once loses them, as it would a resolver's packets.
_MOST_QUESTIONS = 64
_MOST_QUESTIONS_A_SECOND = 1024
# Of names that are looked up at once: this machine's own resolver may let each wait for many seconds.
_MOST_LOOKUPS = 4
_MOST_CONVERSATIONS = 16
# A question has one name of 255 bytes at most, and little else. Source: RFC 1035, 2.3.4.
_MOST_QUESTION_BYTES = 512


class Resolver:
    """One namespace's resolver. Everything but the constructor runs in the loop.

    Args:
        resolver: What it answers.
        maps: Which real addresses the VPC has.
        sockets: UDP and TCP, in the namespace.
    """

    def __init__(self, resolver: plan.Resolver, maps: Sequence[Map], sockets: Sequence[socket.socket]) -> None:
        self._answers = resolver.answers
        self._names = {name.lower(): addresses for name, addresses in resolver.names}
        self._maps = maps
        self._udp, self._tcp = sockets
        self._asked = 0
        self._second_began_at = 0.0
        self._asked_in_second = 0
        self._conversations = 0
        self._lookups = ThreadPoolExecutor(_MOST_LOOKUPS, thread_name_prefix="keyturn-resolver")

    async def serve(self) -> Callable[[], None]:
        """Begin to answer; return what ends it, to be called in the loop."""
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=self._udp)
        server = await asyncio.start_server(self._converse, sock=self._tcp)

        def end() -> None:
            transport.close()
            server.close()
            self._answers = False
            self._lookups.shutdown(wait=False, cancel_futures=True)

        return end

    async def answer(self, question: bytes) -> bytes | None:
        """Return the answer to one message; None for what is no question, or if there is nobody to answer."""
        if not self._answers or len(question) > _MOST_QUESTION_BYTES or self._is_asked_too_much():
            return None
        try:
            # What else a message can hold takes long to read: a second, for 64 KiB of names that point to one another.
            query = dns.message.from_wire(question, question_only=True)
        except dns.exception.DNSException:
            return None
        if query.flags & dns.flags.QR or len(query.question) != 1:
            return None
        self._asked += 1
        try:
            return (await self._answered(query)).to_wire()
        finally:
            self._asked -= 1

    def _is_asked_too_much(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._second_began_at >= 1:
            self._second_began_at, self._asked_in_second = now, 0
        self._asked_in_second += 1
        return self._asked >= _MOST_QUESTIONS or self._asked_in_second > _MOST_QUESTIONS_A_SECOND

    async def _answered(self, query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query, recursion_available=True)
        [asked] = query.question
        if asked.rdclass != dns.rdataclass.IN:
            reply.set_rcode(dns.rcode.REFUSED)
            return reply
        name = asked.name.to_text(omit_final_dot=True).lower()
        try:
            if name in self._names:
                addresses = list(self._names[name])
            elif asked.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                addresses = await self._in_time(self._looked_up, name)
            else:
                reply.answer = await self._in_time(_asked_of_machine, asked)
                return reply
        except _NoSuchName:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        except (OSError, TimeoutError, dns.exception.DNSException):
            reply.set_rcode(dns.rcode.SERVFAIL)
        else:
            # Of addresses only IPv4's lead anywhere.
            if asked.rdtype == dns.rdatatype.A and addresses:
                reply.answer = [dns.rrset.from_text(asked.name, _SECONDS_TO_LIVE, "IN", "A", *addresses)]
        return reply

    async def _in_time(self, look_up: Callable[[_Asked], _Found], asked: _Asked) -> _Found:
        return await asyncio.wait_for(
            asyncio.get_running_loop().run_in_executor(self._lookups, look_up, asked), _SECONDS
        )

    def _looked_up(self, name: str) -> list[str]:
        try:
            found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
                raise
            raise _NoSuchName from error
        addresses = dict.fromkeys(IPv4Address(each[4][0]) for each in found)
        return [str(seen) for address in addresses for seen in seen_as(self._maps, address) or (address,)]

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            if self._conversations >= _MOST_CONVERSATIONS:
                return
            self._conversations += 1
            try:
                while await self._answer_next(reader, writer):
                    pass
            finally:
                self._conversations -= 1

    async def _answer_next(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await asyncio.wait_for(reader.readexactly(2), _SECONDS)
        question = await asyncio.wait_for(reader.readexactly(*struct.unpack("!H", head)), _SECONDS)
        answered = await self.answer(question)
        if answered is not None:
            writer.write(struct.pack("!H", len(answered)) + answered)
            await writer.drain()
        return answered is not None


class _NoSuchName(Exception):
    """Nobody has this name."""


class _Datagrams(asyncio.DatagramProtocol):
    """Questions that come in packets."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        answered = await self._resolver.answer(data)
        if answered is not None and not self._transport.is_closing():
            self._transport.sendto(answered, addr)


def _asked_of_machine(asked: dns.rrset.RRset) -> list[dns.rrset.RRset]:
    """Return what the machine's own resolver says of records that are no addresses: SRV and TXT name databases, too."""
    try:
        return list(dns.resolver.resolve(asked.name, asked.rdtype, lifetime=_SECONDS).response.answer)
    except dns.resolver.NXDOMAIN as error:
        raise _NoSuchName from error
    except dns.resolver.NoAnswer:
        return []
