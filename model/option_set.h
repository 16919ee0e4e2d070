// Named, typed options bound to the fields of configuration structs: one description serves the command line,
// the configuration file, --help and the copy that is written with every run. Keys read "model.width"; a
// value that does not fit its type or range, or an unknown key, throws OptionError with one sentence.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace giantrabbit::model {

class OptionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A value as a configuration file or a command line holds it.
using OptionValue = std::variant<bool, int64_t, double, std::string>;

struct IntegerRange {
  int64_t low = 0;
  int64_t high = INT64_MAX;
};
struct RealRange {
  double low = 0;
  double high = 1e300;
};

class OptionSet {
 public:
  struct Option {
    std::string key;
    std::string help;
    std::string type;  // "integer", "number", "true or false", "text" or "a|b|c"
    bool is_flag = false;
    std::function<void(const OptionValue&)> set;
    std::function<OptionValue()> get;
  };

  void add(std::string key, int64_t* field, std::string help, IntegerRange range = {});
  void add(std::string key, double* field, std::string help, RealRange range = {});
  void add(std::string key, bool* field, std::string help);
  // A choice that ends with '*' stands for every text that begins like it.
  void add(std::string key, std::string* field, std::string help, std::vector<std::string> choices = {});

  // Typed value (configuration files) and text (command line); both check key, type and range.
  void set(std::string_view key, const OptionValue& value);
  void set_text(std::string_view key, std::string_view text);
  std::string text(const Option& option) const;  // as TOML writes it
  const std::vector<Option>& options() const { return options_; }

 private:
  const Option& find(std::string_view key) const;
  std::vector<Option> options_;
};

// "unknown option 'widht'; nearest known: width, .."
std::string unknown_key_message(std::string_view key, const std::vector<std::string>& known);

}  // namespace giantrabbit::model
