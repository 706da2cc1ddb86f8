"""A property that is worked out once, by whoever asks first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

_Owner = TypeVar("_Owner")
_Value = TypeVar("_Value")


class cached(Generic[_Owner, _Value]):  # noqa: N801 - like the standard library's
    """A property that is worked out once. Before Python 3.12 functools' own holds one lock for all cases at a time."""

    def __init__(self, work_out: Callable[[_Owner], _Value]) -> None:
        self._work_out = work_out
        self.__doc__ = work_out.__doc__

    def __set_name__(self, owner: type[_Owner], name: str) -> None:
        self._name = name

    def __get__(self, owner: _Owner, kind: type[_Owner]) -> _Value:
        value = self._work_out(owner)
        owner.__dict__[self._name] = value
        return value
