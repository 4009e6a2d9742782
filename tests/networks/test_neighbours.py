"""Exact neighbour search and k-center, against full searches in float64."""

import pytest
import torch

from adlib.networks import neighbours


def vectors(n, d, seed=0, offset=0.0):
    """Vectors that lie near a curved surface, as features do, far from the origin with `offset`."""
    rng = torch.Generator().manual_seed(seed)
    low = torch.randn(n, 4, generator=rng)
    made = torch.tanh(low @ torch.randn(4, d, generator=torch.Generator().manual_seed(99)))
    return made + 0.05 * torch.randn(n, d, generator=rng) + offset


def full_search(queries, bank):
    """Smallest distance in float64, from differences."""
    plain = "donot_use_mm_for_euclid_dist"
    return torch.cdist(queries.double(), bank.double(), compute_mode=plain).min(1)


@pytest.fixture(params=["bfloat16", "float32"])
def precision(request, monkeypatch):
    """Both ways of bounding distances, whatever the processor."""
    monkeypatch.setattr("adlib.networks.neighbours.resolve_precision", lambda *_: request.param)
    return request.param


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (5, 3, 2), (300, 1024, 40), (70, 2500, 152)])
def test_nearest_equals_a_full_search(precision, n, m, d, offset):
    """Would catch a candidate that rounding lost, padding taken for an entry, a wrong number."""
    queries, bank = vectors(n, d, 1, offset), vectors(m, d, 2, offset)
    queries[: n // 3] = bank[: n // 3] + 1e-3 * torch.randn(n // 3, d)
    wanted = full_search(queries, bank)
    distances, entries = neighbours.nearest(queries, bank)
    assert distances.dtype == torch.float32 and entries.dtype == torch.int64
    torch.testing.assert_close(distances.double(), wanted.values, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(entries, wanted.indices)


@pytest.mark.parametrize(
    ("query", "near", "other"),
    [(1 + 2**-8, 1 + 8 * 2**-7, 1 - 15 * 2**-8), (1.0, 1 + 8.51 * 2**-7, 1 - 17.4 * 2**-8)],
    ids=["query moves", "entries move"],
)
def test_the_limit_holds_where_rounding_turns_the_order(query, near, other, monkeypatch):
    """Would catch a limit without one of the roundings: all coordinates are moved one way."""
    monkeypatch.setattr("adlib.networks.neighbours.resolve_precision", lambda *_: "bfloat16")
    bank = torch.zeros(40, 16)  # so that the two stand in groups of their own
    bank[3], bank[20] = near, other
    query = torch.full((1, 16), query)
    rounded = torch.stack([v.bfloat16().float() for v in (query[0], bank[3], bank[20])])
    assert (rounded[0] - rounded[1]).norm() > 1.04 * (rounded[0] - rounded[2]).norm()
    bank = torch.cat([bank, -bank])  # mean 0
    wanted = full_search(query, bank)
    distances, entries = neighbours.nearest(query, bank)
    assert entries == wanted.indices == 3
    torch.testing.assert_close(distances.double(), wanted.values, rtol=1e-6, atol=0)


def test_equal_entries_give_the_first_and_distance_zero(precision):
    """Would catch ties decided by the order of blocks, and zero that comes out as rounding."""
    bank = vectors(40, 8).repeat(60, 1)
    order = torch.randperm(40)
    distances, entries = neighbours.nearest(bank[:40][order], bank)
    assert (distances == 0).all()
    torch.testing.assert_close(entries, order)


def test_a_query_is_searched_alone(precision):
    """Would catch a limit or a centre taken from the other queries."""
    queries, bank = vectors(50, 30, 3), vectors(3000, 30, 4)
    distances, entries = neighbours.nearest(queries, bank)
    for k in (0, 17, 49):
        one, entry = neighbours.nearest(queries[k : k + 1], bank)
        assert one == distances[k] and entry == entries[k]


def test_bad_banks_are_named():
    """Would catch an empty bank or other features that fail somewhere deep inside."""
    for bank in (torch.zeros(0, 3), torch.zeros(4, 2)):
        with pytest.raises(ValueError, match=r"no search .*among"):
            neighbours.nearest(torch.zeros(5, 3), bank)


def greedy(points, count, first):
    """k-center as it is written, in float64."""
    points = points.double()
    chosen, far = [first], torch.cdist(points, points[[first]])[:, 0]
    while len(chosen) < count:
        chosen.append(int(far.argmax()))
        far = torch.minimum(far, torch.cdist(points, points[chosen[-1:]])[:, 0])
    return torch.tensor(chosen), far.amax()


@pytest.mark.parametrize(("n", "count"), [(1, 1), (50, 50), (3000, 400)])
def test_k_center_takes_the_farthest_every_time(n, count, monkeypatch):
    """Would catch centres taken although a point outside the pool was farther."""
    monkeypatch.setattr(neighbours, "POOL", 64)
    monkeypatch.setattr(neighbours, "STEPS", 48)
    points = vectors(n, 20)
    wanted, radius = greedy(points, count, n // 2)
    chosen, found = neighbours.k_center(points, count, n // 2)
    torch.testing.assert_close(chosen, wanted)
    assert found == pytest.approx(float(radius), rel=1e-3, abs=1e-2)


def test_k_center_stops_when_nothing_is_left():
    """Would catch a bank full of one and the same entry."""
    points = vectors(7, 5).repeat(30, 1)
    chosen, radius = neighbours.k_center(points, 100)
    assert sorted((chosen % 7).tolist()) == list(range(7)) and radius < 1e-2


def test_the_time_of_k_center_grows_with_the_work():
    """Would catch an estimate of a part for the whole."""
    small, large = (
        neighbours.k_center_seconds(n, 8, n // 10, torch.device("cpu")) for n in (10**4, 10**7)
    )
    assert 0 < 1000 * small < large


@pytest.mark.parametrize("count", [0, 6])
def test_k_center_refuses_other_counts(count):
    """Would catch a share of the points that is none or more than all."""
    with pytest.raises(ValueError, match=f"count={count}: allowed are 1 to 5"):
        neighbours.k_center(torch.zeros(5, 2), count)
