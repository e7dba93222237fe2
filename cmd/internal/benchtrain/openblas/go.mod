module github.com/rapport-ml/rapport/cmd/internal/benchtrain/openblas

go 1.26
