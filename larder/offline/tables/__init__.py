"""Tables as they are stored: Delta and Parquet, opened, checked, read and written."""
