// SPDX-License-Identifier: Apache-2.0
// Matrix products in bfloat16 on the tiles of Intel's AMX.
#pragma once

#include "bfloat16.h"

namespace pitaya {

// What was written before is in memory from here on: GCC does not know what instructions on tiles read.
inline void settle(const void* memory) { asm volatile("" : : "r"(memory) : "memory"); }

struct TiledBfloat16 : Bfloat16 {
  // panel (32 x columns, float32) = left (32 x depth, rows one after another) times right (packed).
  static void multiply(const Value* left, const Value* right, Count depth, Count columns, Count, float* panel) {
    const Count steps = depth / kDepth;
    const Count stride = columns * static_cast<Count>(sizeof(float));
    settle(left);
    for (Count column = 0; column < columns; column += kPanel) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      multiply_panel(left, kSide * depth, kDepth, 2 * depth, right + column / kSide * steps * kTile, steps);
      _tile_stored(0, panel + column, stride);
      _tile_stored(1, panel + column + kSide, stride);
      _tile_stored(2, panel + column + kSide * columns, stride);
      _tile_stored(3, panel + column + kSide * columns + kSide, stride);
    }
  }

  // Adds left (packed columns) times right (packed rows) to sum: tiles [row][column] of 16 x 16.
  static void accumulate(const Value* left, const Value* right, Count rows, Count columns,
                         Count depth, float* sum) {
    const Count steps = depth / kDepth;
    settle(left);
    for (Count row = 0; row < rows / kSide; row += 2) {
      for (Count column = 0; column < columns / kSide; column += 2) {
        float* upper = sum + (row * (columns / kSide) + column) * kProduct;
        float* lower = upper + columns / kSide * kProduct;
        _tile_loadd(0, upper, 64);
        _tile_loadd(1, upper + kProduct, 64);
        _tile_loadd(2, lower, 64);
        _tile_loadd(3, lower + kProduct, 64);
        multiply_panel(left + row * steps * kTile, steps * kTile, kTile, 64, right + column * steps * kTile, steps);
        _tile_stored(0, upper, 64);
        _tile_stored(1, upper + kProduct, 64);
        _tile_stored(2, lower, 64);
        _tile_stored(3, lower + kProduct, 64);
      }
    }
  }

  // Configures the eight tiles of this thread; gives back what was configured before when it goes.
  class Configuration {
   public:
    Configuration() {
      _tile_storeconfig(former_);
      settle(former_);
      alignas(64) std::uint8_t wanted[64] = {1};
      for (int tile = 0; tile < 8; ++tile) {
        wanted[16 + 2 * tile] = 64;  // bytes of a row
        wanted[48 + tile] = 16;      // rows
      }
      settle(wanted);
      _tile_loadconfig(wanted);
    }
    Configuration(const Configuration&) = delete;
    Configuration& operator=(const Configuration&) = delete;
    ~Configuration() {
      settle(former_);
      if (former_[0] != 0) {
        _tile_loadconfig(former_);
      } else {
        _tile_release();
      }
    }

   private:
    alignas(64) std::uint8_t former_[64];
  };

 private:
  // Takes two by two tiles through all depths; the product's tiles are 0 to 3, by rows.
  static void multiply_panel(const Value* left, Count left_tile, Count left_step, Count left_stride,
                             const Value* right, Count steps) {
    for (Count step = 0; step < steps; ++step) {
      _tile_loadd(4, left + step * left_step, left_stride);
      _tile_loadd(5, left + step * left_step + left_tile, left_stride);
      _tile_loadd(6, right + step * kTile, 64);
      _tile_loadd(7, right + (steps + step) * kTile, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
};

using Products = TiledBfloat16;

}  // namespace pitaya
