// Stage "refine". Marked keys in; their fp32 scores and the rows' exact thresholds over all keys seen so far
// out. Invariant: after a pass a row's list holds every key seen so far whose score is above the row's bound,
// keys rising.
#pragma once

#include "ops/cpu/exact/threshold.h"

namespace giantrabbit::ops::cpu::GR_CAPABILITY {
namespace {

// Positions of the words that are not 0. Most are: eight are looked at together, so that few branches depend
// on the data.
inline int64_t collect_words(const uint64_t* words, int64_t count, int32_t* positions) {
  int64_t found = 0;
#if defined(__AVX512F__)
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  for (int64_t b = 0; b < count; b += 16) {  // rows of words are whole multiples of 16
    const __mmask8 low = _mm512_test_epi64_mask(_mm512_loadu_si512(words + b), _mm512_loadu_si512(words + b));
    const __mmask8 high =
        _mm512_test_epi64_mask(_mm512_loadu_si512(words + b + 8), _mm512_loadu_si512(words + b + 8));
    uint32_t bits = low | static_cast<uint32_t>(high) << 8;
    if (b + 16 > count) bits &= (1u << (count - b)) - 1;
    const __m512i numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int32_t>(b)));
    _mm512_storeu_si512(positions + found,
                        _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), numbers));
    found += __builtin_popcount(bits);
  }
#else
  for (int64_t b = 0; b < count; ++b) {
    positions[found] = static_cast<int32_t>(b);
    found += words[b] != 0 ? 1 : 0;
  }
#endif
  return found;
}

// The keys of the set bits, rising. Returns their number; may write four more. Few words have more than four
// bits: that many are written without asking.
inline int64_t collect_keys(const uint64_t* words, int64_t count, int64_t first_block, int32_t* keys) {
  constexpr int64_t kUsual = 4;
  constexpr uint64_t kHighestKey = uint64_t{1} << 63;
  int32_t positions[exact::kPassBlocks + 16];
  const int64_t used = collect_words(words, count, positions);
  int64_t found = 0;
  for (int64_t i = 0; i < used; ++i) {
    const auto first = static_cast<int32_t>((first_block + positions[i]) * exact::kBlockKeys);
    uint64_t word = words[positions[i]];
    const int64_t bits = __builtin_popcountll(word);
#pragma GCC unroll 4
    for (int64_t k = 0; k < kUsual; ++k) {
      keys[found + k] = first + __builtin_ctzll(word | kHighestKey);
      word &= word - 1;
    }
    for (int64_t k = kUsual; k < bits; ++k) {
      keys[found + k] = first + __builtin_ctzll(word | kHighestKey);
      word &= word - 1;
    }
    found += bits;
  }
  return found;
}

// A list of keys with their scores under construction, with room for a vector behind its last entry.
struct List {
  int32_t* keys;
  float* scores;
};

// Row i of an array of `from` behind `size` entries of another. Returns the new size.
template <class T>
inline int64_t append_list(const T* entries, const exact::Candidates& from, int64_t i, T* to, int64_t size) {
  const int64_t begin = from.offsets[i];
  const int64_t count = from.offsets[i + 1] - begin;
  for (int64_t j = 0; j < count; j += kLanes) store(to + size + j, load(entries + begin + j));
  return size + count;
}

// What a row's list holds after a pass: entries 0 .. left - 1 and right .. size - 1 are new.
struct JoinedList {
  int64_t left = 0;
  int64_t right = 0;
  int64_t size = 0;
};

// The keys that the pass marked join those of a row's list, on the sides where its blocks lie.
inline JoinedList join_keys(const exact::Pass& pass, int64_t i, const exact::Candidates& from,
                            int32_t* keys) {
  const uint64_t* words = pass.words + i * exact::kWordStride;
  JoinedList joined;
  joined.left = collect_keys(words, pass.left, pass.first, keys);
  joined.right = append_list(from.keys, from, i, keys, joined.left);
  joined.size = joined.right;
  if (pass.left < pass.count) {
    joined.size += collect_keys(words + pass.left, pass.count - pass.left, pass.first + pass.left + pass.gap,
                                keys + joined.right);
  }
  return joined;
}

// The scores of the joined keys: new ones are computed, in groups of four, the others copied.
inline void join_scores(exact::Rows keys, const exact::QueryRows& rows, int64_t i,
                        const exact::Candidates& from, const JoinedList& joined, const List& list) {
  const float* query = rows.queries + i * rows.width;
  gathered_products(query, keys, list.keys, joined.left, rows.width, list.scores);
  append_list(from.scores, from, i, list.scores, joined.left);
  gathered_products(query, keys, list.keys + joined.right, joined.size - joined.right, rows.width,
                    list.scores + joined.right);
}

// What is above the row's bound goes to the end of `to`; false if there is no room.
inline bool keep_above(const exact::QueryRows& rows, int64_t i, const int32_t* list_keys,
                       const float* list_scores, int64_t count, const exact::Candidates& to,
                       int64_t capacity) {
  int64_t end = to.offsets[i];
  if (end + count + kLanes > capacity) return false;
  const Vec<float> bound = broadcast(rows.bound[i]);
  for (int64_t j = 0; j < count; j += kLanes) {
    const Vec<float> scores = load(list_scores + j);
    uint64_t bits = bits_above(scores, bound);
    if (j + kLanes > count) bits &= ~(kAllKeys << (count - j));
    compress(to.keys + end, load(list_keys + j), bits);
    end += compress(to.scores + end, scores, bits);
  }
  to.offsets[i + 1] = end;
  return true;
}

template <exact::Rule rule>
inline bool refine_long_row(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass,
                            int64_t i, const exact::Candidates& from, const exact::RowScratch& scratch,
                            const exact::Candidates& to, int64_t capacity) {
  const List list{scratch.keys, scratch.scores};
  const JoinedList joined = join_keys(pass, i, from, list.keys);
  join_scores(keys, rows, i, from, joined, list);
  const int64_t count = joined.size;
  if (count > 0) {
    const Threshold threshold = long_list_threshold<rule>(scratch.scores, count);
    rows.maximum[i] = threshold.maximum;
    rows.tau[i] = threshold.tau;
    rows.bound[i] = threshold.bound > rows.bound[i] ? threshold.bound : rows.bound[i];
  }
  return keep_above(rows, i, scratch.keys, scratch.scores, count, to, capacity);
}

// Short lists of a group of rows, with room for a vector behind each.
struct GroupLists {
  static constexpr int64_t kRoom = kShortList + kLanes;
  alignas(64) int32_t keys[kGroupRows][kRoom];
  alignas(64) float scores[kGroupRows][kRoom];
  int64_t count[kGroupRows];
};

// Whether the keys that a row may see are more than the second-level cache holds beside the rest.
inline bool keys_are_far(exact::Rows keys, const exact::QueryRows& rows, int64_t i) {
  constexpr int64_t kNear = 128 * 1024;  // numbers
  return (rows.end[i] - rows.begin[i]) * keys.row > kNear;
}

// The keys of all rows are known before the first one is scored: there is time to fetch them.
inline void join_group(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass,
                       int64_t first_row, int64_t count, const exact::Candidates& from, GroupLists& lists) {
  JoinedList joined[kGroupRows];
  const bool far = keys_are_far(keys, rows, first_row);
  for (int64_t r = 0; r < kGroupRows; ++r) {
    if (r < count) joined[r] = join_keys(pass, first_row + r, from, lists.keys[r]);
    lists.count[r] = joined[r].size;
    if (!far) continue;
    fetch_rows(keys, lists.keys[r], joined[r].left, rows.width);
    fetch_rows(keys, lists.keys[r] + joined[r].right, joined[r].size - joined[r].right, rows.width);
  }
  for (int64_t r = 0; r < count; ++r) {
    join_scores(keys, rows, first_row + r, from, joined[r], {lists.keys[r], lists.scores[r]});
  }
}

// Rows of scores as columns, -infinity behind the end of a list.
inline void transpose_scores(const GroupLists& lists, int64_t longest, GroupScores& to) {
#if defined(__AVX512F__)
  for (int64_t first = 0; first < longest; first += kLanes) {
    __m512 rows[kGroupRows];
#pragma GCC unroll 16
    for (int64_t r = 0; r < kGroupRows; ++r) {
      const int64_t left = lists.count[r] - first;
      const uint64_t bits = left >= kLanes ? kAllKeys : left <= 0 ? 0 : ~(kAllKeys << left);
      rows[r] = (__m512)keep_lanes(load(lists.scores[r] + first), bits);
    }
    transpose(rows);
#pragma GCC unroll 16
    for (int64_t k = 0; k < kLanes; ++k) store(to.values[first + k], (Vec<float>)rows[k]);
  }
#else
  for (int64_t k = 0; k < longest; ++k) {
    for (int64_t r = 0; r < kGroupRows; ++r) {
      to.values[k][r] = k < lists.count[r] ? lists.scores[r][k] : -kFloatInfinity;
    }
  }
#endif
}

// Maximum, threshold and bound of the rows of a group; rows without scores keep what they have.
template <exact::Rule rule>
inline void raise_bounds(const exact::QueryRows& rows, int64_t first_row, const GroupScores& scores,
                         int64_t longest) {
  for (int64_t v = 0; v < kGroupVectors; ++v) {
    Vec<float> maximum = broadcast(-kFloatInfinity);
    for (int64_t k = 0; k < longest; ++k) maximum = larger(maximum, load(scores.values[k] + v * kLanes));
    const uint64_t scored = bits_above(maximum, broadcast(-kFloatInfinity));
    const Vec<float> known = (load(rows.bound + first_row + v * kLanes) - maximum) * kScoreFactor<rule>;
    const Vec<float> tau =
        lane_thresholds<rule>(scores, longest, v, maximum, larger(known, broadcast(-1.0f)));
    const Vec<float> bound = score_bound<rule>(maximum, larger(maximum, -maximum), tau);
    const auto update = [&](float* array, Vec<float> values, uint64_t bits) {
      float* lanes = array + first_row + v * kLanes;
      store(lanes, select_lanes(bits, values, load(lanes)));
    };
    update(rows.maximum, maximum, scored);
    update(rows.tau, tau, scored);
    update(rows.bound, bound, scored & bits_above(bound, load(rows.bound + first_row + v * kLanes)));
  }
}

template <exact::Rule rule>
inline bool refine_group(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass,
                         int64_t first_row, int64_t longest, const exact::Candidates& from,
                         const exact::Candidates& to, int64_t capacity) {
  GroupLists lists;
  const int64_t count = rows.rows - first_row < kGroupRows ? rows.rows - first_row : kGroupRows;
  join_group(keys, rows, pass, first_row, count, from, lists);
  if (longest > 0) {
    GroupScores scores;
    transpose_scores(lists, longest, scores);
    raise_bounds<rule>(rows, first_row, scores, longest);
  }
  for (int64_t r = 0; r < count; ++r) {
    if (!keep_above(rows, first_row + r, lists.keys[r], lists.scores[r], lists.count[r], to, capacity))
      return false;
  }
  return true;
}

template <exact::Rule rule>
inline bool refine_rows(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass,
                        const exact::Candidates& from, const exact::RowScratch& scratch,
                        const exact::Candidates& to, int64_t capacity) {
  to.offsets[0] = 0;
  for (int64_t first = 0; first < rows.rows; first += kGroupRows) {
    const int64_t end = first + kGroupRows < rows.rows ? first + kGroupRows : rows.rows;
    int64_t longest = 0;
    for (int64_t i = first; i < end; ++i) {
      const int64_t count = pass.marked[i] + from.offsets[i + 1] - from.offsets[i];
      longest = count > longest ? count : longest;
    }
    if (longest <= kShortList) {
      if (!refine_group<rule>(keys, rows, pass, first, longest, from, to, capacity)) return false;
      continue;
    }
    for (int64_t i = first; i < end; ++i) {
      if (!refine_long_row<rule>(keys, rows, pass, i, from, scratch, to, capacity)) return false;
    }
  }
  return true;
}

inline bool refine(exact::Rows keys, const exact::QueryRows& rows, const exact::Pass& pass,
                   const exact::Candidates& from, const exact::RowScratch& scratch,
                   const exact::Candidates& to, int64_t capacity) {
  return rows.rule == exact::Rule::sparsemax
             ? refine_rows<exact::Rule::sparsemax>(keys, rows, pass, from, scratch, to, capacity)
             : refine_rows<exact::Rule::entmax15>(keys, rows, pass, from, scratch, to, capacity);
}

}  // namespace
}  // namespace giantrabbit::ops::cpu::GR_CAPABILITY
