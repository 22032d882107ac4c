#include "cuda/placed_call.h"

#include <utility>

#include "cuda/executor.h"

namespace convkit::cuda {
namespace {

// What an empty operand points to has no bytes.
bool same_memory(const Tensor& a, const Tensor& b) { return a.data == b.data && a.bytes() > 0; }

}  // namespace

PlacedCall::PlacedCall(const Kernel& kernel, std::vector<std::byte> params,
                       std::vector<Tensor> host, const StepBlock& block)
    : kernel_(kernel), params_(std::move(params)), host_(std::move(host)), device_(host_) {
  for (std::size_t i = 0; i < host_.size(); ++i) {
    if (!host_[i].present()) continue;
    std::size_t k = 0;
    while (k < i && !same_memory(host_[k], host_[i])) ++k;
    if (k < i) {
      device_[i].data = device_[k].data;
      continue;
    }
    device_[i].data = place(host_[i].bytes());
    copy_in(device_[i].data, host_[i].data, host_[i].bytes());
  }
  call_.operands = device_.data();
  call_.count = static_cast<int>(device_.size());
  call_.params = params_.data();
  call_.stream = stream_;
  auto* step = static_cast<StepBlock*>(place(sizeof block));
  copy_in(step, &block, sizeof block);
  call_.step = step;
  if (kernel_.workspace)
    call_.workspace = static_cast<std::byte*>(place(kernel_.workspace(call_).bytes()));
}

void* PlacedCall::place(int64_t bytes) {
  return memory_.emplace_back(std::make_unique<Memory>(bytes, MemoryKind::device))->data();
}

void PlacedCall::run() {
  kernel_.run(call_);
  require(cudaGetLastError(), "launch a kernel");
  stream_.synchronize();
  run_count(kernel_).fetch_add(1, std::memory_order_relaxed);
}

void PlacedCall::copy_out_from(std::size_t first) const {
  for (std::size_t i = first; i < host_.size(); ++i)
    if (host_[i].present()) copy_out(host_[i].data, device_[i].data, host_[i].bytes());
}

void PlacedCall::capture(int launches) {
  if (graph_.executable) cudaGraphExecDestroy(std::exchange(graph_.executable, nullptr));
  cudaGraph_t recorded = nullptr;
  require(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "capture a kernel");
  for (int i = 0; i < launches; ++i) kernel_.run(call_);
  require(cudaStreamEndCapture(stream_, &recorded), "capture a kernel");
  const cudaError_t status = cudaGraphInstantiate(&graph_.executable, recorded, 0);
  cudaGraphDestroy(recorded);
  require(status, "make a graph of a kernel");
  launches_ = launches;
}

void PlacedCall::launch() {
  require(cudaGraphLaunch(graph_.executable, stream_), "launch a kernel");
  run_count(kernel_).fetch_add(launches_, std::memory_order_relaxed);
}

double PlacedCall::seconds(int launches) {
  if (launches < 1) throw Error("a kernel is timed over one launch at least");
  if (launches != launches_) {
    capture(launches);
    launch();
  }
  const Event start(true), stop(true);
  start.record(stream_);
  launch();
  stop.record(stream_);
  stop.synchronize();
  return seconds_between(start, stop) / launches;
}

}  // namespace convkit::cuda
