// SPDX-License-Identifier: Apache-2.0
// Matrix products in float32, on whatever vectors there are.
#pragma once

#include "vectors.h"

namespace pitaya {

struct Float32 {
  using Value = float;

  // Sums of so many rows by two vectors stay in registers, with what they are made of: 32 of AVX-512, 16 else.
#if defined(__AVX512F__)
  static constexpr Count kRows = 12;
#else
  static constexpr Count kRows = 6;
#endif
  static constexpr Count kColumns = 2 * kLanes;

  static Vector get(const Value* place) { return load(place); }
  static void put(Value* place, Vector values) { store(place, values); }

  // Where an element of a sum (rows x columns) stands.
  static Count place(Count row, Count column, Count columns) { return row * columns + column; }

  // Right factor of `x times the transpose of weight`; weight has `outputs` rows of `inputs`. Blocks of kColumns, the
  // last one narrower.
  static void pack_transposed(const float* weight, Count outputs, Count inputs, Value* packed) {
    for (Count output = 0; output < outputs; output += kColumns) {
      const Count width = std::min(kColumns, padded(outputs) - output), present = std::min(width, outputs - output);
      Value* block = packed + output * padded(inputs);
      for (Count input = 0; input < inputs; ++input) {
        for (Count i = 0; i < present; ++i) block[input * width + i] = weight[(output + i) * inputs + input];
      }
    }
  }

  // Right factor of `gradient times weight`.
  static void pack(const float* weight, Count outputs, Count inputs, Value* packed) {
    for (Count input = 0; input < inputs; input += kColumns) {
      const Count width = std::min(kColumns, padded(inputs) - input), present = std::min(width, inputs - input);
      Value* block = packed + input * padded(outputs);
      for (Count output = 0; output < outputs; ++output) {
        std::copy_n(weight + output * inputs + input, present, block + output * width);
      }
    }
  }

  // `values` (rows x width) as right factor.
  static void pack_rows(const Value* values, Count rows, Count width, Value* packed) {
    pack_blocks<kColumns>(values, rows, width, packed);
  }

  // The transpose of `values` (rows x width) as left factor: blocks of kRows, the last one narrower.
  static void pack_columns(const Value* values, Count rows, Count width, Value* packed) {
    pack_blocks<kRows>(values, rows, width, packed);
  }

  // panel (rows x columns) = left (rows x depth, one after another) times right (packed); rows: a multiple of kRows.
  static void multiply(const Value* left, const Value* right, Count depth, Count columns, Count rows, float* panel) {
    Count column = 0;
    for (; column + kColumns <= columns; column += kColumns) {
      multiply_column<2>(left, right + column * depth, depth, columns, rows, panel + column);
    }
    if (column < columns) multiply_column<1>(left, right + column * depth, depth, columns, rows, panel + column);
  }

  // Adds left (packed columns) times right (packed rows) to sum.
  static void accumulate(const Value* left, const Value* right, Count rows, Count columns, Count depth, float* sum) {
    Count row = 0;
    for (; row + kRows <= rows; row += kRows) {
      add_row<kRows>(left + row * depth, right, columns, depth, sum + row * columns);
    }
    // Widths are multiples of 16, so that a third or two thirds of kRows may be left.
    constexpr Count kThird = kRows / 3;
    const Value* last = left + row * depth;
    if (rows - row == kThird) add_row<kThird>(last, right, columns, depth, sum + row * columns);
    if (rows - row == 2 * kThird) add_row<2 * kThird>(last, right, columns, depth, sum + row * columns);
  }

  // Nothing is to be configured.
  struct Configuration {
    Configuration() {}
  };

 private:
  // Blocks of columns one after another, each row by row.
  template <Count kWide>
  static void pack_blocks(const Value* values, Count rows, Count width, Value* packed) {
    Count column = 0;
    for (; column + kWide <= width; column += kWide) {
      for (Count row = 0; row < rows; ++row) {
        std::copy_n(values + row * width + column, kWide, packed + column * rows + row * kWide);
      }
    }
    const Count left = width - column;
    for (Count row = 0; left > 0 && row < rows; ++row) {
      std::copy_n(values + row * width + column, left, packed + column * rows + row * left);
    }
  }

  template <int kVectors>
  static void multiply_column(const Value* left, const Value* right, Count depth, Count columns, Count rows,
                              float* panel) {
    for (Count row = 0; row < rows; row += kRows) {
      Vector sums[kRows][kVectors] = {};
      add_products<kRows, kVectors>(left + row * depth, depth, 1, right, depth, sums);
      for (Count i = 0; i < kRows; ++i) {
        for (int k = 0; k < kVectors; ++k) store(panel + (row + i) * columns + k * kLanes, sums[i][k]);
      }
    }
  }

  template <Count kHeight>
  static void add_row(const Value* left, const Value* right, Count columns, Count depth, float* sum) {
    Count column = 0;
    for (; column + kColumns <= columns; column += kColumns) {
      add_block<kHeight, 2>(left, right + column * depth, columns, depth, sum + column);
    }
    if (column < columns) add_block<kHeight, 1>(left, right + column * depth, columns, depth, sum + column);
  }

  template <Count kHeight, int kVectors>
  static void add_block(const Value* left, const Value* right, Count columns, Count depth, float* sum) {
    Vector sums[kHeight][kVectors];
    for (Count i = 0; i < kHeight; ++i) {
      for (int k = 0; k < kVectors; ++k) sums[i][k] = load(sum + i * columns + k * kLanes);
    }
    add_products<kHeight, kVectors>(left, 1, kHeight, right, depth, sums);
    for (Count i = 0; i < kHeight; ++i) {
      for (int k = 0; k < kVectors; ++k) store(sum + i * columns + k * kLanes, sums[i][k]);
    }
  }

  // Everything is unrolled, so that `sums` is nowhere but in registers.
  template <Count kHeight, int kVectors>
  __attribute__((always_inline)) static void add_products(const Value* left, Count left_row, Count left_depth,
                                                          const Value* right, Count depth,
                                                          Vector (&sums)[kHeight][kVectors]) {
    for (Count i = 0; i < depth; ++i) {
      Vector factors[kVectors];
#pragma GCC unroll 2
      for (int k = 0; k < kVectors; ++k) factors[k] = load(right + (i * kVectors + k) * kLanes);
#pragma GCC unroll 12
      for (Count row = 0; row < kHeight; ++row) {
        const Vector factor = all(left[row * left_row + i * left_depth]);
#pragma GCC unroll 2
        for (int k = 0; k < kVectors; ++k) sums[row][k] += factor * factors[k];
      }
    }
  }
};

using Products = Float32;

}  // namespace pitaya
