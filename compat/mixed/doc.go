// Package mixed runs gokafka and Apache Kafka brokers in one cluster, and lets them take turns on one data directory.
//
// A Node is a broker id, a port and a directory; brokers of either kind serve it by turns, as in a cluster that is replaced broker by
// broker. What neither kind may print is looked for in their output when a test ends (see complaints).
package mixed
