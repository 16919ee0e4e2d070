// TorchScript of Encoder, FeedForward, Norm and OutputHead; see sources.h.
#include <fmt/format.h>

#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const norm = R"py(
def forward(self, x: Tensor) -> Tensor:
    return torch.layer_norm(x, [config.width], self.gain, self.offset)
)py";

const char* const feed_forward = R"py(
def forward(self, x: Tensor) -> Tensor:
    return torch.linear(squared_relu(torch.linear(x, self.into)), self.out_of)
)py";

const char* const output_head = R"py(
def forward(self, hidden: Tensor, table: Tensor) -> Tensor:
    return torch.linear(self.norm.forward(hidden), table)
)py";

const char* const encoder_layer = R"py(
def forward(self, x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    attended, key, value = self.attention.forward(self.attention_norm.forward(x), lengths, False, positions)
    x = x + attended
    return x + self.feed_forward.forward(self.feed_forward_norm.forward(x))
)py";

std::string encoder(int64_t layers) {
  std::string source = R"py(
def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
    positions = torch.arange(x.size(1), device=x.device)
)py";
  for (int64_t i = 0; i < layers; ++i) {
    source += fmt::format("    x = getattr(self.layers, \"{}\").forward(x, lengths, positions)\n", i);
  }
  return source + "    return self.norm.forward(x)\n";
}

}  // namespace giantrabbit::model::script
