"""Results as pages, tables and pictures.

matplotlib is loaded here, before any module that draws, since it follows a `matplotlibrc` in
the working directory, which may be anybody's. Pictures look the same everywhere, and text in
them is shown as it stands, for it may come from a scenario.
"""

import os

_here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
os.chdir("/")
try:
    import matplotlib
finally:
    os.fchdir(_here)
    os.close(_here)

matplotlib.rcdefaults()
matplotlib.rcParams["text.parse_math"] = False
