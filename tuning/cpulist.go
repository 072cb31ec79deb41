package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseCPUs reads a list as the kernel writes them: 0-3,8,10-11.
func ParseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.ParseUint(first, 10, 13)
		b := a
		if err == nil && isRange {
			b, err = strconv.ParseUint(last, 10, 13)
		}
		if err != nil || b < a {
			return nil, fmt.Errorf("%q is not a list of CPUs; write e.g. 2-5,8", list)
		}
		for cpu := int(a); cpu <= int(b); cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// FormatCPUs writes such a list, as short as it can be.
func FormatCPUs(cpus []int) string {
	sorted := slices.Compact(slices.Sorted(slices.Values(cpus)))
	var parts []string
	for i := 0; i < len(sorted); {
		j := i
		for j+1 < len(sorted) && sorted[j+1] == sorted[j]+1 {
			j++
		}
		switch {
		case i == j:
			parts = append(parts, strconv.Itoa(sorted[i]))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", sorted[i], sorted[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// formatMask writes CPUs as the kernel's bitmaps: groups of 32 bits in hexadecimal, the highest first. like has the
// number of groups that the file shows now.
func formatMask(cpus []int, like string) string {
	groups := make([]uint32, strings.Count(like, ",")+1)
	for _, cpu := range cpus {
		for cpu/32 >= len(groups) {
			groups = append(groups, 0)
		}
		groups[cpu/32] |= 1 << (cpu % 32)
	}
	first, _, _ := strings.Cut(like, ",")
	text := make([]string, len(groups))
	for i, g := range groups {
		text[len(groups)-1-i] = fmt.Sprintf("%08x", g)
	}
	// A machine of few CPUs shows as many digits as it needs.
	if width := len(first); len(groups) == 1 && width > 0 && width < 8 {
		text[0] = fmt.Sprintf("%0*x", width, groups[0])
	} else if width > 0 && width < 8 {
		text[0] = fmt.Sprintf("%0*x", width, groups[len(groups)-1])
	}
	return strings.Join(text, ",")
}
