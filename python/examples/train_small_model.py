"""Trains a small model with sparse attention on key look-up, in half a minute on one core.

A sequence holds cards, each with a key and a value, and ends in a card with a key alone; the answer is the
value of the card with that key. Looking it up needs exactly one card of the sequence: sparsemax can give all
others weight exactly 0, softmax never does. The program trains both, says how often they are right on
problems that they have not seen, and which share of the weights that the last card gives is not 0.

    pip install giantrabbit-0.1.0-py3-none-linux_x86_64.whl    # needs torch 2.14.1
    python train_small_model.py
"""

import argparse
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from giantrabbit import Normalizer, SparsemaxAttention

KEYS, VALUES, CARDS = 64, 32, 32


def problems(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Keys and values of the cards [count, CARDS + 1], the last with the value VALUES, and the answers
    [count]."""
    keys = torch.rand(count, KEYS, generator=generator).argsort(1)[:, :CARDS]  # no key twice
    values = torch.randint(VALUES, (count, CARDS), generator=generator)
    asked = torch.randint(CARDS, (count, 1), generator=generator)
    no_value = torch.full((count, 1), VALUES)
    all_keys = torch.cat([keys, keys.gather(1, asked)], 1)
    return all_keys, torch.cat([values, no_value], 1), values.gather(1, asked).squeeze(1)


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, normalizer: Normalizer) -> None:
        super().__init__()
        self.attention = SparsemaxAttention(width, heads, batch_first=True, normalizer=normalizer)
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])

    def forward(self, x: Tensor, need_weights: bool = False) -> tuple[Tensor, Tensor | None]:
        normed = self.norms[0](x)
        attended, weights = self.attention(
            normed, normed, normed, need_weights=need_weights, average_attn_weights=False, is_causal=True
        )
        x = x + attended
        return x + self.feed_forward(self.norms[1](x)), weights


class LookUp(nn.Module):
    def __init__(self, normalizer: Normalizer, width: int = 64, heads: int = 1, layers: int = 1) -> None:
        super().__init__()
        self.keys = nn.Embedding(KEYS, width)
        self.values = nn.Embedding(VALUES + 1, width)
        self.layers = nn.ModuleList(Layer(width, heads, normalizer) for _ in range(layers))
        self.output = nn.Linear(width, VALUES)

    def forward(
        self, keys: Tensor, values: Tensor, need_weights: bool = False
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Scores of the values [N, VALUES], and every layer's weights [N, heads, CARDS + 1, CARDS + 1] if
        wanted."""
        x = self.keys(keys) + self.values(values)
        weights = []
        for layer in self.layers:
            x, of_layer = layer(x, need_weights)
            weights.append(of_layer)
        return self.output(x[:, -1]), weights


def train(normalizer: Normalizer, steps: int, seed: int) -> None:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = LookUp(normalizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    started = time.perf_counter()
    for step in range(1, steps + 1):
        keys, values, answer = problems(64, generator)
        loss = F.cross_entropy(model(keys, values)[0], answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % (steps // 4) == 0:
            print(f"  step {step:4}: loss {loss.item():.3f}")
    keys, values, answer = problems(2000, torch.Generator().manual_seed(seed + 1))
    with torch.no_grad():
        scores, weights = model.eval()(keys, values, need_weights=True)
    right = (scores.argmax(1) == answer).float().mean().item()
    densities = [(w[:, :, -1] > 0).float().mean().item() for w in weights if w is not None]
    shown = ", ".join(f"{density:.1%}" for density in densities)
    print(f"  {time.perf_counter() - started:.0f} s; right answers {right:.1%} (guessing: {1 / VALUES:.1%})")
    print(f"  share of the last card's weights that is not 0, layer by layer: {shown}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300, help="updates of each model")
    parser.add_argument("--seed", type=int, default=1, help="seed of weights and problems")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for normalizer in ("sparsemax", "softmax"):
        print(f"{normalizer}:")
        train(normalizer, arguments.steps, arguments.seed)


if __name__ == "__main__":
    main()
