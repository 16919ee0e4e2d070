// Event files are read back record by record with the checksums of the format; that TensorBoard itself shows
// them is checked in tests/interop.
#include "train/event_file.h"

#include <bit>
#include <cstring>

#include <gtest/gtest.h>

#include <torch/torch.h>

#include "data/atomic_file.h"
#include "data/example_source.h"
#include "eval/run.h"
#include "tests/train/tiny_run.h"
#include "train/attention_sample.h"
#include "train/metrics_log.h"

namespace giantrabbit::train {
namespace {

namespace fs = std::filesystem;

uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8U; }

template <typename Number>
Number number_at(const std::string& bytes, size_t place) {
  Number number{};
  std::memcpy(&number, bytes.data() + place, sizeof(number));
  return number;
}

// The records' contents; every length and checksum must fit.
std::vector<std::string> records_of(const fs::path& file) {
  const std::string bytes = data::read_file(file);
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = number_at<uint64_t>(bytes, at);
    EXPECT_EQ(number_at<uint32_t>(bytes, at + 8), masked_crc(bytes.substr(at, 8)));
    records.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(number_at<uint32_t>(bytes, at + 12 + length), masked_crc(records.back()));
    at += 16 + length;
  }
  return records;
}

fs::path only_event_file(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) found.push_back(entry.path());
  }
  EXPECT_EQ(found.size(), 1u);
  return found.at(0);
}

bool holds(const std::string& record, const std::string& part) {
  return record.find(part) != std::string::npos;
}

TEST(EventFileTest, ChecksumOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);            // the check value of CRC-32C
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(EventFileTest, RecordsHoldTagsAndValues) {
  const fs::path folder = tiny::fresh_directory("events");
  fs::create_directories(folder);
  EventFile events(folder, 0);
  events.write(300, {{"train/loss", 0.5}, {"train/speed", -2}});
  events.write(301, "attention/a", torch::eye(3));
  const std::vector<std::string> records = records_of(events.path());
  ASSERT_EQ(records.size(), 3u);
  EXPECT_TRUE(holds(records[0], "brain.Event:2"));
  // Field 2 (the step) as a varint: 300 = 0b10'0101100. Field 2 of a value (float): 0.5 = 0x3f000000.
  EXPECT_TRUE(holds(records[1], "\x10\xac\x02"));
  EXPECT_TRUE(holds(records[1], std::string("train/loss\x15\0\0\0\x3f", 15)));
  EXPECT_TRUE(holds(records[1], std::string("train/speed\x15\0\0\0\xc0", 16)));
  EXPECT_TRUE(holds(records[2], std::string("\x08\x03\x10\x03\x18\x01")));  // height, width, grey
  EXPECT_TRUE(holds(records[2], "\x89PNG\r\n\x1a\n"));
}

TEST(EventFileTest, AResumedRunTakesBackLaterSteps) {
  const fs::path folder = tiny::fresh_directory("events_resumed");
  fs::create_directories(folder);
  const EventFile events(folder, 299);
  const std::vector<std::string> records = records_of(events.path());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_TRUE(holds(records[1], "\x10\xac\x02\x3a\x02\x08\x01"));  // step 300, session_log: status START
}

TEST(EventFileTest, AFolderThatIsMissingIsNamed) {
  EXPECT_EQ(tiny::error_of([] { EventFile("/nowhere/at/all", 0); }).substr(0, 16), "/nowhere/at/all/");
}

TEST(MetricsLogTest, LinesBecomeScalars) {
  const fs::path folder = tiny::fresh_directory("metrics_events");
  fs::create_directories(folder);
  {
    MetricsLog log(folder / "metrics.jsonl", {});
    log.write({{"step", 50}, {"loss", 0.5}});
    log.write({{"step", 60}, {"tokens", 7}, {"validation_exact", 1}, {"text", "not a figure"}});
    log.write(60, {{{"decoder.0.self", 0.25}}, "decoder.0.self", torch::ones({2, 2})});
  }
  const std::vector<std::string> records = records_of(only_event_file(folder));
  ASSERT_EQ(records.size(), 5u);
  EXPECT_TRUE(holds(records[1], "train/loss"));
  EXPECT_FALSE(holds(records[1], "step"));
  EXPECT_TRUE(holds(records[2], "validation/exact"));
  EXPECT_FALSE(holds(records[2], "tokens")) << "the line of the losses has it";
  EXPECT_TRUE(holds(records[3], "density/decoder.0.self"));
  EXPECT_TRUE(holds(records[4], "attention/decoder.0.self"));
}

TEST(AttentionSampleTest, DensitiesAndPictureOfOneItem) {
  RunConfig config = tiny::run_config();
  const data::ExampleSource source(config.task.task, data::ChainFormat::prod, data::Split::validation, 1);
  torch::manual_seed(1);
  model::GiantRabbit network(config.model, eval::token_traits(source.vocabulary()));
  network->train();
  torch::manual_seed(1);
  data::Example example = source.example(0);
  const AttentionSample sample = sample_attention(network, example);
  EXPECT_TRUE(network->is_training());
  ASSERT_FALSE(sample.densities.empty());
  for (const auto& [name, density] : sample.densities) {
    EXPECT_GT(density, 0) << name;
    EXPECT_LE(density, 1) << name;
  }
  EXPECT_EQ(sample.name, "decoder." + std::to_string(config.model.decoder_layers - 1) + ".self");
  EXPECT_EQ(sample.picture.size(0), sample.picture.size(1));
  EXPECT_EQ(sample.picture.size(0) % std::ssize(example.target), 0);  // magnified
  // The first query sees itself only: all of its weight is there, which is black.
  EXPECT_LT(sample.picture[0][0].item<float>(), 1e-3);
  EXPECT_EQ(sample.picture[0][-1].item<float>(), 1);
  const float after = torch::rand({1}).item<float>();
  torch::manual_seed(1);
  EXPECT_EQ(after, torch::rand({1}).item<float>())
      << "a sample draws no random numbers: runs with and without it have the same bits";

  example.target.resize(sampled_words + 1, 5);
  EXPECT_TRUE(sample_attention(network, example).densities.empty());
}

}  // namespace
}  // namespace giantrabbit::train
