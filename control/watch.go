package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gannet/replication"
	"gannet/ring"
)

const (
	// A watch is asked for a sign of life this often, and believed dead without one for
	// watchSilent: then everything is read anew.
	watchAsk    = time.Second
	watchSilent = 4 * time.Second
	watchPause  = 200 * time.Millisecond
)

// View is what a Watch found in etcd.
type View struct {
	Record     replication.Record // without a Ring: there is none
	Members    []ring.Member      // with a live lease, by id
	Controller uint64             // 0: none
	Draining   []uint64
}

// Watch follows what stands in etcd. Nothing trusts a watch to be alive: it must
// answer, and each time it begins, everything is read.
type Watch struct {
	Client *clientv3.Client
	// Seen takes what stands there whenever that may have changed. read says that it
	// was read from a quorum after Run began, and not told by the watch.
	Seen func(v View, read bool)
	Log  *slog.Logger

	record     replication.Record
	members    map[uint64]ring.Member
	draining   map[uint64]bool
	controller uint64
}

var (
	errWatchSilent = errors.New("the watch gives no sign of life")
	errWatchClosed = errors.New("etcd's client closed it")
)

// Run follows until the context ends.
func (w *Watch) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := w.follow(ctx); ctx.Err() == nil {
			w.Log.Debug("reading etcd anew", "cause", err)
		}
		sleep(ctx, watchPause)
	}
	return nil
}

func (w *Watch) follow(ctx context.Context) error {
	// The deadline stands over the opening as well: a stream on which nothing is heard
	// does not even say that it began.
	ctx, leave := context.WithCancelCause(clientv3.WithRequireLeader(ctx))
	defer leave(nil)
	// A stream of its own for each go, closed with it: the client's own watcher would
	// put the next watch on the stream which has fallen silent.
	watcher := clientv3.NewWatcher(w.Client)
	defer func() { _ = watcher.Close() }()
	revision, err := w.list(ctx)
	if err != nil {
		return err
	}
	silent := time.AfterFunc(watchSilent, func() { leave(errWatchSilent) })
	defer silent.Stop()
	events := watcher.Watch(ctx, keyPrefix, clientv3.WithPrefix(), clientv3.WithRev(revision+1), clientv3.WithProgressNotify())
	ask := time.NewTicker(watchAsk)
	defer ask.Stop()
	for {
		select {
		case answer, ok := <-events:
			if !ok {
				return fmt.Errorf("the watch ended: %w", cmp.Or(context.Cause(ctx), errWatchClosed))
			}
			if err := answer.Err(); err != nil {
				return fmt.Errorf("watch etcd: %w", err)
			}
			silent.Reset(watchSilent)
			w.takeEvents(answer.Events)
		case <-ask.C:
			if err := watcher.RequestProgress(ctx); err != nil {
				return fmt.Errorf("ask the watch for progress: %w", cmp.Or(context.Cause(ctx), err))
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// list reads everything, and returns the revision at which it stood so.
func (w *Watch) list(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdCallLongest)
	defer cancel()
	got, err := w.Client.Get(ctx, keyPrefix, clientv3.WithPrefix())
	if err != nil {
		return 0, fmt.Errorf("read etcd: %w", err)
	}
	before := w.record
	w.record, w.controller = replication.Record{}, 0
	w.members, w.draining = map[uint64]ring.Member{}, map[uint64]bool{}
	for _, kv := range got.Kvs {
		if string(kv.Key) == ringKey && kv.ModRevision == before.Revision {
			w.record = before // to derive the points again would only cost time
			continue
		}
		w.put(kv)
	}
	w.tell(true)
	return got.Header.Revision, nil
}

func (w *Watch) takeEvents(events []*clientv3.Event) {
	for _, e := range events {
		if e.Type == clientv3.EventTypeDelete {
			w.remove(string(e.Kv.Key))
		} else {
			w.put(e.Kv)
		}
	}
	if len(events) > 0 {
		w.tell(false)
	}
}

func (w *Watch) put(kv *mvccpb.KeyValue) {
	key := string(kv.Key)
	switch {
	case key == ringKey:
		rec, err := replication.DecodeRecord(kv.Value, kv.ModRevision)
		if err != nil {
			w.Log.Error("the ring in etcd cannot be used; delete its key to begin anew", "key", ringKey, "error", err)
			return
		}
		w.record = rec
	case key == controllerKey:
		w.controller, _ = strconv.ParseUint(string(kv.Value), 16, 64) // 0: nobody's
	case strings.HasPrefix(key, drainKey):
		if id, ok := idOfKey(key, drainKey); ok {
			w.draining[id] = true
		}
	case strings.HasPrefix(key, membersKey):
		m, err := decodeMember(kv.Value)
		if err != nil {
			w.Log.Error("read a member", "key", key, "error", err)
			return
		}
		w.members[m.ID] = m
	}
}

func (w *Watch) remove(key string) {
	switch {
	case key == ringKey:
		w.record = replication.Record{}
	case key == controllerKey:
		w.controller = 0
	}
	if id, ok := idOfKey(key, drainKey); ok {
		delete(w.draining, id)
	}
	if id, ok := idOfKey(key, membersKey); ok {
		delete(w.members, id)
	}
}

func (w *Watch) tell(read bool) {
	v := View{Record: w.record, Controller: w.controller}
	for _, m := range w.members {
		v.Members = append(v.Members, m)
	}
	slices.SortFunc(v.Members, func(a, b ring.Member) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	for id := range w.draining {
		v.Draining = append(v.Draining, id)
	}
	w.Seen(v, read)
}
