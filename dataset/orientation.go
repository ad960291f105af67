package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"io"
	"regexp"
	"strings"
)

// metadata are the blocks of an image file that may say how it is meant to be turned.
type metadata struct {
	exif []byte // a TIFF structure
	xmp  []byte // XML
}

const exifPrefix = "Exif\x00\x00"

// storedOrientation finds the orientation that an image file gives, 1 where it gives
// none that is valid: in the EXIF block of a JPEG, PNG or WebP file or the directory
// of a TIFF file, else in its XMP, as Pillow's getexif does.
func storedOrientation(data []byte) int {
	var found metadata
	switch {
	case matches(data, "\xff\xd8"):
		found = metadataOfJPEG(data)
	case matches(data, "\x89PNG"):
		found = metadataOfPNG(data)
	case matches(data, "RIFF????WEBP"):
		found = metadataOfWebP(data)
	default:
		found.exif = data
	}
	v := tiffTag(bytes.TrimPrefix(found.exif, []byte(exifPrefix)), tiffOrientation)
	if match := xmpOrientation.FindSubmatch(found.xmp); v == 0 && match != nil {
		v = int(match[1][0] - '0')
	}
	if v < 1 || v > 8 {
		return 1
	}
	return v
}

// xmpOrientation is how XMP gives it, as an attribute or an element.
var xmpOrientation = regexp.MustCompile(`tiff:Orientation(?:="|>)([0-9])`)

// add keeps the first block of a kind.
func (m *metadata) add(block *[]byte, data []byte) {
	if *block == nil {
		*block = data
	}
}

func metadataOfJPEG(data []byte) (m metadata) {
	const xmpPrefix = "http://ns.adobe.com/xap/1.0/\x00"
	for at := 2; at+4 <= len(data); {
		if data[at] != 0xff || data[at+1] == 0xff { // bytes between segments, or padding
			at++
			continue
		}
		marker, length := data[at+1], int(binary.BigEndian.Uint16(data[at+2:]))
		if marker == 0xda || length < 2 || at+2+length > len(data) {
			break
		}
		if segment := data[at+4 : at+2+length]; marker == 0xe1 {
			if bytes.HasPrefix(segment, []byte(exifPrefix)) {
				m.add(&m.exif, segment)
			}
			if xmp, ok := bytes.CutPrefix(segment, []byte(xmpPrefix)); ok {
				m.add(&m.xmp, xmp)
			}
		}
		at += 2 + length
	}
	return m
}

func metadataOfPNG(data []byte) (m metadata) {
	for at := 8; at+12 <= len(data); {
		length := int(binary.BigEndian.Uint32(data[at:]))
		if length > len(data)-at-12 {
			break
		}
		chunk := data[at+8 : at+8+length]
		key, value, _ := bytes.Cut(chunk, []byte{0})
		switch kind := string(data[at+4 : at+8]); {
		case kind == "eXIf":
			m.add(&m.exif, chunk)
		case kind == "iTXt" && string(key) == "XML:com.adobe.xmp":
			m.add(&m.xmp, value)
		case kind == "tEXt" && string(key) == rawProfile:
			m.add(&m.exif, unhexed(bytes.NewReader(value)))
		case kind == "zTXt" && string(key) == rawProfile && len(value) > 0:
			if text, err := zlib.NewReader(bytes.NewReader(value[1:])); err == nil {
				m.add(&m.exif, unhexed(text))
			}
		}
		at += 12 + length
	}
	return m
}

// rawProfile is the key of the text in which ImageMagick kept EXIF before PNG had a
// chunk for it: lines of hexadecimal digits below the name and the length.
const rawProfile = "Raw profile type exif"

// unhexed reads the block that such a text holds; nil where it is none.
func unhexed(text io.Reader) []byte {
	const most = 1 << 20 // an EXIF block has less than 64 KiB in a JPEG
	all, err := io.ReadAll(io.LimitReader(text, most))
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(all))
	if len(fields) < 3 {
		return nil
	}
	block, err := hex.DecodeString(strings.Join(fields[2:], ""))
	if err != nil {
		return nil
	}
	return block
}

func metadataOfWebP(data []byte) (m metadata) {
	for at := 12; at+8 <= len(data); {
		length := int(binary.LittleEndian.Uint32(data[at+4:]))
		if length > len(data)-at-8 {
			break
		}
		chunk := data[at+8 : at+8+length]
		switch string(data[at : at+4]) {
		case "EXIF":
			m.add(&m.exif, chunk)
		case "XMP ":
			m.add(&m.xmp, chunk)
		}
		at += 8 + length + length%2
	}
	return m
}
