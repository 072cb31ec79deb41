package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kernelVersion is what uname says: 6.18.44 and the like.
type kernelVersion struct{ major, minor, patch int }

func (k kernelVersion) String() string { return fmt.Sprintf("%d.%d.%d", k.major, k.minor, k.patch) }

func (k kernelVersion) before(o kernelVersion) bool {
	if k.major != o.major {
		return k.major < o.major
	}
	if k.minor != o.minor {
		return k.minor < o.minor
	}
	return k.patch < o.patch
}

func runningKernel() kernelVersion {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return kernelVersion{}
	}
	return parseKernel(unix.ByteSliceToString(u.Release[:]))
}

// parseKernel reads the leading numbers of a release. What is not there is 0.
func parseKernel(release string) (k kernelVersion) {
	parts := [3]int{}
	part := 0
	for _, c := range release {
		switch {
		case c >= '0' && c <= '9' && parts[part] < 1e6:
			parts[part] = parts[part]*10 + int(c-'0')
		case c == '.' && part < 2:
			part++
		default:
			return kernelVersion{parts[0], parts[1], parts[2]}
		}
	}
	return kernelVersion{parts[0], parts[1], parts[2]}
}

// Kernels from 6.6 on take packets of several descriptors; before tailsSince a bad
// one loses frames (CVE-2026-74559, CVE-2026-74560).
var (
	multiBufferSince = kernelVersion{6, 6, 0}
	tailsSince       = kernelVersion{6, 18, 44}
)

func tailsSupported(k kernelVersion) error {
	if k.before(tailsSince) {
		return &UnsupportedError{Feature: "sending from slabs by descriptor on Linux " + k.String(), Needs: "Linux " + tailsSince.String() + " or later"}
	}
	return nil
}

func multiBufferSupported(k kernelVersion) error {
	if k.before(multiBufferSince) {
		return &UnsupportedError{Feature: "packets of several buffers on Linux " + k.String(), Needs: "Linux " + multiBufferSince.String() + " or later"}
	}
	return nil
}
