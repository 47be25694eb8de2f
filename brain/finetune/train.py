"""THE RECIPE: full training and fine-tuning of a dialogue model, to be read from top to bottom and copied.

    read sessions → encode → windows → packed batches → weighted loss → clip → step → validate → keep the best

The loss is Σ w·nll / Σ w over the global batch (all micro-batches, all processes), in nats per token.
Runs alone, or under `accelerate launch` / `torchrun` unchanged.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from brain.encoding import TurnEncoder
from brain.errors import ConfigError, DataError
from brain.finetune.batches import Batch, BatchPlan, Rows, shard
from brain.finetune.config import OptimConfig, TrainConfig
from brain.finetune.corpus import encoded_corpora
from brain.finetune.models import starting_point, write_model
from brain.finetune.optim import lr_factor, optimizers_for
from brain.finetune.run_log import RunLog


class DialogueLoss(nn.Module):
    """A causal language model with the masked, weighted loss inside, so that both compile into one graph."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Return (Σ w·nll in nats, Σ w) over one packed batch; fields as in `Batch`, each [rows, row_len]."""
        input_ids, labels, weights, positions, segments = batch
        row_len = input_ids.shape[1]
        causal = torch.ones(row_len, row_len, dtype=torch.bool, device=input_ids.device).tril()
        same = segments[:, None, :, None] == segments[:, None, None, :]  # [rows, 1, query, key]
        mask = torch.zeros(same.shape, device=same.device).masked_fill(~(same & causal), -1e9)
        hidden = self.model.base_model(  # type: ignore[operator]
            input_ids=input_ids, position_ids=positions, attention_mask=mask, use_cache=False
        ).last_hidden_state
        logits = self.model.lm_head(hidden)  # type: ignore[operator]  # [rows, row_len, vocab]
        nll = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), reduction="none")
        return (nll * weights.flatten()).sum(), weights.sum()


def run(config: TrainConfig) -> Path:
    """Train as `config` says and return the folder with the best weights.

    Writes out/metrics.jsonl (a line per logged step), out/run.json, out/model (best weights by val_loss, or
    the last without dev data), out/state (resume point, replaced as a whole every save_every steps).

    Raises:
        ConfigError: the output folder holds another run, rows are longer than the model's positions, or LoRA
            is asked for.
        DataError, CheckpointError: data or base model cannot be read.
    """
    if config.lora:
        raise ConfigError("LoRA training is not in this version yet; use --full")
    if config.num_threads:
        torch.set_num_threads(config.num_threads)
    torch.manual_seed(config.seed)
    optim = config.optim
    accelerator = accelerator_for(optim)
    log = RunLog(config, is_main=accelerator.is_main_process)
    log.check_folder()

    model, encoder = starting_point(config)
    train, dev = encoded_corpora(config, encoder)
    plan = BatchPlan(train, optim.row_lens, optim.batch_tokens)
    dev_plans = {
        name: BatchPlan(turns, optim.row_lens, optim.batch_tokens).epoch(0, 0, shuffle=False)
        for name, turns in dev.items()
    }
    micro_per_step = optim.accumulation * accelerator.num_processes
    steps_per_epoch = math.ceil(
        len(plan.epoch(config.seed, 0, random_split=config.random_split)) / micro_per_step
    )
    num_steps = max(1, round(optim.epochs * steps_per_epoch))

    loss_module = DialogueLoss(model)
    optimizers = optimizers_for(loss_module, optim)
    width = int(getattr(model.config, "hidden_size", 0) or 1)
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]
    prepared, *optimizers = accelerator.prepare(loss_module, *optimizers)
    position = log.resume(accelerator) if config.resume else log.start()
    log.describe(encoder, model, num_steps, sum(len(t.ids) for turns in train for t in turns))

    prepared.train()
    micro_batches = _micro_batches(plan, config, accelerator, position.epoch, position.micro_step)
    while position.step < num_steps and not log.is_patience_lost(position):
        # 1. the micro-batches of this step, one optimiser step further along the schedule
        taken = [next(micro_batches) for _ in range(optim.accumulation)]
        batches = [rows.collate().to(accelerator.device) for _, _, rows in taken]
        factor = lr_factor(position.step, num_steps, optim, width)
        _set_lr(optimizers, peaks, factor)
        loss, grad_norm = optimizer_step(accelerator, prepared, optimizers, batches, optim.clip_norm)
        position.advance(epoch=taken[-1][0], micro_step=taken[-1][1] + 1)
        num_tokens = sum(batch.num_tokens for batch in batches) * accelerator.num_processes
        if not math.isfinite(loss):
            raise DataError(
                config.data[0], 0, f"training diverged at step {position.step}; lower the learning rate"
            )
        log.step(position, loss, peaks[0] * factor, grad_norm, num_tokens, steps_per_epoch)

        # 2. validate, keep the best, save the resume point
        is_last = position.step == num_steps
        if dev_plans and (is_last or position.step % config.eval_every == 0):
            scores = {name: evaluate(prepared, rows, accelerator) for name, rows in dev_plans.items()}
            if log.is_best(position, scores):
                _write(accelerator, prepared, encoder, log.model_dir)
            prepared.train()
        if is_last or position.step % config.save_every == 0:
            log.save(accelerator, position)
    if not dev_plans:
        _write(accelerator, prepared, encoder, log.model_dir)
    log.finish(position)
    accelerator.end_training()
    return log.model_dir


def accelerator_for(optim: OptimConfig) -> Accelerator:
    """The processes and the precision of a run: bf16 autocast where it is asked for or pays."""
    accelerator = Accelerator(
        mixed_precision="bf16" if _wants_bf16(optim) else "no",
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
) -> tuple[float, float]:
    """Move the weights once by the loss over all micro-batches of all processes.

    Returns:
        The loss before the step, in nats per token, and the norm of its gradient before clipping.
    """
    # 1. the weight that the micro-batches carry over all processes
    total = accelerator.reduce(sum(batch.weights.sum() for batch in batches), reduction="sum")

    # 2. gradients of Σ w·nll / Σ w: DDP averages over processes, so each multiplies by their number
    summed = torch.zeros((), device=accelerator.device)
    for index, batch in enumerate(batches):
        with nullcontext() if index + 1 == len(batches) else accelerator.no_sync(prepared):
            nll, _ = prepared(_fields(batch))
            accelerator.backward(nll * accelerator.num_processes / total)
            summed += nll.detach()

    # 3. clip by global norm, step
    grad_norm = accelerator.clip_grad_norm_(prepared.parameters(), clip_norm)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return (accelerator.reduce(summed, reduction="sum") / total).item(), float(grad_norm)


@torch.no_grad()
def evaluate(prepared: nn.Module, batches: list[Rows], accelerator: Accelerator) -> tuple[float, float]:
    """Validation loss over whole dev data: (nats per token, nats per UTF-8 byte), end tokens included."""
    prepared.eval()
    nll, weight, num_bytes = (
        torch.zeros((), dtype=torch.float64, device=accelerator.device) for _ in range(3)
    )
    for rows in batches[accelerator.process_index :: accelerator.num_processes]:
        batch_nll, batch_weight = prepared(_fields(rows.collate().to(accelerator.device)))
        nll += batch_nll.double()
        weight += batch_weight.double()
        num_bytes += rows.num_bytes
    nll, weight, num_bytes = (
        accelerator.reduce(value, reduction="sum") for value in (nll, weight, num_bytes)
    )
    return (nll / weight).item(), (nll / num_bytes).item()


def _micro_batches(
    plan: BatchPlan, config: TrainConfig, accelerator: Accelerator, epoch: int, skip: int
) -> Iterator[tuple[int, int, Rows]]:
    """Yield (epoch, micro-step within it, rows) for this process without end, from a resume point on."""
    while True:
        batches = plan.epoch(config.seed, epoch, random_split=config.random_split)
        for micro_step, rows in enumerate(
            shard(batches, accelerator.process_index, accelerator.num_processes)
        ):
            if micro_step >= skip:
                yield epoch, micro_step, rows
        epoch, skip = epoch + 1, 0


def _wants_bf16(optim: OptimConfig) -> bool:
    if optim.precision != "auto":
        return optim.precision == "bf16"
    return torch.cuda.is_available() or bool(torch.cpu._is_avx512_bf16_supported())


def _fields(batch: Batch) -> tuple[Tensor, ...]:
    return batch.input_ids, batch.labels, batch.weights, batch.positions, batch.segments


def _set_lr(optimizers: list[torch.optim.Optimizer], peaks: list[float], factor: float) -> None:
    groups = (group for optimizer in optimizers for group in optimizer.param_groups)
    for group, peak in zip(groups, peaks, strict=True):
        group["lr"] = peak * factor


def _write(accelerator: Accelerator, prepared: nn.Module, encoder: TurnEncoder, folder: Path) -> None:
    if accelerator.is_main_process:
        write_model(accelerator.unwrap_model(prepared).model, encoder, folder)
    accelerator.wait_for_everyone()
