"""Reports of a run: the table, histograms, attachments."""
