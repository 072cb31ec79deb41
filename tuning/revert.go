package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/sys/unix"
)

// Revert puts back everything that the journal has, last first, and ends the journal. Stopped half-way, it is simply run
// again.
func Revert(h *Host, dir string) (done Done, err error) {
	j, err := openJournal(dir)
	if err != nil {
		return Done{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.forgetOldBoots(h.text("/proc/sys/kernel/random/boot_id")); err != nil {
		return Done{}, err
	}
	netNS, _ := namespace(h)
	done, errs := putBack(h, j.entries, netNS)
	if len(errs) > 0 {
		return done, fmt.Errorf("not everything could be put back; the journal stays, run it again when the causes are gone: %w", errors.Join(errs...))
	}
	return done, j.remove()
}

// putBack goes backwards through entries. It goes on behind an error: each old value that is back is one less to mend.
func putBack(h *Host, entries []entry, netNS string) (done Done, errs []error) {
	for _, e := range slices.Backward(entries) {
		if e.Refused != "" {
			continue
		}
		w, err := e.putBack(h, netNS)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV):
			w.Reason = "it is not there any more"
			done.Gone = append(done.Gone, w)
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", e.Knob, err))
		case w.Old != w.New:
			done.Written = append(done.Written, w)
		}
	}
	return done, errs
}

// putBack makes a setting what it was, unless it is.
func (e *entry) putBack(h *Host, netNS string) (Write, error) {
	w := Write{Knob: e.Knob, Setting: e.Setting, New: e.Old}
	if e.NetNS != netNS && e.Setting.ofNamespace() {
		return w, fmt.Errorf("%s was set in network namespace %s, and this is %s: run revert there", e.Setting, e.NetNS, netNS)
	}
	now, err := e.Setting.Read(h)
	w.Old = now
	if err != nil || now == e.Old {
		return w, err
	}
	if err := e.Setting.Write(h, e.Old); err != nil {
		return w, explain(err)
	}
	got, err := e.Setting.Read(h)
	if err == nil && got != e.Old {
		err = fmt.Errorf("%s is %s and does not take its former %s", e.Setting, shorten(got), shorten(e.Old))
	}
	return w, err
}
