package diag

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Singles are figures of examples, in JSON the base64 text of their bits: little-endian
// float32. So any of them comes back as it was, NaN and infinity, too.
type Singles []float32

// Doubles are figures of examples, in JSON the base64 text of their bits:
// little-endian float64.
type Doubles []float64

// MarshalJSON implements [json.Marshaler].
func (x Singles) MarshalJSON() ([]byte, error) { return marshalBits(x) }

// UnmarshalJSON implements [json.Unmarshaler].
func (x *Singles) UnmarshalJSON(text []byte) (err error) {
	*x, err = unmarshalBits[float32](text)
	return err
}

// MarshalJSON implements [json.Marshaler].
func (x Doubles) MarshalJSON() ([]byte, error) { return marshalBits(x) }

// UnmarshalJSON implements [json.Unmarshaler].
func (x *Doubles) UnmarshalJSON(text []byte) (err error) {
	*x, err = unmarshalBits[float64](text)
	return err
}

// marshalBits keeps nil apart from what is empty.
func marshalBits[T float32 | float64](x []T) ([]byte, error) {
	if x == nil {
		return []byte("null"), nil
	}
	bits, err := binary.Append(nil, binary.LittleEndian, x)
	if err != nil {
		return nil, err
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(bits))
}

func unmarshalBits[T float32 | float64](text []byte) ([]T, error) {
	var encoded *string
	if err := json.Unmarshal(text, &encoded); err != nil || encoded == nil {
		return nil, err
	}
	bits, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return nil, err
	}
	var one T
	size := binary.Size(one)
	if len(bits)%size != 0 {
		return nil, fmt.Errorf("%d bytes are no numbers of %d bytes each", len(bits), size)
	}
	x := make([]T, len(bits)/size)
	_, err = binary.Decode(bits, binary.LittleEndian, x)
	return x, err
}
