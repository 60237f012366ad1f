package handlers

import (
	"bytes"
	"encoding/binary"

	"gokafka/protocol"
)

const (
	paddingHead  = protocol.LogOverhead // the least that a reader takes for the begin of an entry
	paddingBlock = 128 << 10
)

// downConvert gives stored batches the form of magic 0 or 1.
//
// The size of an answer used to be known before its records were converted: it is that of the stored bytes, or of the first
// converted batch if that is larger. What is converted beyond that is cut off and not kept, and what is missing is made up by the begin
// of an entry that is too long to be read. Readers know how to skip both. When a later batch cannot be converted, what came
// before it is given.
func downConvert(stored []byte, magic int8, firstOffset int64) ([]byte, error) {
	var out []byte
	size, batches := 0, 0
	for b, err := range protocol.Batches(stored) {
		if size > 0 && len(out) >= max(size, len(stored)) {
			break
		}
		if err == nil {
			batches++
			out, err = protocol.DownConvert(out, b, magic, firstOffset)
		}
		if err != nil && len(out) == 0 {
			return nil, err
		}
		if err != nil {
			break
		}
		if size == 0 {
			size = len(out)
		}
	}
	switch {
	case batches == 0:
		return nil, nil
	case size == 0:
		return pad(nil, paddingHead), nil
	}
	size = max(size, len(stored))
	if len(out) > size {
		return bytes.Clone(out[:size]), nil
	}
	return pad(out, size), nil
}

// pad fills up to a size with begins of an entry that claims to be longer than what is left.
func pad(out []byte, size int) []byte {
	for len(out) < size {
		left := size - len(out)
		block := make([]byte, max(paddingHead, min(left+1, paddingBlock)))
		binary.BigEndian.PutUint64(block, ^uint64(0))
		binary.BigEndian.PutUint32(block[8:], uint32(max(left+1, protocol.BatchOverhead)))
		out = append(out, block[:min(left, len(block))]...)
	}
	return out
}
