// Which problems belong to training, validation and test: by a hash of the problem itself, never by chance.
// Rule (the exam file's split_rule): canonical text = "{rows}x{cols}|" + rows joined by ";", entries by ",",
// each row multiplied by -1 if its first nonzero entry is negative, rows then sorted numerically; bucket =
// FNV-1a-64(text) mod 20; bucket 0 = test, 1 = validation, the rest training. The nine exam items are in
// none.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/matrix.h"

namespace giantrabbit::data {

enum class Split { train, validation, test };

uint64_t fnv1a64(std::string_view text);
std::string canonical_matrix(const Matrix& matrix);
// Canonical texts of the exam, whatever family asks about them: row reduction drops the exam's matrices too.
bool is_exam_item(std::string_view canonical_text);
// The text and a digest of it. FNV's last bits know too little of long texts of two symbols (all matrices
// over GF(2) of one size miss half of the buckets); with the digest every bucket gets its share.
std::string with_digest(const std::string& text);
Split split_of(std::string_view canonical_text);

}  // namespace giantrabbit::data
