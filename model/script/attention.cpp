// TorchScript of SelfAttention, CrossAttention and DeepProjection; see sources.h.
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const deep_projection = R"py(
def matrix(self) -> Tensor:
    weights = (torch.matmul(self.left, self.right) / config.projection_temperature).softmax(-1)
    if config.gated:
        weights = self.base * weights
    return weights.transpose(-1, -2).flatten(0, 2)
)py";

const char* const self_attention = R"py(
def project(self, x: Tensor, positions: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    if config.plain_projection:
        matrix = self.qkv
    else:
        matrix = self.deep_qkv.matrix()
    parts = torch.linear(x, matrix).chunk(3, -1)
    query = split_heads(parts[0])
    key = split_heads(parts[1])
    if config.rotary:
        query = rotate(query, positions)
        key = rotate(key, positions)
    return query, key, split_heads(parts[2])

# Also keys and values, for a cache.
def forward(
        self, x: Tensor, key_lengths: Optional[Tensor], causal: bool,
        positions: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    query, key, value = self.project(x, positions)
    heads = attend(query, key, value, key_lengths, causal, config.window)
    return torch.linear(merge_heads(heads), self.out), key, value

def step(self, x: Tensor, cache: List[Tensor], lengths: Tensor, longest: int) -> Tensor:
    query, key, value = self.project(x, lengths.unsqueeze(1))
    remember(cache, key, value, lengths, longest)
    heads = attend_remembered(query, cache, lengths + 1, longest + 1, config.window)
    return torch.linear(merge_heads(heads), self.out)

def received_mass(self, x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    query, key, value = self.project(x.detach(), positions)
    return received_mass(query.detach(), key.detach(), lengths, config.window)
)py";

const char* const cross_attention = R"py(
# Also keys and values of the memory, for a cache.
def forward(self, x: Tensor, memory: Tensor, lengths: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    parts = torch.linear(memory, self.key_value).chunk(2, -1)
    key = split_heads(parts[0])
    value = split_heads(parts[1])
    return self.look_up(x, key, value, lengths), key, value

def look_up(self, x: Tensor, key: Tensor, value: Tensor, lengths: Tensor) -> Tensor:
    query = split_heads(torch.linear(x, self.query))
    return torch.linear(merge_heads(attend(query, key, value, lengths, False, 0)), self.out)
)py";

}  // namespace giantrabbit::model::script
