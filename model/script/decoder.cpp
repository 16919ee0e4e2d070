// TorchScript of Decoder and DecoderLayer; see sources.h.
#include <fmt/format.h>

#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const decoder_layer = R"py(
# The layer's cache is appended to `caches`. lengths: those of a prefix that generation goes on behind.
def forward(
        self, x: Tensor, lengths: Optional[Tensor], positions: Tensor, memory: Tensor, memory_lengths: Tensor,
        caches: List[List[Tensor]]) -> Tensor:
    normed = self.self_norm.forward(x)
    if config.shared_layer:
        attended, key, value = self.shared_attention.forward(normed, lengths)
    else:
        attended, key, value = self.self_attention.forward(normed, None, True, positions)
    x = x + attended
    cache = [key.detach(), value.detach()]
    if config.memory:
        normed = self.cross_norm.forward(x)
        looked_up, memory_key, memory_value = self.cross_attention.forward(normed, memory, memory_lengths)
        x = x + looked_up
        cache = cache + [memory_key.detach(), memory_value.detach()]
    caches.append(cache)
    return x + self.feed_forward.forward(self.feed_forward_norm.forward(x))

# x [B, 1, D], lengths: tokens in the cache before this one, the most of them `longest`.
def step(self, x: Tensor, cache: List[Tensor], lengths: Tensor, longest: int, memory_lengths: Tensor) -> Tensor:
    normed = self.self_norm.forward(x)
    if config.shared_layer:
        x = x + self.shared_attention.step(normed, cache, lengths, longest)
    else:
        x = x + self.self_attention.step(normed, cache, lengths, longest)
    if config.memory:
        x = x + self.cross_attention.look_up(self.cross_norm.forward(x), cache[2], cache[3], memory_lengths)
    return x + self.feed_forward.forward(self.feed_forward_norm.forward(x))
)py";

std::string decoder(int64_t layers) {
  std::string forward = R"py(
def forward(
        self, x: Tensor, lengths: Optional[Tensor], memory: Tensor,
        memory_lengths: Tensor) -> Tuple[Tensor, List[List[Tensor]]]:
    positions = torch.arange(x.size(1), device=x.device)
    caches: List[List[Tensor]] = []
)py";
  std::string step = R"py(
def step(
        self, x: Tensor, caches: List[List[Tensor]], lengths: Tensor, longest: int,
        memory_lengths: Tensor) -> Tensor:
)py";
  for (int64_t i = 0; i < layers; ++i) {
    const std::string layer = fmt::format("    x = getattr(self.layers, \"{}\")", i);
    forward += layer + ".forward(x, lengths, positions, memory, memory_lengths, caches)\n";
    step += layer + fmt::format(".step(x, caches[{}], lengths, longest, memory_lengths)\n", i);
  }
  return forward + "    return x, caches\n" + step + "    return x\n";
}

}  // namespace giantrabbit::model::script
