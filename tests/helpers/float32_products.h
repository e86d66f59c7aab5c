// SPDX-License-Identifier: Apache-2.0
// Matrix products in float32, on whatever vectors there are: what the networks in C++ compute with them is PyTorch's
// result but for the order of sums.
#pragma once

#include "vectors.h"

namespace pitaya {

struct Float32 {
  using Value = float;

#if defined(__AVX512F__)
  static constexpr Count kRows = 8;  // sums of 8 rows by 2 vectors stay in the 32 registers
#else
  static constexpr Count kRows = 4;  // and of 4 rows in 16
#endif
  static constexpr Count kColumns = 2 * kLanes;

  static Vector get(const Value* place) { return load(place); }
  static void put(Value* place, Vector values) { store(place, values); }

  // Where an element of a sum (rows x columns) stands.
  static Count place(Count row, Count column, Count columns) { return row * columns + column; }

  // Right factor of `x times the transpose of weight`; weight has `outputs` rows of `inputs`. Blocks of kColumns.
  static void pack_transposed(const float* weight, Count outputs, Count inputs, Value* packed) {
    for (Count output = 0; output < outputs; ++output) {
      Value* block = packed + output / kColumns * padded(inputs) * kColumns + output % kColumns;
      for (Count input = 0; input < inputs; ++input) block[input * kColumns] = weight[output * inputs + input];
    }
  }

  // Right factor of `gradient times weight`.
  static void pack(const float* weight, Count outputs, Count inputs, Value* packed) {
    for (Count output = 0; output < outputs; ++output) {
      for (Count input = 0; input < inputs; input += kColumns) {
        Value* place = packed + input * padded(outputs) + output * kColumns;
        std::copy_n(weight + output * inputs + input, std::min(kColumns, inputs - input), place);
      }
    }
  }

  // `values` (rows x width) as right factor.
  static void pack_rows(const Value* values, Count rows, Count width, Value* packed) {
    for (Count row = 0; row < rows; ++row) {
      for (Count column = 0; column < width; column += kColumns) {
        std::copy_n(values + row * width + column, kColumns, packed + column * rows + row * kColumns);
      }
    }
  }

  // The transpose of `values` (rows x width) as left factor: blocks of kRows.
  static void pack_columns(const Value* values, Count rows, Count width, Value* packed) {
    for (Count column = 0; column < width; column += kRows) {
      for (Count row = 0; row < rows; ++row) {
        std::copy_n(values + row * width + column, kRows, packed + column * rows + row * kRows);
      }
    }
  }

  // panel (32 x columns) = left (32 x depth, rows one after another) times right (packed).
  static void multiply(const Value* left, const Value* right, Count depth, Count columns, float* panel) {
    for (Count column = 0; column < columns; column += kColumns) {
      for (Count row = 0; row < kPanel; row += kRows) {
        Vector sums[kRows][2] = {};
        multiply_block(left + row * depth, depth, 1, right + column * depth, depth, sums);
        for (Count i = 0; i < kRows; ++i) {
          store(panel + (row + i) * columns + column, sums[i][0]);
          store(panel + (row + i) * columns + column + kLanes, sums[i][1]);
        }
      }
    }
  }

  // Adds left (packed columns) times right (packed rows) to sum.
  static void accumulate(const Value* left, const Value* right, Count rows, Count columns, Count depth, float* sum) {
    for (Count row = 0; row < rows; row += kRows) {
      for (Count column = 0; column < columns; column += kColumns) {
        Vector sums[kRows][2];
        float* from = sum + row * columns + column;
        for (Count i = 0; i < kRows; ++i) {
          sums[i][0] = load(from + i * columns);
          sums[i][1] = load(from + i * columns + kLanes);
        }
        multiply_block(left + row * depth, 1, kRows, right + column * depth, depth, sums);
        for (Count i = 0; i < kRows; ++i) {
          store(from + i * columns, sums[i][0]);
          store(from + i * columns + kLanes, sums[i][1]);
        }
      }
    }
  }

  // Nothing is to be configured.
  struct Configuration {
    Configuration() {}
  };

 private:
  static void multiply_block(const Value* left, Count left_row, Count left_depth, const Value* right, Count depth,
                             Vector (&sums)[kRows][2]) {
    for (Count i = 0; i < depth; ++i) {
      const Vector first = load(right + i * kColumns), second = load(right + i * kColumns + kLanes);
#pragma GCC unroll 8
      for (Count row = 0; row < kRows; ++row) {
        const Vector factor = all(left[row * left_row + i * left_depth]);
        sums[row][0] += factor * first;
        sums[row][1] += factor * second;
      }
    }
  }
};

using Products = Float32;

}  // namespace pitaya
