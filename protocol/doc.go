// Package protocol turns bytes into values and back: frames, headers, requests, record batches, error codes.
// It knows no broker state.
package protocol
