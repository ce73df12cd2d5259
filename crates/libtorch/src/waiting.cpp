// Short waits of OpenMP's threads.
// A waiting thread of libgomp first spins, in case the wait is short, and then sleeps. This is faster if the process has the
// processors to itself; beside other processes, the spinning takes processor time that the awaited thread needs. libgomp spins a
// thousandth as long when it manages more threads than there are processors (GOMP_SPINCOUNT in its manual), hence the idle threads.
#ifdef _OPENMP
#include <omp.h>
#endif

#include <condition_variable>
#include <mutex>
#include <thread>

#include "caught.h"

namespace {

class IdleThreads {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::thread first;

  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return over; });
  }

 public:
  IdleThreads() {
#ifdef _OPENMP
    first = std::thread([this] {
#pragma omp parallel num_threads(omp_get_num_procs() + 1)
      wait();
    });
#endif
  }

  ~IdleThreads() {
    {
      std::unique_lock lock(mutex);
      over = true;
    }
    changed.notify_all();
    if (first.joinable()) first.join();
  }
};

}  // namespace

extern "C" {

char* malaria_short_waits_begin(void** threads) {
  return caught([=] { *threads = new IdleThreads(); });
}

void malaria_short_waits_end(void* threads) { delete static_cast<IdleThreads*>(threads); }
}
