package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"gannet/test/cluster/bed"
)

const pythonClient = "clients/python"

// pythonReport is what tests.report prints.
type pythonReport struct {
	Cases int
	Wrong []string
}

// checkPython runs the Python client's tests: the vectors, its way through faults, and
// a cluster of real nodes, which it routes keys to by a ring of its own making.
func checkPython(ctx context.Context, e *env) (err error) {
	vectors, err := runPython(ctx, nil, "tests.test_vectors", "tests.test_ring", "tests.test_client")
	if err != nil {
		return err
	}
	b, err := bed.New(ctx, bed.Config{Bin: e.bin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var addrs []string
	for _, n := range b.Nodes() {
		addrs = append(addrs, n.Addr+":"+strconv.Itoa(bed.DataPort))
	}
	cluster, err := runPython(ctx, []string{"GANNET_CLUSTER=" + strings.Join(addrs, ","), "GANNET_SERVER=" + addrs[0]},
		"tests.test_cluster", "tests.test_node")
	if err != nil {
		return err
	}
	cases, wrong := vectors.Cases+cluster.Cases, append(vectors.Wrong, cluster.Wrong...)
	note := fmt.Sprintf("%d vectors and faults, %d cases against 3 nodes, without any MOVED where the ring was right", vectors.Cases, cluster.Cases)
	if len(wrong) > 0 {
		note = fmt.Sprintf("wrong: %.300s", strings.Join(wrong, "; "))
	}
	e.table.AtLeast("python_vectors", float64(cases-len(wrong))/float64(cases), 1, int64(cases), "share of cases passed", note)
	return nil
}

func runPython(ctx context.Context, env []string, modules ...string) (r pythonReport, err error) {
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-W", "error", "-m", "tests.report"}, modules...)...)
	cmd.Dir = pythonClient
	cmd.Env = append(append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1"), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return r, fmt.Errorf("python3 (Debian's package python3 has it): %w: %s", err, said.String())
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("output of the Python tests %q: %w", out, err)
	}
	if r.Cases == 0 {
		return r, errors.New("no Python test ran")
	}
	return r, nil
}
