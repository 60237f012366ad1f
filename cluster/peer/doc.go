// Package peer is how brokers talk to each other: one ordered connection, and over it typed calls in the cluster's own values.
//
// A Channel is lean on purpose. The brokers know exactly whom they call, one request is in flight at a time, and whoever calls
// repeats what fails; a general client's metadata, pooling and retries would only hide who has heard what in which order. And
// what followers fetch is read from the socket into one buffer, from which it goes into the log as it is.
//
// On each new connection the channel asks for the other's API versions and speaks the highest that both know, so that gokafka
// and Apache Kafka brokers, since 2.6, can share a cluster. Under an older inter.broker.protocol.version it speaks what that says
// where it is less, so that a cluster can be taken back to an older release.
package peer
