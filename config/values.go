package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written with a unit: 512MiB, 8GB, 100KiB.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	// Longest first, so that B does not take MiB's last letter.
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
}

// ParseSize reads 512MiB, 8GB, 1.5GiB, 4096 (bytes). Case does not matter.
func ParseSize(text string) (Size, error) {
	number, unit := strings.TrimSpace(text), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := cutSuffixFold(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	if whole, err := strconv.ParseInt(number, 10, 64); err == nil {
		return wholeSize(whole, unit)
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) || strings.ContainsAny(number, "eExXpP_") {
		return 0, sizeProblem(text)
	}
	bytes := value * float64(unit)
	if value < 0 || bytes >= math.MaxInt64 {
		return 0, errRange
	}
	return Size(bytes), nil
}

func wholeSize(whole, unit int64) (Size, error) {
	if whole < 0 || whole > math.MaxInt64/unit {
		return 0, errRange
	}
	return Size(whole * unit), nil
}

var errRange = problem("is out of range; sizes go from 0 to 8 EiB, e.g. 512MiB")

// sizeProblem helps those who write 8G, which may mean two different things.
func sizeProblem(text string) error {
	trimmed := strings.TrimSpace(text)
	if n := len(trimmed); n > 1 && strings.ContainsRune("kKmMgGtT", rune(trimmed[n-1])) {
		if _, err := strconv.ParseFloat(trimmed[:n-1], 64); err == nil {
			letter := strings.ToUpper(trimmed[n-1:])
			return problem(fmt.Sprintf("is ambiguous; write %s%siB (powers of 1024) or %s%sB (powers of 1000)",
				trimmed[:n-1], letter, trimmed[:n-1], letter))
		}
	}
	return problem("is not a size; write a number and a unit (B, KiB, MiB, GiB, TiB, KB, MB, GB, TB), e.g. 512MiB")
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if len(s) < len(suffix) || !strings.EqualFold(s[len(s)-len(suffix):], suffix) {
		return s, false
	}
	return s[:len(s)-len(suffix)], true
}

// String writes the size in the largest unit that divides it.
func (s Size) String() string {
	if s == 0 {
		return "0"
	}
	best := ""
	for _, u := range sizeUnits {
		if int64(s)%u.bytes != 0 || u.suffix == "B" {
			continue
		}
		text := strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		if best == "" || len(text) < len(best) {
			best = text
		}
	}
	if best == "" {
		return strconv.FormatInt(int64(s), 10) + "B"
	}
	return best
}

// ParseDuration reads 200ms, 20us, 1m30s; never negative, and never without a unit.
func ParseDuration(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	d, err := time.ParseDuration(text)
	if err == nil && d >= 0 {
		return d, nil
	}
	if _, numErr := strconv.ParseFloat(text, 64); numErr == nil && err != nil {
		return 0, problem(fmt.Sprintf("has no unit; write e.g. %sms or %ss", text, text))
	}
	if err == nil {
		return 0, problem("is negative; write e.g. 200ms")
	}
	return 0, problem("is not a duration; write a number and a unit (us, ms, s, m, h), e.g. 200ms")
}

// CPUList is a set of CPUs in the kernel's notation: 0-3,8.
type CPUList []int

// maxCPU bounds CPU numbers as the kernel's largest builds do.
const maxCPU = 8191

// ParseCPUList reads 0-3,8. The result is in the order written.
func ParseCPUList(text string) (CPUList, error) {
	var list CPUList
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" && strings.TrimSpace(text) == "" {
			return nil, nil
		}
		low, high, err := parseCPURange(part)
		if err != nil {
			return nil, err
		}
		for cpu := low; cpu <= high; cpu++ {
			if slices.Contains(list, cpu) {
				return nil, problem(fmt.Sprintf("names CPU %d twice; every shard needs one of its own", cpu))
			}
			list = append(list, cpu)
		}
	}
	return list, nil
}

func parseCPURange(part string) (low, high int, err error) {
	first, last, isRange := strings.Cut(part, "-")
	low, err = strconv.Atoi(strings.TrimSpace(first))
	high = low
	if err == nil && isRange {
		high, err = strconv.Atoi(strings.TrimSpace(last))
	}
	if err != nil || low < 0 || high < low || high > maxCPU {
		return 0, 0, problem("is not a CPU list; write numbers and ranges, e.g. 2-5,8")
	}
	return low, high, nil
}

// String writes runs of consecutive CPUs as ranges.
func (l CPUList) String() string {
	var parts []string
	for i := 0; i < len(l); {
		j := i
		for j+1 < len(l) && l[j+1] == l[j]+1 {
			j++
		}
		part := strconv.Itoa(l[i])
		if j > i {
			part += "-" + strconv.Itoa(l[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// problem is what is wrong with a value; the caller adds key and place.
type problem string

func (p problem) Error() string { return string(p) }
