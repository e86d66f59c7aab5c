// SPDX-License-Identifier: Apache-2.0
// Matrices as bfloat16 in tiles, the layout that instructions for their products want.
//
// A tile of the left factor holds 16 rows of 32 values, one of the right factor 16 pairs of rows by 16 columns, one of
// the product 16 x 16 float32 (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18).
#pragma once

#include <immintrin.h>

#include "vectors.h"

namespace pitaya {

constexpr Count kSide = 16;      // rows of a tile, and columns of a product
constexpr Count kDepth = 32;     // values of the left factor's rows that one instruction takes
constexpr Count kTile = 512;     // bfloat16 values of a tile
constexpr Count kProduct = 256;  // float32 values of a product's tile

// Lanes of a vector of 16 that begins at `place` which lie before `count`.
inline __mmask16 lanes(Count place, Count count) {
  const Count left = std::clamp<Count>(count - place, 0, 16);
  return static_cast<__mmask16>((1u << left) - 1u);
}

inline __m256i narrow(__m512 values) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)); }

// 16 pairs (a[i], b[i]).
inline __m512i pairs(__m256i a, __m256i b) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
}

// Rows to columns of 16 x 16 values of 32 bits.
inline void transpose(__m512i* rows) {
  __m512i half[16];
  for (int i = 0; i < 8; ++i) {
    half[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    half[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    half[i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x88);
    half[4 + i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xdd);
    half[8 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x88);
    half[12 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(half[i], half[8 + i], 0x88);
    rows[4 + i] = _mm512_shuffle_i32x4(half[4 + i], half[12 + i], 0x88);
    rows[8 + i] = _mm512_shuffle_i32x4(half[i], half[8 + i], 0xdd);
    rows[12 + i] = _mm512_shuffle_i32x4(half[4 + i], half[12 + i], 0xdd);
  }
}

// What factors in bfloat16 have in common, however they are multiplied.
struct Bfloat16 {
  using Value = std::uint16_t;
  static constexpr Count kRows = kDepth;  // products take multiples of so many rows

  static Vector get(const Value* place) {
    const __m256i packed = _mm256_load_si256(reinterpret_cast<const __m256i*>(place));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(packed), 16));
  }
  static void put(Value* place, Vector values) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(place), narrow(values));
  }

  // Where an element of a sum (rows x columns) stands: in tiles [row][column].
  static Count place(Count row, Count column, Count columns) {
    return (row / kSide * (columns / kSide) + column / kSide) * kProduct + row % kSide * kSide + column % kSide;
  }

  // Right factor of `x times the transpose of weight`: tiles [column][depth]; weight has `outputs` rows of `inputs`.
  static void pack_transposed(const float* weight, Count outputs, Count inputs, Value* packed) {
    const Count steps = padded(inputs) / kDepth;
    __m512i rows[16];
    for (Count column = 0; column < padded(outputs); column += kSide) {
      for (Count depth = 0; depth < padded(inputs); depth += kDepth) {
        for (Count n = 0; n < kSide; ++n) {
          const float* from = weight + (column + n) * inputs + depth;
          const bool inside = column + n < outputs;
          const __mmask16 first = inside ? lanes(depth, inputs) : 0;
          const __mmask16 second = inside ? lanes(depth + 16, inputs) : 0;
          rows[n] = reinterpret_cast<__m512i>(
              _mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(second, from + 16), _mm512_maskz_loadu_ps(first, from)));
        }
        transpose(rows);
        Value* tile = packed + ((column / kSide) * steps + depth / kDepth) * kTile;
        for (Count n = 0; n < kSide; ++n) _mm512_store_si512(tile + n * kDepth, rows[n]);
      }
    }
  }

  // Right factor of `gradient times weight`: tiles [column][depth] with the weight's rows as depth.
  static void pack(const float* weight, Count outputs, Count inputs, Value* packed) {
    const Count steps = padded(outputs) / kDepth;
    for (Count column = 0; column < padded(inputs); column += kSide) {
      const __mmask16 inside = lanes(column, inputs);
      for (Count depth = 0; depth < padded(outputs); depth += 2) {
        const float* from = weight + depth * inputs + column;
        const __m512 even = _mm512_maskz_loadu_ps(depth < outputs ? inside : 0, from);
        const __m512 odd = _mm512_maskz_loadu_ps(depth + 1 < outputs ? inside : 0, from + inputs);
        Value* tile = packed + ((column / kSide) * steps + depth / kDepth) * kTile;
        _mm512_store_si512(tile + depth % kDepth * kSide, pairs(narrow(even), narrow(odd)));
      }
    }
  }

  // Pairs of rows of `values` (rows x width, both multiples of 32) as right factor: tiles [column][depth].
  static void pack_rows(const Value* values, Count rows, Count width, Value* packed) {
    const Count steps = rows / kDepth;
    for (Count row = 0; row < rows; row += 2) {
      const auto* even = reinterpret_cast<const __m256i*>(values + row * width);
      const auto* odd = reinterpret_cast<const __m256i*>(values + (row + 1) * width);
      for (Count column = 0; column < width / kSide; ++column) {
        Value* tile = packed + (column * steps + row / kDepth) * kTile;
        _mm512_store_si512(tile + row % kDepth * kSide,
                           pairs(_mm256_load_si256(even + column), _mm256_load_si256(odd + column)));
      }
    }
  }

  // The transpose of `values` (rows x width, both multiples of 32) as left factor: tiles [row of the transpose][depth].
  static void pack_columns(const Value* values, Count rows, Count width, Value* packed) {
    const Count steps = rows / kDepth;
    __m512i columns[16];
    for (Count column = 0; column < width; column += kSide) {
      for (Count row = 0; row < rows; row += kDepth) {
        for (Count pair = 0; pair < kSide; ++pair) {
          const Value* from = values + (row + 2 * pair) * width + column;
          columns[pair] = pairs(_mm256_load_si256(reinterpret_cast<const __m256i*>(from)),
                                _mm256_load_si256(reinterpret_cast<const __m256i*>(from + width)));
        }
        transpose(columns);
        Value* tile = packed + ((column / kSide) * steps + row / kDepth) * kTile;
        for (Count n = 0; n < kSide; ++n) _mm512_store_si512(tile + n * kDepth, columns[n]);
      }
    }
  }
};

}  // namespace pitaya
