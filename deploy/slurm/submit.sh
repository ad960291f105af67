#!/bin/bash
# Submits a check that several machines share, and the job that merges what they measure:
#
#   PARTS=/shared/parts REPORT=/shared/report.json ./submit.sh --array=1-16 -- \
#     --data /shared/images --preprocess imagenet /shared/model.onnx
#
# What stands before -- is for sbatch, what stands behind for modeldoctor check. The folder
# PARTS must be seen by all nodes. The merge waits until all shares have ended well.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
slurm=()
while [ $# -gt 0 ] && [ "$1" != "--" ]; do
  slurm+=("$1")
  shift
done
[ $# -gt 0 ] && shift

job=$(sbatch --parsable "${slurm[@]}" "$here/check.sbatch" "$@")
merge=$(sbatch --parsable --dependency="afterok:$job" "$here/merge.sbatch")
echo "$job $merge"
