"""A device other than the CPU, on every machine: torch's meta device, whose tensors have a shape and no values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")


class OneDevice(TorchDispatchMode):
    """Refuses operations that mix devices, and copies that would wait for a GPU; the meta device lets some pass."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor) and each.ndim]
        devices = {each.device.type for each in tensors}
        assert len(devices) <= 1, f"{func} mixes tensors on {devices}"
        given = func is torch.ops.aten._to_copy.default and kwargs.get("device") == META and devices == {"cpu"}
        if given and not tensors[0].is_floating_point():  # of tokens, at every pass; weights are moved once
            assert kwargs.get("non_blocking"), "a copy to the device waits for it"
        return func(*args, **kwargs)


@contextmanager
def another_device() -> Iterator[list[Tensor]]:
    """Let the meta device act as a GPU; yield the list of tensors that were copied from it to the CPU, as zeros."""
    copied: list[Tensor] = []

    def to_cpu(tensor: Tensor) -> Tensor:
        if tensor.device.type == "cpu":
            return tensor
        copied.append(tensor)
        return torch.zeros(tensor.shape, dtype=tensor.dtype)

    with pytest.MonkeyPatch.context() as patch, OneDevice():
        patch.setattr(Tensor, "cpu", to_cpu)
        yield copied
