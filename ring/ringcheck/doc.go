// Package ringcheck measures rings: how even they are, how much a change moves, and
// how long a lookup takes. The tests beside it hold the figures against the goals;
// the cluster's checker reports them.
//
// A figure begins with random member sets. Each set is corrected as a new cluster
// is, then one member joins, or one leaves. What a change moves is the part of the
// circle whose leader differs after it, whoever had it before and has it now, as a
// multiple of the ideal: the mean share of a member of the larger ring. Churn does
// the same with one ring over a long run of changes, because a ring that has seen
// many is not a new one.
package ringcheck
