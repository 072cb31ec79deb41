package tuning

// Verify makes the plan again, without what drivers refused when it was applied: what is then still to be set has
// drifted.
func Verify(h *Host, dir string, o *Options) (*Plan, error) {
	plan, err := MakePlan(h, o)
	if err != nil {
		return nil, err
	}
	plan.without(readRefused(dir, plan.Facts.BootID))
	return plan, nil
}
