// Package controller is the one broker that decides for all: who leads each partition, what becomes of topics when they are created,
// grown, moved and deleted, and what every broker is told of it.
//
// Every broker has a Controller, which stands for election by creating /controller. The elected one begins a term: it reads the whole
// cluster into State, arming a watch with each read, tells the brokers, and from then on handles events, one at a time, in one
// goroutine: watches that fired, questions of handlers (Controller's methods), and answers of brokers. A write that finds
// /controller_epoch changed ends the term, as the loss of the session does; nothing of a term outlives it.
//
// An event goes through the machines: a step moves partitions or replicas from phase to phase, writes their states in one batch of
// guarded transactions, and gathers what each broker is to hear in a batch of requests, sent in order by one channel per broker.
// Elections (elect.go), phases and State are pure; the machines see the store through two small interfaces.
//
// It follows Apache Kafka 3.9's ZooKeeper controller step for step, so that brokers of both kinds can take turns. It differs where
// nobody can see it: indexes make an event cost what it changes instead of a walk over all partitions; steps that concern many topics
// are written together; a deletion looks only at the topics it was told of; and a broker that is out of reach for too long is told
// everything anew, after what is to be stopped or is gone, instead of being queued for without bound. AlterPartition has two checks more (see there).
package controller
