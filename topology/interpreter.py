"""How we start Python: only with modules of this interpreter and its environment."""

from __future__ import annotations

import sys


def python(*arguments: str) -> list[str]:
    """A command line of this Python that takes no modules from the working directory, the
    user's home or places that environment variables name; `-B` is handed on.
    """
    return [sys.executable, "-I", *(["-B"] if sys.dont_write_bytecode else []), *arguments]
