// What this machine can run, and which kernels are in use.
#pragma once

#include <string>
#include <vector>

#include "core/isa.h"

namespace convkit {

// The best ISA that both this machine and this build have.
Isa best_isa();

// The ISAs that can be made active here, lowest first.
std::vector<Isa> available_isas();

// The ISA whose kernels run: the best one unless CONVKIT_ISA or set_active_isa says otherwise.
// Throws std::runtime_error when CONVKIT_ISA is not one of available_isas().
Isa active_isa();

// Throws std::runtime_error when the machine or the build lacks it.
void set_active_isa(Isa isa);

// Throws std::runtime_error, listing the choices, for a name that is unknown or unavailable here.
Isa parse_isa(const std::string& name);

// For example "AMD EPYC 9B45"; empty where the system does not tell.
std::string cpu_model_name();

// CPUs that this process may use: the affinity mask, cut down to the cgroup quota rounded up.
// Containers limit by quota, which std::thread::hardware_concurrency() does not see.
int usable_cpus();

// What CONVKIT_NUM_THREADS says, else OMP_NUM_THREADS, else usable_cpus(); at most `most`. Throws
// std::runtime_error when the former is not a number from 1 to `most`.
int default_num_threads(int most);

}  // namespace convkit
