// Package admin changes what a cluster's metadata says on behalf of clients: topics created, deleted and grown, settings changed and
// described. It writes the metadata store; the controller notices by its watches and does the rest. It answers when this broker's own
// image of the cluster shows the outcome, or when the client's time is over (REQUEST_TIMED_OUT; the change happens nevertheless).
//
// It does what ZkAdminManager, AdminZkClient, AutoTopicCreationManager and ConfigAdminManager do in Apache Kafka 3.9, in their order of
// checks and with their error texts, and differs in two points: assignments to brokers that do not exist are refused instead of
// timing out, and everything that touches the store does so for all topics of a request at once.
//
// Applier is the other direction: it follows the change notifications in the store and hands changed settings to their users.
package admin
