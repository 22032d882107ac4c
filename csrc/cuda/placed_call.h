// One call of a row with all that it needs in device memory: for tests, which look at what it
// gives, and for benchmarks, which run it many times.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "cuda/device.h"
#include "cuda/kernel.h"

namespace convkit::cuda {

class PlacedCall {
 public:
  // Copies operands in host memory to the device; those that share memory do so there, too.
  PlacedCall(const Kernel& kernel, std::vector<std::byte> params, std::vector<Tensor> host,
             const StepBlock& block);
  PlacedCall(const PlacedCall&) = delete;
  PlacedCall& operator=(const PlacedCall&) = delete;

  // Runs the row once, and waits for it.
  void run();

  // Copies operands back to where they came from, from the operand number `first` on.
  void copy_out_from(std::size_t first) const;

  // Seconds of one launch, the mean of so many: they are a graph, as in training, and are timed by
  // events on the device. The first time that a number is asked for, they also run once before.
  double seconds(int launches);

 private:
  struct Graph {
    cudaGraphExec_t executable = nullptr;
    ~Graph() {
      if (executable) cudaGraphExecDestroy(executable);
    }
  };
  void* place(int64_t bytes);
  void capture(int launches);
  void launch();  // the graph

  const Kernel& kernel_;
  std::vector<std::byte> params_;
  std::vector<Tensor> host_, device_;
  std::vector<std::unique_ptr<Memory>> memory_;
  Stream stream_;
  Call call_;
  Graph graph_;
  int launches_ = 0;  // of the graph
};

}  // namespace convkit::cuda
