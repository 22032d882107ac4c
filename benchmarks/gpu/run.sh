#!/bin/bash
# Builds convkit on a machine with a GPU, tests it and measures it, in one call of some 8 minutes:
#
#   OUT=results bash benchmarks/gpu/run.sh [build tests sanitizers kernels steps]
#
# Each part has a time limit and goes on after failures; all of it lands under $OUT, eight files in
# all. Without arguments all parts run; a part that was built before is found again in build/gpu.
# Limits are in seconds and can be set: LIMIT_ALL=480 LIMIT_BUILD=150 LIMIT_TESTS=100
# LIMIT_SANITIZERS=50 LIMIT_KERNELS=90 LIMIT_STEPS=220. Python, CMake, ninja, pybind11 and nvcc have
# to be there, PyTorch and pytest for their parts; wheels of what is missing may lie in .whl/.
# EMULATE=1 tries it out without a GPU, on tiny shapes.
set -u
cd "$(dirname "$0")/../.."
root=$PWD
out=${OUT:-$root/build/gpu-results}
parts=${*:-build tests sanitizers kernels steps}
python=${PYTHON:-$(command -v python3)}
began=$(date +%s)
all=${LIMIT_ALL:-480}
site=$root/build/gpu/site
mkdir -p "$out" build/gpu
summary=$out/summary.md
export PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
emulate=${EMULATE:-}

say() { echo "$*" | tee -a "$summary"; }

left() { echo $((all - $(date +%s) + began)); }

# Interrupts let pytest tell what has failed so far; a shell in the background ignores them.
reset=()
env --default-signal=INT true 2>/dev/null && reset=(env --default-signal=INT)

# limited SECONDS COMMAND...: within its limit and that of all parts.
limited() {
  local limit=$1 rest
  rest=$(left)
  shift
  if [ "$rest" -lt 15 ]; then say "not begun: time is up"; return 125; fi
  timeout -s INT -k 8 "$((limit < rest - 9 ? limit : rest - 9))" "${reset[@]}" "$@"
}

# part NAME SECONDS LOG COMMAND...
part() {
  local name=$1 limit=$2 log=$3 start status
  shift 3
  case " $parts " in *" $name "*) ;; *) return 0 ;; esac
  start=$(date +%s)
  echo "== $name"
  limited "$limit" "$@" >>"$out/$log" 2>&1
  status=$?
  say "- $name: exit $status$([ $status = 124 ] && echo ' (time limit)'), $(($(date +%s) - start)) s, $log"
  return $status
}

if [ -d .whl ]; then
  "$python" -m pip install -q --no-index --no-deps --no-compile --target build/gpu/wheels .whl/*.whl
  export PYTHONPATH=$root/build/gpu/wheels${PYTHONPATH:+:$PYTHONPATH}
fi
for folder in /usr/local/cuda/bin /usr/local/cuda-*/bin /opt/cuda/bin; do
  [ -x "$folder/nvcc" ] && ! command -v nvcc >/dev/null && export PATH=$folder:$PATH
done

facts() {
  echo "# convkit on a GPU"
  echo
  date -u '+%Y-%m-%d %H:%M UTC'
  echo '```'
  uname -srm
  "$python" --version
  command -v cmake ninja nvcc compute-sanitizer gcc g++ cuobjdump
  nvcc --version 2>/dev/null | tail -n 2
  g++ --version 2>/dev/null | head -n 1
  nvidia-smi 2>/dev/null | sed -n 1,16p
  nvidia-smi --query-gpu=name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit \
    --format=csv 2>/dev/null
  "$python" -c 'import pybind11; print("pybind11", pybind11.__version__)'
  "$python" -c 'import torch; print("torch", torch.__version__, torch.backends.cudnn.version())'
  echo '```'
}
facts >"$summary" 2>&1

build() {
  local mode=(-DCONVKIT_CUDA=ON) generator=() folder=build/gpu/cmake${emulate:+-emulated}
  if [ -n "$emulate" ]; then
    mode=(-DCONVKIT_CUDA=EMULATE)
  else
    local capability
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .)
    [ "$capability" = 90 ] && capability=90a
    mode+=("-DCMAKE_CUDA_ARCHITECTURES=${capability:-90a}-real")
  fi
  command -v ninja >/dev/null && generator=(-G Ninja)
  # OpenBLAS's wheel need not be there; another compiler may warn of what ours does not.
  cmake -S . -B "$folder" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release \
    -DCONVKIT_BLAS=OFF -DCMAKE_COMPILE_WARNING_AS_ERROR=OFF "${mode[@]}" \
    -DPython_EXECUTABLE="$python" &&
    cmake --build "$folder" --parallel "$(nproc)" &&
    rm -rf "$site" && mkdir -p "$site" && cp -r python/convkit "$site/" &&
    rm -f "$site"/convkit/*.so &&
    cmake --install "$folder" --prefix "$site" || return
  cuobjdump --dump-resource-usage "$site"/convkit/_cuda*.so 2>/dev/null |
    grep -A1 Function | sed 's/^ *//' | paste - - - | cut -c1-400
  PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH} "$python" -m convkit.cli info
}

# What the emulator takes for granted, asked of the GPU.
checks() {
  local each sources=()
  for each in checks check_numbers check_threads; do sources+=("tests/cuda/emulator/$each.cpp"); done
  nvcc -std=c++20 -arch=native -x cu -Icsrc "${sources[@]}" -o build/gpu/checks && build/gpu/checks
  echo "checks of the emulator on the GPU: exit $?"
}

tests() {
  local workers=() processes=$(($(nproc) < 8 ? $(nproc) : 8))
  cat >build/gpu/pytest.ini <<END
[pytest]
addopts = --import-mode=importlib --strict-markers
pythonpath = $root/tests
markers =
  slow: takes more than a few seconds
  peer: compares with PyTorch
END
  [ -z "$emulate" ] && checks >build/gpu/checks.log 2>&1 &
  "$python" -c 'import xdist' 2>/dev/null && workers=(-n "$processes" --dist worksteal)
  "$python" -m pytest -c build/gpu/pytest.ini --rootdir . -p no:cacheprovider -q -rf --tb=short \
    "${workers[@]}" -k 'cuda and not emulator' -m 'not peer and not slow' ${TESTS:-tests/cuda tests/ops}
  local status=$?
  wait
  [ -f build/gpu/checks.log ] && cat build/gpu/checks.log
  return $status
}

# All four at once: each is slow on its own account, and the GPU has room.
sanitizers() {
  local tool ids=() status=0 limit=$((${LIMIT_SANITIZERS:-50} - 6))
  for tool in memcheck racecheck synccheck initcheck; do
    local command=("$python" benchmarks/gpu/sanitize.py --seconds $((limit - 8)))
    [ -z "$emulate" ] && command=(compute-sanitizer --tool $tool --error-exitcode 9 "${command[@]}")
    timeout -k 3 $limit "${command[@]}" >"build/gpu/$tool.log" 2>&1 &
    ids+=($!)
  done
  for id in "${ids[@]}"; do wait "$id" || status=$?; done
  for tool in memcheck racecheck synccheck initcheck; do
    echo "== $tool"
    head -c 2000000 "build/gpu/$tool.log"
  done
  return $status
}

tiny=()
if [ -n "$emulate" ]; then
  export CONVKIT_CUDA_EMULATOR=1
  tiny=(--device cpu --tiny)
fi
export -f build checks tests sanitizers
export root site python emulate LIMIT_SANITIZERS

part build "${LIMIT_BUILD:-150}" build.log bash -c build
if ! ls "$site"/convkit/_cuda*.so >/dev/null 2>&1; then
  say "no build: nothing else can run"
  tail -n 40 "$out/build.log"
  exit 1
fi
export PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
part tests "${LIMIT_TESTS:-100}" tests.log bash -c tests
part sanitizers "${LIMIT_SANITIZERS:-50}" sanitizers.log bash -c sanitizers
part kernels "${LIMIT_KERNELS:-90}" summary.md "$python" benchmarks/gpu/kernels.py --out "$out" \
  --seconds $((${LIMIT_KERNELS:-90} - 20)) "${tiny[@]}"
# Last, with what time is left: it writes its record after each case.
part steps "${LIMIT_STEPS:-220}" summary.md "$python" benchmarks/gpu/steps.py --out "$out" \
  --seconds $(($(left) < ${LIMIT_STEPS:-220} ? $(left) - 30 : ${LIMIT_STEPS:-220} - 20)) "${tiny[@]}"
echo "== results in $out"
[ -f "$out/tests.log" ] && tail -n 25 "$out/tests.log"
[ -f "$out/sanitizers.log" ] && grep -E '^==|calls of|ERROR SUMMARY|not run' "$out/sanitizers.log" | head -n 40
tail -n 60 "$summary"
