// SPDX-License-Identifier: Apache-2.0
// From gradients of the outputs to those of inputs and parameters.
#pragma once

#include "network.h"

namespace pitaya {

// The rows that count: all of them, or those in `chosen`.
struct Rows {
  Count count;
  const Count* chosen;

  Count operator[](Count place) const { return chosen == nullptr ? place : chosen[place]; }
  // Of the panel that begins at `first`.
  Count present(Count first) const { return std::clamp<Count>(count - first, 0, kPanel); }
};

// What one thread adds up: gradients of the parameters, those of hidden weights in the order of `Products::place`.
struct Sums {
  explicit Sums(const Network& net) {
    for (Count layer = 0; layer < net.layers; ++layer) {
      const Count outputs = layer < net.hidden() ? padded(net.widths[layer + 1]) : net.outputs();
      weights.emplace_back(outputs * padded(net.widths[layer]));
      vectors.emplace_back(3 * outputs);  // of bias, scale and shift
    }
  }
  std::vector<Buffer<float>> weights, vectors;
};

template <typename Products>
class Backwards {
 public:
  using Value = typename Products::Value;

  // `sums` is null if nobody asks for gradients of parameters; only then rows may be chosen.
  Backwards(const Network& net, const Packed<Products>& packed, const Saved<Value>& saved, Rows rows, Sums* sums)
      : net_(net), packed_(packed), saved_(saved), rows_(rows), sums_(sums), unused_(3 * net.widest()),
        panel_(kPanel * net.widest()),
        gradient_(kBlock * net.widest()), before_(kBlock * net.widest()), left_(kBlock * net.widest()),
        right_(kBlock * net.widest()) {}

  // `input_gradients` is null if nobody asks for those.
  void run(const float* output_gradients, float* input_gradients, Count first, Count last) {
    const typename Products::Configuration configuration;
    for (Count row = first; row < last; row += kBlock) {
      const Count rows = rounded_up(std::min({kBlock, last - row, rows_.count - row}), Products::kRows);
      for (Count i = 0; i < rows; i += kPanel) through_last(output_gradients, row + i, i);
      for (Count layer = net_.hidden() - 1; layer >= 0; --layer) {
        if (sums_ != nullptr) add_weights(layer, row, rows);
        if (layer > 0 || input_gradients != nullptr) through_weights(layer, row, rows, input_gradients);
        gradient_.swap(before_);
      }
    }
  }

 private:
  void through_last(const float* output_gradients, Count row, Count block_row) {
    const Count stride = padded(net_.widths[net_.hidden()]), outputs = net_.outputs(), rows = rows_.present(row);
    std::fill_n(panel_.at(0), kPanel * stride, 0.0f);
    for (Count i = 0; i < rows; ++i) {
      const float* gradients = output_gradients + rows_[row + i] * outputs;
      for (Count output = 0; output < outputs; ++output) {
        const Vector factor = all(gradients[output]);
        const float* weight = packed_.last_weight.at(output * stride);
        float* sum = panel_.at(i * stride);
        for (Count column = 0; column < stride; column += kLanes) add(sum + column, factor * load(weight + column));
      }
    }
    if (sums_ != nullptr) add_last(output_gradients + row * outputs, rows, saved_.activations(net_.hidden(), row));
    through_activation(net_.hidden() - 1, row, gradient_.at(block_row * stride));
  }

  // Gradients of the last layer's own parameters.
  void add_last(const float* gradients, Count rows, const Value* values) {
    const Count outputs = net_.outputs(), stride = padded(net_.widths[net_.hidden()]);
    for (Count i = 0; i < rows * outputs; ++i) *sums_->vectors.back().at(i % outputs) += gradients[i];
    Count output = 0;
    for (; output + 4 <= outputs; output += 4) add_last_weights<4>(gradients + output, rows, values, output * stride);
    for (; output < outputs; ++output) add_last_weights<1>(gradients + output, rows, values, output * stride);
  }

  template <int kOutputs>
  void add_last_weights(const float* gradients, Count rows, const Value* values, Count first) {
    const Count stride = padded(net_.widths[net_.hidden()]);
    for (Count column = 0; column < stride; column += kLanes) {
      float* sums = sums_->weights.back().at(first + column);
      Vector sum[kOutputs] = {};
      for (Count row = 0; row < rows; ++row) {
        const Vector value = Products::get(values + row * stride + column);
        for (int i = 0; i < kOutputs; ++i) sum[i] += gradients[row * net_.outputs() + i] * value;
      }
      for (int i = 0; i < kOutputs; ++i) add(sums + i * stride, sum[i]);
    }
  }

  void add_weights(Count layer, Count row, Count rows) {
    const Count outputs = padded(net_.widths[layer + 1]), inputs = padded(net_.widths[layer]);
    Products::pack_columns(gradient_.at(0), rows, outputs, left_.at(0));
    Products::pack_rows(saved_.activations(layer, row), rows, inputs, right_.at(0));
    Products::accumulate(left_.at(0), right_.at(0), outputs, inputs, rows, sums_->weights[layer].at(0));
  }

  void through_weights(Count layer, Count row, Count rows, float* input_gradients) {
    const Count depth = padded(net_.widths[layer + 1]), stride = padded(net_.widths[layer]), width = net_.widths[0];
    for (Count i = 0; i < rows; i += kPanel) {
      const Count taken = std::min(kPanel, rows - i);
      Products::multiply(gradient_.at(i * depth), packed_.weights[layer].at(0), depth, stride, taken, panel_.at(0));
      if (layer > 0) {
        through_activation(layer - 1, row + i, before_.at(i * stride));
        continue;
      }
      for (Count k = 0; k < rows_.present(row + i); ++k) {
        std::copy_n(panel_.at(k * stride), width, input_gradients + rows_[row + i + k] * width);
      }
    }
  }

  // From gradients after the activation, which are in the panel, to those of the sums before the bias.
  void through_activation(Count layer, Count row, Value* gradient) {
    net_.normalised ? through_norm(layer, row, gradient) : through_relu(layer, row, gradient);
  }

  void through_relu(Count layer, Count first, Value* gradient) {
    const Count stride = padded(net_.widths[layer + 1]), rows = rows_.present(first);
    float* bias_sums = sums_of(layer);
    for (Count row = 0; row < rows; ++row) {
      const Value* values = saved_.activations(layer + 1, rows_[first + row]);
      for (Count i = 0; i < stride; i += kLanes) {
        const Vector passed = Products::get(values + i) <= 0.0f ? Vector{} : load(panel_.at(row * stride + i));
        add(bias_sums + i, passed);
        Products::put(gradient + row * stride + i, passed);
      }
    }
    fill_up(gradient, rows, stride);
  }

  // Zeros for the rows that are missing from a panel.
  void fill_up(Value* gradient, Count rows, Count stride) {
    std::fill(gradient + rows * stride, gradient + kPanel * stride, Value{});
  }

  void through_norm(Count layer, Count first, Value* gradient) {
    const Count width = net_.widths[layer + 1], stride = padded(width);
    const float* scale = packed_.vectors[layer].at(stride);
    const float* units = packed_.vectors[layer].at(3 * stride);
    float* bias_sums = sums_of(layer);
    for (Count row = 0; row < rows_.present(first); ++row) {
      const Count place = rows_[first + row];
      const Value *values = saved_.activations(layer + 1, place), *normal = saved_.normal(layer, place);
      float* passed_on = panel_.at(row * stride);
      Vector sum{}, along{};
      for (Count i = 0; i < stride; i += kLanes) {
        const Vector passed = Products::get(values + i) <= 0.0f ? Vector{} : load(passed_on + i);
        const Vector fitted = Products::get(normal + i), scaled = passed * load(scale + i);
        add(bias_sums + stride + i, passed * fitted);
        add(bias_sums + 2 * stride + i, passed);
        store(passed_on + i, scaled);
        sum += scaled;
        along += scaled * fitted;
      }
      const float mean = total(sum) / static_cast<float>(width), mean_along = total(along) / static_cast<float>(width);
      const float inverse = *saved_.inverse_deviation(layer, place);
      for (Count i = 0; i < stride; i += kLanes) {
        const Vector centred = load(passed_on + i) - mean - Products::get(normal + i) * mean_along;
        const Vector result = centred * inverse * load(units + i);
        add(bias_sums + i, result);
        Products::put(gradient + row * stride + i, result);
      }
    }
    fill_up(gradient, rows_.present(first), stride);
  }

  // Where gradients of bias, scale and shift are added up, wanted or not.
  float* sums_of(Count layer) const { return sums_ == nullptr ? unused_.at(0) : sums_->vectors[layer].at(0); }

  const Network& net_;
  const Packed<Products>& packed_;
  const Saved<Value>& saved_;
  const Rows rows_;
  Sums* sums_;
  Buffer<float> unused_;
  Buffer<float> panel_;
  Buffer<Value> gradient_, before_, left_, right_;
};

}  // namespace pitaya
