"""Optimizers: Muon for the matrices of the blocks and AdamW for the rest, as one optimizer to Lightning."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from unamortized.learning.specification import TrainSpec

BETAS = (0.9, 0.98)  # of AdamW
OUTSIDE = ("embed", "positional", "unembed")  # modules whose matrices are tables of tokens, not maps


class Together(Optimizer):
    """Several optimizers that step as one; each keeps its own state."""

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        """Let a schedule that sets rates here set those of the parts."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Compute the gradients, then let each part step."""
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parts."""
        for part in self.parts:
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the parts, in their order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of the parts."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


def build_optimizer(model: nn.Module, train: TrainSpec) -> Optimizer:
    """Build the optimizer of a run.

    Muon (Jordan et al. 2024) orthogonalizes the momentum of each matrix; its rate is scaled to match the size of
    AdamW's updates (Liu et al. 2025).
    """
    inside = [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and name.partition(".")[0] not in OUTSIDE
    ]
    matrices = {id(parameter) for parameter in inside} if train.optimizer == "muon" else set()
    rest = [parameter for parameter in model.parameters() if id(parameter) not in matrices]
    adamw = AdamW(rest, lr=train.learning_rate, betas=BETAS, weight_decay=train.weight_decay, fused=True)
    if train.optimizer == "adamw":
        return adamw
    muon = Muon(inside, lr=train.muon_learning_rate, weight_decay=train.weight_decay, adjust_lr_fn="match_rms_adamw")
    return Together(muon, adamw)
