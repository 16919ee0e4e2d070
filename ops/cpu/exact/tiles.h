// How the backward pass cuts a query head. In, the entries of its supports; out, sizes of tiles. They decide
// the order in which memory is read, never that of a sum: results have the same bits for any sizes.
#pragma once

#include <algorithm>
#include <cstdint>

namespace giantrabbit::ops::cpu::exact {

// How a query head is cut; what is as long as the head is not cut.
struct Tiles {
  int64_t row_keys;  // keys that a stretch of queries looks at together
  int64_t queries;   // of a tile that is transposed
  int64_t keys;
};

// Tiles hold enough entries to pay for their start and few enough rows for the caches; supports so short that
// there are no such tiles are not cut by rows, and by the room for sorting alone.
inline Tiles tiles_of(int64_t entries, int64_t queries, int64_t keys) {
  constexpr int64_t kRowEntries = 32;  // of a query in a tile of keys
  constexpr int64_t kKeyEntries = 16;  // of a key in a tile of queries
  if (entries == 0) return {keys, queries, keys};
  const int64_t pairs = queries * keys;
  const auto rows_with = [&](int64_t of_a_row, int64_t all) {
    const int64_t rows = std::max<int64_t>(of_a_row * pairs / entries, 64);
    return rows > 2048 ? all : std::min(rows, all);
  };
  const int64_t tile_queries = rows_with(kKeyEntries, queries);
  const int64_t sorted = tile_queries < queries ? 16 * 1024 : 128 * 1024;
  const int64_t tile_keys = std::max<int64_t>(sorted * pairs / entries / tile_queries, 64);
  return {rows_with(kRowEntries, keys), tile_queries, std::min(tile_keys, keys)};
}

}  // namespace giantrabbit::ops::cpu::exact
