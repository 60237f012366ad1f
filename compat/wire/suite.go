package wire

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat"
	"gokafka/compat/conn"
)

// Case is one thing to try at every version of an API.
type Case struct {
	Name     string
	Key      kmsg.Key
	Min, Max int16 // limits the versions; a Max of 0 means all that Apache advertises
	Run      func(x *Exchange)
}

// Suite holds the two brokers and remembers what was compared.
type Suite struct {
	sides    [2]*Side
	names    [2]string
	versions map[kmsg.Key][2]int16 // what Apache advertises
	ours     map[kmsg.Key][2]int16 // what the other one advertises

	mu       sync.Mutex
	compared map[kmsg.Key]map[int16]bool
	runs     int
}

// NewSuite starts both brokers.
func NewSuite(t *testing.T, properties map[string]string) *Suite {
	t.Helper()
	names := compat.Names()
	if len(names) == 1 {
		names = []string{names[0], names[0]}
	}
	s := &Suite{names: [2]string(names), compared: map[kmsg.Key]map[int16]bool{}}
	if names[0] == names[1] {
		s.names[1] += " (2)"
	}
	for i, name := range names {
		side, err := newSide(compat.Start(t, name, properties))
		if err != nil {
			t.Fatal(err)
		}
		s.sides[i] = side
	}
	s.versions, s.ours = advertised(t, s.sides[0]), advertised(t, s.sides[1])
	return s
}

func advertised(t *testing.T, s *Side) map[kmsg.Key][2]int16 {
	t.Helper()
	c, err := conn.Dial(s.Broker.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	resp, err := c.Request(kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		t.Fatal(err)
	}
	out := map[kmsg.Key][2]int16{}
	for _, k := range resp.(*kmsg.ApiVersionsResponse).ApiKeys {
		out[kmsg.Key(k.ApiKey)] = [2]int16{k.MinVersion, k.MaxVersion}
	}
	return out
}

// Run runs a case at every version.
func (s *Suite) Run(t *testing.T, c Case) {
	t.Run(c.Key.Name()+"/"+c.Name, func(t *testing.T) {
		v, ok := s.versions[c.Key]
		if !ok {
			t.Fatalf("Apache does not advertise %s", c.Key.Name())
		}
		if c.Max > 0 || c.Min > 0 {
			v = [2]int16{max(c.Min, v[0]), v[1]}
			if c.Max > 0 {
				v[1] = min(c.Max, v[1])
			}
		}
		for version := v[0]; version <= v[1]; version++ {
			t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) { s.runOne(t, c, version) })
		}
	})
}

func (s *Suite) runOne(t *testing.T, c Case, version int16) {
	s.runs++
	for _, side := range s.sides {
		side.forget()
	}
	x := &Exchange{T: t, V: version, N: fmt.Sprintf("r%d", s.runs), suite: s, key: c.Key, conns: map[string][2]*conn.Conn{}}
	defer x.close()
	c.Run(x)
}

func (s *Suite) covered(k kmsg.Key, version int16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.compared[k] == nil {
		s.compared[k] = map[int16]bool{}
	}
	s.compared[k][version] = true
}

// Coverage is a table of what was compared, and the list of the gaps: versions of what gokafka advertises, or must, that no case compared.
func (s *Suite) Coverage(must []kmsg.Key) (table string, gaps []string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-32s %-9s %-9s %s\n", "API", s.names[0], s.names[1], "compared")
	for key := kmsg.Key(0); key <= kmsg.MaxKey; key++ {
		theirs, ok := s.versions[key]
		if !ok {
			continue
		}
		ours, have := s.ours[key]
		wanted := slices.Contains(must, key) || have && s.names[1] == "gokafka"
		var done []int16
		for v := theirs[0]; v <= theirs[1]; v++ {
			switch {
			case s.compared[key][v]:
				done = append(done, v)
			case wanted:
				gaps = append(gaps, fmt.Sprintf("%s v%d", key.Name(), v))
			}
		}
		fmt.Fprintf(&b, "%-32s %-9s %-9s %s\n", key.Name(), spread(theirs, true), spread(ours, have), compact(done))
	}
	return b.String(), slices.Clip(gaps)
}

func spread(v [2]int16, have bool) string {
	if !have {
		return "-"
	}
	return fmt.Sprintf("%d-%d", v[0], v[1])
}

// compact prints 0 1 2 5 as 0-2 5.
func compact(v []int16) string {
	var out []string
	for i := 0; i < len(v); {
		j := i
		for j+1 < len(v) && v[j+1] == v[j]+1 {
			j++
		}
		if i == j {
			out = append(out, fmt.Sprint(v[i]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", v[i], v[j]))
		}
		i = j + 1
	}
	return strings.Join(out, " ")
}
