"""What a command does first as root: let nothing in from where it happens to be started.

`python -m` puts the working directory, which may be anybody's, before all other places that
modules come from, and the environment can name programs, libraries and modules. So a command
starts itself again, isolated (`python -I`) and with an environment of its own.

Nothing is imported here but what Python has loaded by itself.
"""

# not even __future__, which would be looked for in the working directory
import os
import sys

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs come from: directories that root alone writes to."""
_KEPT = (
    *("LANG", "LANGUAGE", "TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TZ"),
    *("SUDO_USER", "SUDO_UID", "SUDO_GID", "DUALPATH_OUTER_NETWORK", "DUALPATH_CORE"),
    *("LC_ALL", "LC_COLLATE", "LC_CTYPE", "LC_MESSAGES", "LC_NUMERIC", "LC_TIME"),
)
_COMMAND = "dualpath"
_NO_OTHERS = 0o022


def isolate() -> None:
    """Start again isolated, if this process is one of our commands, run by root."""
    if os.geteuid() != 0 or not _is_command():
        return
    environment = cleaned(dict(os.environ))
    if not sys.flags.isolated:
        flags = ["-I"] if _is_root_s_own() else ["-I", "-B"]
        os.execve(sys.executable, [sys.executable, *flags, *sys.orig_argv[1:]], environment)
    os.environ.clear()
    os.environ.update(environment)
    # others write to nothing that root makes
    os.umask(os.umask(_NO_OTHERS) | _NO_OTHERS)


def cleaned(environment: dict[str, str]) -> dict[str, str]:
    """What programs are given of root's environment."""
    kept = {name: environment[name] for name in _KEPT if name in environment}
    return {**kept, "PATH": PATH, "HOME": "/root"}


def _is_command() -> bool:
    # while `python -m` looks for a module, that stands for its name
    return sys.argv[:1] == ["-m"] or os.path.basename(sys.argv[0]) == _COMMAND


def _is_root_s_own() -> bool:
    """Whether the code is root's: else root leaves no compiled files beside it."""
    return os.stat(__file__).st_uid == 0
