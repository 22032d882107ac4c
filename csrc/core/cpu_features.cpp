#include "core/cpu_features.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>

#ifdef __linux__
#include <sched.h>
#endif

namespace convkit {
namespace {

std::atomic<int> g_active{-1};  // -1: not chosen yet

Isa detect_best_isa() {
#if CK_ISA_COUNT == 3
  // GCC's and Clang's builtin read cpuid and, through xgetbv, whether the system saves the
  // registers.
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (avx512) return Isa::avx512;
  if (avx2) return Isa::avx2;
#endif
  return Isa::baseline;
}

std::string choices() {
  std::string text;
  for (Isa isa : available_isas()) text += (text.empty() ? "" : ", ") + std::string(isa_name(isa));
  return text;
}

#ifdef __linux__
std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// CPUs allowed by a cgroup v2 directory, infinity if it sets no limit. "max 100000", "150000
// 100000".
double quota_v2(const std::string& directory) {
  std::istringstream line(first_line(directory + "/cpu.max"));
  double quota = 0, period = 0;
  if (line >> quota >> period && quota > 0 && period > 0) return quota / period;
  return INFINITY;
}

double quota_v1(const std::string& directory) {
  std::istringstream quota_line(first_line(directory + "/cpu.cfs_quota_us"));
  std::istringstream period_line(first_line(directory + "/cpu.cfs_period_us"));
  double quota = 0, period = 0;  // a quota of -1: no limit
  if (quota_line >> quota && period_line >> period && quota > 0 && period > 0) {
    return quota / period;
  }
  return INFINITY;
}

// The tightest limit between a cgroup and its root: every ancestor's quota binds too. Inside a
// container the path in /proc may not exist below the mount point; the root is then ours.
template <class Quota>
double tightest(const std::string& mount, std::string path, Quota quota) {
  double limit = quota(mount);
  while (!path.empty() && path != "/") {
    limit = std::min(limit, quota(mount + path));
    path.erase(path.find_last_of('/'));
  }
  return limit;
}

double cgroup_cpus() {
  double limit = quota_v2("/sys/fs/cgroup");
  std::ifstream groups("/proc/self/cgroup");  // lines "id:controllers:path"; v2 has no controllers
  for (std::string line; std::getline(groups, line);) {
    const size_t a = line.find(':'), b = line.find(':', a + 1);
    if (a == std::string::npos || b == std::string::npos) continue;
    const std::string controllers = line.substr(a + 1, b - a - 1), path = line.substr(b + 1);
    if (path.empty() || path[0] != '/') continue;
    if (controllers.empty()) {
      for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        limit = std::min(limit, tightest(mount, path, quota_v2));
      }
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      for (const char* mount : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
        limit = std::min(limit, tightest(mount, path, quota_v1));
      }
    }
  }
  return limit;
}

int affinity_cpus() {
  // The kernel refuses a mask smaller than its own, so grow it until it fits.
  for (int cpus = 1024; cpus <= (1 << 20); cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set);
    const bool ok = sched_getaffinity(0, bytes, set) == 0;
    const int count = ok ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (ok) return count;
  }
  return static_cast<int>(std::thread::hardware_concurrency());
}
#endif

}  // namespace

Isa best_isa() {
  static const Isa best = detect_best_isa();
  return best;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (int i = 0; i <= static_cast<int>(best_isa()); ++i) isas.push_back(static_cast<Isa>(i));
  return isas;
}

Isa parse_isa(const std::string& name) {
  for (Isa isa : available_isas()) {
    if (name == isa_name(isa)) return isa;
  }
  const bool known =
      std::find(std::begin(kIsaNames), std::end(kIsaNames), name) != std::end(kIsaNames);
  throw std::runtime_error(
      "CONVKIT_ISA: " +
      std::string(known ? "this machine (or this build) has no " : "unknown ISA ") + "'" + name +
      "'; choose one of: " + choices());
}

Isa active_isa() {
  const int active = g_active.load(std::memory_order_relaxed);
  if (active >= 0) return static_cast<Isa>(active);
  const char* forced = std::getenv("CONVKIT_ISA");
  const Isa isa = forced != nullptr && forced[0] != '\0' ? parse_isa(forced) : best_isa();
  int unset = -1;  // a set_active_isa that came in between wins
  g_active.compare_exchange_strong(unset, static_cast<int>(isa));
  return static_cast<Isa>(g_active.load());
}

void set_active_isa(Isa isa) {
  const int value = static_cast<int>(isa);
  if (value < 0 || value > static_cast<int>(best_isa())) {
    const bool known = value >= 0 && value < 3;
    throw std::runtime_error("set_active_isa: not available here: " +
                             std::string(known ? isa_name(isa) : "(not an ISA)") +
                             "; choose one of: " + choices());
  }
  g_active.store(value);
}

std::string cpu_model_name() {
#ifdef __linux__
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
#endif
  return "";
}

int usable_cpus() {
#ifdef __linux__
  const double quota = std::ceil(cgroup_cpus());
  const int cpus = affinity_cpus();
  return std::max(1, quota < cpus ? static_cast<int>(quota) : cpus);
#else
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#endif
}

int default_num_threads(int most) {
  // 0 where the text is no number from 1 to `most`.
  const auto parse = [most](const char* text) {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    const bool ends = end != text && (*end == '\0' || *end == ',');  // OMP_NUM_THREADS=4,2
    return ends && n >= 1 && n <= most ? static_cast<int>(n) : 0;
  };
  const char* own = std::getenv("CONVKIT_NUM_THREADS");
  if (own != nullptr && own[0] != '\0') {
    const int n = parse(own);
    if (n == 0) {
      throw std::runtime_error("CONVKIT_NUM_THREADS is '" + std::string(own) +
                               "'; it must be a number from 1 to " + std::to_string(most));
    }
    return n;
  }
  // Another library's variable: one we cannot read is no reason to fail.
  const char* omp = std::getenv("OMP_NUM_THREADS");
  const int n = omp != nullptr ? parse(omp) : 0;
  return n > 0 ? n : std::min(usable_cpus(), most);
}

}  // namespace convkit
