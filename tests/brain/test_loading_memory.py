"""Loading a model never holds much more than the model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

LOAD = """
import json, sys
from pathlib import Path
import torch
from brain.weights import read_packed

def mib(key):
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith(key)]
    return int(line.split()[1]) / 1024

read_packed(Path(sys.argv[1]), torch.device("cpu"), torch.float32)  # the code itself, buffers, thread pools
before = mib("VmRSS")
model = read_packed(Path(sys.argv[2]), torch.device("cpu"), torch.bfloat16)
print(json.dumps({"running": mib("VmRSS") - before, "peak": mib("VmHWM") - before}))
"""


def save(folder: Path, width: int, layers: int, dtype: torch.dtype, *, as_pickle: bool) -> Path:
    config = GPT2Config(vocab_size=16000, n_positions=256, n_embd=width, n_layer=layers, n_head=8)
    config.bos_token_id = config.eos_token_id = 0
    model = GPT2LMHeadModel(config).to(dtype)
    model.save_pretrained(folder)
    if as_pickle:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize(
    ("dtype", "as_pickle"), [(torch.float32, False), (torch.float16, False), (torch.float32, True)]
)
def test_loading_holds_at_most_a_third_more_than_running(
    tmp_path: Path, dtype: torch.dtype, as_pickle: bool
) -> None:
    small = save(tmp_path / "small", 32, 1, torch.float32, as_pickle=as_pickle)
    large = save(tmp_path / "large", 768, 9, dtype, as_pickle=as_pickle)  # 76 million parameters

    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(small), str(large)], capture_output=True, check=True, timeout=120
    )

    memory = json.loads(done.stdout)
    assert 140 < memory["running"] < 260  # 152 MB of weights, 25 of the embedding once more
    assert memory["peak"] < 1.3 * memory["running"]
