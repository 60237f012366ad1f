package config

import "testing"

func BenchmarkDescribeTopic(b *testing.B) {
	cfg, err := Load(Sources{File: map[string]string{"broker.id": "1"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cfg.DescribeTopic(map[string]string{"retention.ms": "5"}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckTopic(b *testing.B) {
	cfg, err := Load(Sources{File: map[string]string{"broker.id": "1"}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := cfg.Current().CheckTopic(map[string]string{"retention.ms": "5"}); err != nil {
			b.Fatal(err)
		}
	}
}
