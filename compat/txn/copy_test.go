package txn

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"gokafka/compat"
)

// quick are settings under which what clients leave behind is over soon, the same for both brokers.
var quick = map[string]string{
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
	"transaction.state.log.num.partitions":                        "5",
	"offsets.topic.num.partitions":                                "5",
	"group.min.session.timeout.ms":                                "1000",
}

// All copiers copy while the broker and they themselves are killed: each record is there once, in order, for readers of committed
// records, whether they look on or come later.
var txnRounds = flag.Int("rounds", 10, "rounds of faults in the long cases")

func TestCopies(t *testing.T) {
	rounds := 1
	if compat.Full() {
		rounds = *txnRounds
	}
	compat.Each(t, quick, func(t *testing.T, b compat.Broker) {
		c := startCopying(t, b.Addr(), 1, chosen())
		c.awaitProgress(200)
		for range rounds {
			b.Kill()
			if err := b.Start(); err != nil {
				t.Fatal(err)
			}
			c.awaitProgress(200)
			c.killCopiers()
			c.awaitProgress(200)
			compat.Restart(t, b)
			c.awaitProgress(200)
		}
		c.finish()
	})
}

// chosen are the copiers, or those that $COMPAT_CLIENTS names.
func chosen() []Copier {
	only := os.Getenv("COMPAT_CLIENTS")
	return slices.DeleteFunc(slices.Clone(Copiers), func(c Copier) bool { return only != "" && !slices.Contains(strings.Split(only, ","), c.Name) })
}
