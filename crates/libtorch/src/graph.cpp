// CUDA graphs. They need CUDA's headers, which do not come with every libtorch.
#include "caught.h"

#ifdef MALARIA_CUDA_GRAPHS

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdlib>
#include <memory>

namespace {

// Restores the device and the stream when the recording ends.
struct Graph {
  explicit Graph(c10::DeviceIndex gpu) : gpu_before(c10::cuda::current_device()), before(c10::cuda::getCurrentCUDAStream(gpu)) {
    c10::cuda::set_device(gpu);
    c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, gpu));
  }

  void restore() {
    c10::cuda::setCurrentCUDAStream(before);
    c10::cuda::set_device(gpu_before);
  }

  c10::DeviceIndex gpu_before;
  c10::cuda::CUDAStream before;
  at::cuda::CUDAGraph graph;
};

}  // namespace

extern "C" {

bool malaria_graph_is_supported() { return true; }

char* malaria_graph_begin(int gpu, Graph** graph) {
  return caught([=] {
    auto made = std::make_unique<Graph>(static_cast<c10::DeviceIndex>(gpu));
    try {
      made->graph.capture_begin();
    } catch (...) {
      made->restore();
      throw;
    }
    *graph = made.release();
  });
}

char* malaria_graph_end(Graph* graph) {
  // The capture must end on the stream on which it began.
  char* problem = caught([=] { graph->graph.capture_end(); });
  char* other = caught([=] { graph->restore(); });
  if (!problem) return other;
  free(other);
  return problem;
}

char* malaria_graph_replay(Graph* graph) {
  return caught([=] { graph->graph.replay(); });
}

void malaria_graph_free(Graph* graph) { delete graph; }
}

#else

extern "C" {
bool malaria_graph_is_supported() { return false; }
char* malaria_graph_begin(int, void**) { return strdup("built without CUDA's headers"); }
char* malaria_graph_end(void*) { return strdup("built without CUDA's headers"); }
char* malaria_graph_replay(void*) { return strdup("built without CUDA's headers"); }
void malaria_graph_free(void*) {}
}

#endif
