#include "exec/buffer.h"

#include <cstdlib>
#include <cstring>
#include <new>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#define CK_HAVE_MMAP 1
#endif

namespace convkit {
namespace {

constexpr int64_t kHuge = 2 << 20;

#if CK_HAVE_MMAP
// Pages of the system, which are zeros until they are written to; null if there are none.
void* map_pages(std::size_t bytes) {
  // As much more as the alignment may cost, and that is given back.
  constexpr auto kSlack = static_cast<std::size_t>(kHuge);
  void* const mapped =
      mmap(nullptr, bytes + kSlack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(mapped);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(mapped) % kSlack;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + bytes, kSlack - before);
#if defined(MADV_HUGEPAGE)
  madvise(begin + before, bytes, MADV_HUGEPAGE);
#endif
  return begin + before;
}
#endif

}  // namespace

Buffer::Buffer(int64_t bytes) : bytes_(bytes) {
  if (bytes < 0 || bytes > INT64_MAX - 2 * kHuge) throw std::bad_alloc();
  const int64_t alignment = bytes >= kHuge ? kHuge : 64;
  const int64_t rounded = (bytes + alignment - 1) / alignment * alignment;
  if (rounded == 0) return;
  const auto size = static_cast<std::size_t>(rounded);
#if CK_HAVE_MMAP
  if (alignment == kHuge) {
    data_ = map_pages(size);
    if (!data_) throw std::bad_alloc();
    mapped_ = size;
    return;
  }
#endif
  data_ = std::aligned_alloc(static_cast<std::size_t>(alignment), size);
  if (!data_) throw std::bad_alloc();
  std::memset(data_, 0, size);
}

Buffer::~Buffer() {
#if CK_HAVE_MMAP
  if (mapped_ > 0) {
    munmap(data_, mapped_);
    return;
  }
#endif
  std::free(data_);
}

}  // namespace convkit
