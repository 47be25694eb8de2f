"""A bfloat16 working copy of a model whose true weights stay in float32.

Products in bfloat16 are several times faster where the hardware has them, but an update much smaller than its
weight would be rounded away. So the optimiser moves float32 master weights, and after each step the working
copy is written anew from them.

Source: Micikevicius et al. 2018, section 3.1, with bfloat16, which needs no loss scaling.
"""

from typing import Any

import torch
from torch import Tensor, nn


class MasterWeights:
    """The float32 weights behind a module that computes in bfloat16."""

    def __init__(self, module: nn.Module) -> None:
        """Take the module's float32 weights over and leave bfloat16 copies in it; changes it."""
        trained = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._masters = {name: nn.Parameter(p.detach().clone()) for name, p in trained.items()}
        at = {p.data_ptr(): name for name, p in trained.items()}  # a tied one has two names
        state = {name: value.detach() for name, value in module.state_dict().items()}
        self._names = {name: at[value.data_ptr()] for name, value in state.items() if value.data_ptr() in at}
        self._frozen = {name: value.clone() for name, value in state.items() if name not in self._names}
        module.to(torch.bfloat16)
        self._working = dict(module.named_parameters())

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """What the optimiser moves, by the module's names."""
        return list(self._masters.items())

    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser moves and what is clipped."""
        return list(self._masters.values())

    def take_gradients(self) -> None:
        """Add the working copy's gradients to the masters' in float32 and clear them.

        After every micro-batch: summed up in bfloat16, the later ones would lose their small digits.
        """
        for name, master in self._masters.items():
            gradient = self._working[name].grad
            if gradient is None:
                continue
            if master.grad is None:
                master.grad = gradient.float()
            else:
                master.grad += gradient
            self._working[name].grad = None

    @torch.no_grad()
    def give_weights(self) -> None:
        """Round the masters into the working copy."""
        for name, master in self._masters.items():
            self._working[name].copy_(master)

    def float32_state(self) -> dict[str, Tensor]:
        """The module's state dict in float32: frozen weights as they were, the rest from the masters."""
        return {**self._frozen, **{name: self._masters[key].detach() for name, key in self._names.items()}}

    def state_dict(self) -> dict[str, Any]:
        """For the resume point."""
        return {name: master.detach() for name, master in self._masters.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a resume point."""
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(state[name])
        self.give_weights()
