// What the runtime keeps. Not for kernels.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "cuda/emulator/emulator.h"
#include "cuda/emulator/runtime.h"

struct CUgraph_st {
  std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
  std::vector<std::function<void()>> work;
};

namespace convkit::emulator {

// A graph in the making, shared by the streams that have joined it.
struct Capture {
  std::unique_ptr<CUgraph_st> graph = std::make_unique<CUgraph_st>();
  cudaStream_t origin = nullptr;
  bool relaxed = false;
  bool spoiled = false;
};

// Copies from pinned memory that a stream has not done yet: they are done as late as may be, so
// that who does not wait for one sees it.
struct Late {
  std::deque<std::function<void()>> copies;
  std::size_t done = 0;  // in all

  std::size_t end() const { return done + copies.size(); }
  void finish(std::size_t until);  // so many in all
};

}  // namespace convkit::emulator

struct CUstream_st {
  std::shared_ptr<convkit::emulator::Capture> capture;
  std::shared_ptr<convkit::emulator::Late> late = std::make_shared<convkit::emulator::Late>();
};
struct CUevent_st {
  bool timed = true;
  bool recorded = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<convkit::emulator::Late> late;      // of the stream that it was recorded on
  std::size_t until = 0;                              // its copies before that
  std::weak_ptr<convkit::emulator::Capture> capture;  // that it was recorded in
};

namespace convkit::emulator {

struct Block {
  std::size_t bytes;
  bool on_device;  // or pinned memory of the host
};

struct Runtime {
  std::recursive_mutex lock;
  cudaError_t last_error = cudaSuccess;
  std::map<unsigned char*, Block> blocks;
  std::size_t memory = std::size_t{8} << 30;
  MemoryUse use;
  std::set<cudaStream_t> streams;
  CUstream_st null_stream;
  int captures = 0;  // that forbid what may synchronise
};

Runtime& runtime();

// Keeps an error for cudaGetLastError.
cudaError_t kept(cudaError_t error);
// Null if there is no such stream.
CUstream_st* known(cudaStream_t stream);
// Whether something captures. What waits for the device, or might, ends a capture with an error.
bool forbidden();
// Does the work at once, or adds it to the graph that the stream captures.
cudaError_t put(cudaStream_t stream, std::function<void()> work);
// Does what all streams have left for later.
void finish_all();

}  // namespace convkit::emulator
