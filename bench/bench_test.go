package main

import (
	"bufio"
	"strings"
	"testing"
	"time"
)

func TestReadAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		open   bool
		fails  bool
	}{
		"keeps the connection":  {"HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 2\r\n\r\n{}", true, false},
		"closes the connection": {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", false, false},
		"is old":                {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", false, false},
		"has no length":         {"HTTP/1.1 200 OK\r\n\r\n{}", false, true},
		"is too short":          {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", true, true},
		"is a refusal":          {"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}", false, true},
	} {
		r := bufio.NewReader(strings.NewReader(c.answer))
		open, err := readAnswer(r)
		if (err != nil) != c.fails || err == nil && (open != c.open || r.Buffered() != 0) {
			t.Errorf("%s: open %t, %v, %d bytes left", name, open, err, r.Buffered())
		}
	}
}

func TestQuantile(t *testing.T) {
	var times []time.Duration
	for i := range 100 {
		times = append(times, time.Duration(i+1)*time.Millisecond)
	}
	if p50, p99 := quantile(times, 0.50), quantile(times, 0.99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if one := quantile(times[:1], 0.99); one != 1 {
		t.Errorf("p99 of one: %v", one)
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.02345: "0.0234", 1.5: "1.50", 23.45: "23.4", 1234.5: "1234"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}
