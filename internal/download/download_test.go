package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// content is 300 kB that no short cut could guess.
func content() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, 300_000)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// served is content as a file of a server.
func served(t *testing.T, handler http.HandlerFunc) File {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	digest := sha256.Sum256(content())
	return File{URL: server.URL + "/archive.tar.gz", Size: int64(len(content())), SHA256: hex.EncodeToString(digest[:])}
}

var whole http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content()))
}

// cut sends at most n bytes of an answer and breaks the connection.
func cut(w http.ResponseWriter, r *http.Request, n int) {
	from := 0
	if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
		from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
		w.Header().Set("Content-Range", "bytes "+text+"299999/300000")
		w.Header().Set("Content-Length", strconv.Itoa(300_000-from))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", "300000")
	}
	_, _ = w.Write(content()[from:min(from+n, 300_000)])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func get(t *testing.T, f File, path string) error {
	t.Helper()
	return (&Client{Pause: time.Millisecond}).Get(context.Background(), f, path)
}

func checkContent(t *testing.T, path string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content()) {
		t.Errorf("%d bytes, error %v; expected the file", len(got), err)
	}
	if _, err := os.Stat(path + partSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the part is still there: %v", err)
	}
}

// TestGet: whatever a server does to a connection, the whole file arrives, and no
// byte twice where the server knows ranges.
func TestGet(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		var asked atomic.Int32
		f := served(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); whole(w, r) })
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		for range 2 { // the second call finds the file
			if err := get(t, f, path); err != nil {
				t.Fatal(err)
			}
			checkContent(t, path)
		}
		if asked.Load() != 1 {
			t.Errorf("%d requests, expected 1", asked.Load())
		}
	})
	t.Run("connections that break", func(t *testing.T) {
		sent := 0
		f := served(t, func(w http.ResponseWriter, r *http.Request) { sent += 40_000; cut(w, r, 40_000) })
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		if err := get(t, f, path); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path)
		if sent > 400_000 {
			t.Errorf("%d bytes were sent for 300000", sent)
		}
	})
	t.Run("a server that falls silent", func(t *testing.T) {
		calls := 0
		f := served(t, func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls > 1 {
				whole(w, r)
				return
			}
			w.Header().Set("Content-Length", "300000")
			_, _ = w.Write(content()[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done() // the client has given up
		})
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		if err := (&Client{Pause: time.Millisecond, Patience: 200 * time.Millisecond}).Get(context.Background(), f, path); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path)
	})
	t.Run("no ranges", func(t *testing.T) {
		calls := 0
		f := served(t, func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			if calls++; calls == 1 {
				cut(w, r, 1000)
			}
			whole(w, r)
		})
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		if err := get(t, f, path); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path)
	})
	t.Run("a server that is busy at first", func(t *testing.T) {
		calls := 0
		f := served(t, func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls < 3 {
				http.Error(w, "later", http.StatusServiceUnavailable)
				return
			}
			whole(w, r)
		})
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		if err := get(t, f, path); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path)
	})
	t.Run("a file of another content at its place", func(t *testing.T) {
		f := served(t, whole)
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		if err := os.WriteFile(path, make([]byte, 300_000), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := get(t, f, path); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path)
	})
	t.Run("a part that is too long", func(t *testing.T) {
		f := served(t, whole)
		path := filepath.Join(t.TempDir(), "archive.tar.gz")
		if err := os.WriteFile(path+partSuffix, make([]byte, 300_001), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := get(t, f, path); err != nil {
			t.Fatal(err)
		}
		checkContent(t, path)
	})
}

// TestResume: a call that was stopped leaves what it has, and the next asks for
// the rest only.
func TestResume(t *testing.T) {
	var ranges []string
	f := served(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) > 1 {
			whole(w, r)
			return
		}
		w.Header().Set("Content-Length", "300000")
		_, _ = w.Write(content()[:150_000])
		w.(http.Flusher).Flush()
		<-r.Context().Done() // the rest never comes
	})
	path := filepath.Join(t.TempDir(), "archive.tar.gz")
	ctx, stop := context.WithCancel(context.Background())
	stopping := &Client{Progress: func(done, _ int64) {
		if done == 150_000 {
			stop()
		}
	}}
	if err := stopping.Get(ctx, f, path); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, expected that of a stopped call", err)
	}
	if err := get(t, f, path); err != nil {
		t.Fatal(err)
	}
	checkContent(t, path)
	if want := "bytes=150000-"; ranges[1] != want {
		t.Errorf("asked for %q, expected %q", ranges[1], want)
	}
}

// TestRefused: a file that is not the one that was asked for is never put at its
// place, and the error says what to do.
func TestRefused(t *testing.T) {
	other := content()
	other[123]++
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"another content": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(other))
		}, "it was thrown away"},
		"another size": {func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "please log in") }, "has 13 bytes, expected 300000"},
		"not there":    {http.NotFound, "404 Not Found"},
		"dead":         {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, "5 connections in a row failed"},
		"another range": {func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				cut(w, r, 1000)
			}
			w.Header().Set("Content-Range", "bytes 5-299999/300000")
			w.WriteHeader(http.StatusPartialContent)
		}, "the server sends"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "archive.tar.gz")
			err := get(t, served(t, c.handler), path)
			var refused *Error
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || refused.Hint() == "" {
				t.Errorf("error %v, expected one with %q and a hint", err, c.want)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Error("a file was put there")
			}
		})
	}
	t.Run("no folder", func(t *testing.T) {
		var path *fs.PathError
		if err := get(t, served(t, whole), filepath.Join(t.TempDir(), "none", "archive")); !errors.As(err, &path) {
			t.Errorf("error %v, expected a path's", err)
		}
	})
}

// TestTwoAtOnce: two calls for one file do not harm each other.
func TestTwoAtOnce(t *testing.T) {
	f := served(t, whole)
	path := filepath.Join(t.TempDir(), "archive.tar.gz")
	done := make(chan error)
	for range 2 {
		go func() { done <- get(t, f, path) }()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	checkContent(t, path)
}
