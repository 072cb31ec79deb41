package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gannet/test/rows"
	"gannet/test/zerocopy/report"
)

const rungWanted = "xdp-zerocopy"

// keep writes a machine's whole report beside the rows, for whoever wants to know
// more; that it cannot be written is no reason to fail.
func keep(dir string, run report.Run) {
	data, err := json.MarshalIndent(run, "", "  ")
	if err != nil {
		return
	}
	_ = os.MkdirAll(dir, 0o755)
	_ = os.WriteFile(filepath.Join(dir, "zerocopy-"+run.Driver+".json"), append(data, '\n'), 0o644)
}

// judge makes rows of both runs. What a run that ended early did not come to is void.
func judge(t *rows.Table, runs []report.Run, fault error) {
	for i, id := range []string{"igb_rung", "virtio_rung"} {
		r := &runs[i]
		good := 0.0
		if r.Rung == rungWanted && r.ZeroCopy {
			good = 1
		}
		t.AtLeast(id, good, 1, 1, "", fmt.Sprintf("%s on %s, XDP_OPTIONS says zero-copy: %v %s", orNone(r.Rung), r.Kernel, r.ZeroCopy, strings.Join(r.WhyNot, "; ")))
	}
	all := []struct {
		id string
		do func(*rows.Table, []report.Run)
	}{
		{"bytes_verified", bytesVerified},
		{"value_bytes_copied", valueBytesCopied},
		{"census", census},
		{"tx_invalid", txInvalid},
		{"warm_restart", warmRestart},
		{"hot_item_fallback", hotItem},
		{"slots_leaked", slotsLeaked},
	}
	for _, row := range all {
		if fault != nil {
			t.Void(row.id, errors.New(strings.ReplaceAll(fault.Error(), "\n", " | ")))
			continue
		}
		row.do(t, runs)
	}
}

func orNone(s string) string {
	if s == "" {
		return "no rung"
	}
	return s
}

// each adds up a figure over the runs.
func each(runs []report.Run, figure func(*report.Run) int64) (sum int64) {
	for i := range runs {
		sum += figure(&runs[i])
	}
	return sum
}

func bytesVerified(t *rows.Table, runs []report.Run) {
	bad := each(runs, func(r *report.Run) int64 {
		return r.Main.Wrong + r.Main.Failed + r.Main.Missing + int64(r.Main.Corrupt)
	})
	gets := each(runs, func(r *report.Run) int64 { return r.Main.Gets })
	bytes := each(runs, func(r *report.Run) int64 { return r.Main.Bytes })
	note := fmt.Sprintf("requests with a wrong byte, an error or no answer; %d bytes compared;", bytes)
	for i := range runs {
		r := &runs[i]
		note += fmt.Sprintf(" %s: %d GETs and %d PUTs in %.0f s, %d sent again;", r.Driver, r.Main.Gets, r.Main.Puts, r.Main.Seconds, r.Main.Resent)
	}
	t.AtMost("bytes_verified", float64(bad), 0, gets, "requests", note)
}

func valueBytesCopied(t *rows.Table, runs []report.Run) {
	copied := each(runs, func(r *report.Run) int64 { return int64(r.MainSent.LargeCopied) })
	inPlace := each(runs, func(r *report.Run) int64 { return int64(r.MainSent.InPlace) })
	bytes := each(runs, func(r *report.Run) int64 { return int64(r.MainSent.InPlaceBytes) })
	if inPlace == 0 {
		t.Void("value_bytes_copied", errors.New("no reply left in place: nothing was measured"))
		return
	}
	t.AtMost("value_bytes_copied", float64(copied), 0, inPlace, "B", fmt.Sprintf("of large values, by the data plane; %d bytes left in place", bytes))
}

func census(t *rows.Table, runs []report.Run) {
	deaths := each(runs, func(r *report.Run) int64 { return int64(r.Deaths) })
	turns := each(runs, func(r *report.Run) int64 { return int64(r.CensusTurns) })
	t.AtMost("census", float64(deaths), 0, turns, "faults", "the data plane, built with the tag invariants, compares both accounts of its frames and slots in every turn, and ends when they differ")
}

func txInvalid(t *rows.Table, runs []report.Run) {
	t.AtMost("tx_invalid", float64(each(runs, func(r *report.Run) int64 { return int64(r.TxInvalid) })), 0,
		each(runs, func(r *report.Run) int64 { return int64(r.MainSent.InPlace + r.HotSent.InPlace) }), "descriptors", "XDP_STATISTICS of the sockets")
}

func warmRestart(t *rows.Table, runs []report.Run) {
	bad := each(runs, func(r *report.Run) int64 {
		n := r.Restart.Wrong + r.Restart.Failed + r.Restart.Missing
		if !r.Killed || r.Restart.Gets == 0 {
			n++
		}
		return n
	})
	note := "requests that failed, missed or were wrong while the data plane was killed under load;"
	for i := range runs {
		note += fmt.Sprintf(" %s: %d GETs, %d sent again, %s;", runs[i].Driver, runs[i].Restart.Gets, runs[i].Restart.Resent, runs[i].Recovery)
	}
	t.AtMost("warm_restart", float64(bad), 0, each(runs, func(r *report.Run) int64 { return r.Restart.Gets }), "requests", note)
}

func hotItem(t *rows.Table, runs []report.Run) {
	bad := each(runs, func(r *report.Run) int64 { return r.Hot.Wrong + r.Hot.Failed + r.Hot.Missing })
	for i := range runs {
		if runs[i].HotSent.RoomBusy == 0 {
			t.Void("hot_item_fallback", fmt.Errorf("%s: no reply met a slot in flight", runs[i].Driver))
			return
		}
	}
	busy := each(runs, func(r *report.Run) int64 { return int64(r.HotSent.RoomBusy) })
	inPlace := each(runs, func(r *report.Run) int64 { return int64(r.HotSent.InPlace) })
	t.AtMost("hot_item_fallback", float64(bad), 0, each(runs, func(r *report.Run) int64 { return r.Hot.Gets }), "requests",
		fmt.Sprintf("that failed or were wrong; one item asked for 64 times at once: %d replies in place, %d copied because its slot was in flight", inPlace, busy))
}

func slotsLeaked(t *rows.Table, runs []report.Run) {
	leaked := each(runs, func(r *report.Run) int64 { return int64(r.Slots) })
	note := "slots in flight when all was quiet, after a kill and a flap of the link;"
	for i := range runs {
		r := &runs[i]
		note += fmt.Sprintf(" %s: rung %s after the flap, %d changes of rung, %d of %d requests failed, missed or were wrong;", r.Driver, r.FlapRung, r.FlapMoves,
			r.Flap.Failed+r.Flap.Wrong+r.Flap.Missing, r.Flap.Gets+r.Flap.Puts)
	}
	bad := each(runs, func(r *report.Run) int64 { return r.Flap.Wrong + r.Flap.Missing })
	t.AtMost("slots_leaked", float64(leaked+bad), 0, each(runs, func(r *report.Run) int64 { return int64(r.MainSent.InPlace) }), "slots", note)
}
