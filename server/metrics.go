package server

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// latencyBuckets is the number of buckets in a latency histogram: bucket i counts what took less than 2^i µs, the last one the rest.
const latencyBuckets = 27

// APIMetrics counts the requests of one key since the start.
type APIMetrics struct {
	Key           int16
	Requests      uint64
	RequestBytes  uint64 // without the four bytes of a frame's size
	ResponseBytes uint64 // with them
	Failures      uint64 // requests that closed their connection: undecodable, refused by the handler, or panicked
	// Errors counts the error codes in answers, those of single topics and partitions too.
	Errors map[int16]uint64
	// Latency is the time from a request's first byte to its answer's last one: Latency[i] counts those of less than 2^i µs
	// that are not in a lower bucket.
	Latency [latencyBuckets]uint64
}

// Metrics is a snapshot of what the server counts.
type Metrics struct {
	APIs        []APIMetrics // in key order
	Connections int          // open now
	Accepted    uint64       // since the start
	Refused     uint64       // closed at once, for a limit
	Rejected    uint64       // closed for what they sent before any handler saw it
}

type apiCounters struct {
	requests, requestBytes, responseBytes, failures atomic.Uint64
	latency                                         [latencyBuckets]atomic.Uint64
	errors                                          [errorCodes]atomic.Uint64 // by code, the first one for -1
}

// errorCodes is one more than there are codes to count: from -1 on, past the highest that Kafka has. Any other counts as -1.
const errorCodes = 140

func (a *apiCounters) failed(code int16) {
	i := int(code) + 1
	if i < 0 || i >= errorCodes {
		i = 0
	}
	a.errors[i].Add(1)
}

func (a *apiCounters) answered(bytes int, took time.Duration) {
	a.responseBytes.Add(uint64(bytes))
	a.latency[min(bits.Len64(uint64(max(0, took.Microseconds()))), latencyBuckets-1)].Add(1)
}

func (a *apiCounters) snapshot(key int16) APIMetrics {
	m := APIMetrics{
		Key: key, Requests: a.requests.Load(), RequestBytes: a.requestBytes.Load(),
		ResponseBytes: a.responseBytes.Load(), Failures: a.failures.Load(), Errors: map[int16]uint64{},
	}
	for i := range a.errors {
		if n := a.errors[i].Load(); n > 0 {
			m.Errors[int16(i-1)] = n
		}
	}
	for i := range a.latency {
		m.Latency[i] = a.latency[i].Load()
	}
	return m
}

type connCounters struct{ accepted, refused, rejected atomic.Uint64 }

// Metrics returns what was counted up to now.
func (s *Server) Metrics() Metrics {
	m := Metrics{
		Connections: s.conns.len(),
		Accepted:    s.counters.accepted.Load(), Refused: s.counters.refused.Load(), Rejected: s.counters.rejected.Load(),
	}
	for _, e := range s.table {
		if e != nil {
			m.APIs = append(m.APIs, e.counters.snapshot(e.api.Key))
		}
	}
	return m
}
