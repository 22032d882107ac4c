// What this machine can do, measured: the yardstick in profiles and benchmarks.
#pragma once

#include <cstdint>

#include "exec/buffer.h"

namespace convkit {

// float32 multiply-adds, counted as two, per second of all threads with the active ISA.
double peak_flops(double seconds);

// Two blocks to copy between, touched once: a first touch costs more than a copy.
class CopyTest {
 public:
  explicit CopyTest(int64_t bytes);  // of each block
  // Bytes read and written per second by all threads.
  double bandwidth(double seconds) const;

 private:
  template <class Work>
  void on_all_threads(const Work& work) const;
  Buffer from_, to_;
};

// The same, with blocks for this call only.
double copy_bandwidth(int64_t bytes, double seconds);

// An estimate of the clock of one core, in cycles per second: a chain of integer products, each of
// which takes three cycles on the processors of the last ten years.
double clock_rate(double seconds);

}  // namespace convkit
