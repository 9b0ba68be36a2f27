"""The page in a real browser: it draws, at any width, and answers to the mouse."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from scenarios.configuration import library
from scenarios.configuration.loading import load_scenario
from scenarios.reports.live import LiveRun
from scenarios.reports.report import write_report
from scenarios.results import provenance
from tests.scenarios.reports.test_live import write_run
from tests.scenarios.synthetic import basic_and_dualpath

BROWSER = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="wants Chromium (Debian's package: chromium)"),
]
LATER = """<script type='text/javascript'>
  EventSource = class {
    constructor() { setTimeout(() => SHOWN.forEach((data) => this.onmessage({ data }))); }
    close() {}
  };
</script>"""
COUNT = """<script type='text/javascript'>setTimeout(() => {
  document.title = broken || [
    document.querySelectorAll(".live .uplot").length,
    document.querySelectorAll("#fabric svg").length,
    document.getElementById("status").textContent,
  ].join("|");
}, 1000)</script>"""
CATCH = "<script type='text/javascript'>let broken = ''; onerror = (m) => broken += m;</script>"
ACT = """<script type='text/javascript'>
  const over = document.querySelector("#requests .u-over"), box = over.getBoundingClientRect();
  const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2 };
  for (const kind of ["mousemove", "mousedown", "mouseup", "click"])
    over.dispatchEvent(new MouseEvent(kind, { ...at, bubbles: true }));
  document.title = broken || [
    document.documentElement.scrollWidth <= innerWidth,
    document.querySelectorAll(".live .uplot canvas").length,
    document.querySelectorAll("#fabric line").length,
    document.querySelectorAll("#fabric line.lit").length,
    document.querySelectorAll(".way .strip span").length,
  ].join(" ");
</script>"""


def seen(page: Path, width: int, scheme: int) -> str:
    """The title that the page ends with; scheme 0 is dark, 1 light."""
    assert BROWSER is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    options += [f"--user-data-dir={page.parent / 'profile'}", "--virtual-time-budget=5000"]
    options += [f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", page.as_uri()]
    dom = subprocess.run([BROWSER, *options], capture_output=True, text=True, timeout=60).stdout
    found = re.search("<title>(.*?)</title>", dom, re.DOTALL)
    assert found is not None, dom[-2000:]
    return found[1]


@pytest.mark.parametrize(("width", "scheme"), [(1280, 0), (500, 1)])
def test_everything_is_drawn_and_a_request_shows_its_way(
    width: int, scheme: int, tmp_path: Path
) -> None:
    plan, results = basic_and_dualpath()
    scenario = load_scenario(library.find(library.QUICKSTART), ["systems=[basic,dualpath]"])
    write_report(tmp_path, scenario, plan, results, provenance.collect(["run"], seed=1))
    page = tmp_path / "report.html"
    html = page.read_text()
    panels = len(re.findall('id="chart-', html))
    page.write_text(html.replace("<head>", "<head>" + CATCH).replace("</body>", ACT + "</body>"))
    fits, canvases, lines, lit, parts = seen(page, width, scheme).split()
    assert fits == "true"
    assert int(canvases) > panels
    assert int(lines) == 2 * len(re.findall('"rows":\\[\\d+,\\d+\\]', html))
    assert int(lit) >= 2
    assert int(parts) >= 4


def test_a_live_page_takes_in_what_comes(tmp_path: Path) -> None:
    shown = []
    run = LiveRun(tmp_path)
    for share in (0.4, 1.0):
        write_run(tmp_path, share)
        run.look()
        shown.append(run.shown())
    told = [panel for chart in json.loads(shown[1])["charts"].values() for panel in chart["panels"]]
    page = tmp_path / "live.html"
    stub = f"<script type='text/javascript'>const SHOWN = {json.dumps(shown)};</script>" + LATER
    page.write_text(
        run.page().replace("<head>", "<head>" + CATCH + stub).replace("</body>", COUNT + "</body>")
    )
    plots, maps, status = seen(page, 1280, 1).split("|")
    assert (int(plots), int(maps)) == (len(told) + 1, 1)
    assert status.startswith("Serving. Requests: basic: 3 of 40")
