package proxy

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"regexp"
	"sync"
	"time"
)

const (
	chunk = 32 << 10
	// flight is how many chunks are under way in one direction; beyond that the sender's own buffers fill.
	flight = 256
)

// link is one connection with its two ends.
type link struct {
	proxy  *Proxy
	source string
	ends   [2]net.Conn
	once   sync.Once
	done   chan struct{} // closed when the link is over
}

func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		l.ends[0].Close()
		l.ends[1].Close()
	})
}

// parcel is some bytes and when they came.
type parcel struct {
	bytes []byte
	came  time.Time
}

// pass carries bytes one way until the link is over. The end of the stream is carried like bytes are: when they are held, so is it.
func (l *link) pass(from io.Reader, to net.Conn, held func(Fault) bool) {
	parcels := make(chan parcel, flight)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		defer close(parcels)
		for {
			b := make([]byte, chunk)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case parcels <- parcel{b[:n], time.Now()}:
				case <-l.done:
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range parcels {
		if !l.await(p.came, held) {
			return
		}
		if _, err := to.Write(p.bytes); err != nil {
			l.close()
			return
		}
	}
	if l.await(time.Now(), held) {
		l.close()
	}
}

// await returns when what came at some time may arrive, and false if the link is over.
func (l *link) await(came time.Time, held func(Fault) bool) bool {
	for {
		f, changed := l.proxy.fault(l.source)
		if held(f) {
			select {
			case <-changed:
				continue
			case <-l.done:
				return false
			}
		}
		wait := time.Until(came.Add(f.Delay))
		if wait <= 0 {
			return true
		}
		select {
		case <-time.After(wait):
		case <-changed:
		case <-l.done:
			return false
		}
	}
}

var number = regexp.MustCompile(`[0-9]+`)

// KafkaBroker tells which broker dialled: its id is the number in the client id of the first request, in gokafka and in Apache.
func KafkaBroker(r *bufio.Reader) string {
	const before = 4 + 2 + 2 + 4 // the frame's size; the request's key, version and correlation id
	head, err := r.Peek(before + 2)
	if err != nil {
		return ""
	}
	n := int(int16(binary.BigEndian.Uint16(head[before:])))
	if n <= 0 || n > 200 {
		return ""
	}
	head, err = r.Peek(before + 2 + n)
	if err != nil {
		return ""
	}
	return string(number.Find(head[before+2:]))
}
