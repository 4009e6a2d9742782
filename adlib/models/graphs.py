"""CUDA graphs: what is computed again and again is captured once, then replayed by one call.

Small networks leave a GPU waiting, because the host starts kernels one by one more slowly than they
run. A graph starts them all at once. What is captured must read no value of the device on the host,
and all that differs from one replay to the next must lie in tensors; random draws may differ, by
the seeds that generators are given between two replays.
"""

import warnings
from collections.abc import Callable, Hashable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

WARM_UP = 3  # calls before a capture, in which libraries choose kernels and optimisers make state
KEPT = 4  # graphs of a training; one that was dropped and comes again is captured again


def usable(device: torch.device) -> bool:
    """Whether the device has graphs: CUDA alone."""
    return device.type == "cuda"


def captured(
    function: Callable[[], Tensor],
    changed: Callable[[], Iterable[Tensor]] = tuple,
    generator: torch.Generator | None = None,
) -> tuple[Callable[[], None], Tensor]:
    """Capture a function; give its replay, and the tensor that every replay writes anew.

    The function is called a few times before. What it changes is put back afterwards, so that the
    first replay is the first call that counts.

    Args:
        function: computes on the current device and takes nothing.
        changed: gives the tensors that a call changes. Those that the first call makes must start
            as zeros, as the state of PyTorch's Adam and RMSprop does.
        generator: that the function draws from, besides the global one.

    Raises:
        RuntimeError: the function cannot be captured; what it changes is as it was.
    """
    before = {id(tensor): (tensor, tensor.detach().clone()) for tensor in changed()}
    try:
        _warm_up(function)
    finally:
        with torch.no_grad():
            for tensor in changed():
                value = before.get(id(tensor))
                tensor.copy_(value[1]) if value else tensor.zero_()
    return _record(function, generator)


def _warm_up(function: Callable[[], Tensor]) -> None:
    """Call the function on a stream of its own, as a capture needs it."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), warnings.catch_warnings():
        # An optimiser that may be captured warns when it is called without a capture.
        warnings.filterwarnings("ignore", "This instance was constructed with capturable")
        for _ in range(WARM_UP):
            function()
    torch.cuda.current_stream().wait_stream(stream)


def _record(
    function: Callable[[], Tensor], generator: torch.Generator | None
) -> tuple[Callable[[], None], Tensor]:
    graph = torch.cuda.CUDAGraph()
    if generator is not None:
        graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        result = function()
    return graph.replay, result


def attempt(
    what: str, function: Callable[[], Tensor], changed: Callable[[], Iterable[Tensor]] = tuple
) -> tuple[Callable[[], object], Tensor | None]:
    """As `captured`; where that fails, a warning names `what`, and the function is given back."""
    try:
        return captured(function, changed)
    except RuntimeError as error:
        warnings.warn(f"{what} runs without CUDA graphs ({error})", stacklevel=3)
        return function, None


class Steps:
    """Calls training steps: by graphs, one for each variant, where the device has them.

    Attributes:
        graphed: "yes", or "no: " and the reason.
    """

    def __init__(
        self,
        step: Callable[[], Tensor],
        networks: nn.Module,
        optimizers: dict[str, Optimizer],
        generator: torch.Generator,
    ) -> None:
        """Take a function that does a step and gives its losses as one tensor."""
        self._step, self._networks, self._optimizers = step, networks, list(optimizers.values())
        self._generator = generator
        self._graphs: dict[Hashable, tuple[Callable[[], None], Tensor]] = {}
        self.graphed = "yes" if usable(generator.device) else f"no: {generator.device.type}"
        if self.graphed == "yes":
            self._make_capturable()

    def __call__(self, variant: Hashable, seed: Callable[[], None]) -> Tensor:
        """Do a step of a variant after `seed()`, which seeds all generators; its losses."""
        if self.graphed == "yes" and variant not in self._graphs:
            self._capture(variant)
        seed()
        if self.graphed != "yes":
            return self._step()
        replay, losses = self._graphs[variant]
        replay()
        return losses.clone()

    def _capture(self, variant: Hashable) -> None:
        if len(self._graphs) == KEPT:
            del self._graphs[next(iter(self._graphs))]
        try:
            self._graphs[variant] = captured(self._step, self._changed, self._generator)
        except RuntimeError as error:
            self.graphed = f"no: {' '.join(str(error).split())[:200]}"
            warnings.warn(f"this training runs without CUDA graphs ({self.graphed})", stacklevel=2)
            self._graphs.clear()

    def _changed(self) -> list[Tensor]:
        states = [s for optimizer in self._optimizers for s in optimizer.state.values()]
        kept = [value for state in states for value in state.values()]
        weights = [*self._networks.parameters(), *self._networks.buffers()]
        return [*weights, *(value for value in kept if isinstance(value, Tensor))]

    def _make_capturable(self) -> None:
        """Let optimisers count their steps on the device, also those that a checkpoint held."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["capturable"] = True
            for state in optimizer.state.values():
                state["step"] = state["step"].to(self._generator.device)


def of_equal_chunks(function: Callable[[Tensor], Tensor], size: int) -> Callable:
    """Give a function that does as `function`, by a graph for tensors of `size` rows.

    It is captured at the second of them: a single one is not worth it. Where that cannot be, a
    warning says why, and `function` does all.
    """
    seen, graph = 0, None

    def call(x: Tensor) -> Tensor:
        nonlocal seen, graph
        seen += len(x) == size
        if len(x) != size or seen == 1:
            return function(x)
        if graph is None:
            graph = _of_one_tensor(function, x.clone())
        return graph(x)

    return call


def _of_one_tensor(function: Callable[[Tensor], Tensor], given: Tensor) -> Callable:
    replay, result = attempt("a scoring", lambda: function(given))
    if result is None:
        return function

    def call(x: Tensor) -> Tensor:
        given.copy_(x)
        replay()
        return result.clone()

    return call
