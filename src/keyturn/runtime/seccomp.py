"""System calls that a function has no use for and that would let it have what its limits do not count.

Memory is watched by what processes have mapped. Files that exist in memory only (``memfd_create``), shared memory and
message queues of System V and the kernel's key rings are memory that no process has mapped; a user namespace of its own
gives a function all capabilities in there, with them file systems in memory, and the kernel's least used code.

Sockets are those of the families that a network namespace encloses and that programs use. Others go past it: AF_VSOCK
leads from a virtual machine to its host, whatever the namespace.

The filter is a program for the kernel's classic BPF machine, as ``bwrap --seccomp`` takes it. A system call that may be
missing on older kernels is answered as if it were (ENOSYS), so that programs take another way; others are refused.

Source: seccomp(2); vsock(7); Linux UAPI headers ``filter.h``, ``seccomp.h``, ``audit.h``; the tables of system calls of
both architectures.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
# Offsets in struct seccomp_data; of the first argument the lower half, both architectures being little-endian.
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16
_CLONE_NEWUSER = 0x1000_0000
# AF_UNIX, AF_INET, AF_INET6, AF_NETLINK.
_FAMILIES = (1, 2, 10, 16)
# Numbers from here on are x32's, the same calls under other numbers.
_X32_BIT = 0x4000_0000


@dataclass(frozen=True, slots=True)
class _Architecture:
    audit_number: int
    clone: int
    socket: int
    absent: Mapping[str, int]
    refused: Mapping[str, int]


# clone3 passes its flags where a filter cannot look; the C library then takes clone.
_ARCHITECTURES: Mapping[str, _Architecture] = {
    "x86_64": _Architecture(
        audit_number=0xC000_003E,
        clone=56,
        socket=41,
        absent={
            "shmget": 29,
            "semget": 64,
            "msgget": 68,
            "memfd_create": 319,
            "io_uring_setup": 425,
            "clone3": 435,
            "memfd_secret": 447,
        },
        refused={
            "ptrace": 101,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "setns": 308,
            "bpf": 321,
            "userfaultfd": 323,
        },
    ),
    "aarch64": _Architecture(
        audit_number=0xC000_00B7,
        clone=220,
        socket=198,
        absent={
            "msgget": 186,
            "semget": 190,
            "shmget": 194,
            "memfd_create": 279,
            "io_uring_setup": 425,
            "clone3": 435,
            "memfd_secret": 447,
        },
        refused={
            "unshare": 97,
            "ptrace": 117,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "perf_event_open": 241,
            "setns": 268,
            "bpf": 280,
            "userfaultfd": 282,
        },
    ),
}


def filter_program(machine: str | None = None) -> bytes | None:
    """Return the filter for this machine, or None for an architecture whose system calls are not known here.

    Args:
        machine: As ``uname -m`` says; this machine's by default.
    """
    architecture = _ARCHITECTURES.get(machine or platform.machine())
    if architecture is None:
        return None
    absent, refused = _return(_ERRNO | errno.ENOSYS), _return(_ERRNO | errno.EPERM)
    program = [_load(_ARCHITECTURE_OFFSET), _unless(_IF_EQUAL, architecture.audit_number, skip_if_so=1), absent]
    program += [_load(_NUMBER_OFFSET), _when(_IF_AT_LEAST, _X32_BIT), absent]
    for number in architecture.absent.values():
        program += [_when(_IF_EQUAL, number), absent]
    for number in architecture.refused.values():
        program += [_when(_IF_EQUAL, number), refused]
    program += [_when(_IF_EQUAL, architecture.socket, skip=2 * len(_FAMILIES) + 2), _load(_FIRST_ARGUMENT_OFFSET)]
    for family in _FAMILIES:
        program += [_when(_IF_EQUAL, family), _return(_ALLOW)]
    program += [_return(_ERRNO | errno.EAFNOSUPPORT)]
    program += [_when(_IF_EQUAL, architecture.clone, skip=3), _load(_FIRST_ARGUMENT_OFFSET)]
    program += [_when(_IF_ANY_BIT, _CLONE_NEWUSER), refused, _return(_ALLOW)]
    return b"".join(program)


def _instruction(code: int, if_so: int, if_not: int, value: int) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)


def _load(offset: int) -> bytes:
    return _instruction(_LOAD, 0, 0, offset)


def _return(value: int) -> bytes:
    return _instruction(_RETURN, 0, 0, value)


def _when(test: int, value: int, skip: int = 1) -> bytes:
    """Go on if the test holds, else leave out the next ``skip`` instructions."""
    return _instruction(test, 0, skip, value)


def _unless(test: int, value: int, skip_if_so: int) -> bytes:
    """Leave out the next instructions if the test holds."""
    return _instruction(test, skip_if_so, 0, value)
