// Work without Python's lock that an interpreter can end in the midst of.
#pragma once

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace convkit::cuda {

// A thread that asks for Python's lock when the interpreter is gone is ended there and then, which
// C++ in between does not survive; and the driver goes, too. So threads that nobody waits for (a
// daemon's `fit`) are held where they are, once the device has done what they had begun.
class Released {
 public:
  Released() {
    if (exiting_) hold();
  }

  // Called now and then by what runs for long.
  static void look() {
    if (exiting_) hold();
  }

  // For atexit, with Python's lock held: when it returns, nobody works any more.
  static void finish() {
    if (getpid() != process_) return;  // a fork has none of the threads
    exiting_ = true;
    const pybind11::gil_scoped_release release;
    for (int i = 0; i < kPatience && count_ > 0; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

 private:
  static constexpr int kPatience = 10000;  // milliseconds

  struct Counted {
    Counted() { ++count_; }
    ~Counted() { --count_; }
  };
  [[noreturn]] static void hold() {
    --count_;
    while (true) std::this_thread::sleep_for(std::chrono::hours(1));
  }

  inline static const pid_t process_ = getpid();
  inline static std::atomic<bool> exiting_{false};
  inline static std::atomic<int> count_{0};

  Counted counted_;  // until the lock is held again
  pybind11::gil_scoped_release release_;
};

}  // namespace convkit::cuda
