package config

// Nearest finds the choice with the fewest edits to what was written, "" when none
// is near enough to be meant.
func Nearest(written string, choices []string) string {
	best, bestEdits := "", len(written)/3+1
	for _, c := range choices {
		if edits := distance(written, c); edits <= bestEdits && (best == "" || edits < bestEdits) {
			best, bestEdits = c, edits
		}
	}
	return best
}

// distance is the number of insertions, deletions, substitutions and swaps of
// neighbours (optimal string alignment) between two texts.
func distance(a, b string) int {
	older, old := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old = old, row
	}
	return old[len(b)]
}
