"""What to train first: the pending trainings of a profile by what they can settle in their time."""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import pandas as pd
import torch

from adlib.host import paths
from adlib.host.device import default_device, resolve_precision
from adlib.study import measured, papers, profiles, trainings
from adlib.study.trainings import DONE, FAILED, PENDING, Training
from adlib.study.verdict import agreement

MINUTES = (10, 30, 60)  # after which the plan says what would be known


@dataclass(frozen=True)
class Number:
    """A published number, and all runs that it needs to be judged."""

    name: tuple[str, str, str, str, str, str]  # paper, table, data set, category, method, metric
    keys: frozenset[str]  # of a run for every seed of the profile and every category
    categories: int  # that it is a mean of; 1 where it is none
    why_not: str  # why these runs cannot settle it; "" where they can


@dataclass(frozen=True)
class Plan:
    """The trainings of a profile, and what they stand behind."""

    pending: list[Training]  # most telling first
    made: list[Training]  # those in the store, failed ones too
    numbers: list[Number]
    measurements: measured.Measurements
    device: torch.device

    def seconds(self, one: Training) -> float | None:
        """Seconds that a training and its scores still take alone; None without measurement."""
        precision = resolve_precision(one.budget.precision, self.device)
        settings = measured.whole(one.detector, one.settings)
        facts = measured.facts_of(settings, one.budget.batch, precision)
        steps = one.budget.steps
        whole = self.measurements.seconds(one.detector, facts, steps, self.device.type)
        return None if whole is None else max(whole - one.spent_s, 0.0)

    def stretch(self, jobs: int) -> float:
        """How many times longer a training takes when `jobs` of them run side by side.

        Raises:
            ValueError: fewer than one.
        """
        if jobs < 1:
            raise ValueError(f"jobs={jobs}: must be at least 1")
        return jobs / self.measurements.speedup(jobs, self.device.type)

    def known(self, keys: Iterable[str]) -> tuple[int, int]:
        """Published numbers that finished runs settle, and that they only stand beside."""
        keys = set(keys)
        whole = [number for number in self.numbers if number.keys <= keys]
        settled = sum(not number.why_not for number in whole)
        return settled, len(whole) - settled

    def finished_after(self, minutes: float, jobs: int) -> list[Training]:
        """Pending trainings that `jobs` processes would have finished after some minutes.

        Those without measurement are left out.
        """
        stretch, waiting = self.stretch(jobs), list(self.pending)
        seconds = {one.key: self.seconds(one) for one in waiting}
        waiting = [one for one in waiting if seconds[one.key] is not None]
        finished, free = [], [0.0] * jobs
        heapify(free)
        while free:
            now = heappop(free)
            left = (60 * minutes - now) / stretch
            one = next((one for one in waiting if seconds[one.key] <= left), None)
            if one is not None:  # else this process starts nothing more
                waiting.remove(one)
                finished.append(one)
                heappush(free, now + seconds[one.key] * stretch)
        return finished


def make(profile: str, device: torch.device | None = None) -> Plan:
    """Plan the trainings of a profile whose data are at hand; nothing is trained.

    Args:
        profile: its name.
        device: where they will be trained; CUDA where there is one by default.

    Raises:
        ValueError: as in `trainings.wanted` and `measured.read`.
    """
    device = device or default_device()
    wanted = trainings.wanted(profile, device)
    pending = [one for one in wanted if one.state == PENDING]
    made = [one for one in wanted if one.state != PENDING]
    numbers = published_behind(wanted, profiles.load(profile)["seeds"], papers.read())
    measurements = measured.read(paths.results_root(), paths.runs_root())
    plan = Plan(pending, made, numbers, measurements, device)
    plan.pending[:] = in_order(pending, numbers, {one.key: plan.seconds(one) for one in pending})
    return plan


def published_behind(
    wanted: Iterable[Training], seeds: list[int], read: dict[str, papers.Paper]
) -> list[Number]:
    """Published numbers, a paper's own, that trainings stand behind when all of them are done.

    A number needs every seed, and a mean every category that it is of.
    """
    found: dict[tuple, dict[str, dict[int, Training]]] = {}
    for one in wanted:
        for place in one.asked:
            by_category = found.setdefault((*place, one.cell.dataset), {})
            by_category.setdefault(one.cell.category, {})[one.cell.seed] = one
    numbers = []
    for name, paper in read.items():
        for row in paper.published.query("origin == 'own'").itertuples():
            runs = found.get((name, row.table, row.method, row.dataset), {})
            groups = papers.groups(read, name, row.dataset)
            categories = groups.get(row.category, [row.category])
            needed = [runs.get(category, {}).get(seed) for category in categories for seed in seeds]
            if row.metric in agreement.MARGINS and None not in needed:
                place = name, row.table, row.dataset, row.category, row.method, row.metric
                keys = frozenset(one.key for one in needed)
                why_not = _why_not(paper, row, needed)
                numbers.append(Number(place, keys, len(categories), why_not))
    return numbers


def _why_not(paper: papers.Paper, row, needed: list[Training]) -> str:
    """Why runs cannot settle a published number, as far as is known beforehand."""
    if differs := paper.methods.get(row.method, {}).get("differs"):
        return differs
    if toy := next((one.toy for one in needed if one.toy), ""):
        return f"toy scale: {toy}"
    if row.table in paper.evaluation and not all(one.budget.snapshots for one in needed):
        return f"not scored as the authors evaluate: {paper.evaluation[row.table]}"
    return ""


def in_order(
    pending: list[Training], numbers: list[Number], seconds: dict[str, float | None]
) -> list[Training]:
    """Trainings, the most telling first; those that differ in the seed alone stay together.

    What counts is how many numbers they settle a second; where that is equal, how many they stand
    beside. Of a mean every category has its share. A training without measurement is taken to last
    as long as the middle one of the others.

    Args:
        pending: trainings.
        numbers: that they stand behind, see `published_behind`.
        seconds: of each training by key, None without measurement.
    """
    measured_s = sorted(s for s in seconds.values() if s is not None)
    middle = measured_s[len(measured_s) // 2] if measured_s else 1.0
    groups: dict[tuple, list[Training]] = {}
    for one in pending:
        groups.setdefault(_group(one), []).append(one)

    def worth(group: list[Training]) -> tuple[float, float]:
        long = sum(middle if seconds[one.key] is None else seconds[one.key] for one in group)
        settled, beside = shares(group, numbers)
        return -settled / max(long, 1e-9), -beside / max(long, 1e-9)

    return [one for group in sorted(groups.values(), key=worth) for one in group]


def shares(group: list[Training], numbers: list[Number]) -> tuple[float, float]:
    """Published numbers that trainings settle together, and stand beside; of a mean their share."""
    keys, found = {one.key for one in group}, [0.0, 0.0]
    for number in numbers:
        if keys & number.keys:
            found[bool(number.why_not)] += 1 / number.categories
    return found[0], found[1]


def _group(one: Training) -> tuple:
    """What trainings share that differ in the seed alone."""
    cell = one.cell
    return cell.paper, cell.notebook, cell.dataset, cell.category, one.method, one.variant


def table(plan: Plan) -> pd.DataFrame:
    """One row for pending trainings that differ in the seed alone, in the plan's order.

    `seconds` are those of one training alone on its device, `settles` the published numbers that
    they settle together, `beside` those that they only stand beside.
    """
    groups: dict[tuple, list[Training]] = {}
    for one in plan.pending:
        groups.setdefault(_group(one), []).append(one)
    rows = []
    for group in groups.values():
        seconds, (settled, beside) = plan.seconds(group[0]), shares(group, plan.numbers)
        per_hour = None if seconds is None else 3600 * settled / max(seconds * len(group), 1e-9)
        first = group[0]
        rows.append(
            {
                "paper": first.cell.paper,
                "method": f"{first.method}, {first.variant}" if first.variant else first.method,
                "images": first.place,
                "seeds": " ".join(str(one.cell.seed) for one in group),
                "steps": f"{first.budget.steps:,}",
                "seconds": "no measurement" if seconds is None else f"{seconds:,.0f}",
                "settles": f"{settled:.2f}".rstrip("0").rstrip("."),
                "beside": f"{beside:.2f}".rstrip("0").rstrip("."),
                "settled an hour": "" if per_hour is None else f"{per_hour:.1f}",
            }
        )
    return pd.DataFrame(rows)


def text(plan: Plan, jobs: int) -> str:
    """The table, and what would be known after some minutes, in sentences."""
    failed = [one for one in plan.made if one.state == FAILED]
    done = {one.key for one in plan.made if one.state == DONE}
    lines = [table(plan).to_string(index=False)] if plan.pending else []
    settled, beside = plan.known(one.key for one in [*plan.pending, *plan.made])
    again = "remove its folder from the store to try again"
    lines += [f"{one.title} failed before, see run {one.key}; {again}" for one in failed]
    lines.append(
        f"{len(plan.pending)} trainings are pending, {len(done)} done, {len(failed)} failed; "
        f"all of them settle {settled} published numbers and stand beside {beside} more."
    )
    if plan.pending:
        seconds = [plan.seconds(one) for one in plan.pending]
        unknown = sum(s is None for s in seconds)
        minutes = sum(s for s in seconds if s is not None) * plan.stretch(jobs) / jobs / 60
        also = f", and {unknown} without measurement" if unknown else ""
        lines.append(f"{jobs} side by side: {minutes:,.0f} minutes{also}.")
        for after in MINUTES:
            finished = plan.finished_after(after, jobs)
            settled, beside = plan.known(done | {one.key for one in finished})
            lines.append(
                f"After {after} minutes: {len(finished)} more runs, {settled} published numbers "
                f"settled and {beside} stood beside, by all their seeds."
            )
    return "\n".join(lines)
