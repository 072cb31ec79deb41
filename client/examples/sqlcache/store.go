package main

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"

	_ "modernc.org/sqlite" // the driver, in pure Go
)

// article is a row.
type article struct {
	ID    int64  `json:"id"`
	Title string `json:"title"`
	Views int64  `json:"views"`
	Body  string `json:"body"`
}

// store is the database. It counts its queries.
type store struct {
	db      *sql.DB
	queries atomic.Uint64
}

// openStore makes a database of so many articles in a file.
func openStore(ctx context.Context, path string, rows int) (*store, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=synchronous(0)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	s := &store{db: db}
	if err := s.fill(ctx, rows); err != nil {
		db.Close()
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	return s, nil
}

func (s *store) fill(ctx context.Context, rows int) error {
	if _, err := s.db.ExecContext(ctx, `PRAGMA journal_mode = WAL;
		CREATE TABLE articles (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL);
		CREATE TABLE views (article INTEGER NOT NULL, day INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (article, day));`); err != nil {
		return err
	}
	_, err := s.db.ExecContext(ctx, `
		WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < ?)
		INSERT INTO articles SELECT id, 'Article ' || id, printf('%.400c', 'x') FROM n;
		INSERT INTO views SELECT a.id, d.day, (a.id * 7919 + d.day * 104729) % 1000
			FROM articles a, (SELECT 1 AS day UNION SELECT 2 UNION SELECT 3) d;`, rows)
	return err
}

func (s *store) close() error { return s.db.Close() }

// article reads one with its views, which takes a join.
func (s *store) article(ctx context.Context, id int64) (*article, error) {
	s.queries.Add(1)
	a := &article{}
	err := s.db.QueryRowContext(ctx, `SELECT a.id, a.title, a.body, sum(v.count)
		FROM articles a JOIN views v ON v.article = a.id WHERE a.id = ? GROUP BY a.id`, id).Scan(&a.ID, &a.Title, &a.Body, &a.Views)
	if err != nil {
		return nil, fmt.Errorf("article %d: %w", id, err)
	}
	return a, nil
}

// retitle changes one.
func (s *store) retitle(ctx context.Context, id int64, title string) error {
	s.queries.Add(1)
	_, err := s.db.ExecContext(ctx, `UPDATE articles SET title = ? WHERE id = ?`, title, id)
	return err
}
