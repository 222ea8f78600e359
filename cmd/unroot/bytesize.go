package main

import (
	"errors"
	"strconv"
	"strings"
)

// byteSize is a number of bytes as a flag: "4096", "64K", "200M", "1G", "2T", in powers of 1024.
type byteSize int64

var byteUnits = []string{"", "K", "M", "G", "T"}

// String is the size in the largest unit that divides it.
func (b *byteSize) String() string {
	if *b == 0 {
		return ""
	}
	n, unit := int64(*b), 0
	for n%1024 == 0 && unit < len(byteUnits)-1 {
		n, unit = n/1024, unit+1
	}
	return strconv.FormatInt(n, 10) + byteUnits[unit]
}

// Set reads a size.
func (b *byteSize) Set(s string) error {
	digits := strings.TrimRight(strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I"), "KMGT")
	unit := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(s), "B"), "I")[len(digits):]
	n, err := strconv.ParseInt(digits, 10, 64)
	for i, name := range byteUnits {
		if name == unit && err == nil && n > 0 && n <= 1<<62>>(10*i) {
			*b = byteSize(n << (10 * i))
			return nil
		}
	}
	return errors.New("not a size such as 64K, 200M or 1G")
}

// Type is the word that help shows.
func (b *byteSize) Type() string { return "size" }
