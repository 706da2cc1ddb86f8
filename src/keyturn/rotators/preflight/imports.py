"""Does the function's handler import? Asked in a process of its own, of awslambdaric itself.

A module may do anything when it is imported: end the process, wait for ever, load another driver than ours. So it is
not imported here. What is wrong is said in the words that the function's log would have.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from .items import Items

_ITEM = "function.import"
_LIMIT_SECONDS = 20
_ANSWER_BYTES = 64 * 1024
# Runs where the runtime would import the handler: in the directory of the code, with the same path.
_PROGRAM = """
import json, os, sys
sys.path[0] = os.getcwd()
handler, answer = sys.argv[1], int(sys.argv[2])
from awslambdaric.bootstrap import FaultException, _get_handler
try:
    _get_handler(handler)
    said = {}
except FaultException as fault:
    said = {"code": fault.exception_type, "reason": fault.msg[:1000]}
except BaseException as error:
    said = {"code": type(error).__name__, "reason": str(error)[:1000]}
module = sys.modules.get(handler.rpartition(".")[0].replace("/", "."))
said["wants_json"] = "keyturn_rotators" in sys.modules or hasattr(module, "get_secret_dict")
os.write(answer, json.dumps(said).encode())
"""


def check_handler(items: Items, handler: str) -> bool:
    """Note whether the handler imports.

    Returns:
        Whether it is one of Keyturn's functions or of AWS's published ones for databases, which cannot do without a
        JSON object as the secret's value; of others that is not known.
    """
    began = time.monotonic()
    said, problem = _asked(handler)
    if problem is not None:
        items.failed(_ITEM, *problem, since=began)
    elif "code" in said:
        items.failed(_ITEM, str(said["code"]), str(said.get("reason", "")), since=began)
    else:
        items.ok(_ITEM, since=began)
    return said.get("wants_json") is True


def _asked(handler: str) -> tuple[dict[str, object], tuple[str, str] | None]:
    """Return what the process said; or what became of it."""
    reading, writing = os.pipe()
    try:
        # -s: as the runtime is started.
        command = [sys.executable, "-s", "-c", _PROGRAM, handler, str(writing)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[writing])  # noqa: S603 - this program
    finally:
        os.close(writing)
    try:
        status = process.wait(_LIMIT_SECONDS)
        # A process that the module has left behind may hold the other end.
        os.set_blocking(reading, False)
        content = os.read(reading, _ANSWER_BYTES)
    except BlockingIOError:
        content = b""
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        reason = f"The handler's module was not imported after {_LIMIT_SECONDS} seconds"
        return {}, ("Sandbox.Timedout", reason)
    finally:
        os.close(reading)
    try:
        said = json.loads(content)
    except ValueError:
        return {}, ("Runtime.ExitError", f"Runtime exited with error: exit status {status}")
    return (said, None) if isinstance(said, dict) else ({}, ("Runtime.ExitError", "Runtime exited without an answer"))
