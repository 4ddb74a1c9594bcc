"""Coluber: a just-in-time compiler for the CPython that people already have.

Nothing is compiled until Coluber is switched on: by ``COLUBER=1`` in the environment, by ``python -X coluber``, by
``python -m coluber script.py`` or by :func:`enable`. ``COLUBER=0`` in the environment wins over all of these.

>>> import coluber
>>> coluber.enable()
True
>>> coluber.status()["enabled"]
True
>>> coluber.disable()
"""

# No `from __future__ import annotations`: it is a file to load at each start, and annotations are not evaluated without it
# either from 3.14 on.
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType, TracebackType
    from typing import Any

__all__ = [
    "disable",
    "enable",
    "explain",
    "is_compiled",
    "options",
    "pause",
    "stats",
    "status",
]

_ON = ("1", "true", "on", "yes")
_OFF = ("0", "false", "off", "no")

_library: ModuleType | None = None
_off_reason: str | None = None


def _load() -> ModuleType | None:
    """The compiled library, mapped at the first call; None (and a reason in the status) where it cannot be."""
    global _library, _off_reason
    if _library is None and _off_reason is None:
        try:
            from . import _native as library
        except ImportError as error:
            _off_reason = f"the library cannot be loaded: {error}"
        else:
            _library = library
    return _library


def _log(message: str) -> None:
    """One line on stderr, unless that is switched off or there is no stderr."""
    if os.environ.get("COLUBER_LOG") == "off" or sys.stderr is None:
        return
    try:
        print(f"coluber: {message}", file=sys.stderr)
    except OSError, ValueError:
        pass


def _forbidden() -> bool:
    return os.environ.get("COLUBER", "").lower() in _OFF


def _start(switch: str | bool) -> None:
    """What the start-up hook calls: the value of ``COLUBER`` or of ``-X coluber``."""
    word = "1" if switch is True else str(switch).lower()
    if word in _OFF:
        return
    if word not in _ON:
        _log(f"COLUBER={switch} is not understood; known: {', '.join(_ON + _OFF)}; staying off")
        return
    try:
        enable()
    except ValueError as error:
        _log(f"off: {error}")


def enable(**settings: str | int | bool) -> bool:
    """Start compiling hot code, and say whether Coluber is on afterwards.

    ``settings`` override the options of the same name (see :func:`options`), for example
    ``enable(strategy="baseline", hot="call:2")``. Unknown names and values raise ``ValueError``. Where Coluber cannot work
    (an unknown interpreter, no executable memory), or where ``COLUBER=0`` forbids it, the program goes on
    interpreted: one line on stderr says why, and so does ``status()["reason"]``.
    """
    if _forbidden():
        return False
    library = _load()
    if library is None:
        _log(f"off: {_off_reason}")
        return False
    enabled = bool(library.enable({name: _text(value) for name, value in settings.items()}))
    stats_file = settings.get("stats_file") or sys._xoptions.get("coluber-stats-file")
    stats_file = stats_file or os.environ.get("COLUBER_STATS_FILE")
    if enabled and isinstance(stats_file, str) and stats_file:
        from . import _report

        _report.write_at_exit(stats_file)
    return enabled


def _text(value: str | int | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def disable() -> None:
    """Stop compiling, leave compiled code, and give back every hook of the interpreter.

    Compiled code that is running is left at its next safe point. :func:`enable` starts afresh.
    """
    if _library is not None:
        _library.disable()


class pause:
    """Keep compiled code from being entered within a ``with`` block; nestable.

    >>> import coluber
    >>> with coluber.pause():
    ...     pass
    """

    __slots__ = ()

    def __enter__(self) -> pause:
        if _library is not None:
            _library.pause()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if _library is not None:
            _library.resume()


def status() -> dict[str, Any]:
    """Whether Coluber is on (``enabled``), and if not, why (``reason``), with the settings in force.

    Asking does not load the compiled library.
    """
    if _library is not None:
        return dict(_library.status())
    if _forbidden():
        reason = f"COLUBER={os.environ['COLUBER']}"
    else:
        reason = _off_reason or "not switched on"
    return {"enabled": False, "reason": reason}


def stats() -> dict[str, Any]:
    """What has been compiled and how it went: counters, most important first.

    Empty while Coluber has not been switched on.
    """
    return {} if _library is None else dict(_library.stats())


def is_compiled(function: Callable[..., Any]) -> bool:
    """Whether calls of ``function`` enter compiled code now."""
    return _library is not None and bool(_library.is_compiled(function))


def explain(function: Callable[..., Any]) -> str:
    """The life of ``function`` under Coluber, for people: compiled or not and why, exits with counts and culprits."""
    if _library is None:
        return f"Coluber is off: {status()['reason']}"
    return str(_library.explain(function))


def options() -> list[dict[str, Any]]:
    """Every option, as dictionaries with ``name``, ``env``, ``doc`` and ``default``."""
    library = _load()
    return [] if library is None else list(library.options())
