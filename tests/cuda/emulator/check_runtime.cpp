// Memory, streams, events, graphs, limits and records.
#include "check.h"
#include "checks.h"

using namespace check;
using namespace convkit;
using namespace convkit::cuda;

namespace {

struct Scale {
  float factor;
  float* x;
  CK_DEVICE void operator()(int64_t i) const { x[i] *= factor; }
};

// Counts the threads of each block, in any shape of grid.
struct CountBlocks {
  static constexpr int kThreads = 96;
  int* counts;
  CK_DEVICE void operator()() const {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    if (blockDim.x == 96 && threadIdx.y == 0) atomicAdd(&counts[block], 1);
  }
};

template <int bytes>
struct Hoard {
  static constexpr int kThreads = 32;
  CK_DEVICE void operator()() const {
    CK_SHARED(char, hoard, [bytes]);
    hoard[threadIdx.x] = 0;
  }
};

struct WriteBehind {
  static constexpr int kThreads = 32;
  float* x;
  CK_DEVICE void operator()() const { x[threadIdx.x + 1] = 0.0f; }
};

void check_memory() {
  const Device<float> x(5), y(std::vector<float>(5, 2.0f));
  for (const float v : x.host()) CHECK(isnan(v));
  CHECK(cudaMemset(x, 0, 20) == cudaSuccess && x.host() == std::vector<float>(5, 0.0f));
  CHECK(cudaMemcpy(x, y, 12, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK((x.host() == std::vector<float>{2, 2, 2, 0, 0}));
  float host[8] = {};
  CHECK(cudaMemcpy(host, x, 24, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host, y, 20, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(x, host, 20, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(cudaFree(host) == cudaErrorInvalidValue && cudaFree(nullptr) == cudaSuccess);
  cudaGetLastError();

  const emulator::MemoryUse before = emulator::memory_in_use();
  emulator::set_memory(before.bytes + 1000);
  void *first = nullptr, *second = nullptr;
  std::size_t free = 0, total = 0;
  CHECK(cudaMalloc(&first, 600) == cudaSuccess);
  CHECK(cudaMalloc(&second, 600) == cudaErrorMemoryAllocation && second == nullptr);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess && free == 400);
  CHECK(cudaFree(first) == cudaSuccess && cudaMallocManaged(&first, 1000) == cudaSuccess);
  CHECK(cudaFree(first) == cudaSuccess);
  CHECK(emulator::memory_in_use().bytes == before.bytes);
  emulator::set_memory(std::size_t{8} << 30);
  CHECK(cudaMallocHost(&first, 64) == cudaSuccess && cudaFree(first) == cudaErrorInvalidValue);
  CHECK(cudaFreeHost(first) == cudaSuccess);
  cudaGetLastError();
}

void check_copies_on_streams() {
  cudaStream_t stream = nullptr, reader = nullptr;
  cudaEvent_t copied = nullptr;
  CHECK(cudaStreamCreate(&stream) == cudaSuccess && cudaStreamCreate(&reader) == cudaSuccess);
  cudaEventCreate(&copied);
  CHECK(cudaStreamWaitEvent(reader, copied) == cudaErrorInvalidValue);
  CHECK(cudaEventSynchronize(copied) == cudaErrorInvalidValue);
  cudaGetLastError();
  float* pinned = nullptr;
  cudaMallocHost(&pinned, 8);
  const Device<float> x(std::vector<float>{1, 1});
  const auto send = [&](float value) {
    pinned[0] = pinned[1] = value;
    CHECK(cudaMemcpyAsync(x, pinned, 8, cudaMemcpyHostToDevice, stream) == cudaSuccess);
  };
  send(2);
  for_each(Call{reader}, 1, Scale{2.0f, x});
  CHECK(isnan(x.host()[0]));  // it did not wait
  CHECK(cudaEventRecord(copied, stream) == cudaSuccess);
  pinned[1] = 3;  // nor did this
  CHECK(cudaStreamWaitEvent(reader, copied) == cudaSuccess);
  for_each(Call{reader}, 2, Scale{2.0f, x});
  CHECK((x.host() == std::vector<float>{4, 6}));
  send(5);
  for_each(Call{stream}, 1, Scale{2.0f, x});  // behind it on the same stream
  CHECK((x.host() == std::vector<float>{10, 5}));
  send(7);
  CHECK(cudaEventSynchronize(copied) == cudaSuccess && isnan(x.host()[1]));  // of before
  CHECK(cudaStreamSynchronize(stream) == cudaSuccess && x.host()[1] == 7);
  send(8);
  CHECK(cudaFreeHost(pinned) == cudaSuccess && x.host()[1] == 8);
  cudaEventDestroy(copied);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(reader);
}

void check_grids() {
  for (const dim3 grid : {dim3(7), dim3(2, 3), dim3(5, 4, 4)}) {
    const int blocks = static_cast<int>(grid.x * grid.y * grid.z);
    const Device<int> counts(std::vector<int>(blocks, 0));
    launch(Call{}, grid, CountBlocks{counts});
    CHECK(counts.host() == std::vector<int>(blocks, 96));
  }
  for (const int64_t n : {0, 1, 255, 256, 257, 5000}) {
    const Device<float> x(std::vector<float>(n + 1, 1.0f));
    for_each(Call{}, n, Scale{3.0f, x});
    std::vector<float> wanted(n + 1, 3.0f);
    wanted[n] = 1.0f;
    CHECK(x.host() == wanted);
  }
}

void check_halted() {
  const Device<float> x(std::vector<float>{1.0f});
  for (const int flag : {0, 1}) {
    const Device<int> halted(std::vector<int>{flag});
    for_each(Call{nullptr, halted}, 1, Scale{2.0f, x});
    CHECK(x.host()[0] == 2.0f);
  }
}

void check_graphs() {
  cudaStream_t stream = nullptr, side = nullptr;
  cudaEvent_t fork = nullptr, join = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  CHECK(cudaStreamCreate(&side) == cudaSuccess);
  cudaEventCreate(&fork);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  const Device<float> x(std::vector<float>{1, 1}), y(2);
  const Device<int> halted(std::vector<int>{0});
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  float factor = 2.0f;
  for_each(Call{stream, halted}, 2, Scale{factor, x});
  factor = 100.0f;  // a graph keeps what was given
  cudaEventRecord(fork, stream);
  cudaStreamWaitEvent(side, fork);
  CHECK(cudaMemcpyAsync(y, x, 8, cudaMemcpyDeviceToDevice, side) == cudaSuccess);
  cudaEventRecord(join, side);
  cudaStreamWaitEvent(stream, join);
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CHECK(cudaStreamIsCapturing(side, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  CHECK(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(x.host()[0] == 1.0f);  // nothing was run
  for (int i = 0; i < 3; ++i) CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess);
  CHECK((x.host() == std::vector<float>{8, 8}) && y.host() == x.host());
  const int one = 1;
  cudaMemcpy(halted, &one, sizeof one, cudaMemcpyHostToDevice);
  CHECK(cudaGraphLaunch(executable, stream) == cudaSuccess && x.host()[1] == 8.0f);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);

  // What waits ends a capture.
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 4) == cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  CHECK_SAYS(error_of([&] { for_each(Call{stream}, 2, Scale{1.0f, x}); }), "during capture");
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);

  float milliseconds = -1.0f;
  cudaEvent_t begin = nullptr, end = nullptr;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  cudaEventRecord(begin, stream);
  cudaEventRecord(end, stream);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end) == cudaSuccess && milliseconds >= 0.0f);
  CHECK(cudaEventElapsedTime(&milliseconds, begin, join) == cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {fork, join, begin, end}) cudaEventDestroy(event);
  CHECK(cudaStreamDestroy(side) == cudaSuccess && cudaStreamDestroy(stream) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

void check_limits() {
  const Device<int> counts(1);
  const auto refused = [&](dim3 grid) {
    return error_of([&] { launch(Call{}, grid, CountBlocks{counts}); });
  };
  CHECK_SAYS(refused(dim3(1, 65536)), "kernel CountBlocks: a grid of (1, 65536, 1) blocks");
  CHECK_SAYS(refused(dim3(1, 1, 65536)), "65535");
  CHECK_SAYS(refused(dim3(2147483648u)), "2147483647");
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);

  const auto hoards = [&](auto kernel, std::size_t dynamic) {
    return error_of([&] { launch(Call{}, dim3(1), kernel, dynamic); });
  };
  CHECK(hoards(Hoard<49152>{}, 0) == "");
  CHECK_SAYS(hoards(Hoard<49153>{}, 0), "Hoard<49153>");
  CHECK_SAYS(hoards(Hoard<49153>{}, 0), "use CK_DYN_SHARED");
  const struct {
    int architecture;
    std::size_t most;
  } limits[] = {{75, 64}, {80, 163}, {86, 99}, {89, 99}, {90, 227}, {100, 227}, {120, 99}};
  for (const auto& [architecture, most] : limits) {
    emulator::set_architecture(architecture);
    cudaDeviceProp properties;
    CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
    CHECK(properties.sharedMemPerBlockOptin == most * 1024);
    CHECK(10 * properties.major + properties.minor == architecture);
    CHECK(hoards(Hoard<1024>{}, (most - 1) * 1024) == "");
    CHECK_SAYS(hoards(Hoard<1024>{}, (most - 1) * 1024 + 1), "static and dynamic shared memory");
    CHECK_SAYS(hoards(Hoard<1024>{}, most * 1024 + 1), "bytes of dynamic shared memory, and sm_");
  }
  CHECK_SAYS(error_of([] { emulator::set_architecture(70); }), "no architecture sm_70");
  emulator::set_architecture(90);
  cudaGetLastError();
}

void check_records() {
  emulator::forget_launches();
  launch(Call{}, dim3(2, 3), Hoard<100>{}, 64);
  launch(Call{}, dim3(0), Hoard<100>{});  // nothing
  CHECK(emulator::launch_count() == 1 && emulator::launches().size() == 1);
  const emulator::LaunchRecord record = emulator::launches()[0];
  CHECK(emulator::kernel_name(record.signature) == "Hoard<100>");
  CHECK(record.grid.x == 2 && record.grid.y == 3 && record.threads == 32);
  CHECK(record.static_shared == 112 && record.dynamic_shared == 64);
}

}  // namespace

void check_runtime() {
  check_memory();
  check_copies_on_streams();
  check_grids();
  check_halted();
  check_graphs();
  check_limits();
  check_records();
#if !defined(__SANITIZE_ADDRESS__)  // which would end the process
  const Device<float> x(32);
  CHECK_SAYS(error_of([&] { launch(Call{}, dim3(1), WriteBehind{x}); }),
             "kernel WriteBehind: a write behind the end of 128 bytes of device memory");
  CHECK(error_of([&] { launch(Call{}, dim3(1), Hoard<100>{}); }) == "");
#endif
}
