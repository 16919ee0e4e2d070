"""Training steps of the PyTorch model, driven line by line exactly as `training_bench serve`: the first argument is
the file that `training_bench write` made; "check N" and "time N" on standard input mean the same there and here.

Eager mode: torch.compile would need a C++ compiler at run time and compiles anew for new batch shapes, of which
length-bucketed batches have dozens; what it saves on overhead is not what most users of small models see."""

import json
import sys
import time
import warnings

warnings.filterwarnings("ignore", message="Failed to initialize NumPy")

import torch
import torch.nn.functional as F

import model as giant_rabbit

TYPES = {"F32": torch.float32, "I64": torch.int64}
# train/config.h, with training_bench's rate factor.
LEARNING_RATE = 3e-3 * 0.1
WEIGHT_DECAY = 0.05
CLIP_NORM = 1.0


def read_safetensors(path):
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data[begin:end], dtype=TYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors


class Bench:
    def __init__(self, path):
        tensors = read_safetensors(path)
        self.model = giant_rabbit.from_state(
            {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")})
        self.batches = []
        while f"batch.{len(self.batches)}.prompt" in tensors:
            prefix = f"batch.{len(self.batches)}."
            self.batches.append([tensors[prefix + name] for name in
                                 ("prompt", "prompt_lengths", "decoder_input", "target")])
        self.tokens = [int((batch[3] != giant_rabbit.PAD).sum()) for batch in self.batches]
        self.next = 0
        hidden = self.model.hidden_matrices()
        ids = {id(parameter) for parameter in hidden}
        self.parameters = list(self.model.parameters())
        rest = [parameter for parameter in self.parameters if id(parameter) not in ids]
        groups = [{"params": hidden, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), eps=1e-8, fused=True)

    def step(self):
        prompt, prompt_lengths, decoder_input, target = self.batches[self.next]
        self.next = (self.next + 1) % len(self.batches)
        self.optimizer.zero_grad()
        logits = self.model(prompt, prompt_lengths, decoder_input)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=giant_rabbit.PAD)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM, foreach=True)
        self.optimizer.step()
        return loss.item(), norm.item()

    def check(self, steps):
        for _ in range(steps):
            loss, norm = self.step()
            print(f"{loss:.9g} {norm:.9g}")

    def time(self, steps):
        start, processor_start, tokens = time.perf_counter(), time.process_time(), 0
        for _ in range(steps):
            tokens += self.tokens[self.next]
            self.step()
        print(f"{time.perf_counter() - start:.9g} {time.process_time() - processor_start:.9g} {tokens}")


def main():
    torch.set_num_threads(1)
    bench = Bench(sys.argv[1])
    for line in sys.stdin:
        command, steps = line.split()
        bench.check(int(steps)) if command == "check" else bench.time(int(steps))
        sys.stdout.flush()


main()
