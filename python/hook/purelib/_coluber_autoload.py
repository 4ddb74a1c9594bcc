"""Start-up hook: switches Coluber on if the environment or `-X coluber` says so.

`coluber-autoload.pth` looks whether there is a switch at all, which costs a start some microseconds, and only then
imports this file. PEP 829's ``.start`` files are not used while ``.pth`` lines are honoured (3.14 to
3.17): for them ``site`` imports ``pkgutil``, which costs every start 2.5 ms (measured on 3.15.2, 2026-11-20), and
their presence switches the cheap line off. A later wheel's ``.start`` file names
``_coluber_autoload:start``.
"""

import os
import sys


_started = False


def start():
    global _started
    # In a virtual environment `site` reads its .pth files twice (seen on 3.14.10).
    if _started:
        return
    _started = True
    switch = os.environ.get("COLUBER", "")
    if switch == "0":
        return
    if sys.flags.ignore_environment:
        switch = ""
    if switch or "coluber" in sys._xoptions:
        try:
            import coluber
        except Exception as error:
            if os.environ.get("COLUBER_LOG") != "off" and sys.stderr is not None:
                print(f"coluber: off: {error}", file=sys.stderr)
        else:
            coluber._start(switch or sys._xoptions["coluber"])
