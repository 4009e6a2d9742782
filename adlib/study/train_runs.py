"""Train the pending runs of a profile for some minutes, the most telling first, without notebooks.

One process plans, hands out trainings and writes the pack. Workers train through the run store, so
that locks, checkpoints and identity are its own. They end with a checkpoint after the step at hand
when they are told to, and also when the first process is gone, however it went.
"""

import os
import queue
import signal
import sys
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from adlib import metrics, models
from adlib.host import mps, paths
from adlib.models import training
from adlib.study import packs, plan, runs
from adlib.study.plan import Plan
from adlib.study.trainings import DONE, FAILED, Training

PACK_EVERY = 60.0  # seconds: a kill loses no more finished runs than that
LEAVE = 10.0  # seconds of the time at most that are kept for the last checkpoints and the pack
GRACE = 60.0  # seconds after the trainings' end in which a worker may score; then it is killed


def train(
    profile: str, minutes: float, file: Path, jobs: int = 1, device: torch.device | None = None
) -> int:
    """Train what a profile lacks until the time is up, and pack all its finished runs.

    A pack that is there already is unpacked first. SIGTERM and Ctrl-C end it as the deadline does.

    Args:
        profile: its name.
        minutes: from now on, planning counted in.
        file: pack to write, ends in `.tar` or `.tar.xz`.
        jobs: processes that train side by side.
        device: where to train; CUDA where there is one by default.

    Returns:
        1 if a training failed, now or before, else 0.

    Raises:
        ValueError: minutes or jobs that are no positive number, another ending of `file`, or as in
            `plan.make`. Nothing is trained then.
        PackError: `file` is there and is no pack.
    """
    began = time.monotonic()
    if not minutes > 0:
        raise ValueError(f"minutes={minutes:g}: must be more than 0")
    packs.check_place(file)
    if file.exists():
        packs.unpack(file, paths.runs_root())
    made = plan.make(profile, device)
    deadline = began + 60 * minutes - min(LEAVE, 6 * minutes)
    session = _Session(made, file, jobs, deadline)
    print(plan.text(made, jobs), flush=True)
    _decode(made.finished_after(session.left / 60, jobs) or made.pending)
    sharing = mps.shared_gpu() if jobs > 1 and made.device.type == "cuda" else nullcontext()
    with sharing, _ended_by_signals(session):
        session.run()
    print(session.summary(), flush=True)
    return int(bool(session.failed))


def _decode(planned: list[Training]) -> None:
    """Decode every image once, before several processes ask for the same ones."""
    seen = set()
    for one in planned:
        settings = models.REGISTRY[one.detector].Settings(**one.settings)
        shown = one.cell.dataset, one.cell.category, settings.side, settings.channels
        if shown not in seen:
            seen.add(shown)
            one.images().pixels([0], settings.side, settings.channels)


@dataclass
class _Worker:
    """A process that trains, seen from the one that hands out."""

    process: BaseProcess
    pipe: Connection
    at: Training | None = None

    def tell(self, what: Training | None) -> None:
        """Give it a training, or None for the end; that it is gone shows when it is listened to."""
        with suppress(OSError):
            self.pipe.send(what)


@dataclass
class _Session:
    """What goes on between plan and pack."""

    plan: Plan
    file: Path
    jobs: int
    deadline: float  # of `time.monotonic`, for trainings
    workers: list[_Worker] = field(default_factory=list)
    done: set[str] = field(default_factory=set)  # keys of finished runs, those from before too
    failed: list[str] = field(default_factory=list)  # what failed, also before
    stopped: int = 0  # trainings that go on from a checkpoint
    unpacked: bool = True  # whether finished runs are not in the pack yet
    packed_at: float = -float("inf")

    def __post_init__(self) -> None:
        self.began, self.waiting = time.monotonic(), list(self.plan.pending)
        self.done |= {one.key for one in self.plan.made if one.state == DONE}
        self.failed += [one.title for one in self.plan.made if one.state == FAILED]
        self.before = len(self.done)

    @property
    def left(self) -> float:
        """Seconds in which to train."""
        return self.deadline - time.monotonic()

    def run(self) -> None:
        """Hand out trainings until none is left that fits, then stop, and pack."""
        os.environ["TQDM_DISABLE"] = "1"  # bars of several workers would overwrite each other
        self.workers = [self._started() for _ in range(min(self.jobs, len(self.waiting)))]
        try:
            while self._hand_out():
                self._listen(min(1.0, self.left))
                self._pack(PACK_EVERY)
        finally:
            self._stop()
            self._pack()

    def _hand_out(self) -> bool:
        """Give work to the idle; whether anybody trains and there is time left."""
        for worker in self.workers:
            if worker.at is None and (one := self._next()) is not None:
                self.waiting.remove(one)
                worker.at = one
                worker.tell(one)
        return self.left > 0 and any(worker.at for worker in self.workers)

    def _next(self) -> Training | None:
        """The most telling training that ends in time, or of which nobody knows how long it is."""
        stretch = self.plan.stretch(self.jobs)
        for one in self.waiting:
            seconds = self.plan.seconds(one) or 0.0
            if self.left > seconds * stretch:
                return one
        return None

    def _listen(self, seconds: float) -> None:
        """Wait for news of workers and take it in; one that ended is replaced if there is work."""
        for pipe in wait([worker.pipe for worker in self.workers], max(0.0, seconds)):
            worker = next(worker for worker in self.workers if worker.pipe is pipe)
            try:
                self._take(worker, pipe.recv())
            except (EOFError, OSError):
                worker.process.join()
                self.workers.remove(worker)
                if worker.at and worker.process.exitcode:
                    self._fail(worker.at, f"its process ended with {worker.process.exitcode}")
                elif worker.at:  # it was told to end before it had begun
                    self.waiting.insert(0, worker.at)
                if self._next() is not None:
                    self.workers.append(self._started())

    def _take(self, worker: _Worker, error: str) -> None:
        """Take in that a worker has finished its training, failed, or was stopped."""
        one, worker.at = worker.at, None
        folder = paths.runs_root() / one.key
        if error:
            self._fail(one, error)
        elif (folder / "record.json").is_file():
            run = runs.Run(folder)
            self.done.add(one.key)
            self.unpacked = True
            beside = min(self.jobs, len(self.plan.pending))
            self.plan.measurements.add(packs.table([(one.key, run.record)]), beside)
            print(_line(one, run), flush=True)
        else:
            self.stopped += 1

    def _fail(self, one: Training, error: str) -> None:
        self.failed.append(one.title)
        print(f"FAILED {one.title}: {error}", file=sys.stderr, flush=True)

    def _started(self) -> _Worker:
        context = get_context("spawn")  # CUDA does not survive a fork
        ours, theirs = context.Pipe()
        threads = max(1, (os.cpu_count() or 1) // self.jobs)
        process = context.Process(target=_work, args=(theirs, threads, str(self.plan.device)))
        process.start()
        theirs.close()  # else the end of the worker would not be seen
        return _Worker(process, ours)

    def _stop(self) -> None:
        """Let workers end, trainings with a checkpoint; those that take too long are killed."""
        self.deadline = time.monotonic()  # nothing is started any more
        for worker in self.workers:
            worker.tell(None)
        while self.workers and self.left > -GRACE:
            self._listen(1.0)
        for worker in self.workers:
            what = worker.at.title if worker.at else "an idle process"
            print(f"{what}: killed after {GRACE:.0f} s", file=sys.stderr, flush=True)
            worker.process.kill()
            worker.process.join()

    def _pack(self, every: float = 0.0) -> None:
        """Write the pack, if something is new and the last time was `every` seconds ago."""
        if self.done and self.unpacked and time.monotonic() - self.packed_at >= every:
            packs.pack(paths.runs_root(), self.file, self.done)
            self.packed_at, self.unpacked = time.monotonic(), False

    def summary(self) -> str:
        """How it went, in one line."""
        settled, beside = self.plan.known(self.done)
        minutes = (time.monotonic() - self.began) / 60
        return (
            f"{len(self.done) - self.before} runs in {minutes:.1f} minutes, {self.stopped} stopped "
            f"with a checkpoint, {len(self.waiting)} not started, {len(self.failed)} failed. "
            f"{self.file} holds {len(self.done)} runs, which settle {settled} published numbers "
            f"and stand beside {beside}."
        )


@contextmanager
def _ended_by_signals(session: _Session):
    """Let SIGTERM and Ctrl-C end a session as its deadline does."""

    def end(number: int, _) -> None:
        print(f"{signal.Signals(number).name}: stopping", file=sys.stderr, flush=True)
        session.deadline = time.monotonic()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(one: Training, run: runs.Run) -> str:
    """A finished run: what, seconds, memory, auROC."""
    record = run.record
    memory = ", ".join(f"{mb:,.0f} MB ({at})" for at, mb in record["peak_memory_mb"].items())
    area = metrics.auroc(*run.part("test"))
    return (
        f"{one.title}: {record['train_s'] + record['score_s']:,.0f} s, {memory}, auROC {area:.3f}"
    )


def _work(pipe: Connection, threads: int, device: str) -> None:
    """Train what comes through a pipe and say how it went: "", or the error.

    An error ends the process, because one of CUDA leaves it unusable.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # the first process decides when to end
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(threads)
    waiting: queue.SimpleQueue[Training | None] = queue.SimpleQueue()

    def listen() -> None:
        one = True
        while one:
            try:
                one = pipe.recv()
            except (EOFError, OSError):  # the first process is gone
                one = None
            if not one:
                training.stop.set()
            waiting.put(one)

    threading.Thread(target=listen, daemon=True).start()
    error = ""
    while not error and (one := waiting.get()) and not training.stop.is_set():
        error = _trained(one, device)
        with suppress(OSError):  # the first process is gone: the run is in the store
            pipe.send(error)


def _trained(one: Training, device: str) -> str:
    """Train one run; "", also where it was stopped, or what went wrong."""
    try:
        runs.get(one.detector, one.split(), one.budget, one.cell.seed, device, **one.settings)
    except training.TrainingStopped:
        return ""  # its checkpoint is written
    except Exception as error:  # whatever it is, this training is named and the others go on
        return f"{type(error).__name__}: {error}"
    return ""
