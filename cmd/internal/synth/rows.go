package synth

// The files' rows. Times are microseconds in UTC. An optional column holds null where the field is its zero value.

type eventRow struct {
	UserID  string  `parquet:"user_id,dict"`
	SKU     string  `parquet:"sku,dict"`
	Time    int64   `parquet:"ts,timestamp(microsecond)"`
	Action  string  `parquet:"action,dict"`
	Amount  float64 `parquet:"amount,optional"`
	Device  string  `parquet:"device,dict"`
	Channel string  `parquet:"channel,dict,optional"`
}

type itemRow struct {
	SKU       string  `parquet:"sku"`
	Category  string  `parquet:"category,dict"`
	Brand     string  `parquet:"brand,dict"`
	Price     float64 `parquet:"price"`
	Published int64   `parquet:"published,timestamp(microsecond)"`
}

type subjectRow struct {
	UserID  string `parquet:"user_id"`
	Region  string `parquet:"region,dict"`
	AgeBand string `parquet:"age_band,dict"`
}

type cohortRow struct {
	UserID  string `parquet:"user_id"`
	Gender  string `parquet:"gender,dict,optional"`
	AgeBand string `parquet:"age_band,dict,optional"`
}
