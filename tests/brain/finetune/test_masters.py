"""float32 weights behind a bfloat16 model: small updates are kept, and what is saved is float32."""

import torch
from torch import nn

from brain.finetune.masters import MasterWeights


def tied() -> nn.Module:
    module = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5, bias=False))
    module[1].weight = module[0].weight
    return module


def test_updates_too_small_for_bfloat16_add_up() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 1.0)
    masters = MasterWeights(module)
    optimizer = torch.optim.SGD(masters.parameters(), lr=1.0)

    for _ in range(100):  # each is a fortieth of what bfloat16 can tell apart around 1
        (module.weight * 1e-4).sum().backward()
        masters.take_gradients()
        optimizer.step()
        optimizer.zero_grad()
        masters.give_weights()

    assert module.weight.dtype == torch.bfloat16
    assert module.weight.item() < 0.995
    assert masters.parameters()[0].item() < 0.9905


def test_the_gradients_of_micro_batches_are_summed_in_float32() -> None:
    module = nn.Linear(1, 1, bias=False)
    masters = MasterWeights(module)

    for scale in (1.0, 1e-4, 1e-4):
        (module.weight * scale).sum().backward()
        masters.take_gradients()

    gradient = masters.parameters()[0].grad
    assert gradient is not None
    assert gradient.item() > 1.00015
    assert module.weight.grad is None


def test_the_float32_state_ties_what_was_tied_and_keeps_what_is_frozen() -> None:
    module = tied()
    frozen = nn.Linear(2, 2).requires_grad_(False)
    before = frozen.weight.detach().clone()
    both = nn.ModuleList([module, frozen])

    masters = MasterWeights(both)
    with torch.no_grad():
        masters.parameters()[0].add_(1.0)
    state = masters.float32_state()

    assert len(masters.parameters()) == 1
    assert all(value.dtype == torch.float32 for value in state.values())
    assert torch.equal(state["0.0.weight"], state["0.1.weight"])
    assert torch.equal(state["1.weight"], before)


def test_a_resume_point_gives_the_same_weights() -> None:
    torch.manual_seed(1)
    first, second = MasterWeights(tied()), MasterWeights(tied())

    second.load_state_dict(first.state_dict())

    assert torch.equal(first.parameters()[0], second.parameters()[0])
