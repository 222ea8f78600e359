//go:build linux

package process

import (
	"os"
	"strings"
	"testing"
)

func reader(content string) func([]byte, int64) int {
	return func(buf []byte, at int64) int {
		if at < 0 || at > int64(len(content)) {
			return 0
		}
		return copy(buf, content[at:])
	}
}

func TestInterpreterOf(t *testing.T) {
	t.Parallel()
	head64 := make([]byte, 64+56)
	copy(head64, "\x7fELF\x02\x01\x01")
	head64[18], head64[32], head64[54], head64[56], head64[64], head64[72], head64[96] = 62, 64, 56, 1, 3, 120, 8
	head32 := make([]byte, 52+32) // big-endian
	copy(head32, "\x7fELF\x01\x02\x01")
	head32[19], head32[31], head32[43], head32[45], head32[52+3], head32[52+7], head32[52+19] = 20, 52, 32, 1, 3, 84, 8
	for _, test := range []struct {
		content, want string
		kind          kind
	}{
		{"#!/bin/sh\n", "/bin/sh", script},
		{"#! \t/usr/bin/env python3 -u\nx", "/usr/bin/env", script},
		{"#!/bin/sh", "/bin/sh", script},
		{"#!/bin/sh\r\n", "/bin/sh\r", script},
		{"#!\n/bin/sh", "", other},
		{"#!   ", "", other},
		{"", "", other},
		{"\x7fELF", "", other},
		{string(head64) + "/lib/ld\x00", "/lib/ld", dynamic},
		{string(head32) + "/lib/ld\x00", "/lib/ld", dynamic},
		{string(head64), "", other},
	} {
		got, kind := interpreterOf(reader(test.content))
		if got != test.want || kind != test.kind {
			t.Errorf("%.40q: %q, %d, want %q, %d", test.content, got, kind, test.want, test.kind)
		}
	}
}

func FuzzInterpreterOf(f *testing.F) {
	f.Add("#!/usr/bin/env sh\n")
	f.Add("\x7fELF\x02\x01\x01" + strings.Repeat("\x03\x00\x40", 60))
	f.Add("\x7fELF\x01\x02\x01" + strings.Repeat("\x00\x03\x34", 60))
	if own, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(string(own[:min(len(own), 1024)]))
	}
	f.Fuzz(func(t *testing.T, content string) {
		name, kind := interpreterOf(reader(content))
		if (kind == other) != (name == "") || len(name) > maxInterp || strings.ContainsAny(name, "\n\x00") && kind == script {
			t.Errorf("%q, kind %d", name, kind)
		}
	})
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, want string
		env        []string
	}{
		{"/bin/app", "/bin/app", []string{"PATH=/x"}},
		{"./app", "./app", []string{"PATH=/x"}},
		{"app", "/x/app /y/app", []string{"A=b", "PATH=/x:/y/", "PATH=/z"}},
		{"app", "./app /y/app ./app", []string{"PATH=:/y:"}},
		{"app", "./app", []string{"PATH="}},
		{"app", "/app", []string{"PATH=/"}},
		{"app", "/usr/local/sbin/app /usr/local/bin/app /usr/sbin/app /usr/bin/app /sbin/app /bin/app", nil},
	} {
		list, failure := candidates([]string{test.name}, test.env)
		if got := strings.Join(list, " "); failure != nil || got != test.want {
			t.Errorf("%s in %q: %s, %v, want %s", test.name, test.env, got, failure, test.want)
		}
	}
}
