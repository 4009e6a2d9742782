"""Nearest neighbours among feature vectors: exact search, and thinning of a set by k-center.

Both spend their time in matrix products over blocks small enough to stay in a processor's cache.
"""

import time

import torch
from torch import Tensor

from adlib.host.device import resolve_precision

# A block is at most LANES groups of GROUP entries, the last one less; a distance a group is kept.
LANES, GROUP = 128, 8
VECTOR = 16  # float32 numbers in the longest vector of a processor
# Queries worked on at once, and numbers gathered at once where candidates are measured: on a CPU
# few, because memory that is new to a process costs more than the work in it.
ROWS, GATHERED = {"cpu": 1024, "cuda": 16384}, {"cpu": 1 << 20, "cuda": 1 << 22}
# Positive numbers have the order of their bits, and integers are compared several times as fast. Of
# two negative ones (which are zeros and rounding) either may pass for the lower: no limit is below.
BITS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
POOL, STEPS = 1024, 256  # farthest points looked at together, and centres taken of them at most


def nearest(queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Search a bank that is searched once; see `Index`, which is kept where it is searched again.

    Raises:
        ValueError: an empty bank, or widths that differ.
    """
    return Index(bank).nearest(queries)


class Index:
    """A bank prepared for exact search: groups of `GROUP` entries, with bounds of the distances.

    Distances are first bounded by matrix products, in bfloat16 where the CPU has it in hardware.
    Every entry that rounding leaves possible is then measured by the differences themselves in
    float32, so the result is that of a full search and no other query takes part.

    Half the squared distance of rounded q and b is the product of [q, 1, 1, high, low] and
    [-b, high, low, 1, 1], where high + low is half the squared length in two numbers of a type that
    may be short. The bank's mean is taken off both before, because lengths decide how far rounding
    moves them.

    Attributes:
        bank: float32 `(m, d)`, at least one entry; not to be changed while the index is used.
    """

    def __init__(self, bank: Tensor) -> None:
        """Prepare the bank. A ValueError says that it is empty."""
        if len(bank) == 0:
            raise ValueError(f"no search among {tuple(bank.shape)}: the bank is empty")
        self.bank = bank
        cpu = bank.device.type == "cpu"  # GPUs may add up products of short numbers in short ones
        short = cpu and resolve_precision("auto", bank.device) == "bfloat16"
        self.dtype = torch.bfloat16 if short else torch.float32
        self.centre = bank.mean(0)
        centred = bank - self.centre
        rounded, halves, errors = self._rounded(centred)
        self.length, self.error = centred.norm(dim=1).amax(), errors.amax()
        entries = torch.cat([-rounded, halves, torch.ones_like(halves)], 1)
        parts = entries.split(LANES * GROUP)
        # A group's members lie as many rows apart as the block has groups, so that their minimum is
        # one of whole vectors.
        self.blocks = [self._block(part) for part in parts]

    def _block(self, entries: Tensor) -> Tensor:
        """Entries `(GROUP * groups, d + 4)`, all first members of groups in front."""
        lanes = -(-len(entries) // (GROUP * VECTOR)) * VECTOR  # groups, of whole vectors
        filling = entries.new_zeros(GROUP * lanes - len(entries), entries.shape[1])
        filling[:, -4] = torch.inf  # infinitely far
        return torch.cat([entries, filling]).view(lanes, GROUP, -1).transpose(0, 1).flatten(0, 1)

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Euclidean distance to the nearest entry, and which it is (of equal ones the first).

        Args:
            queries: float32 `(n, d)`.

        Returns:
            float32 `(n,)` and int64 `(n,)`.

        Raises:
            ValueError: queries of another width than the bank's.
        """
        if queries.shape[1:] != self.bank.shape[1:]:
            raise ValueError(
                f"no search for {tuple(queries.shape)} among {tuple(self.bank.shape)}: "
                "the widths differ"
            )
        parts = queries.split(_of(ROWS, queries.device))
        squares, entries = (torch.cat(x) for x in zip(*map(self._search, parts), strict=True))
        return squares.sqrt(), entries

    def _search(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Squared distance to the nearest entry and its number, for every query."""
        rows, groups = self._candidates(queries)
        squares, entries = [], []
        members = torch.arange(GROUP, device=queries.device)
        chunk = max(1, _of(GATHERED, queries.device) // (GROUP * queries.shape[1]))
        for row, group in zip(rows.split(chunk), groups.split(chunk), strict=True):
            # The bank's last group may lack members; its last entry stands for them.
            among = (group[:, None] * GROUP + members).clamp_max(len(self.bank) - 1)
            differences = self.bank[among].sub_(queries[row][:, None])
            square, k = differences.square_().sum(2).min(1)
            squares.append(square)
            entries.append(among.gather(1, k[:, None])[:, 0])
        square, entry = torch.cat(squares), torch.cat(entries)
        best = square.new_full((len(queries),), torch.inf).scatter_reduce_(0, rows, square, "amin")
        ties = square == best[rows]
        first = entry.new_full((len(queries),), torch.iinfo(entry.dtype).max)
        return best, first.scatter_reduce_(0, rows[ties], entry[ties], "amin")

    def _candidates(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs (query, group) among which is every query's nearest entry."""
        centred = queries - self.centre
        rounded, halves, error = self._rounded(centred)
        left = torch.cat([rounded, torch.ones_like(halves), halves], 1)
        bits = BITS[self.dtype]
        shape = len(queries), len(self.blocks), LANES
        lowest = left.new_full(shape, torch.inf).view(bits)
        products = left.new_empty(len(queries) * len(self.blocks[0]))
        for k, block in enumerate(self.blocks):
            part = products[: len(queries) * len(block)].view(len(queries), -1)
            torch.mm(left, block.T, out=part)
            groups = part.view(bits).unflatten(1, (GROUP, -1))
            torch.amin(groups, 1, out=lowest[:, k, : groups.shape[2]])
        lows = lowest.amin(2)
        limit = self._limit(lows.amin(1).view(self.dtype).float(), centred.norm(dim=1), error)
        limit = limit.view(bits)[:, None]
        # In two steps, because looking for the few true ones is slow.
        rows, blocks = (lows <= limit).nonzero(as_tuple=True)
        pairs, lanes = (lowest[rows, blocks] <= limit[rows]).nonzero(as_tuple=True)
        return rows[pairs], blocks[pairs] * LANES + lanes

    def _limit(self, lowest: Tensor, length: Tensor, error: Tensor) -> Tensor:
        """What the result for a query's nearest entry cannot exceed, given the lowest of all."""
        eps = torch.finfo(self.dtype).eps
        # Of the sum in float32 and of the halves in two numbers.
        sums = self.blocks[0].shape[1] * torch.finfo(torch.float32).eps / 2 + eps**2 / 4
        sums = sums * (length + self.length).square()
        reached = (2 * (lowest + eps * lowest.abs() + sums)).clamp_min(0).sqrt()
        # Rounded vectors are as much nearer or farther as they were moved (triangle inequality):
        # once for the entry with the lowest result, once for the nearest.
        limit = (reached + 2 * (error + self.error)).square() / 2 + sums
        return (limit * (1 + 2 * eps)).to(self.dtype)  # the result and the limit are rounded too

    def _rounded(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rounded vectors, their half squared lengths in two numbers, and how far they moved."""
        rounded = x.to(self.dtype)
        exact = rounded.float()
        half = exact.square().sum(1, keepdim=True) / 2
        high = half.to(self.dtype)
        moved = half.new_zeros(len(x)) if exact is x else (x - exact).norm(dim=1)
        return rounded, torch.cat([high, (half - high).to(self.dtype)], 1), moved


def _of(sizes: dict[str, int], device: torch.device) -> int:
    return sizes["cpu" if device.type == "cpu" else "cuda"]  # any GPU is served in large pieces


def k_center(points: Tensor, count: int, first: int = 0) -> tuple[Tensor, float]:
    """Choose points greedily, each the farthest from those chosen before (Gonzalez 1985).

    The farthest points are looked at together. As long as the farthest of them is at least as far
    as all others were at first, it is the farthest of all, because distances only shrink. One
    matrix product for many centres then brings all distances up to date.

    Args:
        points: float32 `(n, d)`.
        count: how many to choose, 1 to n; fewer are chosen if all others equal one of them.
        first: index of the first one.

    Returns:
        Indices `(count,)` in the order they were chosen, and the largest distance of a point to its
        nearest chosen one.

    Raises:
        ValueError: count outside 1 to n.
    """
    if not 1 <= count <= len(points):
        raise ValueError(f"count={count}: allowed are 1 to {len(points)}, the number of points")
    points = points - points.mean(0)
    lengths = points.square().sum(1)
    equal = 4 * torch.finfo(points.dtype).eps * lengths.amax()  # what rounding makes of zero
    far = torch.full_like(lengths, torch.inf)  # squared distance to the nearest centre
    new = torch.tensor([first], device=points.device)
    chosen, left = [new], count - 1
    _approach(far, points, lengths, new)
    while left:
        values, pool = far.topk(min(POOL + 1, len(points)))
        ceiling, pool, heights = values[-1], pool[:POOL], values[:POOL].clone()
        among = points[pool]
        between = torch.addmm(lengths[pool], among, among.T, alpha=-2) + lengths[pool, None]
        between.fill_diagonal_(-1)  # a chosen point is never the farthest again
        tops, picks = [], []
        for _ in range(min(STEPS, left, len(pool))):
            top, pick = heights.max(0, keepdim=True)
            tops.append(top)
            picks.append(pick)
            heights = torch.minimum(heights, between.index_select(0, pick)[0])
        tops = torch.cat(tops)
        sure = ((tops >= ceiling) & (tops > equal)).long().cumprod(0).sum().item()
        if sure == 0:
            break
        new = pool[torch.cat(picks)[:sure]]
        _approach(far, points, lengths, new)
        chosen.append(new)
        left -= sure
    return torch.cat(chosen), far.amax().clamp_min(0).sqrt().item()


def k_center_seconds(n: int, d: int, count: int, device: torch.device) -> float:
    """How long `k_center` takes for `count` of `n` points `(n, d)`, from a small part of it."""
    some, new = min(n, 1 << 14), min(count, STEPS)
    points, far = torch.zeros(some, d, device=device), torch.zeros(some, device=device)
    chosen = torch.arange(min(new, some), device=device)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        _approach(far, points, far.clone(), chosen)
        far[0].item()  # a GPU has done it
        times.append(time.perf_counter() - start)
    return min(times) * (n / some) * (count / len(chosen))


def _approach(far: Tensor, points: Tensor, lengths: Tensor, new: Tensor) -> None:
    """Lower the squared distances `far` by centres `new`, in place."""
    centres, squares = points[new].T.contiguous(), lengths[new]
    rows = 4 * _of(ROWS, points.device)
    parts = (x.split(rows) for x in (points, far, lengths))
    for part, low, length in zip(*parts, strict=True):
        reached = torch.addmm(squares, part, centres, alpha=-2).amin(1)
        torch.minimum(low, reached + length, out=low)
    far[new] = -1
