"""Reports: the page of a study, its charts, cards of data and models, the study archive. Pure but for the archive."""
