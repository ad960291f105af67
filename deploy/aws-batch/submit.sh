#!/bin/sh
# Submits a check that N tasks of AWS Batch share, and the job that merges what they
# measure, once all have ended well:
#
#   aws batch register-job-definition --cli-input-json file://job-definition.json
#   ./submit.sh QUEUE N
#
# An array has at least two tasks. --shard auto takes index and number from the variables
# that AWS Batch sets.
set -eu
queue=$1 shares=$2
job=$(aws batch submit-job --job-name modeldoctor-shares --job-queue "$queue" --job-definition modeldoctor \
  --array-properties "size=$shares" --query jobId --output text)
aws batch submit-job --job-name modeldoctor-merge --job-queue "$queue" --job-definition modeldoctor \
  --depends-on "jobId=$job" \
  --container-overrides '{"command": ["merge", "--format", "text,json=/work/report.json", "/work/parts"]}' \
  --query jobId --output text
