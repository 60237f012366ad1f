// Package compat runs the same cases against gokafka and against Apache Kafka 3.9.2 in ZooKeeper mode. A case that fails on
// Apache is a wrong case; one that fails on gokafka alone is a bug of ours.
//
// It is a module of its own, so that the clients it needs stay out of the broker's go.mod. It knows nothing of the broker's
// inside: it builds the binary, starts it as a process, and talks to its port and its files.
//
//	apache/      installs Apache's jars with Maven, starts ZooKeeper and a broker from them, runs the command-line tools
//	gokafka/     builds the binary once and starts it
//	conn/        one raw connection: a typed request in any version, or any bytes at all
//	wire/        the same frames to both, the answers compared field by field, for every API and version
//	clients/     stock clients of five languages: order, groups, restarts, admin calls
//	durability/  kill -9 under load, data directories carried between the two brokers, a million lines there and back
//	abuse/       what no client does, and how much memory the broker takes for it
//	txn/         transactions: exactly once under kills, fencing, Apache's tools for them
//	load/        a load whose acknowledged records are known, and checked
//	mixed/       both kinds in one cluster, and by turns on one directory
//	cluster/     three gokafka processes and a real ZooKeeper, whose leaders and controllers are killed
//	bench/       both brokers measured side by side
//
// What must be on the machine: Go, a JDK (17), Maven, Python 3 with venv, Node with npm, and kcat. `go run ./cmd/setup` fetches
// everything else (and, as root on Debian, kcat too) into $GOKAFKA_CACHE, or the user's cache directory; the tests fetch what
// is missing as well, so that setup is only there to have it done at a chosen time. The commands, all in this directory:
//
//	go run ./cmd/setup                      install
//	go test ./...                           the quick set
//	COMPAT_FULL=1 go test -timeout 3h ./... everything
//	go test ./durability -run MillionLines  the main job on real input
//	go run ./bench                          docs/benchmarks.md (see its -help)
//
// COMPAT_BROKERS=apache or =gokafka restricts a run to one of the two (wire then compares it with another of its kind), and
// COMPAT_CLIENTS=sarama,kcat to some clients. COMPAT_ANSWERS names a directory for what the admin calls printed on each broker. GOKAFKA_BIN names a binary to test
// instead of building one.
package compat
