// Command benchfeatures measures the feature engine against DuckDB: the same files, the same machine, as many threads, and the same answer,
// compared cell by cell.
package main
