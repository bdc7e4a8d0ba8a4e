"""Finds modules whose work a FLOP counter does not see, so that no network is called cheap that was not counted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_LOOKUPS = (nn.Embedding, nn.EmbeddingBag)
_aten = torch.ops.aten
_MOVES = {_aten.clone, _aten.copy, _aten.copy_, _aten._to_copy, _aten.cat, _aten.repeat, _aten.roll}
_FREE = {
    _aten.embedding, _aten.index, _aten.index_select, _aten.gather, _aten.native_layer_norm, _aten.native_group_norm,
    _aten._softmax, _aten.mean, _aten.sum, _aten.upsample_bilinear2d, _aten.upsample_bicubic2d,
}  # fmt: skip
"""What the field does not count, beside elementwise operations: lookups, normalisations, sums, resampling."""


_PACKED = {"quantized", "onednn", "mkldnn"}
"""Namespaces of operations whose weights are packed: no tensor that a dispatch sees, nor a parameter."""


@dataclass
class _Call:
    """A forward pass that is under way."""

    flops: int
    """Counted before it."""
    free: bool = False
    """Whether something ran in it that the field does not count, beside views and copies."""
    odd: bool = False
    """Whether an operation took weights that neither has a formula nor is free."""
    packed: bool = False
    """Whether an operation had packed weights."""


class _Operations(TorchDispatchMode):
    """Notes what runs in the calls that are under way, and which weights it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []
        self._known: set[nn.Module] = set()
        self._weights: dict[int, torch.UntypedStorage] = {}
        """What holds weights, or copies of them, by address; kept, so that no address is used twice."""

    def learn(self, module: nn.Module) -> None:
        """Note the weights of a module and of all that is in it."""
        if module not in self._known:
            self._known.update(module.modules())
            self._keep(_matrices(module))

    def _keep(self, tensors: Iterable[torch.Tensor]) -> None:
        storages = (tensor.untyped_storage() for tensor in tensors)
        self._weights.update({storage._cdata: storage for storage in storages})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        taken = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        weighs = any(x.untyped_storage()._cdata in self._weights for x in taken)
        known = isinstance(func, OpOverload)
        if known and (func.is_view or func.overloadpacket in _MOVES):
            if weighs:
                self._keep(x for x in tree_leaves(out) if isinstance(x, torch.Tensor))
            return out
        packed = known and func.namespace in _PACKED
        free = known and not packed and (torch.Tag.pointwise in func.tags or func.overloadpacket in _FREE)
        for call in self.calls:
            call.free, call.odd = call.free or free, call.odd or packed or (weighs and not free)
            call.packed = call.packed or packed
        return out


@contextmanager
def watch(counted: Callable[[], int]) -> Iterator[list[str]]:
    """Watch the modules that run in the block, on this thread.

    Args:
        counted: Returns the FLOPs counted so far.

    Yields:
        A list, filled when the block ends: the classes of modules that have weights of two or more dimensions, or
        packed ones, and ran without any count, though an operation took the weights that is none of the elementwise
        ones, lookups and the like, or nothing ran that torch sees, as where NumPy or a kernel of one's own does the
        work. The outermost ones are named.
    """
    found: list[str] = []
    silent: dict[nn.Module, bool] = {}
    packed: set[nn.Module] = set()
    operations = _Operations()
    thread = threading.get_ident()

    def enter(module: nn.Module, inputs: object) -> None:
        if threading.get_ident() == thread:
            operations.learn(module)
            operations.calls.append(_Call(counted()))

    def leave(module: nn.Module, inputs: object, output: object) -> None:
        if threading.get_ident() == thread:
            call = operations.calls.pop()
            unseen = counted() == call.flops and (call.odd or not call.free)
            silent[module] = silent.get(module, True) and unseen
            packed.update([module] if call.packed else [])

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        with operations:
            yield found
    finally:
        for hook in hooks:
            hook.remove()
    weigh = {module for module in silent if module in packed or next(_matrices(module), None) is not None}
    lost = [module for module, unseen in silent.items() if unseen and module in weigh]
    inner = {id(part) for module in lost for part in module.modules() if part is not module}
    found += sorted({type(module).__name__ for module in lost if id(module) not in inner})


def _matrices(module: nn.Module) -> Iterator[nn.Parameter]:
    """The weights in a module that are more than a vector, other than tables to look up."""
    tables = {id(w) for part in module.modules() if isinstance(part, _LOOKUPS) for w in part.parameters()}
    for weight in module.parameters():
        if sum(side > 1 for side in weight.shape) > 1 and id(weight) not in tables:
            yield weight
