// SPDX-License-Identifier: Apache-2.0
// A whole multi-layer perceptron, forwards and backwards, in one call each.
//
// Hidden layers multiply in bfloat16 or, with PITAYA_FLOAT32, in float32, and add up in float32; bias, layer
// normalisation and ReLU are applied to the sums, before these are rounded. The last layer is float32 throughout.

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "backwards.h"
#include "forwards.h"

#if defined(PITAYA_FLOAT32)
#include "float32.h"
#elif defined(__AMX_BF16__)
#include "bfloat16_amx.h"
#elif defined(__AVX512BF16__)
#include "bfloat16_avx512.h"
#else
#error "the compiler knows no instructions of this processor for products of bfloat16"
#endif

namespace pitaya {

using Value = Products::Value;

// Splits rows into as many parts as there are threads, in whole panels: `work(part, first, last)`. However many threads
// come, the parts are the same, and so is what they add up.
template <typename Work>
class Shared {
 public:
  Shared(Count rows, const Network& net, Work& work)
      : panels_(rounded_up(rows, kPanel) / kPanel),
        parts_(std::clamp<Count>(net.threads, 1, std::max<Count>(panels_, 1))), work_(work) {
    if (parts_ == 1 || net.parallel == nullptr) {
      take_parts(this);
    } else {
      net.parallel(take_parts, this, static_cast<unsigned>(parts_), 0);
    }
  }

 private:
  static void take_parts(void* shared) {
    Shared& self = *static_cast<Shared*>(shared);
    for (Count part = self.next_++; part < self.parts_; part = self.next_++) {
      self.work_(part, self.border(part), self.border(part + 1));
    }
  }
  Count border(Count part) const { return panels_ * part / parts_ * kPanel; }

  const Count panels_, parts_;
  Work& work_;
  std::atomic<Count> next_{0};
};

template <typename Work>
void share(Count rows, const Network& net, Work work) {
  Shared<Work>(rows, net, work);
}

void forward(const Network& net, const float* inputs, void* memory, float* outputs) {
  const Packed<Products> packed(net, Way::kThere);
  share(net.rows, net, [&](Count part, Count first, Count last) {
    const Saved<Value> saved(net, memory, part);
    Forwards<Products>(net, packed, saved).run(inputs, outputs, first, last);
  });
}

// Adds up what the threads have, in their order.
void put_gradients(const Network& net, const std::vector<Sums>& parts, float* const* gradients) {
  for (Count layer = 0; layer < net.layers; ++layer) {
    const Count inputs = net.widths[layer], outputs = net.widths[layer + 1];
    const bool last = layer == net.hidden();
    float* const* wanted = gradients + layer * net.per_layer();
    for (Count output = 0; output < outputs; ++output) {
      float* row = wanted[0] + output * inputs;
      std::fill_n(row, inputs, 0.0f);
      for (const Sums& part : parts) {
        for (Count input = 0; input < inputs; input += kLanes) {
          const Count place = Products::place(output, input, padded(inputs));
          const float* sums = part.weights[layer].at(last ? output * padded(inputs) + input : place);
          for (Count i = 0; i < std::min(kLanes, inputs - input); ++i) row[input + i] += sums[i];
        }
      }
      for (Count which = 1; which < (last ? 2 : net.per_layer()); ++which) {
        wanted[which][output] = 0.0f;
        for (const Sums& part : parts) {
          wanted[which][output] += *part.vectors[layer].at((which - 1) * padded(outputs) + output);
        }
      }
    }
  }
}

// The rows that some output's gradient is not zero of: a minimum of two networks passes it to one of them alone.
std::vector<Count> concerned(const Network& net, const float* output_gradients) {
  std::vector<Count> rows;
  for (Count row = 0; row < net.rows; ++row) {
    const float* first = output_gradients + row * net.outputs();
    if (std::any_of(first, first + net.outputs(), [](float gradient) { return gradient != 0.0f; })) rows.push_back(row);
  }
  return rows;
}

void backward(const Network& net, void* memory, const float* output_gradients, float* input_gradients,
              float* const* gradients) {
  const Packed<Products> packed(net, Way::kBack);
  const Saved<Value> saved(net, memory, 0);
  std::vector<Sums> parts;
  for (Count part = 0; gradients != nullptr && part < std::max<Count>(net.threads, 1); ++part) parts.emplace_back(net);
  std::vector<Count> chosen;
  Rows rows{net.rows, nullptr};
  if (gradients == nullptr) {
    chosen = concerned(net, output_gradients);
    rows = {static_cast<Count>(chosen.size()), chosen.data()};
    std::fill_n(input_gradients, net.rows * net.widths[0], 0.0f);
  }
  share(rows.count, net, [&](Count part, Count first, Count last) {
    Sums* sums = parts.empty() ? nullptr : &parts[part];
    Backwards<Products>(net, packed, saved, rows, sums).run(output_gradients, input_gradients, first, last);
  });
  if (gradients != nullptr) put_gradients(net, parts, gradients);
}

}  // namespace pitaya

extern "C" {

// Asks Linux for what the products need; 0 if this process may use them.
int pitaya_prepare() {
#if defined(__AMX_BF16__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  return static_cast<int>(syscall(SYS_arch_prctl, kRequestPermission, kTileData));
#else
  return 0;
#endif
}

// Whether products are made on tiles.
int pitaya_has_tiles() {
#if defined(__AMX_BF16__)
  return 1;
#else
  return 0;
#endif
}

std::int64_t pitaya_saved_bytes(const pitaya::Network* net) {
  const std::int64_t once = pitaya::Saved<pitaya::Value>(*net, nullptr, 0).bytes();
  return net->kept ? once : once * std::max<std::int64_t>(net->threads, 1);
}

void pitaya_forward(const pitaya::Network* net, const float* inputs, void* saved, float* outputs) {
  pitaya::forward(*net, inputs, saved, outputs);
}

void pitaya_backward(const pitaya::Network* net, void* saved, const float* output_gradients, float* input_gradients,
                     float* const* gradients) {
  pitaya::backward(*net, saved, output_gradients, input_gradients, gradients);
}
}
