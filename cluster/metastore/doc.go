// Package metastore keeps what a Kafka cluster must agree on, in the form in which Apache Kafka 3.9 keeps it in ZooKeeper: the same paths, the
// same JSON, the same guards. Brokers of both kinds can therefore share one cluster, and Kafka's tools find what they look for.
//
// Tree is the small interface below: versioned nodes, ephemerals, one-shot watches, transactions. ConnectZooKeeper is the tree of a
// cluster; OpenEmbedded is one in this process, kept in a file or, for tests, only in memory. The script in treetest holds for both.
// Store gives the tree's nodes their Kafka meaning.
//
// Writes follow Apache's: one transaction per node, many of them in one batch. What the controller writes carries a check on the
// version of /controller_epoch that it was elected with (Claim), so that a controller which lost its term without knowing changes nothing.
package metastore
