// The weights container: what is written comes back bit for bit, and every damaged or foreign file is refused
// with one sentence before any weight is touched.
#include "model/safetensors.h"

#include <cstring>

#include <gtest/gtest.h>

#include "tests/model/tiny_model.h"
#include "tests/support/tensor_matchers.h"

namespace giantrabbit::model {
namespace {

using test_support::tensors_equal;

// A file from a header as text and data bytes.
std::string file_of(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

std::string error_of(const std::string& bytes) {
  try {
    from_safetensors(bytes);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "no error";
}

void expect_refused(const std::string& bytes, const std::string& part) {
  const std::string error = error_of(bytes);
  EXPECT_TRUE(error.starts_with("not a safetensors file: ")) << error;
  EXPECT_NE(error.find(part), std::string::npos) << error;
  EXPECT_EQ(error.find('\n'), std::string::npos) << error;
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(SafetensorsTest, RoundTrip) {
  torch::manual_seed(1);
  const torch::Tensor bits = torch::randint(0, 2, {3, 5});
  NamedTensors tensors = {{"empty", torch::zeros({0, 3})},
                          {"scalar", torch::tensor(2.5)},
                          {"strided", torch::randn({4, 6}).t().slice(0, 0, 6, 2)},
                          {"expanded", torch::tensor(7.0).expand({2, 2})},
                          {"odd \"name\" \xc3\xa9", torch::tensor({std::nan(""), -0.0, 1e-310})}};
  for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kFloat16, torch::kBFloat16, torch::kInt64,
                          torch::kInt32, torch::kInt8, torch::kUInt8, torch::kBool}) {
    tensors[c10::toString(type)] = bits.to(type);
  }
  const Metadata metadata = {{"format", "test"}, {"line", "a\nb"}};
  const std::string bytes = to_safetensors(tensors, metadata);
  Metadata read_metadata;
  const NamedTensors read = from_safetensors(bytes, &read_metadata);
  EXPECT_EQ(read_metadata, metadata);
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    ASSERT_TRUE(read.contains(name)) << name;
    EXPECT_TRUE(tensors_equal(read.at(name), tensor)) << name;
  }
  EXPECT_EQ(to_safetensors(read, metadata), bytes);
  EXPECT_TRUE(from_safetensors(to_safetensors({}, {})).empty());
}

TEST(SafetensorsTest, LayoutIsTheFormats) {
  const std::string bytes = to_safetensors({{"a", torch::tensor({1, 2}, torch::kUInt8)}}, {});
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof(header));
  EXPECT_EQ(header % 8, 0u);
  EXPECT_EQ(bytes.size(), 8 + header + 2);
  EXPECT_EQ(bytes.substr(8, 15), R"({"a":{"dtype":")");
  EXPECT_EQ(bytes.substr(8 + header), std::string("\x01\x02"));
}

TEST(SafetensorsTest, HoldsNoOtherType) {
  EXPECT_THROW(to_safetensors({{"a", torch::zeros({1}, torch::kComplexFloat)}}, {}), std::runtime_error);
}

TEST(SafetensorsTest, TruncatedAtEveryByte) {
  const std::string bytes = to_safetensors(
      {{"first", torch::randn({3})}, {"second", torch::ones({2, 2}, torch::kInt64)}}, {{"format", "x"}});
  EXPECT_EQ(error_of(bytes), "no error");
  for (size_t kept = 0; kept < bytes.size(); ++kept) {
    SCOPED_TRACE(kept);
    expect_refused(bytes.substr(0, kept), "");
  }
  expect_refused(bytes + "x", "");
}

TEST(SafetensorsTest, EveryFlippedHeaderByteIsHarmless) {
  const std::string bytes = to_safetensors({{"first", torch::randn({3})}, {"second", torch::ones({2})}}, {});
  for (size_t at = 0; at + 20 < bytes.size(); ++at) {
    for (const int flip : {0x01, 0x10, 0x80}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      const std::string error = error_of(damaged);  // a changed name is a valid file; nothing may crash
      EXPECT_TRUE(error == "no error" || error.starts_with("not a safetensors file: "))
          << at << ": " << error;
    }
  }
}

TEST(SafetensorsTest, Headers) {
  expect_refused(std::string(8, '\xff'), "header claims 18446744073709551615 bytes");
  expect_refused(file_of("[1, 2]"), "no JSON object");
  expect_refused(file_of("{\"a\": "), "damaged");
  expect_refused(file_of(""), "damaged");
  expect_refused(file_of(std::string(1000, '[')), "damaged");
  expect_refused(file_of(R"({"a":3})"), "damaged");
  expect_refused(file_of(R"({"a":{"shape":[1],"data_offsets":[0,4]}})", "1234"), "damaged");
  expect_refused(file_of(R"({"__metadata__":{"k":1}})"), "damaged");
  EXPECT_EQ(error_of(file_of("{}")), "no error");
}

TEST(SafetensorsTest, Entries) {
  const auto refuse = [](const std::string& dtype, const std::string& shape, const std::string& offsets,
                         const std::string& part) {
    SCOPED_TRACE(dtype + shape + offsets);
    expect_refused(file_of("{\"a\":" + entry(dtype, shape, offsets) + "}", "12345678"), part);
  };
  EXPECT_EQ(error_of(file_of("{\"a\":" + entry("F32", "[2]", "[0,8]") + "}", "12345678")), "no error");
  refuse("F33", "[2]", "[0,8]", "unknown dtype 'F33'");
  refuse("F64", "[2]", "[0,8]", "needs another number");
  refuse("F32", "[3]", "[0,8]", "needs another number");
  refuse("F32", "[-2]", "[0,8]", "negative size");
  refuse("F32", "[-1,-2]", "[0,8]", "negative size");
  refuse("F32", "[2.5]", "[0,8]", "");
  refuse("F32", "[\"2\"]", "[0,8]", "");
  refuse("F32", "[4611686018427387904,4]", "[0,8]", "larger than any file");
  refuse("F32", "[4294967296,4294967296,2]", "[0,8]", "larger than any file");
  refuse("F32", "[0,4611686018427387904,4]", "[0,0]", "larger than any file");
  refuse("F32", "[9223372036854775808]", "[0,8]", "");
  refuse("F32", "[2]", "[0,12]", "outside the 8 bytes");
  refuse("F32", "[2]", "[8,0]", "outside");
  refuse("F32", "[2]", "[-8,0]", "outside");
  refuse("F32", "[2]", "[0]", "outside");
  refuse("F32", "[2]", "[0,4,8]", "outside");
  refuse("BOOL", "[8]", "[0,8]", "neither true nor false");  // '1' is 49
}

TEST(SafetensorsTest, OverlapsAndGaps) {
  const auto pair = [](const std::string& first, const std::string& second) {
    return file_of("{\"a\":" + entry("F32", "[2]", first) + ",\"b\":" + entry("F32", "[1]", second) + "}",
                   "123456789abc");
  };
  EXPECT_EQ(error_of(pair("[0,8]", "[8,12]")), "no error");
  EXPECT_EQ(error_of(pair("[4,12]", "[0,4]")), "no error");  // any order
  expect_refused(pair("[0,8]", "[4,8]"), "overlap or leave a gap");
  expect_refused(pair("[0,8]", "[0,4]"), "overlap or leave a gap");
  expect_refused(pair("[4,12]", "[8,12]"), "overlap or leave a gap");
  expect_refused(file_of("{\"a\":" + entry("F32", "[2]", "[4,12]") + "}", "123456789abc"), "gap");
  expect_refused(file_of("{\"a\":" + entry("F32", "[2]", "[0,8]") + "}", "123456789abc"), "gap");
}

TEST(LoadStateTest, RoundTripOfAModel) {
  ModelConfig config = tiny::config();
  config.thought_steps = 2;
  config.mask = "static";
  config.keep_fraction = 0.5;
  GiantRabbit source = tiny::random_network(config, 1), target = tiny::random_network(config, 2);
  load_state(*target, from_safetensors(to_safetensors(state_of(*source), {})));
  const NamedTensors expected = state_of(*source);
  EXPECT_TRUE(expected.contains("chain_of_thought.static_features"));
  for (const auto& [name, tensor] : state_of(*target)) EXPECT_TRUE(tensors_equal(tensor, expected.at(name)));
}

TEST(LoadStateTest, ErrorsNameTheTensorAndTouchNothing) {
  GiantRabbit network = tiny::random_network(tiny::config(), 3);
  const NamedTensors own = state_of(*network);
  const torch::Tensor before = own.at("embedding.words").clone();
  const auto error_with = [&](const NamedTensors& state) -> std::string {
    try {
      load_state(*network, state);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "no error";
  };
  NamedTensors others;
  for (const auto& [name, tensor] : own) others[name] = torch::zeros_like(tensor);
  NamedTensors state = others;
  state.erase("output_head.norm.gain");
  EXPECT_EQ(error_with(state), "weights: 'output_head.norm.gain' is missing");
  state = others;
  state["output_head.norm.gain"] = torch::zeros({9});
  EXPECT_EQ(error_with(state),
            "weights: 'output_head.norm.gain' needs shape [8] and type Float, got [9] and Float");
  state["output_head.norm.gain"] = torch::zeros({8}, torch::kFloat64);
  EXPECT_NE(error_with(state).find("got [8] and Double"), std::string::npos);
  state = others;
  state["surplus"] = torch::zeros({1});
  EXPECT_EQ(error_with(state), "weights: 'surplus' is not part of this model");
  EXPECT_TRUE(tensors_equal(state_of(*network).at("embedding.words"), before));
}

}  // namespace
}  // namespace giantrabbit::model
