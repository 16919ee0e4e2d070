// TorchScript of SharedAttention; see sources.h. Its module holds, beyond the parameters, the list `tables`:
// the rotations of hashing [H, d, R, buckets / 2], or, for random keys, [max_positions, keys] int32: row n -
// 1 names those that the n earlier positions show (with repetitions where they are fewer).
#include "model/script/sources.h"

namespace giantrabbit::model::script {

const char* const shared_attention = R"py(
def project(self, x: Tensor) -> Tuple[Tensor, Tensor]:
    parts = torch.linear(x, self.query_value).chunk(2, -1)
    return split_heads(parts[0]), split_heads(parts[1])

# 0 at the keys that positions with `earlier` [K] positions before them see among `keys` places, else -inf.
def random_bias(self, earlier: Tensor, keys: int, like: Tensor) -> Tensor:
    table = self.tables[0].to(earlier.device)
    assert keys <= table.size(0), "shared_attention: random keys are known up to model.max_positions only"
    chosen = table.index_select(0, (earlier - 1).clamp_min(0)).to(int64)
    hidden = torch.full([earlier.size(0), max(keys, 1)], -infinity, dtype=like.dtype, device=like.device)
    return hidden.scatter(1, chosen, 0.0).narrow(1, 0, keys)

def attend_earlier(self, query: Tensor, value: Tensor) -> Tensor:
    rest = query.size(2) - 1
    if rest < 1:
        return value
    later = query.narrow(2, 1, rest)
    key = shared_keys(query).narrow(2, 0, rest)
    if config.shared_random:
        earlier = torch.arange(1, rest + 1, device=query.device)
        heads = attend_biased(later, key, value.narrow(2, 0, rest), self.random_bias(earlier, rest, query))
    else:
        heads = attend(later, key, value.narrow(2, 0, rest), None, True, config.shared_window)
    return torch.cat([value.narrow(2, 0, 1), heads], 2)

# The results of the queries from `first` on.
def hashed(self, query: Tensor, value: Tensor, first: int) -> Tensor:
    return lsh_attend(query, value, self.tables[0].to(query.device), first)

# Every sequence by itself: hashing must not see the padding. [B, H, M, d], zeros behind the lengths.
def hash_alone(self, query: Tensor, value: Tensor, lengths: Tensor) -> Tensor:
    heads: List[Tensor] = []
    for b in range(query.size(0)):
        length = int(lengths[b])
        own = self.hashed(query[b:b + 1, :, :length], value[b:b + 1, :, :length], 0)
        heads.append(torch.constant_pad_nd(own, [0, 0, 0, query.size(2) - length]))
    return torch.cat(heads)

# The newest of each sequence's lengths[b] + 1 positions, [B, H, 1, d].
def hash_newest(self, cache: List[Tensor], lengths: Tensor, longest: int) -> Tensor:
    query = cache[0]
    value = cache[1]
    if int(lengths.min()) == longest:
        return self.hashed(query[:, :, :longest + 1], value[:, :, :longest + 1], longest)
    heads: List[Tensor] = []
    for b in range(query.size(0)):
        last = int(lengths[b])
        heads.append(self.hashed(query[b:b + 1, :, :last + 1], value[b:b + 1, :, :last + 1], last))
    return torch.cat(heads)

# With lengths every sequence is attended to by itself. Also queries (hashing) or keys and values, for a cache.
def forward(self, x: Tensor, lengths: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
    query, value = self.project(x)
    if config.lsh:
        remembered = query
        if lengths is None:
            heads = self.hashed(query, value, 0)
        else:
            heads = self.hash_alone(query, value, lengths)
    else:
        remembered = shared_keys(query)
        heads = self.attend_earlier(query, value)
    return torch.linear(merge_heads(heads), self.out), remembered, value

def step(self, x: Tensor, cache: List[Tensor], lengths: Tensor, longest: int) -> Tensor:
    query, value = self.project(x)
    if config.lsh:
        remember(cache, query, value, lengths, longest)
        result = self.hash_newest(cache, lengths, longest)
    else:
        if config.shared_random:
            bias = self.random_bias(lengths, longest, query).unsqueeze(1).unsqueeze(1)
            earlier = attend_biased(query, cache[0].narrow(2, 0, longest), cache[1].narrow(2, 0, longest), bias)
        else:
            earlier = attend_remembered(query, cache, lengths, longest, config.shared_window)
        remember(cache, shared_keys(query), value, lengths, longest)
        result = torch.where((lengths == 0).view([-1, 1, 1, 1]), value, earlier)
    return torch.linear(merge_heads(result), self.out)
)py";

}  // namespace giantrabbit::model::script
