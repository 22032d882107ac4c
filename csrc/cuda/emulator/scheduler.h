// What the emulator's pieces share: a launch, and what its threads ask of the scheduler.
//
// A launch runs on one thread of the operating system. Blocks run one after another in a random
// order; the threads of a block are fibers, and which of them runs next, whenever one waits or
// returns, is drawn at random from those that can. The draw depends on the seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <vector>

#include "cuda/emulator/types.h"

namespace convkit::emulator {

using Site = std::source_location;

// A kernel whose arguments are a copy, as a graph keeps them.
struct Launch {
  const char* kernel = "";  // as signature() gives it
  dim3 grid;
  int threads = 1;
  std::size_t dynamic_shared = 0;
  const int* halted = nullptr;
  void (*body)(const void* arguments) = nullptr;

  void set_arguments(const void* data, std::size_t bytes) {
    arguments_.resize(bytes / sizeof(Chunk) + 1);
    std::memcpy(arguments_.data(), data, bytes);
  }
  const void* arguments() const { return arguments_.data(); }

 private:
  struct alignas(16) Chunk {
    std::byte bytes[16];
  };
  std::vector<Chunk> arguments_;
};

// The name of a type, inside of the compiler's name of this function.
template <class K>
const char* signature() {
  return __PRETTY_FUNCTION__;
}

// Runs it, or adds it to the graph that the stream captures. Throws Error if the launch is beyond a
// limit or a thread does what it must not.
void launch(const Launch& launch, cudaStream_t stream);
void run(const Launch& launch);

// ---- for threads of a kernel

// Ends the launch with an Error that names the kernel and the block.
[[noreturn]] void fail(const char* what, const Site& site);

// Shared memory of the block: NaN until it is written.
struct SharedArray {
  const char* name;
  std::size_t bytes;
  void* data = nullptr;
  uint64_t block = 0;  // the one that data belongs to
};
void* shared(SharedArray& array);
void* dynamic_shared();

void block_barrier(const char* what, const Site& site);
// A barrier that also counts the threads whose predicate holds.
int block_barrier_count(const char* what, bool predicate, const Site& site);

// Lanes of a warp meet, and the last to come runs `function` for all of them. Memory is ordered by
// __syncwarp only.
struct Lanes {
  unsigned mask = 0;
  unsigned present = 0;  // of the mask; the last warp of a block may have fewer than 32 lanes
  const void* in[32] = {};
  void* out[32] = {};
  Site site;
};
using WarpFunction = void (*)(const Lanes& lanes);
void warp_meet(const char* what, unsigned mask, const Site& site, WarpFunction function,
               const void* in, void* out);
void warp_barrier(unsigned mask, const Site& site);
int lane();

// Another thread may run; a loop that can only spin is an error.
void spin();

void fence();
void before_atomic(void* address);
void after_atomic(void* address);

// An asynchronous copy: poison now, data at the wait that covers its group.
void copy_async(void* shared, const void* global, int bytes, bool valid, const Site& site);
void commit_copies();
void wait_for_copies(int groups_left);

// A barrier in shared memory: arrivals that are still wanted, and phases that are complete.
void mbarrier_init(uint64_t* barrier, int arrivals);
void mbarrier_arrive(uint64_t* barrier, const Site& site);
bool mbarrier_passed(uint64_t* barrier, unsigned parity, const Site& site);

// What memory a thread is seen to touch where code that no sanitizer looks into does it.
void note_read(const void* address, int bytes);
void note_write(void* address, int bytes);

}  // namespace convkit::emulator
