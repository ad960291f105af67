package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func decodeFile(path string) (image.Image, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Decode(data)
}

// TestFilesArePillows compares files of every kind that is read with what Pillow's
// convert("RGB") makes of them, sample by sample.
func TestFilesArePillows(t *testing.T) {
	wanted, err := filepath.Glob(filepath.Join("testdata", "files", "*.want"))
	if err != nil || len(wanted) < 21 {
		t.Fatalf("%d files, %v", len(wanted), err)
	}
	for _, path := range wanted {
		name := strings.TrimSuffix(path, ".want")
		want, err := decodeFile(path)
		if err != nil {
			t.Fatal(err)
		}
		img, err := decodeFile(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, b := toPixels(img), toPixels(want)
		if a.w != b.w || a.h != b.h {
			t.Errorf("%s: %d×%d, want %d×%d", name, a.w, a.h, b.w, b.h)
			continue
		}
		for i := range b.rgb {
			if a.rgb[i] != b.rgb[i] {
				t.Errorf("%s: sample %d (x %d, y %d) is %d, want %d", name, i, i/3%b.w, i/3/b.w, a.rgb[i], b.rgb[i])
				break
			}
		}
	}
}

// TestOrientation turns the eight orientations as Pillow's exif_transpose does, and
// only where that is asked for.
func TestOrientation(t *testing.T) {
	type turnedCase struct {
		Orientation, W, H int
		File, RGB         string
	}
	for _, c := range golden[turnedCase](t, "turned.json") {
		file, err1 := base64.StdEncoding.DecodeString(c.File)
		want, err2 := base64.StdEncoding.DecodeString(c.RGB)
		img, err3 := Decode(file)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if got := Orientation(img); got != c.Orientation {
			t.Errorf("orientation %d, want %d", got, c.Orientation)
		}
		p := turn(toPixels(img), Orientation(img))
		if p.w != c.W || p.h != c.H || !bytes.Equal(p.rgb, want) {
			t.Errorf("orientation %d is turned wrongly", c.Orientation)
		}
		as, dst := Preprocess{Size: [2]int{c.H, c.W}, Rescale: 1, Std: [3]float64{1, 1, 1}, EXIF: true}, make([]float32, 3*c.W*c.H)
		if err := as.Apply(img, dst); err != nil || dst[0] != float32(want[0]) {
			t.Errorf("orientation %d: Apply gives %v, %v, want %d", c.Orientation, dst[0], err, want[0])
		}
		plain := Preprocess{Size: [2]int{3, 5}, Rescale: 1, Std: [3]float64{1, 1, 1}}
		if err := plain.Apply(img, dst); err != nil || dst[0] != float32(picture(5, 3).Pix[0]) {
			t.Errorf("orientation %d: without EXIF %v, %v", c.Orientation, dst[0], err)
		}
	}
}

// TestOrientationOfFormats finds it in each container, and in either byte order.
func TestOrientationOfFormats(t *testing.T) {
	little := "II\x2a\x00\x08\x00\x00\x00\x02\x00" + "\x0f\x01\x02\x00\x01\x00\x00\x00A\x00\x00\x00" + "\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + "\x00\x00\x00\x00"
	big := "MM\x00\x2a\x00\x00\x00\x08\x00\x01" + "\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" + "\x00\x00\x00\x00"
	jpeg := func(tiff string) string {
		segment := "Exif\x00\x00" + tiff
		return "\xff\xd8\xff\xe0\x00\x04ab\xff\xe1\x00" + string(byte(len(segment)+2)) + segment + "\xff\xda\x00\x02"
	}
	webp := func(tiff string) string {
		return "RIFF\x00\x00\x00\x00WEBPVP8X\x01\x00\x00\x00a\x00EXIF" + string(byte(len(tiff))) + "\x00\x00\x00" + tiff
	}
	long := strings.Replace(big, "\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00", "\x00\x04\x00\x00\x00\x01\x00\x00\x00\x06", 1)
	xmp := "<rdf:Description xmlns:tiff=\"http://ns.adobe.com/tiff/1.0/\" tiff:Orientation=\"8\"/>"
	inJPEG := func(segment string) string { return "\xff\xe1\x00" + string(byte(len(segment)+2)) + segment }
	jpegXMP := inJPEG("http://ns.adobe.com/xap/1.0/\x00" + xmp)
	png := func(kind, chunk string) string {
		return "\x89PNG\r\n\x1a\n\x00\x00\x00" + string(byte(len(chunk))) + kind + chunk + "sum!"
	}
	digits := "\nexif\n      32\n" + hex.EncodeToString([]byte("Exif\x00\x00"+big)) + "\n"
	var squeezed bytes.Buffer
	z := zlib.NewWriter(&squeezed)
	if _, err := z.Write([]byte(digits)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		data string
		want int
	}{
		"JPEG, 32 bits": {jpeg(long), 6}, "JPEG, stray bytes": {strings.Replace(jpeg(big), "\xff\xe1", "ab\xff\xe1", 1), 6},
		"JPEG, XMP": {"\xff\xd8" + jpegXMP + "\xff\xda\x00\x02", 8}, "JPEG, EXIF before XMP": {"\xff\xd8" + jpegXMP + jpeg(big)[2:], 6},
		"PNG": {png("eXIf", big), 6}, "PNG, XMP": {png("iTXt", "XML:com.adobe.xmp\x00\x00\x00\x00\x00"+strings.Replace(xmp, "=\"8\"/>", ">8<", 1)), 8},
		"PNG, text": {png("tEXt", "Raw profile type exif\x00"+digits), 6}, "PNG, compressed text": {png("zTXt", "Raw profile type exif\x00\x00"+squeezed.String()), 6},
		"PNG, no digits": {png("tEXt", "Raw profile type exif\x00\nexif\n8\nxyz"), 1}, "WebP, XMP": {strings.Replace(webp(xmp), "EXIF", "XMP ", 1), 8},
		"TIFF, little": {little, 6}, "TIFF, big": {big, 6},
		"JPEG, little": {jpeg(little), 6}, "JPEG, big": {jpeg(big), 6},
		"WebP, bare": {webp(little), 6}, "WebP, as JPEG": {webp("Exif\x00\x00" + big), 6},
		"out of range":  {strings.Replace(little, "\x00\x06\x00", "\x00\x09\x00", 1), 1},
		"directory far": {"II\x2a\x00\xff\xff\xff\xff", 1}, "cut": {little[:20], 1}, "short": {"II\x2a\x00", 1}, "none": {"\xff\xd8\xff\xda", 1},
	} {
		if got := storedOrientation([]byte(c.data)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestNotAnImage names what a file is that was saved in place of an image.
func TestNotAnImage(t *testing.T) {
	var buffer bytes.Buffer
	if err := png.Encode(&buffer, picture(40, 40)); err != nil {
		t.Fatal(err)
	}
	whole := buffer.String()
	jpeg, err := os.ReadFile(filepath.Join("testdata", "420.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ data, want string }{
		{"", "an empty file"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "Git LFS pointer"},
		{"<!DOCTYPE html><html>404</html>", "HTML"},
		{"\ufeff\n  <HTML>no such page", "HTML"},
		{"<?xml version=\"1.0\"?><svg/>", "SVG"},
		{"<svg xmlns=\"x\"/>", "SVG"},
		{"not found\n", "text"},
		{"{\"error\": 404}", "text"},
		{strings.Repeat("\x00", 500), "zeros"},
		{"\x00\x00\x00\x18ftypheic", "HEIC"},
		{"\x00\x00\x00\x18ftypavif", "avif"},
		{whole[:len(whole)/2], "a PNG file that is truncated"},
		{whole[:20], "a PNG file that is truncated"},
		{string(jpeg[:len(jpeg)-100]), "a JPEG file that is truncated"},
		{"\xff\xd8\xff", "a JPEG file that"},
		{"GIF89a\x01", "a GIF file that is truncated"},
		{"RIFF\x24\x00\x00\x00WEBPVP8 ", "a WebP file that"},
		{"\x01\x02\x03\x04", "known format"},
		{"\xff\xd8\xff\xc9\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00", "such as arithmetic coding"},
		{"MM\x00\x2b\x00\x08\x00\x00", "BigTIFF"},
		{"RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x07\x00\x00", "it is animated"},
		{tiffWith(t, 273, 266, 2), "reverse order"},
		{tiffWith(t, 284, 284, 2), "separate planes"},
	} {
		img, err := Decode([]byte(c.data))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.30q: got %v, %v, want an error with %q", c.data, img, err, c.want)
		}
	}
	// What a file is called does not matter.
	dir := tree(t, map[string]string{"a/x.png": "*", "a/y.png": "*"})
	for _, name := range []string{"lossy.webp", "palette.gif", "rgb.bmp", "rgb.tiff"} {
		data, err := os.ReadFile(filepath.Join("testdata", "files", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "a", "x.png"), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if set := openSplit(t, dir, All); set.Len() != 2 {
			t.Errorf("%d images", set.Len())
		} else if _, err := set.Image(0); err != nil {
			t.Errorf("%s in a .png: %v", name, err)
		}
	}
}

// tiffWith is the header of a TIFF file of colours, with the tag in place of another
// one.
func tiffWith(t *testing.T, old, tag, value uint16) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "files", "rgb.tiff"))
	if err != nil {
		t.Fatal(err)
	}
	const first, entryBytes = 10, 12
	for entry := first; entry < first+10*entryBytes; entry += entryBytes {
		if field := data[entry:]; binary.LittleEndian.Uint16(field) == old {
			binary.LittleEndian.PutUint16(field, tag)
			binary.LittleEndian.PutUint16(field[8:], value)
			return string(data)
		}
	}
	t.Fatalf("rgb.tiff has no tag %d", old)
	return ""
}

func openSplit(t *testing.T, path, split string) Set {
	t.Helper()
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	set, err := src.Split(split)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestPipesAreNotOpened: a reader of a pipe would wait for ever.
func TestPipesAreNotOpened(t *testing.T) {
	dir := tree(t, map[string]string{"cat/a.png": "*"})
	for _, pipe := range []string{filepath.Join(dir, "cat", "b.png"), filepath.Join(dir, "pipe")} {
		if err := syscall.Mkfifo(pipe, 0o600); err != nil {
			t.Skip(err)
		}
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "cat", "c.png")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		set := openSplit(t, dir, All)
		var errs []error
		for i := range set.Len() {
			_, err := set.Image(i)
			errs = append(errs, err)
		}
		if len(errs) != 3 || errs[0] != nil || errs[1] == nil || errs[2] == nil {
			t.Errorf("errors %v", errs)
		}
		_, err := Open(filepath.Join(dir, "pipe"))
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a pipe is a data set")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("a pipe was opened")
	}
}

// TestLook lists all bad images of a set at once, and leaves them out.
func TestLook(t *testing.T) {
	dir := tree(t, map[string]string{"a/0.png": "*", "a/1.png": "broken", "b/0.png": "**", "b/1.png": "***", "b/2.png": "broken"})
	set := openSplit(t, dir, All)
	calls := 0
	survey, err := Look(t.Context(), set, func(done, total int) {
		if calls++; done != calls || total != 5 {
			t.Errorf("%d of %d at call %d", done, total, calls)
		}
	})
	if err != nil || len(survey.Bad) != 2 || survey.Bad[0].Index != 1 || survey.Bad[1].Index != 4 {
		t.Fatalf("found %+v, %v", survey, err)
	}
	good := Without(set, survey.Bad)
	if got := describe(t, good); !slices.Equal(got, []string{"a *", "b **", "b ***"}) {
		t.Errorf("left are %q", got)
	}
	files := openSplit(t, tree(t, map[string]string{"a/0.png": "*"}), All)
	for _, name := range []string{"grey16.png", "rgb16.png"} {
		data, err := os.ReadFile(filepath.Join("testdata", "files", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(Where(files, 0), data, 0o600); err != nil {
			t.Fatal(err)
		}
		survey, err := Look(t.Context(), files, func(int, int) {})
		if want := map[string]int{"grey16.png": 1}[name]; err != nil || survey.Clipped != want {
			t.Errorf("%s: %+v, %v, want %d clipped", name, survey, err, want)
		}
	}
}

// TestGrey is Pillow's luminance.
func TestGrey(t *testing.T) {
	type greyCase struct {
		W, H int
		Grey string
	}
	for _, c := range golden[greyCase](t, "grey.json") {
		want, err := base64.StdEncoding.DecodeString(c.Grey)
		if err != nil {
			t.Fatal(err)
		}
		p := toPixels(picture(c.W, c.H))
		p.toGrey()
		for i, l := range want {
			if p.rgb[3*i] != l || p.rgb[3*i+2] != l {
				t.Fatalf("pixel %d is %d, want %d", i, p.rgb[3*i], l)
			}
		}
	}
}

// TestCMYK is Pillow's conversion of inks.
func TestCMYK(t *testing.T) {
	for _, c := range []struct {
		ink  [4]byte
		want [3]byte
	}{
		{[4]byte{172, 47, 117, 192}, [3]byte{21, 51, 34}}, {[4]byte{67, 251, 195, 103}, [3]byte{112, 2, 36}},
		{[4]byte{9, 211, 21, 242}, [3]byte{13, 2, 12}}, {[4]byte{88, 140, 58, 193}, [3]byte{41, 28, 48}},
		{[4]byte{}, [3]byte{255, 255, 255}}, {[4]byte{255, 255, 255, 255}, [3]byte{}},
		{[4]byte{10, 200, 30, 0}, [3]byte{245, 55, 225}}, {[4]byte{255, 1, 128, 77}, [3]byte{0, 177, 89}},
	} {
		img := image.NewCMYK(image.Rect(0, 0, 1, 1))
		copy(img.Pix, c.ink[:])
		if got := toPixels(img).rgb; !bytes.Equal(got, c.want[:]) {
			t.Errorf("%v: %v, want %v", c.ink, got, c.want)
		}
	}
}

// TestDecoderPanics: what a decoder cannot cope with is an error of the file.
func TestDecoderPanics(t *testing.T) {
	c := codec{format: "PNG", config: png.DecodeConfig, decode: func([]byte) (image.Image, error) { panic("index out of range") }}
	var file bytes.Buffer
	if err := png.Encode(&file, picture(3, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.read(file.Bytes()); err == nil || err.Error() != "a PNG file that cannot be decoded: index out of range" {
		t.Errorf("error %v", err)
	}
}
