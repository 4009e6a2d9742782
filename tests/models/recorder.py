"""What a CUDA graph does and forbids, on a CPU: operations are recorded once and done again.

Like a graph, a recording holds the tensors that the operations were given, not the code that called
them: a number of Python's stays what it was at the recording.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Operations whose result, or its shape, the host has to read from the device.
READS = (
    "_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "_unique2",
    "unique_dim", "unique_consecutive", "lift_fresh",
)  # fmt: skip


class HostReadError(RuntimeError):
    """An operation made the host wait for the device, or copied from it."""


class Recorder(TorchDispatchMode):
    """Records operations; an operation that a CUDA graph refuses raises `HostReadError`."""

    def __init__(self):
        super().__init__()
        self.operations, self.before = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function._schema.name.split("::")[1]
        indices = args[1] if name.startswith(("index", "_index")) else ()
        masked = any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in tree_leaves(indices)
        )
        if name in READS or masked:
            raise HostReadError(f"{function} with {[getattr(a, 'shape', a) for a in args]}")
        for tensor in written(function, args, kwargs):
            self.before.append((tensor, tensor.detach().clone()))
        result = function(*args, **kwargs)
        self.operations.append((function, args, kwargs, result))
        return result

    def put_back(self):
        """Undo what the recording wrote: a capture computes nothing."""
        for tensor, value in reversed(self.before):
            tensor.detach().copy_(value)

    def replay(self):
        """Do all operations again, with results in the same memory."""
        for function, args, kwargs, result in self.operations:
            aliases = [r.alias_info for r in function._schema.returns]
            if any(a is not None and not a.is_write for a in aliases):
                continue  # a view of memory that is written anew
            again = function(*args, **kwargs)
            if not any(a is not None for a in aliases):
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor):
                        old.detach().copy_(new)


def written(function, args, kwargs):
    """Tensors that an operation writes to."""
    named = {a.name: value for a, value in zip(function._schema.arguments, args, strict=False)}
    named |= kwargs
    marked = {a.name for a in function._schema.arguments if a.alias_info and a.alias_info.is_write}
    marked |= {"running_mean", "running_var"}  # of batch norm, whose schema does not say it
    leaves = tree_leaves([value for name, value in named.items() if name in marked])
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def record(function, generator=None):
    """Stands for `adlib.models.graphs._record`."""
    recorder = Recorder()
    try:
        with recorder:
            result = function()
    finally:
        with torch.no_grad():
            recorder.put_back()
    return torch.no_grad()(recorder.replay), result
