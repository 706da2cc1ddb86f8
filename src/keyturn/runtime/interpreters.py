"""Runtime identifiers (``python3.11``) and the interpreters of this machine that can serve them.

The server's own interpreter serves its own version; any other ``python3.N`` on PATH serves its version if it can find
``awslambdaric`` and ``boto3``. Each candidate is asked once, by running it, where it and those libraries live.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from keyturn.errors.lambda_ import InvalidParameterValueException

_IDENTIFIER = re.compile(r"python3\.(\d{1,2})")
_OLDEST, _NEWEST = 9, 15
_QUESTION_TIMEOUT_SECONDS = 20
# What a function of Lambda's Python runtime can import beside the standard library. runtime_client is a part of
# awslambdaric.
_REQUIRED = ("awslambdaric", "runtime_client", "boto3", "botocore")
_OPTIONAL = ("simplejson", "snapshot_restore_py", "s3transfer", "jmespath", "dateutil", "six", "urllib3")
_QUESTION = """
import glob, importlib.util, json, os, site, sys
def home(name):
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        return None
    return os.path.dirname(spec.origin) if spec.submodule_search_locations else spec.origin
required, optional = json.loads(sys.argv[1])
found = {name: home(name) for name in required + optional}
missing = [name for name in required if not found[name]]
sites = {os.path.dirname(path) for path in found.values() if path}
names = {name.replace("_", "-") for name in found} | {"python-dateutil"}
infos = [i for s in sorted(sites) for i in glob.glob(os.path.join(glob.escape(s), "*.dist-info"))
         if os.path.basename(i).split("-")[0].lower().replace("_", "-") in names]
prefix = os.path.realpath(sys.base_prefix)
print(json.dumps({
    "minor": sys.version_info[1], "full": "%d.%d.%d" % sys.version_info[:3], "missing": missing, "prefix": prefix,
    "executable": os.path.realpath(getattr(sys, "_base_executable", sys.executable)),
    "libraries": [path for path in found.values() if path] + infos,
    "sites": [p for p in site.getsitepackages([sys.base_prefix, prefix]) if os.path.isdir(p)],
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One Python that can run functions.

    Attributes:
        runtime: Identifier such as ``python3.11``.
        full_version: ``3.11.7``.
        executable: The real file, not a virtual environment's link.
        prefix: The installation it belongs to.
        libraries: Files and directories that a function finds under ``/var/runtime``.
        sites: Directories of other installed packages, which a function must not find.
    """

    runtime: str
    full_version: str
    executable: Path
    prefix: Path
    libraries: tuple[Path, ...]
    sites: tuple[Path, ...]


def find_interpreter(runtime: str) -> Interpreter:
    """Return the interpreter for a runtime identifier.

    Raises:
        InvalidParameterValueException: No interpreter of this machine serves it; the message names what is served.
    """
    match = _IDENTIFIER.fullmatch(runtime)
    found = _find_minor(int(match[1])) if match else None
    if found is None:
        available = ", ".join(available_runtimes()) or "none"
        raise InvalidParameterValueException(
            f"The runtime parameter of {runtime} is not available on this server. Available runtimes: {available}."
        )
    return found


def available_runtimes() -> tuple[str, ...]:
    """Identifiers of the runtimes this machine can serve, oldest first."""
    return tuple(found.runtime for minor in range(_OLDEST, _NEWEST + 1) if (found := _find_minor(minor)))


@functools.cache
def _find_minor(minor: int) -> Interpreter | None:
    if minor == sys.version_info.minor:
        return _ask(sys.executable, minor)
    executable = shutil.which(f"python3.{minor}") if _OLDEST <= minor <= _NEWEST else None
    return _ask(executable, minor) if executable else None


def _ask(executable: str, minor: int) -> Interpreter | None:
    """Run an interpreter and let it describe itself; None if it is not what its name says or lacks the libraries."""
    try:
        # -P and -s keep the working directory and the user's own packages out; older versions do not know -P.
        run = subprocess.run(  # noqa: S603 - the executable comes from PATH or is our own, never from a caller
            [executable, *(["-P"] if minor > 10 else []), "-s", "-c", _QUESTION, json.dumps([_REQUIRED, _OPTIONAL])],
            capture_output=True,
            check=True,
            cwd="/",
            timeout=_QUESTION_TIMEOUT_SECONDS,
        )
        answer = json.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    if answer["missing"] or answer["minor"] != minor:
        return None
    return Interpreter(
        runtime=f"python3.{minor}",
        full_version=answer["full"],
        executable=Path(answer["executable"]),
        prefix=Path(answer["prefix"]),
        libraries=tuple(Path(path) for path in answer["libraries"]),
        sites=tuple(Path(path) for path in answer["sites"]),
    )
