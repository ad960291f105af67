package diag

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// Bits are figures of examples, in JSON the base64 text of their bits, little-endian: so
// any of them comes back as it was, NaN and infinity, too.
type Bits[T float32 | float64 | int32 | bool] []T

// MarshalJSON implements [json.Marshaler]. It keeps nil apart from what is empty.
func (x Bits[T]) MarshalJSON() ([]byte, error) {
	if x == nil {
		return []byte("null"), nil
	}
	bits, err := binary.Append(nil, binary.LittleEndian, []T(x))
	if err != nil {
		return nil, err
	}
	return json.Marshal(base64.StdEncoding.EncodeToString(bits))
}

// UnmarshalJSON implements [json.Unmarshaler].
func (x *Bits[T]) UnmarshalJSON(text []byte) error {
	*x = nil
	var encoded *string
	if err := json.Unmarshal(text, &encoded); err != nil || encoded == nil {
		return err
	}
	bits, err := base64.StdEncoding.DecodeString(*encoded)
	if err != nil {
		return err
	}
	var one T
	size := binary.Size(one)
	if len(bits)%size != 0 {
		return fmt.Errorf("%d bytes are no numbers of %d bytes each", len(bits), size)
	}
	figures := make([]T, len(bits)/size)
	if _, err = binary.Decode(bits, binary.LittleEndian, figures); err == nil {
		*x = figures
	}
	return err
}
