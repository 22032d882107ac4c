// What this machine can do, measured: the yardstick in profiles and benchmarks.
#pragma once

#include <cstdint>

namespace convkit {

// float32 multiply-adds, counted as two, per second of all threads with the active ISA.
double peak_flops(double seconds);

// Bytes read and written per second by all threads, copying between two blocks of `bytes`.
double copy_bandwidth(int64_t bytes, double seconds);

// An estimate of the clock of one core, in cycles per second: a chain of integer products, each of
// which takes three cycles on the processors of the last ten years.
double clock_rate(double seconds);

}  // namespace convkit
