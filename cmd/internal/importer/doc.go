// Package importer turns data sets on disk into what Rapport reads: Parquet events by day, items, cohorts, and an explicit consent table.
//
// A data set on disk says nothing of consent. There is no switch that turns consent off, so an importer writes records that say what is true:
// the operator declares a basis for these people (source "declared-by-operator"), valid from before the first event. The caller prints that
// line (Facts.Declared), so that nobody learns of it later.
//
//	CompleteJourney   a year of grocery purchases
//	MovieLens         ratings of movies, in the formats of all editions
//	CSV               anybody's own events
//
// # Design
//
// Files are read line by line and strictly: a row that can't be read ends the import with file:line, since a data set half read would be
// taken for the whole. Errors never show a field's content, which may be an identifier. Of one's own events a few rows may lack something,
// as they do in every export; they are left out, counted and printed, and over 1 % they are a fault of the export.
//
// The Complete Journey is read into memory; it is small and known. MovieLens and CSV sort outside of memory: every event is a record of bytes
// whose order is that of time, runs of 64 MiB are sorted and merged, and what comes out is written day by day. So memory does not depend
// on the size of the files, rows may come in any order, and equal rows give equal bytes. Rejected: one open file a day (two years are 730
// open Parquet writers), two passes over the source (a pipe or a .gz has to be read twice), a temporary database.
//
// An id that is written in two ways makes two people of one, or one of two: of neither is there a trace later. Ids are taken byte for byte,
// as features/event does, and what looks like two ways of writing (leading zeros lost, numbers then UUIDs, 123.0, 1.2E+11, white space)
// is refused for people until somebody says that it is meant. For items it is said and goes on: SKUs of mixed shapes are common, and a split
// item costs quality, not privacy.
//
// Times are recognized only if all of a column are in one form, and never where the day and the month could be taken for each other: a guess
// that is right for the first twelve days of a month is worse than a question.
//
// A project's clock stands at the end of its data. The interval, the windows and the length of the test are chosen from how many people do
// something in how long (chooseCadence), and stand in the project file with the reason. Columns about people that tell them apart (mail,
// phone, names, anything with next to as many values as rows) are not copied at all.
//
// encoding/csv does the parsing of CSV, behind a bound on the size of a row, and its errors are turned into ours. Rejected for the tab-
// separated files, which know no quotes.
package importer
