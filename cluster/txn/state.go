package txn

// State is where a transactional id stands, with the numbers that the log has for it.
type State int8

// The states. Dead is never in the log: an expired id's last record is a tombstone.
const (
	Empty          State = iota // no transaction since the producer's last InitProducerID
	Ongoing                     // partitions were added
	PrepareCommit               // decided, and markers are on their way
	PrepareAbort                // the same, for a transaction that is rolled back
	CompleteCommit              // all partitions have their markers
	CompleteAbort
	Dead              // about to be forgotten
	PrepareEpochFence // Apache's name for a producer that is being fenced; here that is the way to PrepareAbort
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence"}

// String is the name that DescribeTransactions and ListTransactions show.
func (s State) String() string { return stateNames[s] }

// ParseState finds a state by its name.
func ParseState(name string) (State, bool) {
	for i, n := range stateNames {
		if n == name {
			return State(i), true
		}
	}
	return 0, false
}

// inLog reports whether a record can have the state.
func (s State) inLog() bool { return s >= Empty && s <= CompleteAbort }

// prepared reports whether the transaction's end is decided and not yet everywhere.
func (s State) prepared() bool { return s == PrepareCommit || s == PrepareAbort }

// idle reports whether there is no transaction, so that the id may expire and a producer may begin anew.
func (s State) idle() bool { return s == Empty || s == CompleteCommit || s == CompleteAbort }
