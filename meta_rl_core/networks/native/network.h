// SPDX-License-Identifier: Apache-2.0
// A multi-layer perceptron as Python hands it over, its packed weights, and what is kept for the way back.
#pragma once

#include <vector>

#include "vectors.h"

namespace pitaya {

// GOMP_parallel of the OpenMP that PyTorch runs on: its threads are there already, and a second set of them would fight
// over the processors with the first.
using Parallel = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);

// The parameters of each layer are weight, bias and, if hidden layers are normalised, scale and shift.
struct Network {
  Count rows;
  Count layers;  // hidden ones and the last
  const Count* widths;
  const float* const* parameters;
  Count normalised;
  float epsilon;
  Count threads;
  Count kept;         // whether there is a way back
  Parallel parallel;  // null: one thread does everything

  Count hidden() const { return layers - 1; }
  Count outputs() const { return widths[layers]; }
  Count per_layer() const { return normalised ? 4 : 2; }
  const float* parameter(Count layer, Count which) const { return parameters[layer * per_layer() + which]; }
  Count widest() const { return padded(*std::max_element(widths, widths + layers)); }
};

enum class Way { kThere, kBack };

// Parameters filled up with zeros, weights of hidden layers as right factors for one of both ways.
template <typename Products>
struct Packed {
  Packed(const Network& net, Way way) {
    const Count last = net.hidden(), stride = padded(net.widths[last]);
    for (Count layer = 0; layer < last; ++layer) {
      const Count inputs = net.widths[layer], outputs = net.widths[layer + 1];
      weights.emplace_back(padded(inputs) * padded(outputs));
      const auto pack = way == Way::kThere ? Products::pack_transposed : Products::pack;
      pack(net.parameter(layer, 0), outputs, inputs, weights.back().at(0));
      vectors.emplace_back(4 * padded(outputs));
      for (Count which = 1; which < net.per_layer(); ++which) {
        std::copy_n(net.parameter(layer, which), outputs, vectors.back().at((which - 1) * padded(outputs)));
      }
      std::fill_n(vectors.back().at(3 * padded(outputs)), outputs, 1.0f);
    }
    last_weight = Buffer<float>(net.outputs() * stride);
    for (Count output = 0; output < net.outputs(); ++output) {
      const float* weight = net.parameter(last, 0) + output * net.widths[last];
      std::copy_n(weight, net.widths[last], last_weight.at(output * stride));
    }
  }
  std::vector<Buffer<typename Products::Value>> weights;
  std::vector<Buffer<float>> vectors;  // bias, scale, shift, and ones where there are units
  Buffer<float> last_weight{0};
};

// Where the values between the layers are: those of all rows, for the way back, or of one panel for each thread.
template <typename Value>
class Saved {
 public:
  Saved(const Network& net, void* memory, Count part)
      : net_(net), rows_(net.kept ? rounded_up(net.rows, kPanel) : kPanel),
        values_(reinterpret_cast<Value*>(static_cast<char*>(memory) + (net.kept ? 0 : part * bytes()))) {}

  // What goes into layer `layer`, that is out of the one before.
  Value* activations(Count layer, Count row) const {
    return values_ + rows_ * width_before(layer) + place(row) * padded(net_.widths[layer]);
  }
  // Normalised sums of hidden layer `layer`, before scale and shift.
  Value* normal(Count layer, Count row) const {
    const Count before = width_before(net_.layers) + width_before(layer + 1) - width_before(1);
    return values_ + rows_ * before + place(row) * padded(net_.widths[layer + 1]);
  }
  // One over the standard deviation of each row's sums.
  float* inverse_deviation(Count layer, Count row) const {
    const Count before = 2 * width_before(net_.layers) - width_before(1);
    return reinterpret_cast<float*>(values_ + rows_ * before) + layer * rows_ + place(row);
  }
  Count bytes() const {
    const Count once = width_before(net_.layers), size = sizeof(Value);
    const Count twice = 2 * once - width_before(1), deviations = net_.hidden() * Count{sizeof(float)};
    return rows_ * (net_.normalised ? size * twice + deviations : size * once);
  }

 private:
  Count place(Count row) const { return net_.kept ? row : row % kPanel; }
  Count width_before(Count layer) const {
    Count width = 0;
    for (Count i = 0; i < layer; ++i) width += padded(net_.widths[i]);
    return width;
  }
  const Network& net_;
  Count rows_;
  Value* values_;
};

}  // namespace pitaya
