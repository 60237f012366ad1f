package admin

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The topics that brokers keep for themselves.
const (
	offsetsTopic      = "__consumer_offsets"
	transactionTopic  = "__transaction_state"
	shareTopic        = "__share_group_state"
	kraftMetadataName = "__cluster_metadata" // reserved for KRaft
)

// IsInternal reports whether the topic belongs to the brokers: clients may read it but should not write.
func IsInternal(topic string) bool {
	return topic == offsetsTopic || topic == transactionTopic || topic == shareTopic
}

const topicNameLengthMax = 249

var topicNamePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]*$`)

// CheckTopicName refuses names that are no topic's: INVALID_TOPIC_EXCEPTION.
func CheckTopicName(name string) error {
	switch {
	case name == "":
		return refuse(kerr.InvalidTopicException, "Topic name is invalid: the empty string is not allowed")
	case name == "." || name == "..":
		return refuse(kerr.InvalidTopicException, "Topic name is invalid: '%s' is not allowed", name)
	case len(name) > topicNameLengthMax:
		return refuse(kerr.InvalidTopicException, "Topic name is invalid: the length of '%s' is longer than the max allowed length %d", name, topicNameLengthMax)
	case !topicNamePattern.MatchString(name):
		return refuse(kerr.InvalidTopicException, "Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
	}
	return nil
}

// Names that differ only in '.' and '_' would be one in the names of metrics.

func mayCollide(name string) bool { return strings.ContainsAny(name, "._") }

func collisionKey(name string) string { return strings.ReplaceAll(name, ".", "_") }

// variants counts the names that are one with this one, itself among them.
func variants(name string) int {
	n := strings.Count(name, ".") + strings.Count(name, "_")
	return 1 << min(n, 30)
}

// colliding lists them.
func colliding(name string) []string {
	i := strings.IndexAny(name, "._")
	if i < 0 {
		return []string{name}
	}
	var names []string
	for _, rest := range colliding(name[i+1:]) {
		names = append(names, name[:i]+"."+rest, name[:i]+"_"+rest)
	}
	return names
}

// list writes numbers as Scala's mkString(", ") does.
func list[T ~int | ~int32](numbers []T) string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = strconv.FormatInt(int64(n), 10)
	}
	return strings.Join(texts, ", ")
}
