package tuning

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Done is what became of a run of Apply or Revert.
type Done struct {
	Written []Write
	// Refused are settings that the driver did not take, though it said nothing against them before.
	Refused []Write
	// Gone are settings to put back that are not there any more: an interface or a queue has gone.
	Gone []Write
}

// Write is a setting that was set.
type Write struct {
	Knob    string  `json:"knob"`
	Setting Setting `json:"setting"`
	Old     string  `json:"old"`
	New     string  `json:"new"`
	Reason  string  `json:"reason,omitempty"`
}

// applying is a run of Apply.
type applying struct {
	host    *Host
	journal *journal
	bootID  string
	netNS   string
	done    Done
}

// Apply makes a host as its plan wants it. On an error everything this run has set is put back.
func Apply(h *Host, dir string, o *Options) (done Done, err error) {
	plan, err := MakePlan(h, o)
	if err != nil {
		return Done{}, err
	}
	j, err := openJournal(dir)
	if err != nil {
		return Done{}, err
	}
	defer func() { err = errors.Join(err, j.close()) }()
	if err := j.forgetOldBoots(plan.Facts.BootID); err != nil {
		return Done{}, err
	}
	a := &applying{host: h, journal: j, bootID: plan.Facts.BootID, netNS: plan.Facts.NetNS}
	bytes, entries := j.bytes, len(j.entries)
	if err := a.run(plan, o); err != nil {
		return Done{}, a.rollBack(err, bytes, entries)
	}
	return a.done, nil
}

// run sets first what makes the driver start its queues anew, looks again, and sets the rest.
func (a *applying) run(plan *Plan, o *Options) error {
	plan.without(a.journal.refused())
	var early []Change
	for _, c := range plan.Pending() {
		if plan.early(c) {
			early = append(early, c)
		}
	}
	if len(early) > 0 {
		if err := a.capture(plan, early); err != nil {
			return err
		}
		if err := a.set(early); err != nil {
			return err
		}
		again, err := MakePlan(a.host, o)
		if err != nil {
			return err
		}
		plan = again
		plan.without(a.journal.refused())
	}
	return a.set(plan.Pending())
}

// capture notes what may change by itself: what hangs on the queues.
func (a *applying) capture(plan *Plan, early []Change) error {
	pending := map[Setting]bool{}
	for _, c := range early {
		pending[c.Setting] = true
	}
	for _, k := range Knobs() {
		if k.Group != "nic" && k.Name != "irq.affinity" {
			continue
		}
		for _, item := range k.Scan(plan.Facts, plan.Options) {
			old, err := item.Setting.Read(a.host)
			if err != nil || pending[item.Setting] || !plan.Facts.Home && !item.Setting.ofNamespace() {
				continue
			}
			if err := a.journal.append(entry{BootID: a.bootID, NetNS: a.netNS, Knob: k.Name, Setting: item.Setting, Old: old, Capture: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *applying) set(changes []Change) error {
	for _, c := range changes {
		if err := a.setOne(c); err != nil {
			return err
		}
	}
	return nil
}

// setOne journals, writes and reads back.
func (a *applying) setOne(c Change) error {
	e := entry{BootID: a.bootID, NetNS: a.netNS, Knob: c.Knob.Name, Setting: c.Setting, Old: c.Now, New: c.Wanted}
	if err := a.journal.append(e); err != nil {
		return err
	}
	w := Write{Knob: c.Knob.Name, Setting: c.Setting, Old: c.Now, New: c.Wanted}
	err := c.Setting.Write(a.host, c.Wanted)
	if refuses(c.Setting, err) {
		return a.refuse(e, w, err)
	}
	if err != nil {
		return &KnobError{c.Knob.Name, explain(err)}
	}
	got, err := c.Setting.Read(a.host)
	if err == nil && got == c.Now && (c.Setting.Kind == KindFeature || c.Setting.Kind == KindCoalesce) {
		return a.refuse(e, w, errors.New("the driver took it and changed nothing"))
	}
	if err == nil && got != c.Wanted {
		err = fmt.Errorf("the kernel made %s of %s for %s", shorten(got), shorten(c.Wanted), c.Setting)
	}
	if err != nil {
		return &KnobError{c.Knob.Name, err}
	}
	a.done.Written = append(a.done.Written, w)
	return nil
}

// refuses tells whether an error means that the driver has no such thing to set: it changes nothing then, and nothing
// else hangs on it. An interrupt that the kernel manages itself answers with EIO.
func refuses(s Setting, err error) bool {
	return unsupported(err) || s.Kind == KindIRQ && errors.Is(err, unix.EIO)
}

func (a *applying) refuse(e entry, w Write, err error) error {
	if now, readErr := w.Setting.Read(a.host); readErr != nil || now != w.Old {
		return &KnobError{w.Knob, fmt.Errorf("refused, but not left alone: %w", err)}
	}
	w.Reason = "refused: " + err.Error()
	a.done.Refused = append(a.done.Refused, w)
	e.New, e.Refused = "", w.Reason
	return a.journal.append(e)
}

// KnobError is a knob that could not be set.
type KnobError struct {
	Knob string
	Err  error
}

func (e *KnobError) Error() string {
	return fmt.Sprintf("%s: %v; to do without it: --skip %s", e.Knob, e.Err, e.Knob)
}

// Unwrap gives the cause.
func (e *KnobError) Unwrap() error { return e.Err }

// explain adds what to do about the usual causes.
func explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.EROFS):
		hint = "the file system is read-only: a container needs /sys and /proc/sys writable, or tune the host outside of it"
	case errors.Is(err, fs.ErrPermission):
		hint = "this needs root"
	case errors.Is(err, unix.EBUSY):
		hint = "a queue is in use: end the programs with AF_XDP sockets on it (a running gannet-dataplane), then try again"
	default:
		return err
	}
	return fmt.Errorf("%w (%s)", err, hint)
}

// rollBack puts back what this run has set, and says so.
func (a *applying) rollBack(cause error, bytes int64, entries int) error {
	var failed []error
	_, errs := putBack(a.host, a.journal.entries[entries:], a.netNS)
	failed = append(failed, errs...)
	if len(failed) > 0 {
		return fmt.Errorf("%w; and not everything could be put back (the journal in %s has it: try gannet tune revert): %w",
			cause, a.journal.dir, errors.Join(failed...))
	}
	if err := a.journal.cut(bytes); err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w; what was set before it in this run has been put back", cause)
}
