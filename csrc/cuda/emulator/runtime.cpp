// Streams, events, graphs and errors.
#include "cuda/emulator/runtime.h"

#include <string>

#include "cuda/emulator/scheduler.h"
#include "cuda/emulator/state.h"

namespace convkit::emulator {

Runtime& runtime() {
  static Runtime instance;
  return instance;
}

cudaError_t kept(cudaError_t error) {
  if (error != cudaSuccess) runtime().last_error = error;
  return error;
}

CUstream_st* known(cudaStream_t stream) {
  Runtime& r = runtime();
  if (stream == nullptr) return &r.null_stream;
  return r.streams.count(stream) != 0 ? stream : nullptr;
}

bool forbidden() {
  Runtime& r = runtime();
  if (r.captures == 0) return false;
  for (cudaStream_t stream : r.streams)
    if (stream->capture != nullptr && !stream->capture->relaxed) stream->capture->spoiled = true;
  return true;
}

void Late::finish(std::size_t until) {
  for (; done < until && !copies.empty(); ++done) {
    copies.front()();
    copies.pop_front();
  }
}

void finish_all() {
  Runtime& r = runtime();
  r.null_stream.late->finish(r.null_stream.late->end());
  for (cudaStream_t stream : r.streams) stream->late->finish(stream->late->end());
}

cudaError_t put(cudaStream_t stream, std::function<void()> work) {
  const std::lock_guard lock(runtime().lock);
  CUstream_st* const s = known(stream);
  if (s == nullptr) return kept(cudaErrorInvalidResourceHandle);
  if (s->capture == nullptr) {
    s->late->finish(s->late->end());
    work();
    return cudaSuccess;
  }
  if (s->capture->spoiled) return kept(cudaErrorStreamCaptureInvalidated);
  s->capture->graph->work.push_back(std::move(work));
  return cudaSuccess;
}

void launch(const Launch& launch, cudaStream_t stream) {
  const dim3 g = launch.grid;
  if (g.x == 0 || g.y == 0 || g.z == 0) return;
  const auto refuse = [&](const std::string& text) {
    kept(cudaErrorInvalidConfiguration);
    throw Error("kernel " + kernel_name(launch.kernel) + ": " + text);
  };
  if (g.x > 2147483647u || g.y > 65535 || g.z > 65535)
    refuse("a grid of (" + std::to_string(g.x) + ", " + std::to_string(g.y) + ", " +
           std::to_string(g.z) + ") blocks, and (2147483647, 65535, 65535) is the most");
  if (launch.threads < 1 || launch.threads > 1024)
    refuse("a block of " + std::to_string(launch.threads) + " threads, and 1024 is the most");
  if (launch.dynamic_shared > architecture_limits().shared)
    refuse(std::to_string(launch.dynamic_shared) + " bytes of dynamic shared memory, and " +
           architecture_name() + " has " + std::to_string(architecture_limits().shared));
  const cudaError_t status = put(stream, [launch] {
    try {
      run(launch);
      if (const std::size_t bytes = overrun_block(); bytes != 0)
        throw Error("kernel " + kernel_name(launch.kernel) + ": a write behind the end of " +
                    std::to_string(bytes) + " bytes of device memory");
    } catch (const Error&) {
      kept(cudaErrorLaunchFailure);
      throw;
    }
  });
  if (status != cudaSuccess)
    throw Error("kernel " + kernel_name(launch.kernel) + ": " + cudaGetErrorString(status));
}

}  // namespace convkit::emulator

using namespace convkit::emulator;

// ---- errors

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define CK_NAME(name) \
  case name:          \
    return #name;
    CK_NAME(cudaSuccess)
    CK_NAME(cudaErrorInvalidValue)
    CK_NAME(cudaErrorMemoryAllocation)
    CK_NAME(cudaErrorInvalidConfiguration)
    CK_NAME(cudaErrorInsufficientDriver)
    CK_NAME(cudaErrorNoDevice)
    CK_NAME(cudaErrorInvalidDevice)
    CK_NAME(cudaErrorInvalidResourceHandle)
    CK_NAME(cudaErrorNotReady)
    CK_NAME(cudaErrorIllegalAddress)
    CK_NAME(cudaErrorLaunchFailure)
    CK_NAME(cudaErrorStreamCaptureUnsupported)
    CK_NAME(cudaErrorStreamCaptureInvalidated)
    CK_NAME(cudaErrorStreamCaptureUnjoined)
#undef CK_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidResourceHandle:
      return "invalid resource handle";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaPeekAtLastError() { return runtime().last_error; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = runtime().last_error;
  runtime().last_error = cudaSuccess;
  return error;
}

// ---- streams and events

namespace {

cudaError_t synchronize(bool capturing) {
  return capturing || forbidden() ? kept(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

// CUDA lets those pass that wait for an event of nothing; here it is an error, as it must be one of
// the program.
bool is_of_something(cudaEvent_t event) { return event->recorded || !event->capture.expired(); }

}  // namespace

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(runtime().lock);
  const cudaError_t status = synchronize(false);
  if (status == cudaSuccess) finish_all();
  return status;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  const std::lock_guard lock(runtime().lock);
  *stream = new CUstream_st;
  runtime().streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(runtime().lock);
  if (runtime().streams.erase(stream) == 0) return kept(cudaErrorInvalidResourceHandle);
  stream->late->finish(stream->late->end());
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(runtime().lock);
  const CUstream_st* const s = known(stream);
  if (s == nullptr) return kept(cudaErrorInvalidResourceHandle);
  if (s->capture != nullptr) s->capture->spoiled = true;
  const cudaError_t status = synchronize(s->capture != nullptr);
  if (status == cudaSuccess) s->late->finish(s->late->end());
  return status;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) { return cudaStreamSynchronize(stream); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard lock(runtime().lock);
  const CUstream_st* const s = known(stream);
  if (s == nullptr || event == nullptr) return kept(cudaErrorInvalidResourceHandle);
  event->capture = s->capture;
  event->recorded = s->capture == nullptr;
  event->late = s->late;
  event->until = s->late->end();
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}

// A stream that waits for an event of a capture joins it; work is listed in the order of the calls.
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned /*flags*/) {
  const std::lock_guard lock(runtime().lock);
  CUstream_st* const s = known(stream);
  if (s == nullptr || event == nullptr) return kept(cudaErrorInvalidResourceHandle);
  if (!is_of_something(event)) return kept(cudaErrorInvalidValue);
  if (event->recorded) event->late->finish(event->until);
  if (auto capture = event->capture.lock()) s->capture = std::move(capture);
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(runtime().lock);
  if (!is_of_something(event)) return kept(cudaErrorInvalidValue);
  const cudaError_t status = synchronize(!event->capture.expired());
  if (status == cudaSuccess && event->recorded) event->late->finish(event->until);
  return status;
}

cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  if (!begin->recorded || !end->recorded || !begin->timed || !end->timed)
    return kept(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}

// ---- graphs

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.lock);
  CUstream_st* const s = known(stream);
  if (s == nullptr) return kept(cudaErrorInvalidResourceHandle);
  if (stream == nullptr || s->capture != nullptr) return kept(cudaErrorStreamCaptureUnsupported);
  s->capture = std::make_shared<Capture>();
  s->capture->origin = stream;
  s->capture->relaxed = mode == cudaStreamCaptureModeRelaxed;
  if (!s->capture->relaxed) ++r.captures;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Runtime& r = runtime();
  const std::lock_guard lock(r.lock);
  *graph = nullptr;
  CUstream_st* const s = known(stream);
  if (s == nullptr || s->capture == nullptr || s->capture->origin != stream)
    return kept(cudaErrorInvalidValue);
  const std::shared_ptr<Capture> capture = s->capture;
  if (!capture->relaxed) --r.captures;
  for (cudaStream_t other : r.streams)
    if (other->capture == capture) other->capture = nullptr;
  if (capture->spoiled) return kept(cudaErrorStreamCaptureInvalidated);
  *graph = capture->graph.release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(runtime().lock);
  const CUstream_st* const s = known(stream);
  if (s == nullptr) return kept(cudaErrorInvalidResourceHandle);
  *status = s->capture == nullptr ? cudaStreamCaptureStatusNone
            : s->capture->spoiled ? cudaStreamCaptureStatusInvalidated
                                  : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
  if (graph == nullptr) return kept(cudaErrorInvalidValue);
  *executable = new CUgraphExec_st{graph->work};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t /*stream*/) {
  return executable == nullptr ? kept(cudaErrorInvalidValue) : cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (executable == nullptr) return kept(cudaErrorInvalidValue);
  return put(stream, [executable] {
    for (const auto& work : executable->work) work();
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
