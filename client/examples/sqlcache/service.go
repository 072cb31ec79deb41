package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gannet/client"
)

// service is the store with a cache in front of it.
type service struct {
	store *store
	cache *client.Client
}

func key(id int64) string { return fmt.Sprintf("article:%d", id) }

// article reads one from the cache, or has it loaded: by one reader among all of all
// processes. Past a minute it is loaded anew in the background.
func (s *service) article(ctx context.Context, id int64) (*article, error) {
	item, err := s.cache.GetOrLoad(ctx, key(id), func(ctx context.Context) ([]byte, error) {
		a, err := s.store.article(ctx, id)
		if err != nil {
			return nil, err
		}
		return json.Marshal(a)
	}, client.WithSoftTTL(time.Minute), client.WithTTL(time.Hour))
	if err != nil {
		return nil, err
	}
	a := &article{}
	return a, json.Unmarshal(item.Value, a)
}

// retitle changes one: first in the database, then it is deleted from the cache. When
// that fails the cache may have the old title until its TTL is over, so the error says
// so; the caller may try again.
func (s *service) retitle(ctx context.Context, id int64, title string) error {
	if err := s.store.retitle(ctx, id, title); err != nil {
		return err
	}
	if err := s.cache.Delete(ctx, key(id)); err != nil && !errors.Is(err, client.ErrNotFound) {
		return fmt.Errorf("the title is changed, but the cache may still have the old one: %w", err)
	}
	return nil
}
