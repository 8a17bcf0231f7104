"""The device boundary: tensors come from the CPU, a model computes on its own device, and numpy reads from the CPU."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

DeviceName = Literal["auto", "cpu", "cuda"]


def resolve_device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the GPU if torch can use one, else the CPU.

    A GPU also ends the rounding to TF32 for this process: cuDNN would use it in recurrent nets, and float32 has to
    mean the same on every device.

    Raises:
        ValueError: if the name is unknown, or asks for a GPU where torch finds none.
    """
    if name not in (known := get_args(DeviceName)):
        raise ValueError(f"device must be {', '.join(known[:-1])} or {known[-1]} (got {name})")
    if name == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        if name == "cuda":
            raise ValueError("device cuda needs a GPU, and torch finds none that it can use; write cpu or auto instead")
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")


def device_of(model: object) -> torch.device:
    """Return the device of a model's parameters; the CPU for a stand-in that has none."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def move(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device, itself if it is there.

    Copies from the CPU do not wait for what a GPU still computes; copies to the CPU must, or they would be read early.
    """
    return tensor.to(device, non_blocking=tensor.device.type == "cpu")
