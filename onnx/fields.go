package onnx

import (
	"github.com/modeldoctor/modeldoctor/onnx/internal/wire"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of onnx.proto, by message.
const (
	modelIRVersion       = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelGraph           = 7
	modelOpset           = 8
	modelMetadata        = 14
	modelFunction        = 25

	graphNode        = 1
	graphName        = 2
	graphInitializer = 5
	graphInput       = 11
	graphOutput      = 12
	graphValueInfo   = 13
	graphSparse      = 15

	nodeInput     = 1
	nodeOutput    = 2
	nodeName      = 3
	nodeOpType    = 4
	nodeAttribute = 5
	nodeDomain    = 7
	nodeOverload  = 8
	nodeMetadata  = 9

	attributeName    = 1
	attributeFloat   = 2
	attributeInt     = 3
	attributeString  = 4
	attributeTensor  = 5
	attributeGraph   = 6
	attributeFloats  = 7
	attributeInts    = 8
	attributeStrings = 9
	attributeTensors = 10
	attributeGraphs  = 11
	attributeType    = 20
	attributeRef     = 21

	tensorDims     = 1
	tensorDType    = 2
	tensorSegment  = 3
	tensorFloats   = 4
	tensorInt32s   = 5
	tensorStrings  = 6
	tensorInt64s   = 7
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorUint64s  = 11
	tensorExternal = 13
	tensorLocation = 14

	sparseValues = 1

	valueName     = 1
	valueType     = 2
	valueMetadata = 4
	typeTensor    = 1
	elemType      = 1
	elemShape     = 2
	shapeDim      = 1
	dimValue      = 1
	dimParam      = 2

	opsetDomain  = 1
	opsetVersion = 2

	entryKey   = 1
	entryValue = 2

	functionName      = 1
	functionInput     = 4
	functionOutput    = 5
	functionNode      = 7
	functionOpset     = 9
	functionDomain    = 10
	functionAttribute = 11
	functionOverload  = 13
)

// metadata returns the value of key among the entries in field num of m, or "".
func metadata(m wire.Message, num protowire.Number, key string) string {
	for entry := range m.Each(num) {
		if string(entry.Bytes(entryKey)) == key {
			return string(entry.Bytes(entryValue))
		}
	}
	return ""
}

// entries returns the key-value entries in field num of m.
func entries(m wire.Message, num protowire.Number) map[string]string {
	kv := map[string]string{}
	for entry := range m.Each(num) {
		kv[clean(entry.Bytes(entryKey))] = clean(entry.Bytes(entryValue))
	}
	return kv
}
