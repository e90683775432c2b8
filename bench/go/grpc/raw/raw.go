// Package raw holds messages of the V2 protocol as bytes, and the codec that leaves bytes alone.
package raw

// Codec passes *[]byte through gRPC untouched.
type Codec struct{}

func (Codec) Marshal(value any) ([]byte, error) { return *(value.(*[]byte)), nil }

func (Codec) Unmarshal(data []byte, value any) error {
	*(value.(*[]byte)) = append([]byte(nil), data...)
	return nil
}

// Name is protobuf's, so that the content type is the usual one.
func (Codec) Name() string { return "proto" }

var (
	tensor = join(text(1, "x"), text(2, "FP32"), field(3, []byte{1, 16}))

	// Request is a ModelInferRequest for the model "fixed": one tensor of 16 floats.
	Request = join(text(1, "fixed"), text(3, "01234567890"), field(5, tensor), field(7, make([]byte, 64)))
	// Answer is a ModelInferResponse.
	Answer = join(text(1, "fixed"), text(2, "1"), text(3, "01234567890"), field(5, tensor), field(6, make([]byte, 64)))
	// StreamAnswer is a ModelStreamInferResponse with the same in it.
	StreamAnswer = field(2, Answer)
	// True is a message whose first field is true: ready, live.
	True = []byte{1 << 3, 1}
)

// Every field here is shorter than 128 bytes but for the answer in a stream's answer.
func field(number byte, content []byte) []byte {
	size := []byte{byte(len(content))}
	if len(content) > 127 {
		size = []byte{byte(len(content)&127 | 128), byte(len(content) >> 7)}
	}
	return join([]byte{number<<3 | 2}, size, content)
}

func text(number byte, content string) []byte { return field(number, []byte(content)) }

func join(parts ...[]byte) []byte {
	var all []byte
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}
