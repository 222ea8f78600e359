package seccomp

// comparison is how an argument is compared; the names are those of seccomp(2)'s library.
type comparison int

const (
	equal comparison = iota
	notEqual
	less
	lessEqual
	greater
	greaterEqual
	masked // argument & mask == value
)

// condition is a comparison of one argument of a call, all 64 bits of it.
type condition struct {
	arg   int
	op    comparison
	value uint64
	mask  uint64 // of masked
}

// holds evaluates the condition directly: the judge of the compiled program.
func (c condition) holds(args [6]uint64) bool {
	a := args[c.arg]
	switch c.op {
	case equal:
		return a == c.value
	case notEqual:
		return a != c.value
	case less:
		return a < c.value
	case lessEqual:
		return a <= c.value
	case greater:
		return a > c.value
	case greaterEqual:
		return a >= c.value
	case masked:
		return a&c.mask == c.value
	}
	panic("[internal error] unknown comparison")
}

// anyOf holds if all conditions of one of its alternatives do. It is never where it has none, and
// always where one of them is empty.
type anyOf [][]condition

var always = anyOf{{}}

func (a anyOf) holds(args [6]uint64) bool {
	for _, alternative := range a {
		all := true
		for _, c := range alternative {
			all = all && c.holds(args)
		}
		if all {
			return true
		}
	}
	return false
}

func (a anyOf) isAlways() bool {
	for _, alternative := range a {
		if len(alternative) == 0 {
			return true
		}
	}
	return false
}

// low compares the low 32 bits alone: the kernel takes int arguments so, whatever stands above them.
func low(arg int, mask, value uint32) condition {
	return condition{arg: arg, op: masked, mask: uint64(mask), value: uint64(value)}
}

// oneOf holds where the low 32 bits are one of the values.
func oneOf(arg int, values ...uint32) (a anyOf) {
	for _, v := range values {
		a = append(a, []condition{low(arg, 0xffffffff, v)})
	}
	return a
}

// anyBit holds where one of the bits is set. There is no such comparison of constant cost but "not
// equal to zero under a mask", which the profile's operators do not have: one alternative for each bit.
func anyBit(arg int, bits ...uint32) (a anyOf) {
	for _, b := range bits {
		a = append(a, []condition{low(arg, b, b)})
	}
	return a
}
