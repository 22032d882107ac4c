#include "cuda/staging.h"

namespace convkit::cuda {

Staging::Staging(int64_t bytes, int blocks)
    : host_(bytes),
      device_(bytes, MemoryKind::device),
      blocks_(static_cast<std::size_t>(blocks > 0 ? blocks : 0)) {}

// Nothing may be on its way when the memory goes.
Staging::~Staging() { cudaStreamSynchronize(copies_); }

const Staging::Block& Staging::at(int block) const {
  return blocks_.at(static_cast<std::size_t>(block));
}

void Staging::wait(int block) const {
  if (at(block).was_sent) at(block).sent.synchronize();
}

void Staging::send(int block, const std::vector<std::pair<int64_t, int64_t>>& stretches) {
  Block& b = blocks_.at(static_cast<std::size_t>(block));
  if (b.was_read) copies_.wait(b.read);
  for (const auto& [offset, size] : stretches) {
    if (offset < 0 || size < 0 || offset > bytes() - size)
      throw Error("a stretch beyond the end of the memory for data on its way");
    require(cudaMemcpyAsync(static_cast<std::byte*>(device()) + offset,
                            static_cast<const std::byte*>(host()) + offset,
                            static_cast<std::size_t>(size), cudaMemcpyHostToDevice, copies_),
            "copy data to the device");
  }
  b.sent.record(copies_);
  b.was_sent = true;
}

void Staging::begin(int block, cudaStream_t reader) const {
  if (!at(block).was_sent) throw Error("a block is read that was never sent");
  require(cudaStreamWaitEvent(reader, at(block).sent, 0), "wait for data");
}

void Staging::end(int block, cudaStream_t reader) {
  Block& b = blocks_.at(static_cast<std::size_t>(block));
  b.read.record(reader);
  b.was_read = true;
}

}  // namespace convkit::cuda
