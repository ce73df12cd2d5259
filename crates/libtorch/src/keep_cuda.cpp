// A reference to libtorch_cuda that no linker may drop: a constructor is a root of its search for live code.
namespace at::cuda {
int warp_size();
}

namespace {
__attribute__((constructor)) void keep_libtorch_cuda() {
  auto function = &at::cuda::warp_size;
  asm volatile("" : : "r"(function));
}
}  // namespace
