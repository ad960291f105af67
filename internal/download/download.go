// Package download fetches a file whose size and digest are known, over
// connections that break: what has arrived is kept and the rest asked for, in the
// same call and in the next.
//
// Until the digest has been found right, the bytes are in a file called
// NAME.part. Every byte is written at its own offset, so that two processes that
// fetch the same file at once do not harm each other.
package download

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// File is a file on the web.
type File struct {
	URL    string
	Size   int64  // in bytes
	SHA256 string // in lower-case hexadecimal digits
}

// attempts is how often a connection that brings nothing is made in a row.
const attempts = 5

const defaultPatience = time.Minute

var errSilent = errors.New("the server has sent nothing")

// partSuffix is what a file's name ends with until its digest has been checked.
const partSuffix = ".part"

// Client fetches files.
type Client struct {
	// HTTP makes the requests; nil is [http.DefaultClient], which takes proxies
	// from the environment (HTTPS_PROXY, NO_PROXY).
	HTTP *http.Client
	// Pause is how long the first wait for another attempt is, and by how much each
	// is longer than the one before; 0: a second.
	Pause time.Duration
	// Patience is for how long a connection may bring nothing before it counts as
	// broken; 0: a minute.
	Patience time.Duration
	// Progress, if not nil, is told how many bytes are there.
	Progress func(done, total int64)
}

// Error is a file that could not be fetched.
type Error struct {
	URL  string
	Msg  string
	hint string
	Err  error // the cause; may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.URL, e.Msg, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.URL, e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }

// Hint returns what the user can do about it.
func (e *Error) Hint() string { return e.hint }

const resumeHint = "run it again: it goes on where it stopped; behind a proxy set HTTPS_PROXY"

// Get puts f at path, whose folder must be there. A file at path that has the right
// digest is left alone; another one is replaced. What a call before has brought is
// not fetched again. An [*Error] says why there is no file; those of the file
// system are of type [*fs.PathError] or [*os.LinkError].
func (c *Client) Get(ctx context.Context, f File, path string) error {
	if there, err := f.isAt(path); err != nil || there {
		return err
	}
	part, err := os.OpenFile(path+partSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer part.Close()
	if err := c.fill(ctx, f, part); err != nil {
		return err
	}
	if err := part.Sync(); err != nil {
		return err
	}
	switch digest, err := digestOf(part); {
	case err != nil:
		return err
	case digest != f.SHA256:
		if err := os.Remove(part.Name()); err != nil {
			return err
		}
		return &Error{
			URL: f.URL, Msg: fmt.Sprintf("the file has the SHA-256 %s, expected %s; it was thrown away", digest, f.SHA256),
			hint: "the file has been changed on its way or at its source: try another network, or another source (--source)",
		}
	}
	if err := os.Rename(part.Name(), path); err != nil {
		if there, _ := f.isAt(path); there { // another process was first
			return nil
		}
		return err
	}
	return nil
}

// isAt reports whether path is the whole file.
func (f File) isAt(path string) (bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != f.Size {
		if err == nil && !info.Mode().IsRegular() {
			err = &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
		}
		return false, err
	}
	digest, err := digestOf(file)
	return digest == f.SHA256, err
}

// digestOf is the SHA-256 of a whole file.
func digestOf(f *os.File) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(f, 0, 1<<62)); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// fill fetches what the part lacks.
func (c *Client) fill(ctx context.Context, f File, part *os.File) error {
	info, err := part.Stat()
	if err != nil {
		return err
	}
	have := info.Size()
	if have > f.Size {
		have = 0
		if err := part.Truncate(0); err != nil {
			return err
		}
	}
	for failures := 0; have < f.Size; {
		reached, err := c.fetch(ctx, f, part, have)
		if err == nil {
			have = reached
			continue
		}
		var answer *Error
		if errors.As(err, &answer) || ctx.Err() != nil {
			return err // asking again would change nothing
		}
		var disk *fs.PathError
		if errors.As(err, &disk) {
			return err
		}
		if failures++; reached > have {
			failures = 1
		}
		have = reached
		if failures == attempts {
			return &Error{URL: f.URL, Msg: fmt.Sprintf("%d of %d bytes are here, and %d connections in a row failed", have, f.Size, attempts), Err: err, hint: resumeHint}
		}
		if err := c.wait(ctx, failures); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) wait(ctx context.Context, failures int) error {
	pause := c.Pause
	if pause == 0 {
		pause = time.Second
	}
	select {
	case <-time.After(time.Duration(failures) * pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fetch asks for the bytes from offset have on, and returns up to where the part
// is filled. An [*Error] is an answer that another attempt would get again.
func (c *Client) fetch(ctx context.Context, f File, part *os.File, have int64) (reached int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := cmp.Or(c.Patience, defaultPatience)
	silence := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer silence.Stop()
	defer func() {
		if err != nil && context.Cause(ctx) == errSilent {
			err = fmt.Errorf("%w for %v", errSilent, patience)
		}
	}()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL, nil)
	if err == nil && !(request.URL.Host != "" && slices.Contains([]string{"http", "https"}, request.URL.Scheme)) {
		err = errors.New("neither http:// nor https://")
	}
	if err != nil {
		return have, &Error{URL: f.URL, Msg: "not an address", Err: err, hint: "give --source an address such as https://example.org/folder"}
	}
	request.Header.Set("Accept-Encoding", "identity") // offsets count the file's own bytes
	if have > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return have, err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusPartialContent && have > 0:
		if _, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-", &reached); err != nil || reached != have {
			return have, &Error{URL: f.URL, Msg: fmt.Sprintf("asked for the bytes from %d on, the server sends %q", have, response.Header.Get("Content-Range")), hint: "remove " + part.Name() + " and run it again"}
		}
	case response.StatusCode == http.StatusOK:
		have = 0 // this server knows no ranges: from the beginning
	case response.StatusCode >= 500, response.StatusCode == http.StatusTooManyRequests:
		return have, errors.New(response.Status)
	default:
		return have, &Error{URL: f.URL, Msg: response.Status, hint: "is the file still there? Another source can be named with --source"}
	}
	if n := response.ContentLength; n >= 0 && have+n != f.Size {
		return have, &Error{URL: f.URL, Msg: fmt.Sprintf("the file has %d bytes, expected %d", have+n, f.Size), hint: "this is another file, or a page of a proxy that wants you to log in"}
	}
	w := &writer{out: io.NewOffsetWriter(part, have), have: have, size: f.Size, progress: func(done, total int64) {
		silence.Reset(patience)
		if c.Progress != nil {
			c.Progress(done, total)
		}
	}}
	_, err = io.Copy(w, io.LimitReader(response.Body, f.Size-have))
	if err == nil && w.have < f.Size {
		err = io.ErrUnexpectedEOF
	}
	return w.have, err
}

// writer counts what it writes.
type writer struct {
	out        io.Writer
	have, size int64
	progress   func(done, total int64)
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.have += int64(n)
	w.progress(w.have, w.size)
	return n, err
}

// CacheFolder is the folder of the user's cache for the program of that name,
// which is made if it is not there.
func CacheFolder(program string) (string, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(base, program)
	return folder, os.MkdirAll(folder, 0o755)
}
