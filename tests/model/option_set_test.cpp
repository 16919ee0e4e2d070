// Options: types, ranges, text and typed values, nearest names of an unknown key, and that what is printed
// reads back; then the combinations a model configuration refuses.
#include "model/option_set.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "model/config.h"

namespace giantrabbit::model {
namespace {

struct Fields {
  int64_t count = 3;
  int64_t open = 0;
  double share = 0.5;
  double rate = 0;
  bool flag = false;
  std::string kind = "plain";
  std::string note = "free text";

  OptionSet options() {
    OptionSet set;
    set.add("part.count", &count, "a count", {1, 9});
    set.add("part.open", &open, "no upper end");
    set.add("part.share", &share, "a share", {0, 1});
    set.add("part.rate", &rate, "no upper end");
    set.add("part.flag", &flag, "a flag");
    set.add("part.kind", &kind, "one of two", {"plain", "fancy"});
    set.add("other.note", &note, "anything");
    return set;
  }
};

template <typename Action>
std::string option_error(Action action) {
  try {
    action();
  } catch (const OptionError& error) {
    return error.what();
  }
  return "no error";
}

std::string typed_error(const std::string& key, const OptionValue& value) {
  Fields fields;
  return option_error([&] { fields.options().set(key, value); });
}

std::string text_error(const std::string& key, const std::string& text) {
  Fields fields;
  return option_error([&] { fields.options().set_text(key, text); });
}

TEST(OptionSetTest, AChoiceWithAStarStandsForWhatBeginsLikeIt) {
  std::string task = "plain";
  OptionSet set;
  set.add("part.task", &task, "a task", {"plain", "sized-*"});
  set.set_text("part.task", "sized-3x4");
  EXPECT_EQ(task, "sized-3x4");
  EXPECT_EQ(option_error([&] { set.set_text("part.task", "size"); }),
            "part.task: expected one of plain|sized-*, got 'size'");
  EXPECT_NE(option_error([&] { set.set_text("part.task", "plain-3x4"); }), "no error");
}

TEST(OptionSetTest, TypedValuesReachTheirFields) {
  Fields fields;
  OptionSet set = fields.options();
  set.set("part.count", int64_t{9});
  set.set("part.share", 0.25);
  set.set("part.rate", int64_t{4});  // a whole number is a number
  set.set("part.flag", true);
  set.set("part.kind", std::string("fancy"));
  set.set("other.note", std::string());
  EXPECT_EQ(fields.count, 9);
  EXPECT_EQ(fields.share, 0.25);
  EXPECT_EQ(fields.rate, 4);
  EXPECT_TRUE(fields.flag);
  EXPECT_EQ(fields.kind, "fancy");
  EXPECT_EQ(fields.note, "");
}

TEST(OptionSetTest, TextReachesItsFields) {
  Fields fields;
  OptionSet set = fields.options();
  set.set_text("part.count", "1");
  set.set_text("part.open", "9223372036854775807");
  set.set_text("part.share", "1e-3");
  set.set_text("part.rate", "12");
  set.set_text("part.flag", "true");
  set.set_text("other.note", "7");  // looks like a number, is a text
  EXPECT_EQ(fields.count, 1);
  EXPECT_EQ(fields.open, INT64_MAX);
  EXPECT_EQ(fields.share, 1e-3);
  EXPECT_EQ(fields.rate, 12);
  EXPECT_TRUE(fields.flag);
  EXPECT_EQ(fields.note, "7");
  set.set_text("part.flag", "false");
  EXPECT_FALSE(fields.flag);
}

TEST(OptionSetTest, WrongTypes) {
  EXPECT_EQ(typed_error("part.count", 2.5), "part.count: expected an integer from 1 to 9, got 2.5");
  EXPECT_EQ(typed_error("part.count", true), "part.count: expected an integer from 1 to 9, got true");
  EXPECT_EQ(typed_error("part.open", std::string("2")),
            "part.open: expected an integer of at least 0, got '2'");
  EXPECT_EQ(typed_error("part.share", std::string("half")),
            "part.share: expected a number from 0 to 1, got 'half'");
  EXPECT_EQ(typed_error("part.flag", int64_t{1}), "part.flag: expected true or false, got 1");
  EXPECT_EQ(typed_error("part.kind", std::string("plane")),
            "part.kind: expected one of plain|fancy, got 'plane'");
  EXPECT_EQ(typed_error("other.note", int64_t{1}), "other.note: expected a text, got 1");
  for (const std::string text : {"", " 3", "3 ", "3.0", "0x3", "three", "+3", "99999999999999999999"}) {
    EXPECT_EQ(text_error("part.count", text),
              "part.count: expected an integer from 1 to 9, got '" + text + "'");
  }
  EXPECT_EQ(text_error("part.share", "0,5"), "part.share: expected a number from 0 to 1, got '0,5'");
  EXPECT_EQ(text_error("part.flag", "yes"), "part.flag: expected true or false, got 'yes'");
}

TEST(OptionSetTest, RangesIncludeTheirEnds) {
  for (const int64_t outside : {int64_t{0}, int64_t{10}, INT64_MIN, INT64_MAX}) {
    EXPECT_NE(typed_error("part.count", outside), "no error") << outside;
  }
  EXPECT_EQ(typed_error("part.count", int64_t{1}), "no error");
  EXPECT_EQ(typed_error("part.count", int64_t{9}), "no error");
  EXPECT_EQ(typed_error("part.share", 1.0), "no error");
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double outside : {-1e-9, 1 + 1e-9, infinity, -infinity, std::nan("")}) {
    EXPECT_NE(typed_error("part.share", outside), "no error") << outside;
  }
  EXPECT_NE(typed_error("part.rate", infinity), "no error");
  EXPECT_NE(text_error("part.rate", "nan"), "no error");
}

TEST(OptionSetTest, RefusedValuesChangeNothing) {
  Fields fields;
  OptionSet set = fields.options();
  EXPECT_THROW(set.set("part.count", int64_t{10}), OptionError);
  EXPECT_THROW(set.set_text("part.kind", "x"), OptionError);
  EXPECT_EQ(fields.count, 3);
  EXPECT_EQ(fields.kind, "plain");
}

TEST(OptionSetTest, UnknownKeyListsTheNearest) {
  EXPECT_EQ(text_error("part.cuont", "1"),
            "unknown option 'part.cuont'; nearest known: part.count, part.open, part.kind");
  // Without its table a key still finds its neighbours.
  EXPECT_NE(text_error("shara", "1").find("nearest known: part.share,"), std::string::npos);
  EXPECT_EQ(unknown_key_message("x", {"only"}), "unknown option 'x'; nearest known: only");
}

TEST(OptionSetTest, PrintedTextReadsBack) {
  Fields fields;
  fields.share = 0.1 + 0.2;  // 17 digits
  fields.rate = 1e300;
  fields.flag = true;
  fields.note = "a \"quoted\" \\ text";
  OptionSet set = fields.options();
  std::vector<std::string> texts;
  for (const auto& option : set.options()) texts.push_back(set.text(option));
  EXPECT_EQ(texts[0], "3");
  EXPECT_EQ(texts[2], "0.30000000000000004");
  EXPECT_EQ(texts[4], "true");
  EXPECT_EQ(texts[5], "\"plain\"");
  EXPECT_EQ(texts[6], "\"a \\\"quoted\\\" \\\\ text\"");
  fields.rate = 2;  // TOML would read "2" as an integer
  EXPECT_EQ(set.text(set.options()[3]), "2.0");

  Fields read;
  OptionSet target = read.options();
  for (size_t i = 0; i < 5; ++i) target.set_text(set.options()[i].key, texts[i]);
  EXPECT_EQ(read.share, fields.share);
  EXPECT_EQ(read.rate, 1e300);
  EXPECT_TRUE(read.flag);
}

TEST(OptionSetTest, HostileControlCharactersAreEscaped) {
  Fields fields;
  fields.note = "two\nlines\x7f";
  const OptionSet set = fields.options();
  EXPECT_EQ(set.text(set.options()[6]), "\"two\\u000alines\\u007f\"");
}

std::string config_error(const ModelConfig& config) {
  return option_error([&] { config.validate(); });
}

TEST(ModelConfigTest, EveryFieldIsAnOption) {
  ModelConfig config;
  OptionSet set;
  config.bind(set);
  EXPECT_EQ(set.options().size(), 26u);
  for (const auto& option : set.options()) {
    EXPECT_TRUE(option.key.starts_with("model.")) << option.key;
    EXPECT_FALSE(option.help.empty()) << option.key;
  }
  set.set_text("model.attention", "entmax15");
  EXPECT_EQ(config.attention, "entmax15");
  EXPECT_THROW(set.set_text("model.keep_fraction", "0"), OptionError);
  EXPECT_THROW(set.set_text("model.keep_fraction", "1.5"), OptionError);
}

TEST(ModelConfigTest, DefaultsAreValid) { EXPECT_EQ(config_error(ModelConfig()), "no error"); }

TEST(ModelConfigTest, SenselessCombinations) {
  ModelConfig config;
  config.heads = 3;
  EXPECT_EQ(config_error(config), "model.heads: 3 does not divide model.width 128");
  config = {};
  config.width = 12;
  config.position = "rotary";
  EXPECT_EQ(config_error(config), "model.position: rotary needs an even head width, got 3");
  config = {};
  config.encoder_layers = 0;
  EXPECT_NE(config_error(config).find("model.encoder = false"), std::string::npos);
  config.encoder = false;
  EXPECT_EQ(config_error(config), "no error");
  config = {};
  config.thought_steps = 0;
  EXPECT_EQ(config_error(config), "no error");
  config.mask = "static";
  EXPECT_EQ(config_error(config), "model.mask: 'static' needs thought steps, model.thought_steps is 0");
  config = {};
  config.mask = "recency";
  EXPECT_EQ(config_error(config),
            "model.mask: 'recency' selects tokens, model.mask_granularity is 'feature'");
  config.mask_granularity = "token";
  EXPECT_EQ(config_error(config), "no error");
}

}  // namespace
}  // namespace giantrabbit::model
