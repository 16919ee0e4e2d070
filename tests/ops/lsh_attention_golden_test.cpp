// lsh_attention and lsh_buckets against golden values of the Reformer notebook and its library (meta.origins
// in lsh_golden.json): hashes, orders, attention over chunks and whole layers. Not covered, because no
// operator here has them as results: N01 (a softmax row), N03 (rotations unknown), N06 and N07 (reshape,
// weights without softmax).
#include <gtest/gtest.h>

#include <torch/torch.h>

#include "ops/cpu/lsh_problem.h"
#include "tests/ops/lsh_cases.h"
#include "tests/support/golden.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::ops {
namespace {

using nlohmann::json;
using test_support::golden_tensor;
using test_support::tensors_close;
using test_support::tensors_equal;

// Tolerances of the file's meta.default_tolerance: the values are fp64 results rounded once; an fp32
// computation of these sizes measured 4e-7 there.
constexpr double kDoubleError = 1e-12;
// The library masks a query itself by -1e5: where it sees nothing else in any round, the golden shares of the
// rounds are rounded at that size, to 1.5e-11.
constexpr double kLayerError = 5e-11;
constexpr double kFloatError = 2e-6;

class LshGoldenTest : public ::testing::Test {
 protected:
  // function(case) for the cases whose names begin with one of the prefixes; every prefix needs one.
  template <class Function>
  void for_cases(const std::vector<std::string>& prefixes, const Function& function) {
    for (const std::string& prefix : prefixes) {
      int found = 0;
      for (const json& one : golden_.at("cases")) {
        if (one.at("id").get<std::string>().rfind(prefix + "_", 0) != 0) continue;
        SCOPED_TRACE(one.at("id").get<std::string>());
        function(one);
        ++found;
      }
      EXPECT_EQ(found, 1) << prefix;
    }
  }
  const json golden_ = test_support::load_golden("lsh_golden.json");
};

at::Tensor golden_input(const json& one, const char* name, at::ScalarType dtype = at::kDouble) {
  return golden_tensor(one.at("inputs").at(name), dtype);
}

at::Tensor golden_result(const json& one, const char* name, at::ScalarType dtype = at::kDouble) {
  return golden_tensor(one.at("expected").at(name), dtype);
}

TEST_F(LshGoldenTest, Hashes) {
  for_cases({"N04", "R01", "R02", "R03", "R04", "R05"}, [](const json& one) {
    const LshHashing hashing{golden_input(one, "rotations").unsqueeze(0),
                             {one.at("params").value("n_buckets", 4)}};
    std::optional<at::Tensor> valid;
    if (one.at("inputs").contains("mask")) valid = golden_input(one, "mask", at::kBool).unsqueeze(0);
    for (const auto dtype : {at::kDouble, at::kFloat}) {
      const at::Tensor vectors = golden_input(one, "vecs", dtype).view({1, 1, -1, hashing.rotations.size(1)});
      EXPECT_TRUE(tensors_equal(lsh_buckets(vectors, hashing, valid).flatten(),
                                golden_result(one, "buckets", at::kLong)));
    }
  });
}

TEST_F(LshGoldenTest, Orders) {
  for_cases({"N05", "R06", "R07", "R08"}, [](const json& one) {
    const auto rounds = one.at("params").at("n_hashes").get<int64_t>();
    const at::Tensor buckets = golden_input(one, "buckets", at::kLong).view({rounds, -1});
    const at::Tensor order = std::get<1>(buckets.sort(/*stable=*/true, 1, false)).contiguous();
    const cpu::LshChunks chunks(order.const_data_ptr<int64_t>(), nullptr, rounds, buckets.size(1),
                                {2, 0, 0, false, false, {}});
    const at::Tensor places = torch::tensor(
        at::ArrayRef<int32_t>(chunks.positions(0), static_cast<size_t>(buckets.numel())), torch::kInt);
    EXPECT_TRUE(tensors_equal(places.to(at::kLong), golden_result(one, "st", at::kLong)));
  });
}

// `attend` of the library: the rows arrive sorted, q_info says which position each of them has.
TEST_F(LshGoldenTest, AttentionOverChunks) {
  for_cases({"N02", "R09", "R10", "R11", "R12", "R13", "R14", "R15", "R23"}, [](const json& one) {
    const json& params = one.at("params");
    const at::Tensor query = golden_input(one, "q");
    const int64_t length = query.size(0);
    const at::Tensor positions = one.at("inputs").contains("q_info") ? golden_input(one, "q_info", at::kLong)
                                                                     : torch::arange(length, torch::kLong);
    const at::Tensor place = positions.argsort();  // of every position; it serves as its bucket
    LshPattern pattern{length, 0, 0, false, false, {}};
    if (params.contains("chunk_len")) {
      if (!params.at("chunk_len").is_null()) pattern.chunk_length = params.at("chunk_len").get<int64_t>();
      pattern.chunks_before = params.at("before").get<int64_t>();
      pattern.chunks_after = params.at("after").get<int64_t>();
      pattern.causal = params.at("causal").get<bool>();
      pattern.exclude_self = params.at("exclude_self").get<bool>();
    }
    at::Tensor compared = torch::ones({length}, torch::kBool);
    if (one.at("inputs").contains("mask")) {
      compared = golden_input(one, "mask", at::kBool);
      pattern.valid = compared.unsqueeze(0);
    }
    at::Tensor out =
        one.at("id") == "R23_padding_at_position_0"
            ? at::constant_pad_nd(golden_result(one, "out_if_position_0_is_masked_rows_1_3"), {0, 0, 1, 0})
            : golden_result(one, "out");
    const auto by_position = [&](const at::Tensor& rows) {
      return rows.index({place}).view({1, 1, length, -1});
    };
    for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, kDoubleError}, {at::kFloat, kFloatError}}) {
      const at::Tensor q = by_position(query).to(dtype);
      const at::Tensor k = params.at("share_qk").get<bool>() ? lsh_shared_keys(q)
                                                             : by_position(golden_input(one, "k")).to(dtype);
      const at::Tensor actual = lsh_attention(q, k, by_position(golden_input(one, "v")).to(dtype),
                                              place.view({1, 1, 1, length}), pattern)
                                    .to(at::kDouble)[0][0]
                                    .index({positions});
      EXPECT_TRUE(tensors_close(actual.index({compared}), out.index({compared}), tolerance));
    }
  });
}

// No normalisation of keys, no factor, one chunk for itself; the printed values are within fp32's error.
TEST_F(LshGoldenTest, SimplifiedRounds) {
  for_cases({"N08"}, [](const json& one) {
    const at::Tensor place = golden_input(one, "undo_sort", at::kLong).view({1, 1, 2, 8});
    const auto rows = [&](const char* name) {
      return golden_input(one, name).index({place[0][0][0]}).view({1, 1, 8, -1});
    };
    const at::Tensor actual = lsh_attention(rows("sq"), rows("sq"), rows("sv"), place,
                                            {2, 0, 0, false, false, {}}, Normalizer::softmax, 1.0)[0][0];
    EXPECT_TRUE(tensors_close(actual, golden_result(one, "out"), 1e-12));
    EXPECT_TRUE(tensors_close(actual, golden_result(one, "printed_out"), 2e-6));
  });
}

// A tensor with the batch dimension that the cases of batch 1 leave out.
at::Tensor batched(const at::Tensor& tensor, int64_t dimensions) {
  return tensor.dim() == dimensions ? tensor : tensor.unsqueeze(0);
}

struct Layer {
  explicit Layer(const json& of)
      : one(of),
        x(batched(golden_input(of, "x"), 3)),
        hashing{golden_input(of, "rotations"), {of.at("params").at("n_buckets")}} {
    const json& params = of.at("params");
    pattern = {params.at("chunk_len").get<int64_t>(),      params.at("n_chunks_before").get<int64_t>(),
               params.at("n_chunks_after").get<int64_t>(), params.at("causal").get<bool>(),
               params.at("exclude_self").get<bool>(),      {}};
    compared = torch::ones({x.size(0), x.size(1)}, torch::kBool);
    if (one.at("inputs").contains("mask")) {
      compared = batched(golden_input(one, "mask", at::kBool), 2);
      pattern.valid = compared;
    }
  }
  at::Tensor heads_of(const char* weights) const {
    return at::einsum("bnc,hcd->bhnd", {x, golden_input(one, weights)});
  }

  const json& one;
  at::Tensor x;
  LshHashing hashing;
  LshPattern pattern;
  at::Tensor compared;
};

TEST_F(LshGoldenTest, WholeLayers) {
  for_cases({"N10", "R16", "R17", "R18", "R19", "R20", "R21", "R22"}, [](const json& one) {
    const Layer layer(one);
    const at::Tensor query = layer.heads_of("w_q");
    const at::Tensor buckets = lsh_buckets(query, layer.hashing, layer.pattern.valid);
    EXPECT_TRUE(tensors_equal(buckets.flatten(2), batched(golden_result(one, "buckets", at::kLong), 3)));
    for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, kLayerError}, {at::kFloat, kFloatError}}) {
      const at::Tensor q = query.to(dtype);
      const at::Tensor heads =
          lsh_attention(q, lsh_shared_keys(q), layer.heads_of("w_v").to(dtype), buckets, layer.pattern)
              .to(at::kDouble);
      const auto rows = [&](const at::Tensor& of_heads) {
        return of_heads.transpose(1, 2).index({layer.compared});
      };
      EXPECT_TRUE(tensors_close(rows(heads), rows(batched(golden_result(one, "head_o"), 4)), tolerance));
      const at::Tensor out = at::einsum("bhne,hec->bnc", {heads, golden_input(one, "w_o")});
      EXPECT_TRUE(tensors_close(out.index({layer.compared}),
                                batched(golden_result(one, "out"), 3).index({layer.compared}), tolerance));
    }
    EXPECT_TRUE(tensors_equal(
        lsh_shared_attention(query, layer.heads_of("w_v"), layer.hashing, layer.pattern),
        lsh_attention(query, lsh_shared_keys(query), layer.heads_of("w_v"), buckets, layer.pattern)));
  });
}

}  // namespace
}  // namespace giantrabbit::ops
