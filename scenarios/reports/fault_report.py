"""What a report says of faults: a picture of service over time, and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from plan.model import Plan
from scenarios.configuration.systems import title
from scenarios.reports.charts import Chart, Curve, Panel, stairs
from scenarios.reports.drawing import Run, colour
from scenarios.reports.page import ABSENT, number
from scenarios.reports.sections import Section, Written
from scenarios.results import over_time
from scenarios.results.faults import Course, by_attempts, courses, reads_back_s, rework, spells
from scenarios.results.over_time import bins
from scenarios.results.result import SystemResult
from scenarios.results.windows import cut

MOST_ROWS = 40
"""Faults of a system that are listed; all are in its `faults.jsonl`."""
MOST_CAUSES = 8
HEAD = (
    "fault",
    "injected, s",
    "noticed after, s",
    "around it after, s",
    "lasted, s",
    "back after, s",
    "reads at 95 % after, s",
)


def service(run: Run) -> Chart | None:
    """Requests done and mean TTFT over time, with marks where faults begin and end."""
    seen = [result for result in run.results if result.faults and result.records]
    if not seen:
        return None
    names = [result.system.name for result in run.results]
    cut = bins(max(result.ending.to_s for result in seen))
    done, waits = [], []
    for result in seen:
        name = result.system.name
        moments_s = [r.done_s for r in result.records if r.done_s is not None]
        means = cut.means(over_time.first_tokens(result.records))
        done.append(Curve(name, colour(name, names), *stairs(cut.edges_s, cut.rates(moments_s))))
        waits.append(Curve(name, colour(name, names), cut.centres_s, means))
    told = [event for result in seen for event in result.faults]
    marks = sorted({event.t_s for event in told if event.what in ("injected", "healed")})
    panels = [
        Panel("requests done a second", done, steps=True, marks=marks),
        Panel("mean TTFT, s", waits, marks=marks),
    ]
    return Chart(panels, end=float(cut.edges_s[-1]))


def sections(plan: Plan, results: Sequence[SystemResult]) -> list[Written]:
    """Service before, during and after faults, and the course of each; nothing without any."""
    if not any(result.faults for result in results):
        return []
    told = [(result, courses(result.faults)) for result in results]
    rows = [row for result, found in told for row in _spell_rows(plan, result, found)]
    head = ("", "from, s", "to, s", "requests/s", "tokens/s", "mean TTFT, s", "SNIC read use")
    text = (
        "Service before the first fault, from there until the last was over, and afterwards."
        " Requests count where they were done, TTFT where the first token came."
    )
    written = [Written(Section("Faults", text, [head, *rows]))]
    for result, found in told:
        text = " ".join(_sentences(plan, result, len(found) - MOST_ROWS))
        table = _courses(plan, result, found[:MOST_ROWS])
        written.append(Written(Section(f"Faults under {title(result.system.name)}", text, table)))
    return written


def _spell_rows(plan: Plan, result: SystemResult, told: list[Course]) -> Iterator[list[str]]:
    for spell in spells(plan, result, told):
        yield [
            f"{title(result.system.name)}, {spell.name}",
            number(spell.from_s),
            number(spell.to_s),
            number(spell.requests_per_s),
            number(spell.tokens_per_s),
            number(spell.ttft_s),
            f"{spell.snic_use:.1%}",
        ]


def _sentences(plan: Plan, result: SystemResult, unlisted: int) -> Iterator[str]:
    tries = by_attempts(result.records, result.attempts)
    told = ", ".join(f"{count} at attempt {number}" for number, count in tries.items())
    failed = sum(record.error is not None for record in result.records)
    yield f"Requests done: {told or 'none'}; failed: {failed}."
    refused = sum(stats.blocks_refused for stats in result.node_stats)
    late = sum(stats.late_messages for stats in result.node_stats)
    yield f"Blocks read and not used: {refused}; messages that came too late: {late}."
    again = rework(plan, result)
    yield (
        f"Tokens of context computed though they had been stored: {again.recomputed:,};"
        f" read from storage for nothing: {again.reread:,}."
    )
    causes = Counter(attempt.cause for attempt in result.attempts).most_common()
    if causes:
        shown = "; ".join(f"{cause} ({count})" for cause, count in causes[:MOST_CAUSES])
        more = f"; and {len(causes) - MOST_CAUSES} more" if len(causes) > MOST_CAUSES else ""
        yield f"Attempts came to nothing because: {shown}{more}."
    if unlisted > 0:
        yield f"{unlisted} more faults are in faults.jsonl."


def _courses(plan: Plan, result: SystemResult, told: list[Course]) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = [HEAD]
    windows = cut(result.samples, plan.fabric, result.ending.to_s)
    for course in told:
        begun_s = course.injected_s
        back_s = None if windows is None else reads_back_s(plan, windows, course)
        rows.append(
            [
                f"{course.kind} {course.target}",
                number(begun_s),
                _after(course.detected_s, begun_s),
                _after(course.recovered_s, begun_s),
                _after(course.healed_s, begun_s),
                ABSENT if course.healed_s is None else _after(course.back_s, course.healed_s),
                ABSENT if back_s is None else number(back_s),
            ]
        )
    return rows


def _after(then_s: float | None, since_s: float) -> str:
    return ABSENT if then_s is None else number(then_s - since_s)
