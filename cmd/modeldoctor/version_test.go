package main

import (
	"runtime/debug"
	"testing"
)

// TestVersion lists what Go 1.26 calls the main module in every way of building
// the program, and what we print.
func TestVersion(t *testing.T) {
	for _, c := range []struct{ built, main, want string }{
		{"a tagged clone", "v1.2.3", "v1.2.3"},
		{"the same, with changes", "v1.2.3+dirty", "v1.2.3+dirty"},
		{"a tag before the release", "v1.3.0-rc.1", "v1.3.0-rc.1"},
		{"a clone without tags", "v0.0.0-20261126140831-9b05ff844324", "9b05ff844324"},
		{"the same, with changes", "v0.0.0-20261126140831-9b05ff844324+dirty", "9b05ff844324+dirty"},
		{"a commit after a tag", "v1.2.4-0.20261126140832-d29781665042", "d29781665042"},
		{"a commit after a tag before the release", "v1.3.0-rc.1.0.20261126140832-d29781665042", "d29781665042"},
		{"go install MODULE@v1.2.3, or @latest", "v1.2.3", "v1.2.3"},
		{"go install MODULE@main, of a commit without a tag", "v1.2.4-0.20261126140000-0123456789ab", "0123456789ab"},
		{"go run, -buildvcs=false, outside of a repository", "(devel)", "(devel)"},
		{"a test", "", "(devel)"},
	} {
		if got := versionOf(&debug.BuildInfo{Main: debug.Module{Version: c.main}}); got != c.want {
			t.Errorf("%s: %q is printed as %q, want %q", c.built, c.main, got, c.want)
		}
	}
}

// TestReleased: what the linker was told goes before what Go knows.
func TestReleased(t *testing.T) {
	released = "v1.2.3"
	defer func() { released = "" }()
	if got := version(); got != released {
		t.Errorf("%q, want %q", got, released)
	}
}
