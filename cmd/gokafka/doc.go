// Command gokafka is the broker: flags, the configuration file, signals. Everything else is in the packages that it wires.
package main
