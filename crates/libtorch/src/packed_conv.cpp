// Convolutions of oneDNN with packed kernels: operators for PyTorch's compiler, called through the dispatcher, since libtorch's
// headers declare no C++ functions for them.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>
#include <string_view>

#include "caught.h"

namespace {

using at::IntArrayRef;
using at::Tensor;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Words = std::optional<std::string_view>;
using Pack = Tensor(const Tensor&, IntArrayRef, IntArrayRef, IntArrayRef, int64_t, at::OptionalIntArrayRef);
using Convolve = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, IntArrayRef, IntArrayRef, IntArrayRef,
                        int64_t, std::string_view, Scalars, Words);
using ConvolveOnto = Tensor&(Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&, IntArrayRef, IntArrayRef,
                             IntArrayRef, int64_t, std::string_view, std::optional<at::Scalar>, Words, Scalars, Words);

constexpr int64_t kDilation[] = {1, 1};

auto schema(const char* name, const char* overload = "") {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
}

const auto& convolve() {
  static const auto found = schema("mkldnn::_convolution_pointwise").typed<Convolve>();
  return found;
}

const auto& convolve_onto() {
  static const auto found = schema("mkldnn::_convolution_pointwise_", "binary").typed<ConvolveOnto>();
  return found;
}

std::optional<Tensor> optional(const Tensor* tensor) {
  return tensor == nullptr ? std::nullopt : std::optional(*tensor);
}

}  // namespace

extern "C" {

char* malaria_pack_kernel(const Tensor* kernel, int64_t stride, const int64_t* input, Tensor** packed) {
  return caught([=] {
    static const auto pack = schema("mkldnn::_reorder_convolution_weight").typed<Pack>();
    // A libtorch whose operators differ is refused here, not in the first convolution.
    convolve();
    convolve_onto();
    const int64_t strides[] = {stride, stride};
    // The padding matters to the layout only of sides smaller than the kernel.
    *packed = new Tensor(pack.call(*kernel, {0, 0}, strides, kDilation, 1, IntArrayRef(input, 4)));
  });
}

char* malaria_convolve(const Tensor* x, const Tensor* kernel, const Tensor* bias, const int64_t* padding,
                       int64_t stride, bool relu, Tensor** y) {
  return caught([=] {
    const int64_t strides[] = {stride, stride};
    *y = new Tensor(convolve().call(*x, *kernel, optional(bias), IntArrayRef(padding, 2), strides, kDilation, 1,
                                    relu ? "relu" : "none", Scalars(), std::nullopt));
  });
}

char* malaria_convolve_onto(Tensor* sum, const Tensor* x, const Tensor* kernel, const Tensor* bias,
                            const int64_t* padding, int64_t stride) {
  return caught([=] {
    const int64_t strides[] = {stride, stride};
    convolve_onto().call(*sum, *x, *kernel, optional(bias), IntArrayRef(padding, 2), strides, kDilation, 1, "add",
                         std::nullopt, std::nullopt, Scalars(), std::nullopt);
  });
}
}
