// Functions of libtorch that tch lacks.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#include <vector>

#include "caught.h"

namespace {

std::vector<at::Tensor> list(const at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> handles;
  handles.reserve(count);
  for (size_t i = 0; i < count; ++i) handles.push_back(*tensors[i]);
  return handles;
}

}  // namespace

extern "C" {

char* malaria_foreach_mul(const at::Tensor* const* tensors, size_t count, const double* factors,
                          at::Tensor** products) {
  return caught([=] {
    std::vector<at::Scalar> scalars(factors, factors + count);
    auto made = at::_foreach_mul(list(tensors, count), scalars);
    for (size_t i = 0; i < count; ++i) products[i] = new at::Tensor(made[i]);
  });
}

char* malaria_foreach_mul_(const at::Tensor* const* tensors, size_t count, double factor) {
  return caught([=] { at::_foreach_mul_(list(tensors, count), factor); });
}

char* malaria_foreach_add_(const at::Tensor* const* tensors, size_t count, const at::Tensor* const* others) {
  return caught([=] { at::_foreach_add_(list(tensors, count), list(others, count)); });
}

char* malaria_foreach_lerp_(const at::Tensor* const* tensors, size_t count, const at::Tensor* const* ends,
                            double weight) {
  return caught([=] { at::_foreach_lerp_(list(tensors, count), list(ends, count), weight); });
}

// Copies from pinned memory, whose allocator waits for the copy before it reuses the memory.
char* malaria_to_gpu(const at::Tensor* tensor, int gpu, at::Tensor** copy) {
  return caught([=] {
    auto device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(gpu));
    *copy = new at::Tensor(tensor->pin_memory().to(device, /*non_blocking=*/true));
  });
}

// The number of threads is a property of each thread, but libtorch's function also sets the number with which other threads
// start.
void malaria_compute_alone() {
#ifdef _OPENMP
  at::get_num_threads();  // On first use, a thread takes the number of the process.
  omp_set_num_threads(1);
#else
  at::set_num_threads(1);
#endif
}

void malaria_allow_tf32(bool allowed) {
  at::globalContext().setAllowTF32CuDNN(allowed);
  at::globalContext().setAllowTF32CuBLAS(allowed);
}
}
