package lineage

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/rapport-ml/rapport/eval"
	"github.com/rapport-ml/rapport/jobs"
	"github.com/rapport-ml/rapport/jobs/alert"
	"github.com/rapport-ml/rapport/jobs/ledger"
)

// What every event and facet says of its origin.
const (
	producer  = "https://github.com/rapport-ml/rapport"
	schemaURL = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
)

// event is an OpenLineage RunEvent.
type event struct {
	EventType string    `json:"eventType"`
	EventTime time.Time `json:"eventTime"`
	Producer  string    `json:"producer"`
	SchemaURL string    `json:"schemaURL"`
	Run       runPart   `json:"run"`
	Job       jobPart   `json:"job"`
	Inputs    []dataset `json:"inputs"`
	Outputs   []dataset `json:"outputs"`
}

type runPart struct {
	ID     string `json:"runId"`
	Facets facets `json:"facets,omitempty"`
}

type jobPart struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Facets    facets `json:"facets,omitempty"`
}

// dataset is an input or an output.
type dataset struct {
	Namespace    string `json:"namespace"`
	Name         string `json:"name"`
	Facets       facets `json:"facets,omitempty"`
	InputFacets  facets `json:"inputFacets,omitempty"`
	OutputFacets facets `json:"outputFacets,omitempty"`
}

func (d *dataset) id() string { return d.Namespace + "\x00" + d.Name }

// facets by name.
type facets map[string]map[string]any

// versions of the facets' schemas.
var versions = map[string]string{
	"NominalTimeRunFacet": "1-0-1", "ParentRunFacet": "1-1-0", "ProcessingEngineRunFacet": "1-1-1", "ErrorMessageRunFacet": "1-0-1",
	"TestRunFacet": "1-0-1", "JobTypeJobFacet": "2-0-3", "DocumentationJobFacet": "1-1-0", "SchemaDatasetFacet": "1-1-1",
	"DatasetVersionDatasetFacet": "1-0-1", "ColumnLineageDatasetFacet": "1-2-0", "InputStatisticsInputDatasetFacet": "1-0-0",
	"OutputStatisticsOutputDatasetFacet": "1-0-2", "DataQualityAssertionsDatasetFacet": "1-0-1",
}

// facet completes the fields of a facet with what every facet has.
func facet(schema string, fields map[string]any) map[string]any {
	fields["_producer"] = producer
	fields["_schemaURL"] = "https://openlineage.io/spec/facets/" + versions[schema] + "/" + schema + ".json#/$defs/" + schema
	return fields
}

// uuid is a run's id as a UUID: a ULID's 128 bits as they are, so that each can be told from the other. Any other text is hashed.
func uuid(id string) string {
	b := [16]byte{}
	if u, err := ulid.ParseStrict(id); err == nil {
		b = u
	} else {
		sum := sha256.Sum256([]byte("rapport run\n" + id))
		copy(b[:], sum[:])
		b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// started is the START event of a run.
func (e *Emitter) started(job *jobs.Job, run ledger.Run) event {
	run1 := runPart{ID: uuid(run.ID), Facets: facets{
		"nominalTime": facet("NominalTimeRunFacet", map[string]any{
			"nominalStartTime": run.Interval.Start.UTC(), "nominalEndTime": run.Interval.End.UTC(),
		}),
		"processing_engine": facet("ProcessingEngineRunFacet", map[string]any{"name": "rapport", "version": e.version()}),
	}}
	if run.Cause == "backfill" || run.Cause == "schedule" { // the process that started it, of a whole backfill or of serve
		run1.Facets["parent"] = facet("ParentRunFacet", map[string]any{
			"run": map[string]any{"runId": uuid(e.Session)},
			"job": map[string]any{"namespace": e.Namespace, "name": job.Name + "." + run.Cause},
		})
	}
	j := jobPart{Namespace: e.Namespace, Name: job.Name, Facets: facets{
		"jobType": facet("JobTypeJobFacet", map[string]any{"processingType": "BATCH", "integration": "RAPPORT", "jobType": "JOB"}),
	}}
	if says := job.Training.Says; says != "" {
		j.Facets["documentation"] = facet("DocumentationJobFacet", map[string]any{"description": alert.Clean(says, maxText)})
	}
	return event{
		EventType: "START", EventTime: e.Now().UTC(), Producer: producer, SchemaURL: schemaURL, Run: run1, Job: j,
		Inputs: e.sources(job, run, false), Outputs: []dataset{},
	}
}

// version of this program, as a facet must name one.
func (e *Emitter) version() string {
	if e.Revision == "" {
		return "unknown"
	}
	return e.Revision
}

// eventType is the terminal event of a status. A candidate that the gate refused is a run that did its work: it completes, and its test facet
// says which rules failed.
func eventType(s ledger.Status) string {
	switch s {
	case ledger.Succeeded, ledger.Rejected:
		return "COMPLETE"
	case ledger.Failed:
		return "FAIL"
	}
	return "ABORT"
}

// maxText bounds a text in an event, in bytes.
const maxText = 1000

// ended makes a run's terminal event of its START and of how it ended.
func (e *Emitter) ended(start event, run ledger.Run, d *eval.Decision) event {
	end := start
	end.EventType, end.EventTime = eventType(run.Status), e.Now().UTC()
	end.Run.Facets = facets{}
	for name, f := range start.Run.Facets {
		end.Run.Facets[name] = f
	}
	if run.Error != "" {
		end.Run.Facets["errorMessage"] = facet("ErrorMessageRunFacet", map[string]any{"message": alert.Clean(run.Error, maxText), "programmingLanguage": "Go"})
	}
	if d != nil && len(d.Rules) > 0 {
		end.Run.Facets["test"] = facet("TestRunFacet", map[string]any{"tests": tests(d)})
	}
	return end
}

// testExecution is one entry of a test facet.
type testExecution struct {
	Name        string `json:"name"`
	Status      string `json:"status"`   // pass, fail or skip
	Severity    string `json:"severity"` // error: it refuses; warn: it does not
	Type        string `json:"type"`
	Description string `json:"description"`
	Expected    string `json:"expected,omitempty"`
	Actual      string `json:"actual,omitempty"`
}

// tests are the gate's rules. What could not be told is skipped, and never passes.
func tests(d *eval.Decision) []testExecution {
	out := []testExecution{}
	for _, r := range d.Rules {
		t := testExecution{Name: alert.Clean(r.Subject, maxText), Status: "skip", Severity: "error", Type: r.Kind, Description: alert.Clean(r.Says, maxText)}
		switch r.Verdict {
		case eval.Pass:
			t.Status = "pass"
		case eval.Fail:
			t.Status = "fail"
		}
		if r.Effect == eval.Warns || r.Effect == eval.Accepted {
			t.Severity = "warn"
		}
		if r.Bound != nil {
			t.Expected = fmt.Sprint(*r.Bound)
		}
		if r.Value != nil {
			t.Actual = fmt.Sprint(*r.Value)
		}
		out = append(out, t)
	}
	return out
}

// encode is an event as it is sent: one line.
func encode(e event) (json.RawMessage, error) {
	b, err := json.Marshal(e)
	if err == nil && len(b) > maxEvent {
		err = fmt.Errorf("an event of %d bytes, more than %d", len(b), maxEvent)
	}
	return b, err
}

// maxEvent bounds an event, in bytes.
const maxEvent = 1 << 20
