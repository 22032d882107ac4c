#include "exec/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace convkit {

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  constexpr int64_t kHuge = 2 << 20;
  if (bytes < 0 || bytes > INT64_MAX - kHuge) throw std::bad_alloc();
  const int64_t alignment = bytes >= kHuge ? kHuge : 64;
  const int64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded == 0) return;
  data_ =
      std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(rounded));
  if (!data_) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  if (alignment == kHuge) madvise(data_, static_cast<std::size_t>(rounded), MADV_HUGEPAGE);
#endif
  std::memset(data_, 0, static_cast<std::size_t>(rounded));
}

Buffer::~Buffer() { std::free(data_); }

}  // namespace convkit
