// checks [seed]: whether the emulator does what CUDA does; prints what does not hold.
#include "checks.h"

#include "check.h"

int main(int count, char** arguments) {
#if CK_CUDA_EMULATED
  if (count > 1) convkit::emulator::seed(std::strtoull(arguments[1], nullptr, 10));
  check_threads();
  check_numbers();
  check_runtime();
  if (count > 2) check_endless_loop();
  const auto left = convkit::emulator::memory_in_use();
  CHECK(left.blocks == 0 && left.bytes == 0);
#else
  static_cast<void>(count), static_cast<void>(arguments);
  check_threads();
  check_numbers();
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
#endif
  return check::failures != 0;
}
