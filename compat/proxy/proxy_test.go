package proxy

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// target is a server that says which lines came, in their order, and answers each with itself.
func target(t *testing.T) (addr string, lines chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	lines = make(chan string, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					lines <- line
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String(), lines
}

// end is a client's end of a connection.
type end struct {
	t *testing.T
	net.Conn
	*bufio.Reader
}

func (e end) Read(b []byte) (int, error) { return e.Reader.Read(b) }

func dial(t *testing.T, addr string) end {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return end{t, c, bufio.NewReader(c)}
}

func (e end) say(s string) {
	e.t.Helper()
	if _, err := io.WriteString(e.Conn, s); err != nil {
		e.t.Fatal(err)
	}
}

func (e end) hear(want string) {
	e.t.Helper()
	if got, err := e.ReadString('\n'); got != want || err != nil {
		e.t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// firstByte names a source after the first byte that it sends.
func firstByte(r *bufio.Reader) string {
	b, err := r.Peek(1)
	if err != nil {
		return ""
	}
	return string(b)
}

func start(t *testing.T) (p *Proxy, lines chan string) {
	t.Helper()
	addr, lines := target(t)
	p, err := Start(addr, firstByte)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, lines
}

func TestRequestsAreHeldAndArriveLate(t *testing.T) {
	p, lines := start(t)
	p.Set("a", Fault{HoldRequests: true})
	a, b := dial(t, p.Addr()), dial(t, p.Addr())
	a.say("a1\n")
	b.say("b1\n")
	b.hear("b1\n")
	if first := <-lines; first != "b1\n" {
		t.Fatalf("%q arrived first", first)
	}
	p.Heal()
	a.hear("a1\n")
}

func TestAnswersAreHeld(t *testing.T) {
	p, lines := start(t)
	a := dial(t, p.Addr())
	a.say("a1\n")
	a.hear("a1\n")
	p.Set("", Fault{HoldAnswers: true})
	a.say("a2\n")
	for _, want := range []string{"a1\n", "a2\n"} {
		if got := <-lines; got != want {
			t.Fatalf("%q arrived", got)
		}
	}
	if err := a.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if heard, err := a.ReadString('\n'); err == nil {
		t.Fatalf("heard %q through a link that holds answers", heard)
	}
	if err := a.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	p.Heal()
	a.hear("a2\n")
}

func TestDelayKeepsOrder(t *testing.T) {
	p, _ := start(t)
	p.Set("", Fault{Delay: 20 * time.Millisecond})
	a := dial(t, p.Addr())
	began := time.Now()
	a.say("a1\n")
	a.say("a2\n")
	a.hear("a1\n")
	a.hear("a2\n")
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("there and back in %v", took)
	}
}

func TestBreak(t *testing.T) {
	p, _ := start(t)
	p.Set("", Cut)
	a := dial(t, p.Addr())
	a.say("a1\n")
	for len(p.open()) == 0 {
		time.Sleep(time.Millisecond)
	}
	p.Break()
	if got, err := io.ReadAll(a); len(got) > 0 {
		t.Fatalf("heard %q, %v after the connection was broken", got, err)
	}
}

func (p *Proxy) open() (all []*link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		all = append(all, l)
	}
	return all
}

func TestKafkaBroker(t *testing.T) {
	for id, want := range map[string]string{"2": "2", "broker-3-fetcher-0": "3", "": "", "rdkafka": ""} {
		r, w := net.Pipe()
		go func() {
			req := kmsg.NewPtrApiVersionsRequest()
			w.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID(id)).AppendRequest(nil, req, 1))
			w.Close()
		}()
		if got := KafkaBroker(bufio.NewReaderSize(r, chunk)); got != want {
			t.Errorf("client id %q: broker %q, want %q", id, got, want)
		}
		r.Close()
	}
}
