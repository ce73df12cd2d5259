// Addition, batch normalisation and ReLU in training, on the CPU, with as few passes over memory as possible.
//
// Features are channels_last, so a pixel is a row of channels. They are read in blocks that stay in the cache for the two loops
// of their mean and variance. Blocks are combined in order, so that sums do not depend on the number of threads.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>
#include <vector>

#include "caught.h"

// One function for each instruction set; the loader chooses.
#if defined(__x86_64__) && defined(__linux__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#define INLINED [[gnu::always_inline]] inline

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Values of a block: 64 KiB of float32, which fit the second-level cache of one core.
constexpr int64_t kBlockValues = 16384;

struct Brain {
  uint16_t bits;
};

INLINED float wide(float value) { return value; }
INLINED float wide(Brain value) {
  uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float wide;
  std::memcpy(&wide, &bits, sizeof wide);
  return wide;
}

INLINED void store(float& place, float value) { place = value; }
// To the nearest, ties to even; NaN stays NaN.
INLINED void store(Brain& place, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  place.bits = static_cast<uint16_t>(value != value ? 0x7fc0 : rounded);
}

// Adds `added` to `x`, if given, then computes the mean of each channel and the sum of squared deviations from it.
template <typename T>
INLINED void moments(T* __restrict x, const T* __restrict added, int64_t rows, int64_t channels,
                     float* __restrict mean, float* __restrict squares) {
  if (added) {
    for (int64_t i = 0; i < rows * channels; ++i) store(x[i], wide(x[i]) + wide(added[i]));
  }
  std::fill(mean, mean + channels, 0.f);
  std::fill(squares, squares + channels, 0.f);
  for (int64_t row = 0; row < rows; ++row) {
    const T* values = x + row * channels;
    for (int64_t c = 0; c < channels; ++c) mean[c] += wide(values[c]);
  }
  for (int64_t c = 0; c < channels; ++c) mean[c] /= static_cast<float>(rows);
  for (int64_t row = 0; row < rows; ++row) {
    const T* values = x + row * channels;
    for (int64_t c = 0; c < channels; ++c) {
      float deviation = wide(values[c]) - mean[c];
      squares[c] += deviation * deviation;
    }
  }
}

// y = relu(slope * x + offset); NaN stays NaN.
template <typename T>
INLINED void activate(const T* __restrict x, int64_t rows, int64_t channels, const float* __restrict slope,
                      const float* __restrict offset, T* __restrict y) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      int64_t i = row * channels + c;
      float value = wide(x[i]) * slope[c] + offset[c];
      store(y[i], value < 0 ? 0 : value);
    }
  }
}

// The gradient before the ReLU.
template <typename T>
INLINED float passed(T x, T gradient, float slope, float offset) {
  return wide(x) * slope + offset > 0 ? wide(gradient) : 0;
}

// Sums over the rows of the gradient g before the ReLU, and of g * (x - mean).
template <typename T>
INLINED void gradient_sums(const T* __restrict x, const T* __restrict gradient, int64_t rows, int64_t channels,
                           const float* __restrict slope, const float* __restrict offset,
                           const float* __restrict mean, float* __restrict sums, float* __restrict products) {
  std::fill(sums, sums + channels, 0.f);
  std::fill(products, products + channels, 0.f);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      int64_t i = row * channels + c;
      float value = passed(x[i], gradient[i], slope[c], offset[c]);
      sums[c] += value;
      products[c] += value * (wide(x[i]) - mean[c]);
    }
  }
}

// The gradient with respect to x: slope * g + constant + linear * (x - mean), plus `added`, if given.
template <typename T>
INLINED void gradient_by_input(const T* __restrict x, const T* __restrict gradient, const T* __restrict added,
                               int64_t rows, int64_t channels, const float* __restrict slope,
                               const float* __restrict offset, const float* __restrict mean,
                               const float* __restrict constant, const float* __restrict linear,
                               T* __restrict result) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < channels; ++c) {
      int64_t i = row * channels + c;
      float value = passed(x[i], gradient[i], slope[c], offset[c]) * slope[c] + constant[c] +
                    linear[c] * (wide(x[i]) - mean[c]);
      store(result[i], added ? value + wide(added[i]) : value);
    }
  }
}

#define FOR_TYPE(T)                                                                                                  \
  FOR_EACH_PROCESSOR void run_moments(T* x, const T* added, int64_t rows, int64_t channels, float* mean,             \
                                      float* squares) {                                                              \
    moments(x, added, rows, channels, mean, squares);                                                                \
  }                                                                                                                  \
  FOR_EACH_PROCESSOR void run_activate(const T* x, int64_t rows, int64_t channels, const float* slope,               \
                                       const float* offset, T* y) {                                                  \
    activate(x, rows, channels, slope, offset, y);                                                                   \
  }                                                                                                                  \
  FOR_EACH_PROCESSOR void run_gradient_sums(const T* x, const T* gradient, int64_t rows, int64_t channels,           \
                                            const float* slope, const float* offset, const float* mean, float* sums, \
                                            float* products) {                                                       \
    gradient_sums(x, gradient, rows, channels, slope, offset, mean, sums, products);                                 \
  }                                                                                                                  \
  FOR_EACH_PROCESSOR void run_gradient_by_input(                                                                     \
      const T* x, const T* gradient, const T* added, int64_t rows, int64_t channels, const float* slope,             \
      const float* offset, const float* mean, const float* constant, const float* linear, T* result) {               \
    gradient_by_input(x, gradient, added, rows, channels, slope, offset, mean, constant, linear, result);            \
  }
FOR_TYPE(float)
FOR_TYPE(Brain)

// The rows of a tensor, in blocks.
struct Blocks {
  int64_t rows, channels, per_block, count;

  explicit Blocks(const at::Tensor& x)
      : rows(x.numel() / x.size(1)),
        channels(x.size(1)),
        per_block(std::max<int64_t>(1, kBlockValues / channels)),
        count((rows + per_block - 1) / per_block) {}

  int64_t rows_of(int64_t block) const { return std::min(per_block, rows - block * per_block); }

  // Calls `work(block, first value, rows)` for each block.
  template <typename Work>
  void each(const Work& work) const {
    at::parallel_for(0, count, 1, [&](int64_t from, int64_t to) {
      for (int64_t block = from; block < to; ++block) work(block, block * per_block * channels, rows_of(block));
    });
  }
};

// Calls `work` with the type of the values of `x`.
template <typename Work>
void by_type(const at::Tensor& x, const Work& work) {
  if (x.scalar_type() == at::kBFloat16) {
    work(static_cast<Brain*>(nullptr));
  } else {
    work(static_cast<float*>(nullptr));
  }
}

// The values from `first`; null if there is no tensor.
template <typename T>
T* values(const at::Tensor& x, int64_t first) {
  return x.defined() ? static_cast<T*>(x.data_ptr()) + first : nullptr;
}

void expect(const at::Tensor& x) {
  bool fits = x.device().is_cpu() && x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
              (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
  TORCH_CHECK(fits, "expected channels_last float32 or bfloat16 tensors on the CPU, found ", x.toString(), " ", x.sizes(),
              " with strides ", x.strides());
}

struct NormRelu : torch::autograd::Function<NormRelu> {
  static variable_list forward(AutogradContext* ctx, const at::Tensor& x, const std::optional<at::Tensor>& optional,
                               const at::Tensor& scale, const at::Tensor& shift, const at::Tensor& running_mean,
                               const at::Tensor& running_var, double momentum, double eps) {
    at::Tensor added = optional ? *optional : at::Tensor();
    expect(x);
    if (added.defined()) {
      expect(added);
      TORCH_CHECK(added.sizes() == x.sizes() && added.scalar_type() == x.scalar_type(), "x and added differ: ",
                  x.toString(), " ", x.sizes(), " and ", added.toString(), " ", added.sizes());
    }
    Blocks blocks(x);
    int64_t channels = blocks.channels;
    for (const auto& constant : {scale, shift, running_mean, running_var}) {
      TORCH_CHECK(constant.is_contiguous() && constant.numel() == channels && constant.scalar_type() == at::kFloat,
                  "expected ", channels, " float32 values, one per channel, found ", constant.toString(), " ",
                  constant.sizes());
    }
    TORCH_CHECK(blocks.rows > 1, "expected more than one value per channel in training, found ", x.sizes());

    // For each block: means, then squares.
    std::vector<float> partial(2 * channels * blocks.count);
    by_type(x, [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      blocks.each([&](int64_t block, int64_t first, int64_t rows) {
        float* means = partial.data() + 2 * channels * block;
        run_moments(values<T>(x, first), values<T>(added, first), rows, channels, means, means + channels);
      });
    });
    std::vector<double> mean(channels), squares(channels);
    double before = 0;
    for (int64_t block = 0; block < blocks.count; ++block) {
      // T. F. Chan, G. H. Golub and R. J. LeVeque, "Updating formulae and a pairwise algorithm", 1979.
      double rows = blocks.rows_of(block), share = rows / (before + rows);
      const float* means = partial.data() + 2 * channels * block;
      for (int64_t c = 0; c < channels; ++c) {
        double difference = means[c] - mean[c];
        mean[c] += difference * share;
        squares[c] += means[channels + c] + difference * difference * before * share;
      }
      before += rows;
    }

    // For each channel: slope, offset and mean in float32, as used in the loops, and 1 / standard deviation.
    at::Tensor constants = at::empty({4, channels}, scale.options());
    float *slope = constants.data_ptr<float>(), *offset = slope + channels, *centre = offset + channels,
          *inverse = centre + channels;
    const float *scales = scale.const_data_ptr<float>(), *shifts = shift.const_data_ptr<float>();
    float *means = running_mean.data_ptr<float>(), *vars = running_var.data_ptr<float>();
    for (int64_t c = 0; c < channels; ++c) {
      double deviation = std::sqrt(squares[c] / blocks.rows + eps);
      inverse[c] = static_cast<float>(1 / deviation);
      slope[c] = static_cast<float>(scales[c] / deviation);
      offset[c] = static_cast<float>(shifts[c] - mean[c] * scales[c] / deviation);
      centre[c] = static_cast<float>(mean[c]);
      means[c] += static_cast<float>(momentum * (mean[c] - means[c]));
      vars[c] += static_cast<float>(momentum * (squares[c] / (blocks.rows - 1) - vars[c]));
    }

    at::Tensor y = at::empty_like(x);
    by_type(x, [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      blocks.each([&](int64_t, int64_t first, int64_t rows) {
        run_activate(values<T>(x, first), rows, channels, slope, offset, values<T>(y, first));
      });
    });
    ctx->save_for_backward({x, constants});
    ctx->set_materialize_grads(false);
    if (!added.defined()) return {y};
    ctx->mark_dirty({x});
    return {y, x};
  }

  // `gradients`: with respect to y, and to the sum if that is used elsewhere.
  static variable_list backward(AutogradContext* ctx, const variable_list& gradients) {
    auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &constants = saved[1];
    bool has_sum = gradients.size() == 2;
    TORCH_CHECK(gradients[0].defined(), "the gradient of the activation is missing");
    at::Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast), by_sum;
    if (has_sum && gradients[1].defined()) by_sum = gradients[1].contiguous(at::MemoryFormat::ChannelsLast);
    Blocks blocks(x);
    int64_t channels = blocks.channels;
    const float *slope = constants.const_data_ptr<float>(), *offset = slope + channels, *centre = offset + channels,
                *inverse = centre + channels;

    // For each block: sums, then products.
    std::vector<float> partial(2 * channels * blocks.count);
    by_type(x, [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      blocks.each([&](int64_t block, int64_t first, int64_t rows) {
        float* sums = partial.data() + 2 * channels * block;
        run_gradient_sums(values<T>(x, first), values<T>(gradient, first), rows, channels, slope, offset, centre, sums,
                          sums + channels);
      });
    });
    std::vector<double> sums(2 * channels);
    for (int64_t block = 0; block < blocks.count; ++block) {
      for (int64_t c = 0; c < 2 * channels; ++c) sums[c] += partial[2 * channels * block + c];
    }
    at::Tensor by_scale = at::empty({channels}, constants.options()), by_shift = at::empty_like(by_scale);
    std::vector<float> constant(channels), linear(channels);
    for (int64_t c = 0; c < channels; ++c) {
      double sum = sums[c], product = sums[channels + c] * inverse[c];
      by_shift.data_ptr<float>()[c] = static_cast<float>(sum);
      by_scale.data_ptr<float>()[c] = static_cast<float>(product);
      constant[c] = static_cast<float>(-slope[c] * sum / blocks.rows);
      linear[c] = static_cast<float>(-slope[c] * inverse[c] * product / blocks.rows);
    }

    at::Tensor by_x = at::empty_like(x);
    by_type(x, [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      blocks.each([&](int64_t, int64_t first, int64_t rows) {
        run_gradient_by_input(values<T>(x, first), values<T>(gradient, first), values<T>(by_sum, first), rows, channels,
                              slope, offset, centre, constant.data(), linear.data(), values<T>(by_x, first));
      });
    });
    return {by_x, has_sum ? by_x : at::Tensor(), by_scale, by_shift, {}, {}, {}, {}};
  }
};

}  // namespace

extern "C" {

// `relu(batch_norm(x + added))`; `added` may be null, else `x` becomes the sum.
char* malaria_norm_relu(const at::Tensor* x, const at::Tensor* added, const at::Tensor* scale, const at::Tensor* shift,
                        const at::Tensor* mean, const at::Tensor* var, double momentum, double eps, at::Tensor** y) {
  return caught([=] {
    auto optional = added ? std::optional<at::Tensor>(*added) : std::nullopt;
    *y = new at::Tensor(NormRelu::apply(*x, optional, *scale, *shift, *mean, *var, momentum, eps)[0]);
  });
}
}
