package main

import (
	"strings"
	"testing"
)

// TestScheduled: each scheduler's variables give the share, and what they leave open is
// asked for.
func TestScheduled(t *testing.T) {
	for _, c := range []struct {
		name         string
		variables    map[string]string
		asked        int
		index, count int
		want         string // of the source, or of the error
	}{
		{"Slurm from 0", map[string]string{"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "8", "SLURM_ARRAY_TASK_STEP": "1"}, 0, 4, 8, "Slurm (SLURM_ARRAY_TASK_ID=3)"},
		{"Slurm in steps", map[string]string{"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "4"}, 0, 3, 3, "Slurm"},
		{"Slurm with gaps", map[string]string{"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "1"}, 0, 0, 0, "SLURM_ARRAY_TASK_ID=7 is none of 3 numbers from 1"},
		{"Slurm without a number", map[string]string{"SLURM_ARRAY_TASK_ID": "x", "SLURM_ARRAY_TASK_COUNT": "3"}, 0, 0, 0, `"x", which is no number`},
		{"AWS", map[string]string{"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}, 0, 1, 2, "AWS Batch"},
		{"AWS, without its size", map[string]string{"AWS_BATCH_JOB_ARRAY_INDEX": "1"}, 2, 2, 2, "AWS Batch"},
		{"AWS, contradicted", map[string]string{"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ARRAY_SIZE": "2"}, 3, 0, 0, "AWS_BATCH_JOB_ARRAY_SIZE is 2, and --shards 3"},
		{"Google", map[string]string{"BATCH_TASK_INDEX": "4", "BATCH_TASK_COUNT": "5"}, 0, 5, 5, "Google Batch"},
		{"Kubernetes", map[string]string{"JOB_COMPLETION_INDEX": "2"}, 4, 3, 4, "Kubernetes"},
		{"Kubernetes, of how many?", map[string]string{"JOB_COMPLETION_INDEX": "2"}, 0, 0, 0, "says which share this is (JOB_COMPLETION_INDEX=2), and not of how many"},
		{"Kubernetes, beyond", map[string]string{"JOB_COMPLETION_INDEX": "4"}, 4, 0, 0, "is none of 4 numbers from 0"},
		{"PBS", map[string]string{"PBS_ARRAY_INDEX": "4"}, 4, 4, 4, "PBS"},
		{"PBS from 0", map[string]string{"PBS_ARRAY_INDEX": "0"}, 4, 0, 0, "is none of 4 numbers from 1"},
		{"two", map[string]string{"PBS_ARRAY_INDEX": "1", "JOB_COMPLETION_INDEX": "1"}, 4, 0, 0, "both JOB_COMPLETION_INDEX and PBS_ARRAY_INDEX are set"},
		{"none", nil, 4, 0, 0, "this is no task of an array job"},
	} {
		index, count, source, err := scheduled(func(name string) string { return c.variables[name] }, c.asked)
		if err != nil {
			source = err.Error()
		}
		if index != c.index || count != c.count || (err != nil) != (c.count == 0) || !strings.Contains(source, c.want) {
			t.Errorf("%s: share %d of %d, %q, want %d of %d, %q", c.name, index, count, source, c.index, c.count, c.want)
		}
	}
}
