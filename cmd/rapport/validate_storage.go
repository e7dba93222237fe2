package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/rapport-ml/rapport/storage"
)

// lasting warns of what keeps copies of objects that an erasure or a purge has removed: it removes old versions itself, and neither locked ones nor replicas.
func lasting(ctx context.Context, b storage.Bucket) []check {
	c := check{What: "erasure", OK: true}
	k, able := b.(storage.Keeping)
	if !able { // it keeps none by itself
		return nil
	}
	kept, err := k.Keeping(ctx)
	if err != nil {
		return []check{{What: c.What, OK: true, Warns: true, Found: "what the bucket keeps of deleted objects could not be asked: " + err.Error()}}
	}
	var says []string
	if kept.Versions {
		says = append(says, "the bucket keeps old versions: an erasure removes those too, for which the user needs s3:ListBucketVersions and s3:DeleteObjectVersion")
	}
	if kept.Locked != "" {
		says, c.Warns = append(says, fmt.Sprintf("objects are locked (%s): until a lock ends no erasure can remove a version that it holds, and receipts name it as pending", kept.Locked)), true
	}
	if n := len(kept.Replicated); n > 0 {
		says, c.Warns = append(says, fmt.Sprintf("objects are copied to %s: what is erased here is not erased there", strings.Join(kept.Replicated, ", "))), true
	}
	if len(kept.NotTold) > 0 {
		says = append(says, "the server does not tell of "+strings.Join(kept.NotTold, ", ")+": ask whoever runs it")
	}
	if len(says) == 0 {
		says = append(says, "the bucket keeps no old versions, locks nothing and copies to no other")
	}
	c.Warns = c.Warns || kept.Versions
	c.Found = strings.Join(says, "; ")
	return []check{c}
}
