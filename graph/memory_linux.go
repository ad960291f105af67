package graph

import (
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// UsableMemory is the memory in bytes that the program could take at most: the
// machine's or, in a container, what its control group may have; 0 where it is
// not known.
func UsableMemory() int64 {
	limit := groupMemory(os.DirFS("/"))
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		if limit == math.MaxInt64 {
			return 0
		}
		return limit
	}
	return min(limit, int64(uint64(info.Totalram)*uint64(info.Unit)))
}

// groupMemory is the least limit of memory of the process's control groups, of
// either version, [math.MaxInt64] without one. See cgroups(7); within a container
// the groups above it are not seen, and need not be.
func groupMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(groups)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number:controllers:path
		if len(fields) != 3 {
			continue
		}
		folder, file := "sys/fs/cgroup", "memory.max"
		if fields[1] != "" {
			folder, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
			if fields[1] != "memory" {
				continue
			}
		}
		// A group may have no more than those that it is in.
		for group := path.Clean("/" + fields[2]); ; group = path.Dir(group) {
			text, err := fs.ReadFile(root, path.Join(folder, group, file))
			if n, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && bad == nil && n > 0 {
				least = min(least, n)
			}
			if group == "/" {
				break
			}
		}
	}
	return least
}
