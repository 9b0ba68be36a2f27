"""Claims: a run's course in equal parts of its time."""

from __future__ import annotations

import math

import numpy as np

from plan.records import RequestRecord
from scenarios.results.over_time import BINS, bins, first_tokens, later_tokens, queues
from tests.scenarios.synthetic import make_plan, make_records

RECORDS = make_records(make_plan(), 20.0, dual=False)
UNDER_WAY = RequestRecord(
    request=99, agent=0, turn=9, prompt_tokens=10, gen_tokens=5, submit_s=19.0
)


def test_a_mean_is_of_what_fell_into_a_part_and_of_nothing_it_is_none() -> None:
    means = bins(float(BINS)).means([(0.2, 1.0), (0.4, 3.0), (2.5, 7.0)])
    assert means[0] == 2.0
    assert math.isnan(means[1])
    assert means[2] == 7.0


def test_a_rate_counts_moments_by_the_second() -> None:
    assert bins(2.0 * BINS).rates([0.5, 1.5, 3.0])[:3].tolist() == [1.0, 0.5, 0.0]


def test_first_and_later_tokens_are_told_when_they_came() -> None:
    assert len(first_tokens(RECORDS)) == len(later_tokens(RECORDS)) == len(RECORDS)
    assert first_tokens([UNDER_WAY]) == later_tokens([UNDER_WAY]) == []


def test_a_request_is_in_one_queue_at_a_time_from_submission_to_its_end() -> None:
    moments = np.linspace(0.0, 19.99, 300)
    waiting = queues(RECORDS)
    total = sum(levels.at(moments) for levels in waiting.values())
    alive = [sum(r.submit_s <= t < (r.done_s or 0.0) for r in RECORDS) for t in moments]
    assert np.asarray(total).tolist() == alive


def test_what_is_under_way_at_the_end_waits() -> None:
    assert queues([UNDER_WAY])["waiting for engines"].at(np.array([18.0, 19.5])).tolist() == [0, 1]
