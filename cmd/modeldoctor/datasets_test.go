package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modeldoctor/modeldoctor/cifar"
)

// TestGetData: the path of a file that was fetched is printed, a second call does
// without the server, and nothing that has another digest is left.
func TestGetData(t *testing.T) {
	content := []byte("an archive")
	digest := sha256.Sum256(content)
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	var stdout, stderr bytes.Buffer
	folder := filepath.Join(t.TempDir(), "cache")
	opt := dataCommandOptions{
		get:    &cifar.Archive{Name: "small", File: "small.tar.gz", Size: int64(len(content)), SHA256: hex.EncodeToString(digest[:])},
		source: server.URL, folder: folder, printed: &stdout, run: runOptions{console: newConsole(&stderr, true)},
	}
	path := filepath.Join(folder, "small.tar.gz")
	for range 2 {
		stdout.Reset()
		if err := data(context.Background(), opt); err != nil {
			t.Fatal(err)
		}
		if got := stdout.String(); got != path+"\n" {
			t.Errorf("printed %q, expected %q", got, path)
		}
	}
	if requests != 1 {
		t.Errorf("%d requests, expected 1", requests)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
		t.Errorf("file holds %q, error %v", got, err)
	}

	opt.get.File, content = "other.tar.gz", []byte("an Archive")
	var own *failure
	err := data(context.Background(), opt)
	if !errors.As(err, &own) || exitCode(err) != exitUnreadable || !strings.Contains(own.hint, "--source") {
		t.Errorf("another digest: error %v, exit status %d", err, exitCode(err))
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Errorf("left in the folder: %v", left)
	}
}

// TestArchives: digests are written as they are compared.
func TestArchives(t *testing.T) {
	for _, a := range cifar.Archives() {
		if b, err := hex.DecodeString(a.SHA256); err != nil || len(b) != sha256.Size || a.SHA256 != strings.ToLower(a.SHA256) {
			t.Errorf("%s: %q is no SHA-256 in lower case", a.Name, a.SHA256)
		}
	}
}
