// SPDX-License-Identifier: Apache-2.0
// Vectors of float32 as wide as the processor's, and memory for them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace pitaya {

using Count = std::int64_t;

#if defined(__AVX512F__)
constexpr Count kLanes = 16;
#elif defined(__AVX__)
constexpr Count kLanes = 8;
#else
constexpr Count kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), may_alias));

#if defined(PITAYA_FLOAT32)
constexpr Count kPanel = 48;   // rows worked on at once
constexpr Count kBlock = 192;  // rows of which gradients of parameters are added up at once, as many as fit the cache
constexpr Count kFill = 16;    // widths are filled up with zeros to a multiple of it
#else                          // tiles are 32 deep
constexpr Count kPanel = 32;
constexpr Count kBlock = 128;
constexpr Count kFill = 32;
#endif

inline Count rounded_up(Count count, Count unit) { return (count + unit - 1) / unit * unit; }
inline Count padded(Count width) { return rounded_up(width, kFill); }

// `place` is on a cache line, plus a multiple of kLanes.
inline Vector load(const float* place) { return *reinterpret_cast<const Vector*>(place); }
inline void store(float* place, Vector values) { *reinterpret_cast<Vector*>(place) = values; }
inline void add(float* place, Vector values) { store(place, load(place) + values); }
inline Vector all(float value) { return value - Vector{}; }

inline float total(Vector values) {
  float lanes[kLanes];
  std::memcpy(lanes, &values, sizeof lanes);
  for (Count half = kLanes / 2; half > 0; half /= 2) {
    for (Count i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

// Memory on cache lines, zeros at first.
template <typename T>
class Buffer {
 public:
  explicit Buffer(Count count) : memory_(static_cast<T*>(std::aligned_alloc(64, bytes(count))), std::free) {
    std::memset(memory_.get(), 0, bytes(count));
  }
  T* at(Count place) const { return memory_.get() + place; }
  void swap(Buffer& other) { memory_.swap(other.memory_); }

 private:
  static std::size_t bytes(Count count) { return (static_cast<std::size_t>(count) * sizeof(T) + 127) / 64 * 64; }
  std::unique_ptr<T, decltype(&std::free)> memory_;
};

}  // namespace pitaya
