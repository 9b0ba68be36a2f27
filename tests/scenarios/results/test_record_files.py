"""Claims about files of records."""

from __future__ import annotations

from pathlib import Path

import pytest

from plan.records import CounterSample, RequestRecord
from scenarios.results.record_files import RecordFile, read, write
from tests.scenarios.synthetic import make_plan, make_result

RECORDS = list(make_result(make_plan(), "basic", 9.0, {"pe0": 1.0, "de0": 0.0}).records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "records.jsonl"


def test_what_is_written_is_what_is_read(path: Path) -> None:
    write(path, RECORDS)
    assert read(path, RequestRecord) == RECORDS


def test_one_by_one_or_at_once_makes_the_same_file(path: Path) -> None:
    with RecordFile(path) as file:
        for record in RECORDS:
            file.append(record)
    one_by_one = path.read_bytes()
    write(path, RECORDS)
    assert path.read_bytes() == one_by_one


def test_a_record_can_be_read_once_it_is_flushed(path: Path) -> None:
    with RecordFile(path) as file:
        file.append(RECORDS[0])
        file.flush()
        assert read(path, RequestRecord) == RECORDS[:1]


def test_a_line_that_was_cut_short_is_left_out(path: Path) -> None:
    write(path, RECORDS[:2])
    path.write_bytes(path.read_bytes()[:-3])
    assert read(path, RequestRecord) == RECORDS[:1]


def test_a_file_without_a_record_has_none(path: Path) -> None:
    write(path, [])
    assert read(path, CounterSample) == []
