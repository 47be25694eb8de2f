"""THE RECIPE: full training and fine-tuning of a dialogue model, to be read from top to bottom and copied.

    read sessions → encode → windows → packed batches → weighted loss → clip → step → validate → keep the best

The loss is Σ w·nll / Σ w over the global batch (all micro-batches, all processes), in nats per token.
Runs alone, or under `accelerate launch` / `torchrun` unchanged.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from brain.encoding import TurnEncoder
from brain.errors import TrainingError
from brain.finetune.batches import Batch, Rows
from brain.finetune.config import OptimConfig, TrainConfig
from brain.finetune.curriculum import Curriculum, gather
from brain.finetune.lora import plain_model
from brain.finetune.masters import MasterWeights
from brain.finetune.models import ready_to_train, starting_point
from brain.finetune.optim import lr_factor, optimizers_for
from brain.finetune.passes import Passes
from brain.finetune.position import Position, Scores
from brain.finetune.run_log import RunLog
from brain.finetune.saving import write_trained


class DialogueLoss(nn.Module):
    """A causal language model with the masked, weighted loss inside, so that both compile into one graph."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return (Σ w·nll in nats, Σ w) over one packed batch; fields as in `Batch`, each [rows, row_len]."""
        input_ids, labels, weights, positions, segments = batch
        model = plain_model(self.model)
        row_len = input_ids.shape[1]
        causal = torch.ones(row_len, row_len, dtype=torch.bool, device=input_ids.device).tril()
        same = segments[:, None, :, None] == segments[:, None, None, :]  # [rows, 1, query, key]
        mask = torch.zeros(same.shape, device=same.device, dtype=model.dtype)
        hidden = model.base_model(
            input_ids=input_ids,
            position_ids=positions,
            attention_mask=mask.masked_fill(~(same & causal), -1e9),
            use_cache=False,
        ).last_hidden_state
        if not torch.compiler.is_compiling():  # the head is half of a small model: only where there is loss
            trained = weights > 0
            hidden, labels, weights = hidden[trained], labels[trained], weights[trained]
        logits = model.lm_head(hidden)  # [..., vocab]
        nll = F.cross_entropy(logits.float().flatten(0, -2), labels.flatten(), reduction="none")
        return (nll * weights.flatten()).sum(), weights.sum()


def run(config: TrainConfig) -> Path:
    """Train as `config` says and return the folder with the best weights.

    Writes out/metrics.jsonl (a line per logged step), out/run.json, out/loss.png, out/model (best weights by
    val_loss, or the last without dev data), out/state (resume point, replaced as a whole every save_every
    steps).

    Raises:
        ConfigError: the output folder holds another run, rows are longer than the model's positions, or LoRA
            weights cannot be laid over the base.
        DataError, CheckpointError: data or base model cannot be read.
        TrainingError: the loss is no number any more, or a file cannot be written.
    """
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    accelerator = accelerator_for(config.optim)
    log = RunLog(config, is_main=accelerator.is_main_process)
    log.check_folder()
    setup, position = set_up(config, accelerator, log)
    try:
        if config.base and position.step == 0:
            log.note_base(
                position, *(setup.scores(part) for part in (setup.learnt.dev, setup.learnt.general))
            )
        steps = setup.passes.steps(
            setup.accumulation,
            accelerator.process_index,
            accelerator.num_processes,
            position.epoch,
            position.epoch_step,
        )
        while position.step < setup.num_steps and not log.is_patience_lost(position):
            # 1. one optimiser step along the schedule
            step = next(steps)
            factor = lr_factor(position.step, setup.num_steps, config.optim, setup.width)
            setup.set_lr(factor)
            batches = [rows.collate().to(accelerator.device) for rows in step.micro_batches]
            loss, norm = optimizer_step(
                accelerator, setup.prepared, setup.optimizers, batches, config.optim.clip_norm, setup.masters
            )
            _require_number(loss, position.step, "the training loss")
            position.advance(step.epoch, step.index + 1)
            log.step(position, loss, setup.peaks[0] * factor, norm, step.num_tokens, setup.pass_of(position))

            # 2. validate, keep the best, save the resume point
            is_last = position.step == setup.num_steps
            if setup.learnt.dev and (is_last or position.step % config.eval_every == 0):
                if log.is_best(position, setup.scores(setup.learnt.dev)):
                    _keep(setup, log, position)
            if is_last or position.step % config.save_every == 0:
                log.save(accelerator, position)
        if not setup.learnt.dev:
            _keep(setup, log, position)
    finally:
        log.stop()
    log.finish(position)
    accelerator.end_training()
    return log.model_dir


@dataclass(frozen=True, slots=True)
class Setup:
    """All that a run works with. `peaks` are the optimisers' highest learning rates, group by group."""

    config: TrainConfig
    accelerator: Accelerator
    model: nn.Module
    encoder: TurnEncoder
    learnt: Curriculum
    passes: Passes
    accumulation: int
    masters: MasterWeights | None
    prepared: nn.Module
    optimizers: list[torch.optim.Optimizer]
    peaks: list[float]
    width: int
    num_steps: int
    steps_per_pass: int

    def set_lr(self, factor: float) -> None:
        """Multiply every group's peak learning rate."""
        groups = (group for optimizer in self.optimizers for group in optimizer.param_groups)
        for group, peak in zip(groups, self.peaks, strict=True):
            group["lr"] = peak * factor

    def pass_of(self, position: Position) -> float:
        """Passes over the data so far, fractions included."""
        return position.step / self.steps_per_pass

    def scores(self, rows: Mapping[str, list[Rows]]) -> Scores:
        """Losses over several sets of batches. Raises TrainingError when one is no number."""
        scores = {name: evaluate(self.prepared, batches, self.accelerator) for name, batches in rows.items()}
        for name, (loss, _) in scores.items():
            _require_number(loss, None, f"the loss on {name}")
        return scores


def set_up(config: TrainConfig, accelerator: Accelerator, log: RunLog) -> tuple[Setup, Position]:
    """Model, data and optimisers of a run, and where it stands: at its beginning or at its resume point."""
    # 1. model and data; the base makes up its replay before it is changed
    base, encoder = starting_point(config)
    base.to(accelerator.device)
    learnt = gather(config, base, encoder, accelerator)
    torch.manual_seed(config.seed)
    model = ready_to_train(base, config).to(accelerator.device)
    loss_module = DialogueLoss(model)
    loss_module.train()
    batch_tokens, accumulation = learnt.batch_sizes(loss_module, accelerator, log.before("batch"))
    passes = Passes(learnt.train, learnt.replay, config, batch_tokens)
    steps_per_pass = passes.steps_per_pass(accumulation * accelerator.num_processes)
    num_steps = max(1, round(config.optim.epochs * steps_per_pass))

    # 2. optimisers over float32 weights; the model itself may go on in bfloat16
    masters = MasterWeights(loss_module) if precision_of(config.optim) == "bf16" else None
    optimizers = optimizers_for(masters or loss_module, config.optim)
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    width = int(getattr(base.config, "hidden_size", 0) or 1)
    prepared, *optimizers = accelerator.prepare(loss_module, *optimizers)
    if masters:
        accelerator.register_for_checkpointing(masters)

    # 3. where it stands
    position = log.resume(accelerator) if config.resume else log.start()
    log.describe(encoder, model, num_steps=num_steps, batch=[batch_tokens, accumulation], **learnt.facts)
    setup = Setup(
        *(config, accelerator, model, encoder, learnt, passes, accumulation),
        *(masters, prepared, list(optimizers), peaks, width, num_steps, steps_per_pass),
    )
    return setup, position


def precision_of(optim: OptimConfig) -> str:
    """bf16, autocast or fp32; auto is the first where the hardware computes in bfloat16."""
    if optim.precision != "auto":
        return optim.precision
    has_bf16 = torch.cuda.is_available() or bool(torch.cpu._is_avx512_bf16_supported())
    return "bf16" if has_bf16 else "fp32"


def accelerator_for(optim: OptimConfig) -> Accelerator:
    """The processes of a run, and autocast where it is asked for."""
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),  # or torchrun's processes would not know of each other
        mixed_precision="bf16" if precision_of(optim) == "autocast" else "no",
        dynamo_backend="inductor" if optim.compile else "no",
    )
    logging.getLogger("accelerate").setLevel(logging.ERROR)  # tied embeddings are stored once, as they should
    return accelerator


def optimizer_step(
    accelerator: Accelerator,
    prepared: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    batches: Sequence[Batch],
    clip_norm: float,
    masters: MasterWeights | None = None,
) -> tuple[float, float]:
    """Move the weights once by the loss over all micro-batches of all processes.

    Args:
        masters: the float32 weights behind a model in bfloat16; the optimisers move these.
    Returns:
        The loss before the step, in nats per token, and the norm of its gradient before clipping. When the
        loss is no number the weights stay as they are.
    """
    # 1. the weight that the micro-batches carry over all processes
    prepared.train()
    total = accelerator.reduce(sum(batch.weights.sum() for batch in batches), reduction="sum")

    # 2. gradients of Σ w·nll / Σ w: DDP averages over processes, so each multiplies by their number
    summed = torch.zeros((), device=accelerator.device)
    for index, batch in enumerate(batches):
        is_synced = masters is not None or index + 1 == len(batches)  # masters add up what is synced already
        with nullcontext() if is_synced else accelerator.no_sync(prepared):
            nll, _ = prepared(batch.fields)
            accelerator.backward(nll * accelerator.num_processes / total)
            summed += nll.detach()
        if masters:
            masters.take_gradients()
    loss = float(accelerator.reduce(summed, reduction="sum") / total)

    # 3. clip by global norm, step
    weights = masters.parameters() if masters else list(prepared.parameters())
    grad_norm = float(accelerator.clip_grad_norm_(weights, clip_norm))
    for optimizer in optimizers:
        if math.isfinite(loss):
            optimizer.step()
        optimizer.zero_grad()
    if masters:
        masters.give_weights()
    return loss, grad_norm


@torch.no_grad()
def evaluate(prepared: nn.Module, batches: list[Rows], accelerator: Accelerator) -> tuple[float, float]:
    """Validation loss over whole dev data: (nats per token, nats per UTF-8 byte), end tokens included."""
    prepared.eval()
    nll, weight, num_bytes = (
        torch.zeros((), dtype=torch.float64, device=accelerator.device) for _ in range(3)
    )
    for rows in batches[accelerator.process_index :: accelerator.num_processes]:
        batch_nll, batch_weight = prepared(rows.collate().to(accelerator.device).fields)
        nll += batch_nll.double()
        weight += batch_weight.double()
        num_bytes += rows.num_bytes
    nll, weight, num_bytes = (
        accelerator.reduce(value, reduction="sum") for value in (nll, weight, num_bytes)
    )
    return (nll / weight).item(), (nll / num_bytes).item()


def _keep(setup: Setup, log: RunLog, position: Position) -> None:
    """Write the weights as they are now, and note how well they do on general talk."""
    log.note_general(position, setup.scores(setup.learnt.general))
    if setup.accelerator.is_main_process:
        state = setup.masters.float32_state() if setup.masters else None
        write_trained(setup.model, setup.encoder, log.model_dir, setup.config, state)
    setup.accelerator.wait_for_everyone()


def _require_number(loss: float, step: int | None, what: str) -> None:
    if not math.isfinite(loss):
        when = "" if step is None else f" at step {step + 1}"
        raise TrainingError(
            f"training diverged{when}: {what} is {loss}; lower optim.lr, or look for huge weights"
        )
