"""What autonomous recorders wrote: headers, names of files, and summaries on SD cards; one file for each format."""
