package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// projectFile is a project whose one job ingests all days of a world. Its marks are: now, the folder of the world, whether there is consent, the purpose's basis, and the days.
const projectFile = `project: privacy
storage: file:./lake
online: embedded:./online
pseudonyms: {key: "file:%[6]s", key_id: k1}
clock: {fixed: %[1]s}
sources:
  events: {path: "file:%[2]s/events/dt={date}/*.parquet", subject: subject, item: item, at: time, kind: kind, value: value}
%[3]spurposes:
  recommend: {says: We suggest things you may like., basis: %[4]s, reads: {events: [kind, value]}}
views:
  activity: {key: subject, windows: [1d], features: {events: {count: {}}}}
models:
  home: {parts: [popular], weights: {view: 1, buy: 4}, lists: {k: 10, seen: keep}}
jobs:
  nightly:
    schedule: "0 3 * * *"
    every: 1d
    purpose: {train: recommend}
    train: {model: home, window: %[5]dd}
    evaluate: {split: {last: 1d}, k: [10]}
    publish: {alias: champion, features: [activity]}
`

// project writes the file of a project over a world into a folder, and returns its path.
func project(folder, data, key string, w world, basis string) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	consent := ""
	if basis == "consent" {
		consent = fmt.Sprintf("  consent: {path: \"file:%s/consent/*/*.parquet\"}\n", data)
	}
	path := filepath.Join(folder, "rapport.yaml")
	body := fmt.Sprintf(projectFile, w.now().Format(time.RFC3339), data, consent, basis, w.days, key)
	return path, os.WriteFile(path, []byte(body), 0o644)
}

// secret writes the secret of pseudonyms.
func secret(path string) error {
	key := make([]byte, 32)
	rand.Read(key)
	return os.WriteFile(path, []byte(hex.EncodeToString(key)+"\n"), 0o600)
}
