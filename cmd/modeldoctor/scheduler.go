package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// categoryShards is what --help calls the flags of shardFlags.
const categoryShards = "Several machines"

// shardFlags divide a check among several machines.
func shardFlags() []cli.Flag {
	return []cli.Flag{
		shardFlag("measure only share I of N of the layers, and write that for `modeldoctor merge`"),
		shardsFlag(),
		stringFlag(categoryShards, "parts", "DIR", "parts", "folder that shares are written to, and gone on from after an interruption"),
		&cli.BoolFlag{Name: "dry-run", Category: categoryShards, DisableDefaultText: true, Usage: "with --shard, measure nothing: show which layers each share has, and what it costs"},
	}
}

func shardFlag(help string) cli.Flag {
	return stringFlag(categoryShards, "shard", "I/N", "", help+"; auto: I and N as the scheduler says (Slurm, Kubernetes, AWS Batch, Google Batch, PBS)")
}

func shardsFlag() cli.Flag {
	return intFlag(categoryShards, "shards", "N", "how many shares there are, for --shard auto where the scheduler does not say")
}

// shardOptions say which share of a command's work is done. The zero value is all of it.
type shardOptions struct {
	index, count int // from 1; count is 0 where there are no shares
	source       string
	parts        string // folder
	dryRun       bool
}

// maxShares is more than any model has layers worth a machine each.
const maxShares = 10_000

// readShardOptions reads the flags of shardFlags.
func readShardOptions(c *cli.Context) (o shardOptions, err error) {
	o.parts, o.dryRun = c.String("parts"), c.Bool("dry-run")
	const hint = "such as --shard 2/8, or --shard auto in an array job"
	count := c.Int("shards")
	if count < 0 || count > maxShares {
		return o, usage("--shards: %d is not between 1 and %d", count, maxShares)
	}
	switch text := c.String("shard"); {
	case text == "" && o.dryRun:
		return o, usage("--dry-run: there is no --shard to plan").withHint(hint)
	case text == "":
		return shardOptions{}, nil
	case text == "auto":
		o.index, o.count, o.source, err = scheduled(os.Getenv, count)
		return o, err
	default:
		index, of, both := strings.Cut(text, "/")
		i, err1 := strconv.Atoi(strings.TrimSpace(index))
		n, err2 := strconv.Atoi(strings.TrimSpace(of))
		if !both || err1 != nil || err2 != nil || i < 1 || i > n || n > maxShares {
			return o, usage("--shard: %q is no share I of N, 1/N to N/N", text).withHint(hint)
		}
		if count != 0 && count != n {
			return o, usage("--shard: %s, and --shards is %d", text, count).withHint("leave --shards out: it is for --shard auto")
		}
		o.index, o.count = i, n
		return o, nil
	}
}

// A scheduler numbers the tasks of an array job in variables of the environment.
type scheduler struct {
	name          string
	index         string // variable
	first         string // variable of the lowest index; empty: it is base
	base          int
	step          string // variable of the difference between two indices; empty: 1
	count         string // variable of the number of tasks; empty: nothing says it
	documentation string
}

// schedulers are those that --shard auto knows, by the variables that they document.
var schedulers = []scheduler{
	{name: "Slurm", index: "SLURM_ARRAY_TASK_ID", first: "SLURM_ARRAY_TASK_MIN", step: "SLURM_ARRAY_TASK_STEP", count: "SLURM_ARRAY_TASK_COUNT", documentation: "https://slurm.schedmd.com/job_array.html"},
	{name: "AWS Batch", index: "AWS_BATCH_JOB_ARRAY_INDEX", count: "AWS_BATCH_JOB_ARRAY_SIZE", documentation: "https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html"},
	{name: "Google Batch", index: "BATCH_TASK_INDEX", count: "BATCH_TASK_COUNT", documentation: "https://cloud.google.com/batch/docs/create-run-job"},
	{name: "Kubernetes", index: "JOB_COMPLETION_INDEX", documentation: "https://kubernetes.io/docs/concepts/workloads/controllers/job/"},
	{name: "PBS", index: "PBS_ARRAY_INDEX", base: 1, documentation: "OpenPBS, qsub -J 1-N"},
}

// scheduled is the share of this task, from 1, and how many there are, as the scheduler
// says whose variables are set. asked is the number from --shards; 0: not given.
func scheduled(variable func(string) string, asked int) (index, count int, source string, err error) {
	var found []scheduler
	for _, s := range schedulers {
		if variable(s.index) != "" {
			found = append(found, s)
		}
	}
	const hint = "name the share itself: --shard I/N"
	switch len(found) {
	case 0:
		var names []string
		for _, s := range schedulers {
			names = append(names, s.index)
		}
		return 0, 0, "", usage("--shard auto: this is no task of an array job: none of %s is set", strings.Join(names, ", ")).withHint(hint)
	case 1:
	default:
		return 0, 0, "", usage("--shard auto: both %s and %s are set", found[0].index, found[1].index).withHint(hint)
	}
	s := found[0]
	number := func(name string, otherwise int) int {
		text := variable(name)
		if name == "" || text == "" {
			return otherwise
		}
		n, problem := strconv.Atoi(text)
		if problem != nil && err == nil {
			err = usage("--shard auto: %s is %q, which is no number", name, text).withHint(hint)
		}
		return n
	}
	position := number(s.index, 0) - number(s.first, s.base)
	step := number(s.step, 1)
	count = number(s.count, asked)
	switch {
	case err != nil:
		return 0, 0, "", err
	case count == 0:
		return 0, 0, "", usage("--shard auto: %s says which share this is (%s=%s), and not of how many", s.name, s.index, variable(s.index)).withHint("give their number with --shards N or MODELDOCTOR_SHARDS=N")
	case count > maxShares:
		return 0, 0, "", usage("--shard auto: %s has %d tasks, more than %d", s.name, count, maxShares).withHint(hint)
	case asked != 0 && asked != count:
		return 0, 0, "", usage("--shard auto: %s is %d, and --shards %d", s.count, count, asked).withHint("leave --shards out")
	case step < 1 || position%step != 0 || position < 0 || position/step >= count:
		return 0, 0, "", usage("--shard auto: %s=%s is none of %d numbers from %d", s.index, variable(s.index), count, number(s.first, s.base)).withHint("number the tasks without gaps, from %d", s.base)
	}
	return position/step + 1, count, fmt.Sprintf("%s (%s=%s)", s.name, s.index, variable(s.index)), nil
}
