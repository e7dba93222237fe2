// Package importer turns data sets on disk into what Rapport reads: Parquet events by day, items, cohorts, and an explicit consent table.
//
// A data set on disk says nothing of consent. There is no switch that turns consent off, so an importer writes records that say what is true:
// the operator declares a basis for these people (source "declared-by-operator"), valid from before the first event. The caller prints that
// line (Facts.Declared), so that nobody learns of it later.
//
// # Design
//
// Files are read line by line and strictly: a row that can't be read ends the import with file:line, since a data set half read would be
// taken for the whole. Errors never show a field's content, which may be an identifier. Only the event rows are kept in memory, about
// 100 bytes each, until their days are whole: files of this kind are not sorted by time. Rejected: encoding/csv, whose quotes and lazy field
// counts are not this format's, and importing through a temporary database.
package importer
