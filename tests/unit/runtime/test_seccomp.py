"""The filter of system calls, run on a small model of the kernel's machine."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from keyturn.runtime.seccomp import filter_program

ALLOW = 0x7FFF0000
X86_64, AARCH64 = ("x86_64", 0xC000003E), ("aarch64", 0xC00000B7)


def answer(program: bytes, architecture: int, number: int, first_argument: int = 0) -> int:
    """What the kernel would do: 0 for "let it through", else the error number."""
    data = struct.pack("=IIQQ", number, architecture, 0, first_argument)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        code, if_so, if_not, value = instructions[position]
        position += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x06:
            return 0 if value == ALLOW else value & 0xFFFF
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            position += if_so if holds else if_not


@pytest.mark.parametrize(
    ("machine", "read", "clone", "memfd_create", "unshare"), [(X86_64, 0, 56, 319, 272), (AARCH64, 63, 220, 279, 97)]
)
def test_only_what_is_named_is_kept_from_a_function(
    machine: tuple[str, int], read: int, clone: int, memfd_create: int, unshare: int
) -> None:
    name, architecture = machine
    program = filter_program(name)
    assert program is not None
    assert answer(program, architecture, read) == 0
    assert answer(program, architecture, clone, first_argument=17) == 0
    assert answer(program, architecture, clone, first_argument=17 | 0x10000000) == errno.EPERM
    assert answer(program, architecture, memfd_create) == errno.ENOSYS
    assert answer(program, architecture, 435) == errno.ENOSYS
    assert answer(program, architecture, unshare) == errno.EPERM


@pytest.mark.parametrize(("machine", "call"), [(X86_64, 41), (AARCH64, 198)])
def test_only_sockets_that_a_network_namespace_encloses_are_opened(machine: tuple[str, int], call: int) -> None:
    name, architecture = machine
    program = filter_program(name)
    assert program is not None
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        assert answer(program, architecture, call, family) == 0
    # The kernel reads an int: what stands above it makes no difference.
    for other in (socket.AF_VSOCK, socket.AF_ALG, socket.AF_PACKET, socket.AF_QIPCRTR, 0, 1 << 32 | socket.AF_VSOCK):
        assert answer(program, architecture, call, other) == errno.EAFNOSUPPORT


def test_the_calls_of_another_architecture_are_no_way_around() -> None:
    program = filter_program("x86_64")
    assert program is not None
    assert answer(program, 0x40000003, 3) == errno.ENOSYS  # i386
    assert answer(program, X86_64[1], 0x40000000 | 319) == errno.ENOSYS  # x32


def test_a_machine_whose_calls_are_not_known_gets_no_filter() -> None:
    assert filter_program("mips") is None
