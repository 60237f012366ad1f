package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// healthPatience is how long a broker may take to answer before it counts as ill.
const healthPatience = 5 * time.Second

// checkHealth asks the broker that runs here with the same settings, at its first listener, whether it serves.
func checkHealth(args []string, stderr io.Writer) int {
	a, err := parseArguments(args)
	if err == nil {
		err = askHealth(a)
	}
	if err != nil {
		fmt.Fprintf(stderr, "gokafka: not healthy: %v\n", err)
		return 1
	}
	return 0
}

func askHealth(a arguments) error {
	c, err := configuration(a)
	if err != nil {
		return err
	}
	listener := c.Network().Listeners[0]
	host := listener.Host
	if host == "" || host == "0.0.0.0" || host == "::" {
		host = "localhost"
	}
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(host, strconv.Itoa(int(listener.Port))), healthPatience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if !strings.HasSuffix(listener.Protocol.String(), "PLAINTEXT") {
		return nil // it accepts; what comes next needs certificates
	}
	return askVersions(conn)
}

// apiVersions is the request that every broker answers to anyone: ApiVersions in version 0, without a client id.
var apiVersions = []byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff}

func askVersions(conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(healthPatience)); err != nil {
		return err
	}
	if _, err := conn.Write(apiVersions); err != nil {
		return err
	}
	var answer [10]byte // size, correlation id, error
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if binary.BigEndian.Uint32(answer[4:]) != 1 || answer[8] != 0 || answer[9] != 0 {
		return errors.New("what listens there is no Kafka broker")
	}
	return nil
}
