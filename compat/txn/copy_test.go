package txn

import (
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gokafka/compat"
)

// quick are settings under which what clients leave behind is over soon, the same for both brokers.
var quick = map[string]string{
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	"transaction.state.log.num.partitions":                        "5",
	"offsets.topic.num.partitions":                                "5",
	"group.min.session.timeout.ms":                                "1000",
}

var txnRounds = flag.Int("rounds", 10, "rounds of faults in the long cases")

// together lets the short cases run at the same time: most of what they do is to wait for sessions and transactions to end.
func together(t *testing.T) {
	t.Helper()
	if !compat.Full() {
		t.Parallel()
	}
}

// All copiers copy while the broker and they themselves are killed: each record is there once, in order, for readers of committed
// records, whether they look on or come later. Transactions over many partitions, at whose commits the broker is killed, are whole.
func TestCopies(t *testing.T) {
	together(t)
	rounds := 1
	if compat.Full() {
		rounds = *txnRounds
	}
	compat.Each(t, quick, func(t *testing.T, b compat.Broker) {
		c := startCopying(t, b.Addr(), 1, chosen())
		createTopics(t, c.admin, 12, 1, "twelve")
		x := transactTo(b.Addr(), "twelve", "id", 12)
		for i := range rounds {
			c.awaitProgress(200)
			x.awaitMore(t, 20)
			time.Sleep(rand.N(50 * time.Millisecond))
			if i%3 == 2 {
				compat.Restart(t, b)
				continue
			}
			b.Kill()
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			c.awaitProgress(200)
			c.killCopiers()
		}
		c.awaitProgress(200)
		x.awaitMore(t, 20)
		x.finish(t)
		c.finish()
	})
}

// chosen are the copiers, or those that $COMPAT_CLIENTS names.
func chosen() []Copier {
	only := os.Getenv("COMPAT_CLIENTS")
	return slices.DeleteFunc(slices.Clone(Copiers), func(c Copier) bool { return only != "" && !slices.Contains(strings.Split(only, ","), c.Name) })
}
