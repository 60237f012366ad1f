//go:build !linux

package server

import (
	"errors"
	"net"
	"os"
)

// socket is the descriptor's own way of sending, which only Linux has here; elsewhere files are copied.
type socket struct{}

func (s *socket) init(net.Conn, *transfer)            {}
func (s *socket) ok() bool                            { return false }
func (s *socket) sendFile(*os.File, int64, int) error { return errors.ErrUnsupported }
func (s *socket) send([]byte, bool) error             { return errors.ErrUnsupported }

// peerState is what is known of the other end without reading.
type peerState int

const (
	peerThere peerState = iota
	peerShut            // sends no more; may still read
	peerGone            // cannot read
)

func (s *socket) peer() peerState { return peerThere }

// listenBacklog leaves the system's maximum.
func listenBacklog(*net.TCPListener, int) error { return nil }
