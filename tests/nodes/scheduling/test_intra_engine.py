"""Packing to the compute quota (paper section 4)."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodes.scheduling.intra_engine import MINIMUM_CHUNK, Chunk, pack
from nodes.timing.compute import attention_s
from scenarios.configuration.models import GPUS, MODELS

queues = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(1, 20_000)), min_size=1, max_size=12
).map(lambda pairs: [Chunk(i, cached, bsz) for i, (cached, bsz) in enumerate(pairs)])
quotas = st.floats(0, 2)


def predict(cached: int, bsz: int) -> float:
    return attention_s(MODELS["qwen-32b"], GPUS["h800"], [(cached, bsz)])


def remaining(queue: list[Chunk], batch: list[Chunk]) -> list[Chunk]:
    """The queue once `batch`, packed from its head, has run: finished requests leave, a cut
    one stays at the head with its chunk counted as cached."""
    rest = list(queue[len(batch) :])
    if batch:
        work, done = queue[len(batch) - 1], batch[-1]
        if done.bsz < work.bsz:
            rest.insert(0, Chunk(work.request, work.cached + done.bsz, work.bsz - done.bsz))
    return rest


def total_s(batch: list[Chunk]) -> float:
    return sum(predict(chunk.cached, chunk.bsz) for chunk in batch)


@given(queue=queues, quota_s=quotas)
def test_a_batch_keeps_to_the_quota_unless_it_is_one_minimum_chunk(
    queue: list[Chunk], quota_s: float
) -> None:
    batch = pack(queue, quota_s, predict)
    lone_minimum = len(batch) == 1 and batch[0].bsz <= MINIMUM_CHUNK
    assert total_s(batch) <= quota_s * (1 + 1e-9) or lone_minimum


@given(queue=queues, quota_s=quotas)
def test_a_batch_is_a_fifo_prefix_cut_in_its_last_request_only(
    queue: list[Chunk], quota_s: float
) -> None:
    batch = pack(queue, quota_s, predict)
    assert batch[:-1] == queue[: len(batch) - 1]
    last, work = batch[-1], queue[len(batch) - 1]
    assert (last.request, last.cached) == (work.request, work.cached)
    assert 1 <= last.bsz <= work.bsz


@given(queue=queues, quota_s=quotas)
def test_one_more_token_would_exceed_the_quota(queue: list[Chunk], quota_s: float) -> None:
    batch = pack(queue, quota_s, predict)
    rest = remaining(queue, batch)
    if rest:
        following = rest[0]
        more = total_s(batch) + predict(following.cached, 1)
        assert more > quota_s * (1 - 1e-9)


@given(queue=queues, quota_s=quotas)
def test_every_token_is_computed_once(queue: list[Chunk], quota_s: float) -> None:
    batch = pack(queue, quota_s, predict)
    for work in queue:
        parts = [c for c in [*batch, *remaining(queue, batch)] if c.request == work.request]
        assert sum(part.bsz for part in parts) == work.bsz
        assert parts[0].cached == work.cached
        assert all(a.cached + a.bsz == b.cached for a, b in pairwise(parts))


@given(work=st.tuples(st.integers(0, 60_000), st.integers(1, 20_000)), quota_s=st.floats(0, 1e-6))
def test_progress_is_made_under_any_quota(work: tuple[int, int], quota_s: float) -> None:
    queue = [Chunk(0, *work)]
    steps = 0
    while queue:
        queue = remaining(queue, pack(queue, quota_s, predict))
        steps += 1
    assert steps <= -(-work[1] // MINIMUM_CHUNK)


def test_requests_that_fit_are_packed_whole() -> None:
    queue = [Chunk(0, 10, 5), Chunk(1, 0, 3)]
    assert pack(queue, 8, lambda cached, bsz: bsz) == queue


def test_the_request_that_would_exceed_the_quota_is_cut() -> None:
    queue = [Chunk(0, 10, 5), Chunk(1, 7, 300), Chunk(2, 0, 1)]
    batch = pack(queue, 100, lambda cached, bsz: bsz)
    assert batch == [Chunk(0, 10, 5), Chunk(1, 7, 95)]
    assert remaining(queue, batch) == [Chunk(1, 102, 205), Chunk(2, 0, 1)]


def test_an_empty_queue_packs_into_an_empty_batch() -> None:
    assert pack([], 0.3, predict) == []
    assert remaining([], []) == []
