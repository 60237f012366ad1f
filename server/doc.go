// Package server takes connections in, reads requests, hands them to the table of handlers and sends the answers.
// It knows no rule of Kafka beyond frames, headers and the order of answers.
//
// # A connection
//
// One goroutine reads a connection's requests and runs their handlers: a request that waits is a goroutine that blocks. As in
// Apache Kafka a connection's requests begin one after the other and are answered in that order. Unlike there, a two-stage
// request (produce with acks=all) lets the next one begin while it waits. Its answer is then finished by a second
// goroutine, which lives as long as answers are pending; what becomes known together leaves together. Sixteen may be pending;
// then nothing more is read. An idle connection is one goroutine and a buffer of 2 KiB.
//
// A connection that ends, for whatever reason but a failed write or a forced shutdown, sends the answers that it owes first.
// So a client may send requests, shut down its side, and read the answers.
//
// # Time
//
// Connections that serve have no deadlines on their sockets. They note when a frame began, how far it came, how a write
// proceeds and since when they are idle; one goroutine looks at all of them every second and closes those that are
// overdue, which wakes whoever is blocked on them. A frame and a write get 30 seconds and one more for every 4 KiB that moved: a slow peer lives, one
// that trickles bytes does not. Apache Kafka cuts neither.
//
// # A broker
//
// Broker wires the parts, alone or in a cluster; the difference is small. membership.go has the store, registration, the wait to be told of
// the cluster, and the hand-over before a stop; peers.go how other brokers and the controller are reached. The controller of this broker
// calls this broker directly, and others over connections; who asks the elected controller asks the chief, who knows where it is.
//
// # Locks
//
// connSet.mu guards the set of connections, admission.mu the counts that limits are about, answers.mu the answers that one
// connection owes. None is held while another is taken, nor across a read, a write or a handler.
package server
