package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/rapport-ml/rapport/jobs"
)

// send posts a body with the server's token and returns the code and the answer.
func (s *served) send(path, kind string, body []byte, header ...string) (int, string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("Authorization", "Bearer open sesame")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatalf("%s: %v\n%s", path, err, s.errors)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// TestConsentOverHTTP: records of consent come to a real server as JSON, CSV, JSON Lines and Parquet; whoever they deny reads the list not based on profiling
// within a second; what cannot be meant is refused by its row, and nobody is named; files leave a line in the access log.
func TestConsentOverHTTP(t *testing.T) {
	dir := liveShop(t)
	s := startServe(t, filepath.Join(dir, projectFile))
	const asJSON = "application/json"
	personal := func(id string, header ...string) bool {
		code, body := s.send("/v1/recommend", asJSON, []byte(`{"id": "`+id+`"}`), header...)
		return code == http.StatusOK && strings.Contains(body, `"personalized": true`)
	}
	until(t, "lists are live", func() bool { code, _ := s.send("/v1/recommend", asJSON, []byte("{}")); return code == http.StatusOK })
	var ids []string
	for i := 1; i <= smallWorld.Users && len(ids) < 6; i++ {
		if id := fmt.Sprintf("u%06d", i); personal(id) {
			ids = append(ids, id)
		}
	}
	if len(ids) < 6 {
		t.Fatalf("%d people have lists of their own", len(ids))
	}
	now := time.Now().UTC().Add(-time.Minute).Truncate(time.Second)
	day := now.Format(time.RFC3339)
	var file bytes.Buffer
	if err := parquet.Write(&file, []rawConsent{{Subject: ids[3], Purpose: "recommend", State: "Withdrawn", Effective: now.UnixMicro(), Recorded: now.UnixMicro(), Source: "branch", RecordID: "1"}}); err != nil {
		t.Fatal(err)
	}
	const head = "subject,purpose,state,effective_at\n"
	for i, c := range []struct{ kind, body string }{
		{asJSON, `{"records": [{"id": "` + ids[0] + `", "purpose": "recommend", "state": "Withdrawn", "source": "app"}]}`},
		{"text/csv; charset=utf-8", head + ids[1] + ",recommend,Withdrawn," + day + "\n"},
		{"application/x-ndjson", `{"subject": "` + ids[2] + `", "purpose": "recommend", "state": "Revoked", "effective_at": "` + day + `"}` + "\n"},
		{"application/vnd.apache.parquet", file.String()},
	} {
		begun := time.Now()
		code, body := s.send("/v1/consent", c.kind, []byte(c.body))
		var out jobs.Consented
		if code != http.StatusOK || json.Unmarshal([]byte(body), &out) != nil || out.Records != 1 || out.Denied != 1 {
			t.Errorf("%s: %d %s", c.kind, code, body)
		}
		if personal(ids[i]) {
			t.Errorf("%s: a withdrawal is not in force %s after it was sent", c.kind, time.Since(begun))
		}
	}

	for want, c := range map[string]struct {
		code       int
		kind, body string
	}{
		"row 2: state is not known":           {http.StatusBadRequest, "text/csv", head + ids[4] + ",recommend,Withdrawn," + day + "\n" + ids[4] + ",recommend,granted," + day + "\n"},
		"is no time":                          {http.StatusBadRequest, "text/csv", head + ids[4] + ",recommend,Withdrawn,yesterday\n"},
		"name no subject":                     {http.StatusBadRequest, "text/csv", head + ",recommend,Withdrawn," + day + "\n"},
		"consent.parquet":                     {http.StatusBadRequest, "application/parquet", "PAR1 is how it begins"},
		"the file is empty":                   {http.StatusBadRequest, "text/csv", ""},
		"larger than":                         {http.StatusRequestEntityTooLarge, "text/csv", strings.Repeat("x", 33<<20)},
		"or a file as text/csv":               {http.StatusUnsupportedMediaType, "text/plain", head},
		"record 1: id and source":             {http.StatusBadRequest, asJSON, `{"records": [{"id": "` + ids[4] + `", "purpose": "recommend", "state": "Withdrawn"}]}`},
		"record 1: state is not known":        {http.StatusBadRequest, asJSON, `{"records": [{"id": "` + ids[4] + `", "purpose": "recommend", "state": "granted", "source": "app"}]}`},
		"records: want 1 to 500":              {http.StatusBadRequest, asJSON, `{"records": []}`},
		"is no JSON object of the fields":     {http.StatusBadRequest, asJSON, `{"records": [{"person": "` + ids[4] + `"}]}`},
		"people would be denied without havi": {http.StatusConflict, "text/csv", head + everybody(day)},
	} {
		code, body := s.send("/v1/consent", c.kind, []byte(c.body))
		if code != c.code || !strings.Contains(body, want) || strings.Contains(body, ids[4]) {
			t.Errorf("%s: %d %.300s", want, code, body)
		}
	}
	if !personal(ids[4]) {
		t.Error("a refused file has denied somebody")
	}
	if personal(ids[5], "Sec-GPC", "1") || !personal(ids[5]) {
		t.Error("Sec-GPC does not keep a request from being answered by a profile, or outlasts it")
	}
	rapportIn(t, dir, exitOK, "online", "fallback", "on", "--why", "everybody has opted out")
	begun := time.Now()
	if personal(ids[5]) {
		t.Errorf("an opt-out of everybody is not in force %s after it", time.Since(begun))
	}
	rapportIn(t, dir, exitOK, "online", "fallback", "off")
	if !personal(ids[5]) {
		t.Error("the end of it is not seen")
	}

	out, _ := rapportIn(t, dir, exitOK, "access-log", "-o", "json")
	var log accessLines
	if err := json.Unmarshal([]byte(out), &log); err != nil {
		t.Fatal(err)
	}
	files, who := 0, ""
	for _, x := range log.Lines {
		if x.Verb == "POST /v1/consent" && x.Requests == 0 {
			files, who = files+1, x.Who
			if len(x.Subjects) != x.People || x.People != 1 {
				if x.People <= 100 {
					t.Errorf("the line names %d of %d people", len(x.Subjects), x.People)
				}
			}
		}
	}
	if files != 4 || who == "" { // three that were taken, and the one that was held
		t.Errorf("the access log has %d lines of files, by %q:\n%s", files, who, out)
	}
	for _, id := range ids {
		if strings.Contains(s.errors.String(), id) || strings.Contains(out, id) {
			t.Error("a log names a person")
		}
	}
}

// everybody are rows that deny everybody of the small world without their having said so.
func everybody(day string) string {
	var b strings.Builder
	for i := range smallWorld.Users {
		fmt.Fprintf(&b, "u%06d,recommend,Invalidated,%s\n", i+1, day)
	}
	return b.String()
}
