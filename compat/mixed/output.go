package mixed

import (
	"regexp"
	"strings"
)

// complaint is how either kind begins a line about what should not be.
var complaint = regexp.MustCompile(`^\[[^]]*\] (ERROR|FATAL) |"level":"(error|fatal|panic)"`)

// expected are complaints about what the tests do to the nodes on purpose: brokers that are killed, and partitions all of whose
// replicas are down for a while.
var expected = regexp.MustCompile(strings.Join([]string{
	`fails to send a request to broker`,            // a controller, to one that was killed
	`since the new leader -?[0-9]+ is unavailable`, // a follower, of a partition that has no leader for now
	`no replica can lead|completed with error|Error while (electing|changing)|failed to (elect|complete)`, // a controller, of the same
	`Controller [0-9]+ epoch [0-9]+ (initiated state change|encountered error while electing leader)`,
	`"message":"partitions did not change state"`,
	`"error":"[^"]*session expired"`, // a broker that was paused
}, "|"))

// expired is what befalls a broker that was paused for longer than its session, and a controller that finds out that it is none any
// more; or too few replicas in sync, where a test allows them little lag. 3.6 cannot write for
// a new controller what it wrote in an older version for the one before.
var expired = regexp.MustCompile(`KeeperException\$(SessionExpired|ConnectionLoss)|ControllerMovedException|NotEnoughReplicas|non-default newIsr at version 3`)

// complaintsMax is how many complaints are told: the first ones tell most.
const complaintsMax = 5

// complaints are lines of a node's output that nothing explains. What Apache's broker complains of is often named in the line after.
func complaints(printed string) (first []string) {
	lines := strings.Split(printed, "\n")
	for i, line := range lines {
		next := lines[min(i+1, len(lines)-1)]
		if complaint.MatchString(line) && !expected.MatchString(line) && !expired.MatchString(next) && len(first) < complaintsMax {
			first = append(first, line+"\n"+next)
		}
	}
	return first
}
