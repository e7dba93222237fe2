package importer

// The files' rows. Times are microseconds, taken for UTC. In an optional column an empty string or a nil pointer is null.

type eventRow struct {
	HouseholdID string   `parquet:"household_id,dict"`
	ProductID   string   `parquet:"product_id,dict"`
	Time        int64    `parquet:"ts,timestamp(microsecond)"`
	Kind        string   `parquet:"kind,dict"`
	Quantity    *int64   `parquet:"quantity,optional"`
	Amount      *float64 `parquet:"amount,optional"`
	Store       string   `parquet:"store,dict,optional"`
}

type itemRow struct {
	ProductID    string `parquet:"product_id"`
	Department   string `parquet:"department,dict,optional"`
	Category     string `parquet:"category,dict,optional"`
	ProductType  string `parquet:"product_type,dict,optional"`
	Brand        string `parquet:"brand,dict,optional"`
	Manufacturer string `parquet:"manufacturer,dict,optional"`
}

type cohortRow struct {
	HouseholdID   string `parquet:"household_id"`
	Age           string `parquet:"age,dict,optional"`
	Income        string `parquet:"income,dict,optional"`
	HomeOwnership string `parquet:"home_ownership,dict,optional"`
	MaritalStatus string `parquet:"marital_status,dict,optional"`
	HouseholdSize string `parquet:"household_size,dict,optional"`
	HouseholdComp string `parquet:"household_comp,dict,optional"`
	Kids          string `parquet:"kids,dict,optional"`
}
