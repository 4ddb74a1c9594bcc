"""``python -m coluber [options] script.py | -m module | -c code | -``: run a program with Coluber.

The program sees what it would see under plain Python: ``sys.argv``, ``sys.path[0]``, a ``__main__`` module of its
own, stdin, the exit code, and tracebacks without frames of this file.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType
from typing import Any, NoReturn

import coluber

_USAGE = """\
usage: python -m coluber [options] script.py [arguments]
       python -m coluber [options] -m module [arguments]
       python -m coluber [options] -c code [arguments]
       python -m coluber [options] -           (program from stdin)

Runs a program with Coluber, otherwise as Python itself does.
"""


def main() -> None:
    settings, words = _parse(sys.argv[1:])
    os.environ.setdefault("COLUBER", "1")
    for variable, value in settings.items():
        os.environ[variable] = value
    try:
        coluber.enable()
    except ValueError as error:
        _fail(f"coluber: {error}")
    _run(words)


def _fail(message: str, code: int = 2) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(code)


def _parse(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Splits our options, as values of environment variables, from the program and its arguments."""
    settings: dict[str, str] = {}
    while words and words[0].startswith("--"):
        name, separator, value = words.pop(0)[2:].partition("=")
        if name == "":
            break
        if name == "help":
            print(_help(), end="")
            raise SystemExit(0)
        known = {str(option["name"]).replace("_", "-"): option for option in coluber.options()}
        option = known.get(name.replace("_", "-"))
        if option is None:
            _fail(f"coluber: unknown option --{name}; known: {', '.join('--' + each for each in known)}")
        if not separator:
            if not words:
                _fail(f"coluber: option --{name} needs a value")
            value = words.pop(0)
        settings[str(option["env"])] = value
    return settings, words


def _help() -> str:
    lines = [_USAGE, "options (each is also an environment variable):"]
    for option in coluber.options():
        name = str(option["name"]).replace("_", "-")
        lines.append(f"  --{name} VALUE   [{option['env']}, default {option['default'] or 'none'}]")
        lines += [f"      {line}" for line in str(option["doc"]).strip().splitlines()]
        lines.append(f"      Values: {option.get('values', 'text')}.")
    return "\n".join(lines) + "\n"


def _run(words: list[str]) -> None:
    program = words[0] if words else ""
    if program == "-c" or program == "-m":
        if len(words) < 2:
            _fail(f"Argument expected for the {program} option\n{_USAGE}")
        if program == "-c":
            _run_code(words)
        else:
            _run_module(words)
    elif program in ("", "-"):
        _run_stdin(words)
    elif program.startswith("-"):
        _fail(f"coluber: unknown option {program}\n{_USAGE}")
    else:
        _run_path(words)


def _fresh_main(**attributes: Any) -> ModuleType:
    main_module = ModuleType("__main__")
    main_module.__dict__.update(__builtins__=sys.modules["builtins"], **attributes)
    _keep_alive.append(sys.modules["__main__"])
    sys.modules["__main__"] = main_module
    return main_module


_keep_alive: list[ModuleType] = []


def _set_path(first: str) -> None:
    """``sys.path[0]`` as Python sets it for the program; ``-P`` and ``-I`` ask for none."""
    if not sys.flags.safe_path:
        sys.path[0] = first


def _run_code(words: list[str]) -> None:
    # Python decodes the argument and runs it with a newline added.
    source = words[1] + "\n"
    sys.argv[:] = ["-c", *words[2:]]
    _set_path("")
    main_module = _fresh_main(__loader__=BuiltinImporter)
    _execute(_compile(source, "<string>", register=True), main_module)


def _run_module(words: list[str]) -> None:
    import runpy

    sys.argv[:] = ["-m", *words[2:]]
    _fresh_main(__loader__=BuiltinImporter)
    with _plain_tracebacks():
        runpy._run_module_as_main(words[1])  # type: ignore[attr-defined]


def _run_stdin(words: list[str]) -> None:
    sys.argv[:] = words or [""]
    _set_path("")
    if sys.stdin is None:
        return
    if sys.stdin.isatty():
        import code

        main_module = _fresh_main(__loader__=BuiltinImporter)
        code.interact(local=main_module.__dict__, exitmsg="")
        return
    main_module = _fresh_main(__loader__=BuiltinImporter, __file__="<stdin>", **_cached())
    _execute(_compile(sys.stdin.buffer.read(), "<stdin>"), main_module)
    del main_module.__file__


def _run_path(words: list[str]) -> None:
    path = words[0]
    absolute = os.path.join(os.getcwd(), path)
    sys.argv[:] = words
    if _importable(absolute):
        import runpy

        _set_path(absolute)
        _fresh_main(__loader__=BuiltinImporter)
        with _plain_tracebacks():
            runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    _set_path(os.path.dirname(os.path.realpath(path)))
    try:
        with open(path, "rb") as file:
            source = file.read()
    except OSError as error:
        _fail(f"{sys.orig_argv[0]}: can't open file {absolute!r}: [Errno {error.errno}] {error.strerror}")
    code: CodeType | None
    loader: SourceFileLoader | SourcelessFileLoader
    if path.endswith(".pyc"):
        loader = SourcelessFileLoader("__main__", absolute)
        code = loader.get_code("__main__")
        assert code is not None
    else:
        loader = SourceFileLoader("__main__", absolute)
        code = _compile(source, absolute)
    _execute(code, _fresh_main(__file__=absolute, __loader__=loader, **_cached()))


def _cached() -> dict[str, None]:
    return {"__cached__": None} if sys.version_info < (3, 15) else {}


def _importable(path: str) -> bool:
    """Whether Python would look for a ``__main__`` module inside ``path`` (a directory or a zip file)."""
    for hook in sys.path_hooks:
        try:
            hook(path)
        except ImportError:
            continue
        return True
    return False


def _compile(source: str | bytes, filename: str, register: bool = False) -> CodeType:
    with _plain_tracebacks():
        code = compile(source, filename, "exec", dont_inherit=True)
    if register:
        # As Python does for -c, so that tracebacks show its lines.
        import linecache

        linecache._register_code(code, source, filename)  # type: ignore[attr-defined]
    return code


def _execute(code: CodeType, main_module: ModuleType) -> None:
    with _plain_tracebacks():
        exec(code, main_module.__dict__)


class _plain_tracebacks:
    """Lets an exception go on to the interpreter, and takes our frames off what ``sys.excepthook`` is shown."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, exception_type: Any, exception: BaseException | None, traceback: Any) -> None:
        if exception is None or isinstance(exception, SystemExit):
            return
        shown = sys.excepthook

        def excepthook(kind: type[BaseException], value: BaseException, whole: Any) -> None:
            stripped = _strip(whole)
            value.__traceback__ = stripped
            sys.last_traceback = stripped
            sys.excepthook = shown
            shown(kind, value, stripped)

        sys.excepthook = excepthook


def _strip(traceback: Any) -> Any:
    """Without the frames up to the last one of this file; ``runpy``'s below it are what ``python -m`` shows too."""
    kept = traceback
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if filename == __file__:
            kept = traceback.tb_next
        elif filename != "<frozen runpy>":
            break
        traceback = traceback.tb_next
    return kept


if __name__ == "__main__":
    main()
