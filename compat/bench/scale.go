package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"gokafka/compat/conn"
)

// starts measures the time from exec to the first answered request on an empty directory, and the memory of an idle broker.
func starts(s settings, t *table) error {
	if !s.only.MatchString("start") {
		return nil
	}
	for _, name := range both {
		var times, idle []float64
		for range s.rounds {
			b, err := s.start(name, "first", nil)
			if err != nil {
				return err
			}
			took := b.Startup()
			time.Sleep(5 * time.Second)
			rss, err := memory(b.PID(), "VmRSS")
			b.Close()
			if err := errors.Join(err, os.RemoveAll(filepath.Join(s.dir, "first-"+name))); err != nil {
				return err
			}
			times, idle = append(times, took.Seconds()*1000), append(idle, float64(rss)/1e6)
			progress("start %-8s %v, idle %.1f MB", name, took, float64(rss)/1e6)
		}
		t.add("start: from exec to the first answer", name, "ms", times, "60 ms")
		t.add("idle: memory", name, "MB", idle, "30 MB")
	}
	return nil
}

// many is the number of partitions of the scale test: ten topics of a thousand.
const many = 10_000

func partitions(s settings, t *table) error {
	if !s.only.MatchString("partitions, created") {
		return nil
	}
	for _, name := range both {
		b, err := s.start(name, "many", nil)
		if err != nil {
			return err
		}
		created, restarted, rss, err := manyPartitions(b)
		b.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		progress("10,000 partitions %-8s created in %v, back in %v, %.1f MB", name, created, restarted, rss)
		t.add("10,000 partitions: created", name, "s", []float64{created.Seconds()}, "10 s")
		t.add("10,000 partitions: back after a restart", name, "s", []float64{restarted.Seconds()}, "3 s")
		t.add("10,000 partitions: memory", name, "MB", []float64{rss}, "300 MB")
	}
	return nil
}

func manyPartitions(b broker) (created, restarted time.Duration, rss float64, err error) {
	a, end, err := admin(b.Addr())
	if err != nil {
		return 0, 0, 0, err
	}
	defer end()
	topics := map[string]int32{}
	var names []string
	for i := range 10 {
		names = append(names, fmt.Sprintf("many-%d", i))
		topics[names[i]] = many / 10
	}
	began := time.Now()
	if _, err := a.CreateTopics(context.Background(), many/10, 1, nil, names...); err != nil {
		return 0, 0, 0, fmt.Errorf("create topics: %w", err)
	}
	if err := awaitLeaders(a, topics); err != nil {
		return 0, 0, 0, err
	}
	created = time.Since(began)
	if err := b.Stop(); err != nil {
		return 0, 0, 0, err
	}
	began = time.Now()
	if err := b.Start(); err != nil {
		return 0, 0, 0, err
	}
	if err := awaitLeaders(a, topics); err != nil {
		return 0, 0, 0, err
	}
	restarted = time.Since(began)
	n, err := memory(b.PID(), "VmRSS")
	return created, restarted, float64(n) / 1e6, err
}

// crowd is the number of connections that do nothing.
const crowd = 5000

func connections(s settings, t *table) error {
	if !s.only.MatchString("connections") {
		return nil
	}
	brokers, end, err := s.startBoth("crowd", nil)
	if err != nil {
		return err
	}
	defer end()
	for _, b := range brokers {
		more, err := idleConnections(b)
		if err != nil {
			return fmt.Errorf("%s: %w", b.Name(), err)
		}
		progress("5,000 connections %-8s %.1f MB", b.Name(), more)
		t.add("5,000 idle connections: memory", b.Name(), "MB more", []float64{more}, "60 MB")
	}
	return nil
}

func idleConnections(b broker) (float64, error) {
	time.Sleep(3 * time.Second)
	before, err := memory(b.PID(), "VmRSS")
	if err != nil {
		return 0, err
	}
	for range crowd {
		c, err := conn.Dial(b.Addr())
		if err != nil {
			return 0, err
		}
		defer c.Close()
		if _, err := c.Request(kmsg.NewPtrApiVersionsRequest()); err != nil {
			return 0, err
		}
	}
	time.Sleep(3 * time.Second)
	after, err := memory(b.PID(), "VmRSS")
	return float64(after-before) / 1e6, err
}
