package group

// State is where a group stands in its life.
type State int8

// The states. Legal ways: Empty → PreparingRebalance → CompletingRebalance → Stable → PreparingRebalance, back from
// PreparingRebalance to Empty when nobody is left, from CompletingRebalance to PreparingRebalance when somebody comes or
// goes, and from any to Dead.
const (
	// Empty has no members; it may still hold offsets.
	Empty State = iota
	// PreparingRebalance waits for members to join.
	PreparingRebalance
	// CompletingRebalance waits for the leader's assignment.
	CompletingRebalance
	// Stable has members with assignments.
	Stable
	// Dead is deleted, or moved to another coordinator.
	Dead
)

// String is the name that DescribeGroups and ListGroups show.
func (s State) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// canRebalance reports whether a rebalance can begin in s.
func (s State) canRebalance() bool { return s == Empty || s == CompletingRebalance || s == Stable }
