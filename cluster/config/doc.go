// Package config knows every setting of a broker and of a topic: its name, type, default, allowed values, and how it may change.
//
// One table (brokerKeys, topicKeys) serves all: reading server.properties, the environment and the command line (Load), describing
// settings with the layers they came from (Broker.Describe…), checking changes (Broker.Validate, Topic). Values are parsed once into an
// immutable Values; a change makes a new one.
//
// Layers of a broker's settings, the later ones standing before the earlier (KIP-226):
//
//	default  <  static (file < environment < command line)  <  dynamic for all brokers  <  dynamic for this broker
//
// The dynamic layers live in the metadata store under /config/brokers; package admin reads and writes them there and hands them to
// Broker.ApplyDefault and Broker.ApplyBroker.
//
// Error texts that reach clients are Apache's, because tools print them; hence the capitals and full stops.
package config
