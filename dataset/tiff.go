package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"

	"golang.org/x/image/tiff"
)

// Tags of TIFF 6.0, and values of theirs.
const (
	tiffCompression  = 259
	tiffPhotometric  = 262
	tiffFillOrder    = 266
	tiffOrientation  = 274
	tiffSamples      = 277 // of a pixel
	tiffPlanarConfig = 284

	compressionFax3, compressionFax4 = 3, 4
	photometricBlackIsZero           = 1
	bitsReversed                     = 2
	planesSeparate                   = 2
)

// decodeTIFF decodes the first image of a file, and refuses what the decoder would get
// wrong: it reads bytes whose bits are in reverse order as they are, and the first of
// separate planes as an image that is too short.
func decodeTIFF(data []byte) (image.Image, error) {
	compression := tiffTag(data, tiffCompression)
	fax := compression == compressionFax3 || compression == compressionFax4
	switch {
	case tiffTag(data, tiffFillOrder) == bitsReversed && !fax:
		return nil, errors.New("its bits are in reverse order (FillOrder 2)")
	case tiffTag(data, tiffPlanarConfig) == planesSeparate && tiffTag(data, tiffSamples) > 1:
		return nil, errors.New("its colours are in separate planes (PlanarConfiguration 2)")
	}
	img, err := tiff.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	// The decoder takes the runs that fax calls black for black, whatever the file
	// says that their bits, which are ones, stand for.
	if fax && tiffTag(data, tiffPhotometric) == photometricBlackIsZero {
		grey, ok := img.(*image.Gray)
		if !ok {
			return nil, errors.New("it is compressed as a fax, and not of two levels")
		}
		for i := range grey.Pix {
			grey.Pix[i] = ^grey.Pix[i]
		}
	}
	return img, nil
}

// tiffTag reads a number, the first if there are several, from the first directory of
// a TIFF structure; 0 where it is missing or not of 16 or 32 bits.
func tiffTag(data []byte, tag uint16) int {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(data) < 8:
		return 0
	case matches(data, "II\x2a\x00"):
	case matches(data, "MM\x00\x2a"):
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(data[4:]))
	if at+2 > int64(len(data)) {
		return 0
	}
	const entryBytes, short, long = 12, 3, 4
	for i := range int64(order.Uint16(data[at:])) {
		entry := at + 2 + i*entryBytes
		if entry+entryBytes > int64(len(data)) {
			break
		}
		field := data[entry:]
		if order.Uint16(field) != tag {
			continue
		}
		switch order.Uint16(field[2:]) {
		case short:
			return int(order.Uint16(field[8:]))
		case long:
			return int(order.Uint32(field[8:]))
		}
		break
	}
	return 0
}
