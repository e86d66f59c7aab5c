// SPDX-License-Identifier: Apache-2.0
// Intel's AMX in plain C++, to include before code that uses it, so that this runs on processors without.
//
// Written from the operations in the Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (LDTILECFG,
// STTILECFG, TILELOADD, TILESTORED, TILEZERO, TDPBF16PS). What a processor would refuse ends the program.
#pragma once

#include <immintrin.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace emulated {

inline thread_local std::uint8_t configuration[64];
inline thread_local std::uint8_t tiles[8][16][64];

inline void demand(bool sound, const char* what) {
  if (sound) return;
  std::fprintf(stderr, "emulated tiles: %s\n", what);
  std::abort();
}

inline int row_bytes(int tile) { return configuration[16 + 2 * tile] + 256 * configuration[17 + 2 * tile]; }
inline int rows(int tile) { return configuration[48 + tile]; }
inline void demand_configured(int tile) { demand(configuration[0] == 1 && rows(tile) > 0, "a tile is not configured"); }

inline void load_configuration(const void* from) {
  std::memcpy(configuration, from, sizeof configuration);
  std::memset(tiles, 0, sizeof tiles);
  demand(configuration[0] <= 1, "no such palette");
  for (int i = 1; i < 16; ++i) demand(configuration[i] == 0, "a reserved byte is set");
  for (int tile = 0; tile < 8; ++tile) demand(row_bytes(tile) <= 64 && rows(tile) <= 16, "a tile is too large");
}
inline void store_configuration(void* to) { std::memcpy(to, configuration, sizeof configuration); }
inline void release() { std::memset(configuration, 0, sizeof configuration); }

inline void load(int tile, const void* base, std::int64_t stride) {
  demand_configured(tile);
  std::memset(tiles[tile], 0, sizeof tiles[tile]);
  for (int row = 0; row < rows(tile); ++row) {
    std::memcpy(tiles[tile][row], static_cast<const std::uint8_t*>(base) + row * stride, row_bytes(tile));
  }
}
inline void store(int tile, void* base, std::int64_t stride) {
  demand_configured(tile);
  for (int row = 0; row < rows(tile); ++row) {
    std::memcpy(static_cast<std::uint8_t*>(base) + row * stride, tiles[tile][row], row_bytes(tile));
  }
}
inline void zero(int tile) {
  demand_configured(tile);
  std::memset(tiles[tile], 0, sizeof tiles[tile]);
}

inline float value(int tile, int row, int place) {
  std::uint16_t half;
  std::memcpy(&half, tiles[tile][row] + 2 * place, sizeof half);
  const std::uint32_t whole = std::uint32_t{half} << 16;
  float result;
  std::memcpy(&result, &whole, sizeof result);
  return result;
}

inline void multiply(int sum, int left, int right) {
  demand(rows(sum) == rows(left) && row_bytes(sum) == row_bytes(right), "tiles do not fit");
  demand(row_bytes(left) / 4 == rows(right), "tiles do not fit");
  for (int row = 0; row < rows(left); ++row) {
    for (int pair = 0; pair < rows(right); ++pair) {
      for (int column = 0; column < row_bytes(right) / 4; ++column) {
        float total;
        std::memcpy(&total, tiles[sum][row] + 4 * column, sizeof total);
        total += value(left, row, 2 * pair) * value(right, pair, 2 * column);
        total += value(left, row, 2 * pair + 1) * value(right, pair, 2 * column + 1);
        std::memcpy(tiles[sum][row] + 4 * column, &total, sizeof total);
      }
    }
  }
}

}  // namespace emulated

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbf16ps
#define _tile_loadconfig emulated::load_configuration
#define _tile_storeconfig emulated::store_configuration
#define _tile_release emulated::release
#define _tile_loadd emulated::load
#define _tile_stored emulated::store
#define _tile_zero emulated::zero
#define _tile_dpbf16ps emulated::multiply
// Linux is not asked for tiles that there are none of.
#define syscall(number, code, feature) ((code) == 0x1023 && (feature) == 18 ? 0L : -1L)
