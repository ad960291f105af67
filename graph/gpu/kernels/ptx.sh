#!/bin/sh
# Compiles src/kernels.cu to kernels.ptx with nvcc (CUDA 12 or 13, found by $NVCC or on the path)
# for compute capability 7.5, and checks with ptxas, if there is one, that it assembles for newer
# ones. The PTX names the version of the instruction set that nvcc writes, which older drivers
# refuse; the kernels need nothing newer than 6.3.
set -eu
cd "$(dirname "$0")"
nvcc=${NVCC:-nvcc}
"$nvcc" -ptx -arch=compute_75 -O3 -fmad=false -o kernels.tmp "$@" src/kernels.cu
{
  echo "// SHA-256 of src: $(cat $(ls src/* | LC_ALL=C sort) | sha256sum | cut -d' ' -f1)"
  echo "// Compiled by nvcc, $("$nvcc" --version | sed -n 's/.*\(release .*\)/\1/p')"
  sed -e 's/^\.version .*/.version 6.3/' -e '/^\/\//d' kernels.tmp
} >kernels.ptx
rm kernels.tmp
ptxas=${PTXAS:-ptxas}
if command -v "$ptxas" >/dev/null; then
  for sm in 75 80 86 89 90; do
    "$ptxas" -arch=sm_$sm -v -o /dev/null kernels.ptx 2>&1 |
      awk -v sm=$sm '/Used/ { for (i = 1; i < NF; i++) if ($i == "Used" && $(i+1) > most) most = $(i+1) }
        /spill/ && !/0 bytes spill stores/ { spills++ }
        /error|fatal/ { print; bad = 1 }
        END { printf "sm_%s: at most %d registers, %d kernels with spills\n", sm, most, spills; exit bad }'
  done
fi
