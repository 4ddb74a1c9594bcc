"""For tests of Coluber, and for programs that want to be sure that their hot path is compiled.

A test that means to run compiled code says so, because with the compiler off everything else about it passes too:

>>> from coluber.testing import assert_compiled, eagerly
>>> def triple(x):
...     return x * 3
>>> with eagerly():                                    # doctest: +SKIP
...     assert [triple(n) for n in range(5)] == [0, 3, 6, 9, 12]
...     assert_compiled(triple, exits=0)
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import coluber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["assert_compiled", "assert_not_compiled", "eagerly", "units"]


@contextmanager
def eagerly(calls: int = 2, **settings: str | int | bool) -> Iterator[None]:
    """Within the block a unit is compiled at its ``calls``-th call or back-edge, before that call goes on."""
    was_enabled = coluber.status()["enabled"]
    coluber.disable()
    if not coluber.enable(**{"hot": f"call:{calls}", "background": False, **settings}):
        raise RuntimeError(f"Coluber cannot be switched on: {coluber.status()['reason']}")
    try:
        yield
    finally:
        coluber.disable()
        if was_enabled:
            coluber.enable()


def units(function: Callable[..., Any]) -> list[dict[str, Any]]:
    """What is known of the units of ``function``: its start, and its loops that were seen."""
    library = coluber._load()
    return [] if library is None else list(library.unit_facts(function))


def assert_compiled(function: Callable[..., Any], exits: int | None = None) -> None:
    """``function`` is entered as compiled code, and that has been left through guards ``exits`` times, if given."""
    assert coluber.is_compiled(function), f"not compiled:\n{coluber.explain(function)}"
    if exits is not None:
        found = sum(int(unit.get("exits", 0)) for unit in units(function))
        assert found == exits, f"{found} exits, not {exits}:\n{coluber.explain(function)}"


def assert_not_compiled(function: Callable[..., Any]) -> None:
    """``function`` is interpreted."""
    assert not coluber.is_compiled(function), f"compiled:\n{coluber.explain(function)}"
