// SPDX-License-Identifier: Apache-2.0
// Matrix products in bfloat16 with AVX-512's dot products.
#pragma once

#include "bfloat16.h"

namespace pitaya {

struct DottedBfloat16 : Bfloat16 {
  // panel (32 x columns, float32) = left (32 x depth, rows one after another) times right (packed).
  static void multiply(const Value* left, const Value* right, Count depth, Count columns, Count, float* panel) {
    const Count steps = depth / kDepth;
    for (Count column = 0; column < columns; column += kPanel) {
      for (Count row = 0; row < kPanel; row += 8) {
        __m512 sums[8][2] = {};
        multiply_rows(left + row * depth, kDepth, depth, right + column / kSide * steps * kTile, steps, sums);
        for (int i = 0; i < 8; ++i) {
          _mm512_store_ps(panel + (row + i) * columns + column, sums[i][0]);
          _mm512_store_ps(panel + (row + i) * columns + column + kSide, sums[i][1]);
        }
      }
    }
  }

  // Adds left (packed columns) times right (packed rows) to sum: tiles [row][column] of 16 x 16.
  static void accumulate(const Value* left, const Value* right, Count rows, Count columns,
                         Count depth, float* sum) {
    const Count steps = depth / kDepth;
    for (Count row = 0; row < rows; row += 8) {
      for (Count column = 0; column < columns / kSide; column += 2) {
        float* place = sum + (row / kSide * (columns / kSide) + column) * kProduct + row % kSide * kSide;
        __m512 sums[8][2];
        for (int i = 0; i < 8; ++i) {
          sums[i][0] = _mm512_load_ps(place + i * kSide);
          sums[i][1] = _mm512_load_ps(place + kProduct + i * kSide);
        }
        const Value* from = left + row / kSide * steps * kTile + row % kSide * kDepth;
        multiply_rows(from, kTile, kDepth, right + column * steps * kTile, steps, sums);
        for (int i = 0; i < 8; ++i) {
          _mm512_store_ps(place + i * kSide, sums[i][0]);
          _mm512_store_ps(place + kProduct + i * kSide, sums[i][1]);
        }
      }
    }
  }

  // Nothing is to be configured.
  struct Configuration {
    Configuration() {}
  };

 private:
  // Adds left (8 rows) times right (two tiles of 16 columns) to `sums`, through all depths.
  static void multiply_rows(const Value* left, Count left_step, Count left_row, const Value* right,
                            Count steps, __m512 (&sums)[8][2]) {
    for (Count step = 0; step < steps; ++step) {
      const Value* from = left + step * left_step;
      const Value* tile = right + step * kTile;
      for (Count depth = 0; depth < kDepth; depth += 2) {
        const auto first = reinterpret_cast<__m512bh>(_mm512_load_si512(tile + depth * kSide));
        const auto second = reinterpret_cast<__m512bh>(_mm512_load_si512(tile + steps * kTile + depth * kSide));
        for (int row = 0; row < 8; ++row) {
          std::int32_t pair;
          std::memcpy(&pair, from + row * left_row + depth, sizeof pair);
          const auto both = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
          sums[row][0] = _mm512_dpbf16_ps(sums[row][0], both, first);
          sums[row][1] = _mm512_dpbf16_ps(sums[row][1], both, second);
        }
      }
    }
  }
};

using Products = DottedBfloat16;

}  // namespace pitaya
