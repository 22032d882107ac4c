// Data on its way to the device, block by block: while kernels read one, others are copied.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "cuda/device.h"

namespace convkit::cuda {

// As much memory of the host, which is pinned, as of the device. A byte goes from its place in the
// one to the same place in the other, with the block that it belongs to, by a stream for copies.
//
// Of each block, in turn: `wait`, write the host's memory, `send`; then `begin` and `end` around
// whatever reads it on the device. Threads may be at different blocks.
class Staging {
 public:
  // Throws std::bad_alloc where one of both has no such memory.
  Staging(int64_t bytes, int blocks);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void* host() const { return host_.data(); }
  void* device() const { return device_.data(); }
  int64_t bytes() const { return device_.bytes(); }

  // Waits until what was sent of a block has been copied, and the host's memory is free.
  void wait(int block) const;
  // Copies stretches, each an offset and a size, once nothing reads the block any more.
  void send(int block, const std::vector<std::pair<int64_t, int64_t>>& stretches);
  // What is put on a stream from now on waits for the copy of a block.
  void begin(int block, cudaStream_t reader) const;
  // The next copy of a block waits for what has been put on a stream by now.
  void end(int block, cudaStream_t reader);

 private:
  struct Block {
    Event sent, read;
    bool was_sent = false, was_read = false;  // an event of nothing is not waited for
  };
  const Block& at(int block) const;

  Pinned host_;
  Memory device_;
  std::vector<Block> blocks_;
  Stream copies_;
};

}  // namespace convkit::cuda
