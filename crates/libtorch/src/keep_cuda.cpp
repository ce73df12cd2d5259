// A reference to libtorch_cuda that linkers keep because it is in a constructor.
namespace at::cuda {
int warp_size();
}

namespace {
__attribute__((constructor)) void keep_libtorch_cuda() {
  auto function = &at::cuda::warp_size;
  asm volatile("" : : "r"(function));
}
}  // namespace
