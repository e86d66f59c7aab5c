// SPDX-License-Identifier: Apache-2.0
// From inputs to outputs, a panel of rows at a time through all layers, so that what is between them stays in the cache.
#pragma once

#include <cmath>

#include "network.h"

namespace pitaya {

// NaN stays NaN, so that a broken update is noticed.
inline Vector relu(Vector values) { return values < 0.0f ? Vector{} : values; }

template <typename Products>
class Forwards {
 public:
  using Value = typename Products::Value;

  Forwards(const Network& net, const Packed<Products>& packed, const Saved<Value>& saved)
      : net_(net), packed_(packed), saved_(saved), panel_(kPanel * net.widest()) {}

  // Rows from `first` to before `last`, both multiples of kPanel but for the end.
  void run(const float* inputs, float* outputs, Count first, Count last) {
    const typename Products::Configuration configuration;
    for (Count row = first; row < last; row += kPanel) {
      const Count rows = std::min(kPanel, net_.rows - row), taken = rounded_up(rows, Products::kRows);
      take(inputs + row * net_.widths[0], rows, saved_.activations(0, row));
      for (Count layer = 0; layer < net_.hidden(); ++layer) {
        Products::multiply(saved_.activations(layer, row), packed_.weights[layer].at(0), padded(net_.widths[layer]),
                           padded(net_.widths[layer + 1]), taken, panel_.at(0));
        net_.normalised ? normalise(layer, row, taken) : activate(layer, row, taken);
      }
      for (Count i = 0; i < rows; ++i) put_out(row + i, outputs + (row + i) * net_.outputs());
    }
  }

 private:
  void take(const float* inputs, Count rows, Value* values) {
    const Count width = net_.widths[0], stride = padded(width);
    std::fill_n(panel_.at(0), kPanel * stride, 0.0f);
    for (Count row = 0; row < rows; ++row) std::copy_n(inputs + row * width, width, panel_.at(row * stride));
    for (Count place = 0; place < kPanel * stride; place += kLanes) {
      Products::put(values + place, load(panel_.at(place)));
    }
  }

  // Bias and ReLU of the panel's sums.
  void activate(Count layer, Count row, Count rows) {
    const Count stride = padded(net_.widths[layer + 1]);
    const float *sums = panel_.at(0), *bias = packed_.vectors[layer].at(0);
    Value* values = saved_.activations(layer + 1, row);
    for (Count first = 0; first < rows * stride; first += stride) {
      for (Count i = 0; i < stride; i += kLanes) {
        Products::put(values + first + i, relu(load(sums + first + i) + load(bias + i)));
      }
    }
  }

  // Bias, layer normalisation (Ba et al. 2016) and ReLU of the panel's sums.
  void normalise(Count layer, Count first, Count rows) {
    const Count width = net_.widths[layer + 1], stride = padded(width);
    const float* bias = packed_.vectors[layer].at(0);
    const float *scale = bias + stride, *shift = scale + stride, *units = shift + stride;
    for (Count row = 0; row < rows; ++row) {
      float* sums = panel_.at(row * stride);
      Vector sum{}, squares{};
      for (Count i = 0; i < stride; i += kLanes) {
        const Vector biased = load(sums + i) + load(bias + i);
        store(sums + i, biased);
        sum += biased;
      }
      const float mean = total(sum) / static_cast<float>(width);
      for (Count i = 0; i < stride; i += kLanes) {
        const Vector away = (load(sums + i) - mean) * load(units + i);
        squares += away * away;
      }
      const float inverse = 1.0f / std::sqrt(total(squares) / static_cast<float>(width) + net_.epsilon);
      *saved_.inverse_deviation(layer, first + row) = inverse;
      Value *normal = saved_.normal(layer, first + row), *values = saved_.activations(layer + 1, first + row);
      for (Count i = 0; i < stride; i += kLanes) {
        const Vector fitted = (load(sums + i) - mean) * load(units + i) * inverse;
        Products::put(normal + i, fitted);
        Products::put(values + i, relu(fitted * load(scale + i) + load(shift + i)));
      }
    }
  }

  // The last layer of one row, in float32.
  void put_out(Count row, float* outputs) {
    const Count stride = padded(net_.widths[net_.hidden()]);
    const Value* values = saved_.activations(net_.hidden(), row);
    const float* bias = net_.parameter(net_.hidden(), 1);
    for (Count output = 0; output < net_.outputs(); ++output) {
      const float* weight = packed_.last_weight.at(output * stride);
      Vector sum{};
      for (Count i = 0; i < stride; i += kLanes) sum += Products::get(values + i) * load(weight + i);
      outputs[output] = total(sum) + bias[output];
    }
  }

  const Network& net_;
  const Packed<Products>& packed_;
  const Saved<Value>& saved_;
  Buffer<float> panel_;
};

}  // namespace pitaya
